"""The phase that asks the model for a title and a severity: it follows a run that found something, holds nothing up,
and is dropped where the server, the budget or the answer is not as it should be."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial

import structlog

from bot.agent.recall import recall_far_tools, recall_profile
from bot.agent.row_redaction import redact_step
from bot.agent.suggesting import SECONDS, find_answer, read_answer
from bot.domain.investigation import Job
from bot.domain.models.reasoning import Reasoning
from bot.domain.runs.far_tool import FarTools
from bot.domain.runs.profile import AgentProfile
from bot.domain.runs.transcript import Step
from bot.engine.model_counts import count_tokens, count_try
from bot.engine.model_phase import ModelTools
from bot.engine.phases import Phase
from bot.engine.spending import Spending
from bot.engine.tools import UnitWork
from bot.ports.desk import Question, Told
from bot.ports.drafter import ModelJob
from bot.ports.faults import reach
from bot.ports.work import Store
from bot.services import modelling, suggesting
from bot.services.rulebook import Rulebook

log = structlog.get_logger(__name__)


class SuggestPhase(UnitWork):
    """Asks once for each run."""

    def __init__(self, store: Store, rules: Rulebook, tools: ModelTools) -> None:
        super().__init__(store, rules)
        self._tools = tools
        self._spending = Spending(store, tools.budgets, hold=timedelta(seconds=SECONDS))

    def phase(self) -> Phase:
        return Phase(name="suggest", run=self._run, failed=self._failed, patience=0)

    async def _run(self, args: Mapping[str, str]) -> None:
        incident, run = args["incident"], args["run"]
        folder = str(self._tools.folder / "work")
        job = await self._in_unit(
            lambda w: suggesting.plan_suggestion(w, incident, run, folder=folder, rules=self._rules)
        )
        steps = await self._in_unit(lambda w: w.transcripts.of(run))
        if job is None or not steps:
            return
        if find_answer(steps) is None:
            await self._ask(job, steps)
        answer = find_answer(await self._in_unit(lambda w: w.transcripts.of(run)))
        suggestion = read_answer(answer) if answer else None
        if suggestion is None:
            log.info("model_suggests_nothing", incident=incident, run=run, was_asked=answer is not None)
            return
        reach("model.suggested")
        await self._in_unit(lambda w: suggesting.record_suggestion(w, incident, run, suggestion))

    async def _ask(self, job: Job, steps: Sequence[Step]) -> None:
        """Ask, within the budgets that the run shares with others."""
        tools, profile = self._tools, recall_profile(steps) or AgentProfile()
        own = self._rules.reasoning.get(profile.name, Reasoning())
        model_job = ModelJob(
            job=job,
            place=tools.place.think(profile.effort, own, self._rules.second_reasoning),
            budget=tools.budget,
            profile=profile,
            steps=tuple(steps),
            far=FarTools(tools=recall_far_tools(steps)),
            is_aside=True,
        )
        refused = await asyncio.to_thread(self._spending.begin_aside, job.run, job.service.name, steps)
        try:
            if refused:
                log.info("model_not_asked_apart", incident=job.incident, why=refused)
                return
            on_try = partial(count_try, tools.place)
            await tools.drafter.draft(model_job, self._store_step, ask=partial(self._answer, job), on_try=on_try)
        finally:
            await asyncio.to_thread(self._spending.end, job.run)

    async def _answer(self, job: Job, question: Question) -> Told:
        desk = self._tools.desk
        return await desk.answer(job, question) if desk else Told(fault="nothing can be asked for here")

    async def _store_step(self, step: Step) -> Step:
        clean = redact_step(step, self._tools.redact)
        count_tokens(clean)
        clean = await asyncio.to_thread(self._spending.take, clean)
        return await asyncio.to_thread(modelling.record_step, self._store, clean)

    async def _failed(self, args: Mapping[str, str], why: str) -> None:
        log.info("model_suggests_nothing", incident=args["incident"], run=args["run"], error=self._tools.redact(why))
