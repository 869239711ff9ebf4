"""The phase in which a model looks for a patch. It follows triage, waits for a server that is down without holding
anything, and ends as soon as nobody needs its answer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from bot.agent.marks import keep_far_tools, keep_profile
from bot.agent.patience import BUSY_SECONDS, TRIES
from bot.agent.recall import recall_far_tools, recall_profile
from bot.agent.row_redaction import redact_step
from bot.agent.said import add_said, list_said, takes_said
from bot.agent.transcript import Rows, fold
from bot.domain.ask import Inquiry
from bot.domain.investigation import Job
from bot.domain.models.reasoning import Reasoning
from bot.domain.models.spending import Budgets
from bot.domain.runs.far_tool import FarTools
from bot.domain.runs.profile import AgentProfile, Mode
from bot.domain.runs.todo import wrote_todo
from bot.domain.runs.transcript import Budget, Conclusion, Step, StepKind
from bot.engine.far_tools import FarToolShelf
from bot.engine.images import Gallery
from bot.engine.model_counts import count_tokens, count_try
from bot.engine.phases import Phase
from bot.engine.spending import Spending, end_of
from bot.engine.tools import FetchImage, UnitWork, cannot_fetch
from bot.errors import Reason, Refused, Unavailable
from bot.metrics import MODEL_RUNS
from bot.ports.desk import Desk, Question, Told
from bot.ports.drafter import Drafter, ModelJob
from bot.ports.faults import reach
from bot.ports.hand import Hand
from bot.ports.model import ModelPlace
from bot.ports.work import Store, UnitOfWork
from bot.services import asking, modelling, questions, steering
from bot.services.modelling import ModelArgs, read_args
from bot.services.rulebook import Rulebook
from bot.services.steering import Hint
from bot.services.thinking import find_effort
from bot.services.wishes import base_run

log = structlog.get_logger(__name__)
LOOK = 1.0
QUESTION, PATCH = Mode.QUESTION.value, Mode.PATCH.value


@dataclass(frozen=True, kw_only=True)
class ModelTools:
    """What the phase needs. `localize` puts copies in the place of a repository and logs that lie elsewhere. Without a
    `desk` the run's tools are told that nothing can be asked for; without `far_tools` no other server has any."""

    drafter: Drafter
    place: ModelPlace
    budget: Budget
    folder: Path
    redact: Callable[[str], str]
    localize: Callable[[Job], Awaitable[Job]]
    desk: Desk | None = None
    fetch_image: FetchImage = cannot_fetch
    far_tools: FarToolShelf | None = None
    patience: float = 3600.0
    together: int = 2
    budgets: Budgets = field(default_factory=Budgets)


class Matter(Protocol):
    """What a run of the model is about, as the services `modelling` (a patch) and `questions` (an answer) see it."""

    def plan_model(self, work: UnitOfWork, incident: str, *, run: str, folder: str, rules: Rulebook) -> Job | None: ...

    def is_wanted(self, work: UnitOfWork, incident: str, run: str) -> bool: ...

    def wait_for_model(
        self, work: UnitOfWork, args: ModelArgs, *, why: str, retry_after: float | None, patience: float
    ) -> None: ...

    def end_model(self, work: UnitOfWork, incident: str, run: str, text: str) -> None: ...

    def conclude_model(
        self, work: UnitOfWork, incident: str, run: str, conclusion: Conclusion, rules: Rulebook, /
    ) -> bool: ...


def _matter_of(run: str) -> Matter:
    return questions if questions.is_question(run) else modelling


class ModelPhase(UnitWork):
    """Runs the model for one incident after another."""

    def __init__(self, store: Store, rules: Rulebook, tools: ModelTools) -> None:
        super().__init__(store, rules)
        self._tools = tools
        self._begun: set[str] = set()
        self._profiles: dict[str, AgentProfile] = {}
        self._far: dict[str, FarTools] = {}
        self._heard: dict[str, frozenset[str]] = {}
        self._hints: dict[str, tuple[Hint, ...]] = {}
        hold = timedelta(seconds=tools.budget.answer_seconds * TRIES + BUSY_SECONDS)
        self._gallery = Gallery(store, rules, fetch=tools.fetch_image, redact=tools.redact)
        self._hand = Hand("model-rows")
        self._spending = Spending(store, tools.budgets, hold=hold)

    def phase(self) -> Phase:
        return Phase(name="model", run=self._run, failed=self._failed, together=self._tools.together, patience=0)

    async def _run(self, raw: Mapping[str, str]) -> None:
        args = read_args(raw)
        matter = _matter_of(args.run)
        conclusion: Conclusion | Inquiry | None = await self._read_conclusion(args.run)
        if conclusion is None:
            try:
                conclusion = await self._work(args)
            except Unavailable as error:
                await self._wait(args, error)
                return
            except Refused as refusal:
                if refusal.reason is not Reason.CONFLICT:
                    raise
                log.warning("model_taken_over", incident=args.incident, run=args.run)
                return
        if isinstance(conclusion, Inquiry):
            await self._ask(args, conclusion)
            return
        if conclusion is None:
            MODEL_RUNS.labels(result="unwanted").inc()
            text = "The model's work was stopped: its answer is not needed any more"
            await self._in_unit(lambda w: matter.end_model(w, args.incident, args.run, text))
            return
        reach("model.concluded")
        proposed = await self._in_unit(
            lambda w: matter.conclude_model(w, args.incident, args.run, conclusion, self._rules)
        )
        MODEL_RUNS.labels(result="proposed" if proposed else conclusion.why.value).inc()

    async def _ask(self, args: ModelArgs, ask: Inquiry) -> None:
        """Put a question to people; what they say starts this phase again."""
        reach("model.asked")
        await self._in_unit(lambda w: asking.ask_people(w, args, ask, self._rules))
        MODEL_RUNS.labels(result="asked").inc()

    async def _wait(self, args: ModelArgs, error: Unavailable) -> None:
        MODEL_RUNS.labels(result="unavailable").inc()
        why = self._tools.redact(str(error)).rstrip(".")
        log.info("model_waits", incident=args.incident, attempt=args.attempt, error=why)
        await self._in_unit(
            lambda w: _matter_of(args.run).wait_for_model(
                w, args, why=why, retry_after=error.retry_after, patience=self._tools.patience
            )
        )

    async def _read_conclusion(self, run: str) -> Conclusion | None:
        rows = await self._in_unit(lambda w: w.transcripts.of(run))
        return fold(rows).conclusion

    async def _hear(self, args: ModelArgs) -> Inquiry | None:
        """Give the model what came of its question. Returns the question where nothing has."""
        state = fold(await self._in_unit(lambda w: w.transcripts.of(args.run)))
        ask = state.waits
        if ask is None:
            return None
        reply = await self._in_unit(lambda w: asking.tell_reply(w, args.incident, args.run, ask.key))
        if not reply:
            return ask
        await self._store_step(Rows(args.run).tool(state, reply, 0.0))
        reach("model.answered")
        return None

    async def _work(self, args: ModelArgs) -> Conclusion | Inquiry | None:
        """Let the model work until its run has ended, or waits for people. None when nobody needs it any more."""
        folder, matter = str(self._tools.folder / "work"), _matter_of(args.run)
        job = await self._in_unit(
            lambda w: matter.plan_model(w, args.incident, run=args.run, folder=folder, rules=self._rules)
        )
        if job is None:
            return None
        if args.run not in self._begun:
            self._begun.add(args.run)
            await self._in_unit(lambda w: modelling.tell_cut(w, args.incident, args.run))
        waits = await self._hear(args)
        if waits is not None:
            return waits
        steps = await self._in_unit(lambda w: w.transcripts.of(args.run))
        self._heard[args.run] = list_said(steps)
        await self._in_unit(lambda w: self._listen(w, args))
        tools = self._tools
        effort = await self._in_unit(lambda w: find_effort(w, args.incident, args.run))
        profile = recall_profile(steps) or self._choose_profile(job, effort)
        model_job = ModelJob(
            job=await tools.localize(job),
            place=self._place(profile),
            budget=tools.budget,
            profile=profile,
            steps=steps,
            has_people=not questions.is_question(args.run),
            far=await self._list_far_tools(profile, steps),
        )
        refused = await asyncio.to_thread(self._spending.begin, args.run, job.service.name, steps)
        if refused:
            await asyncio.to_thread(modelling.record_step, self._store, end_of(steps, refused))
            await asyncio.to_thread(self._spending.end, args.run)
            return await self._read_conclusion(args.run)
        self._profiles[args.run], self._far[args.run] = profile, model_job.far
        answer = partial(self._answer, job)
        drafting = tools.drafter.draft(model_job, self._store_step, ask=answer, on_try=partial(count_try, tools.place))
        task = asyncio.create_task(drafting, name=f"model {args.run}")
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=LOOK)
                if not task.done() and not await self._in_unit(lambda w: self._listen(w, args)):
                    return None
            task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
            self._heard.pop(args.run, None)
            self._hints.pop(args.run, None)
            self._profiles.pop(args.run, None)
            self._far.pop(args.run, None)
            await asyncio.to_thread(self._spending.end, args.run)
        state = fold(await self._in_unit(lambda w: w.transcripts.of(args.run)))
        return state.waits or state.conclusion

    def _place(self, profile: AgentProfile) -> ModelPlace:
        """Return where the model answers, told how long it may think."""
        own = self._rules.reasoning.get(profile.name, Reasoning())
        return self._tools.place.think(profile.effort, own, self._rules.second_reasoning)

    def _choose_profile(self, job: Job, effort: str) -> AgentProfile:
        """Return the profile of a run that begins: the playbook's, at the effort that a person asked for; where one
        wants another patch, a profile that proposes."""
        if job.questions:
            return self._rules.profile(QUESTION)
        named = self._rules.profile(job.playbook.agent)
        if effort:
            return replace(named, effort=effort)
        is_wished = base_run(job.run) != job.run
        return self._rules.profile(PATCH) if is_wished and named.mode is Mode.TRIAGE else named

    async def _list_far_tools(self, profile: AgentProfile, steps: Sequence[Step]) -> FarTools:
        """Return the tools of other servers: those that the run began with, else what there is now."""
        shelf = self._tools.far_tools
        if steps or shelf is None:
            return FarTools(tools=recall_far_tools(steps))
        return await shelf.list_for(profile)

    async def _answer(self, job: Job, question: Question) -> Told:
        desk = self._tools.desk
        return await desk.answer(job, question) if desk else Told(fault="nothing can be asked for here")

    async def _store_step(self, step: Step) -> Step:
        """Redact with the secrets that only this process knows, store, and return what is stored."""
        clean = await self._add_hints(redact_step(step, self._tools.redact))
        count_tokens(clean)
        if clean.kind is StepKind.TASK:
            clean = keep_profile(clean, self._profiles[step.run])
            clean = keep_far_tools(clean, self._far[step.run].tools)
        stored = await self._hand.do(partial(self._keep, clean))
        self._heard[step.run] = self._heard.get(step.run, frozenset()) | list_said([stored])
        if wrote_todo(stored):
            await self._in_unit(lambda w: modelling.show_todo(w, stored))
        return stored

    def _keep(self, step: Step) -> Step:
        return modelling.record_step(self._store, self._spending.take(step))

    def _listen(self, work: UnitOfWork, args: ModelArgs) -> bool:
        """Take up what people said to the run; False when nobody needs it any more."""
        heard = self._heard.get(args.run, frozenset())
        hints = steering.list_hints(work, args.incident, args.run)
        self._hints[args.run] = tuple(hint for hint in hints if hint.key not in heard)
        return _matter_of(args.run).is_wanted(work, args.incident, args.run)

    async def _add_hints(self, step: Step) -> Step:
        """Put what people said behind the row, in its commit, where a user turn may stand."""
        heard = self._heard.get(step.run, frozenset())
        profile = self._profiles.get(step.run)
        sees = profile is not None and profile.name in self._rules.seeing
        unheard = (hint for hint in self._hints.get(step.run, ()) if hint.key not in heard)
        hints = [hint for hint in unheard if sees or not hint.drawn]
        if not hints:
            return step
        rows = await self._in_unit(lambda w: w.transcripts.of(step.run))
        if not takes_said(fold(rows), step):
            return step
        incident = step.run.partition(":")[0]
        return add_said(step, [await self._gallery.show(incident, hint, sees=sees) for hint in hints])

    async def _failed(self, args: Mapping[str, str], why: str) -> None:
        MODEL_RUNS.labels(result="failed").inc()
        text = f"The model's part stopped: {self._tools.redact(why).rstrip('.')}. The result without it stands"
        await self._in_unit(lambda w: _matter_of(args["run"]).end_model(w, args["incident"], args["run"], text))
