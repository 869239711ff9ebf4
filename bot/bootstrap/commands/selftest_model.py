"""A self-test of the model: small real runs of the agent, judged by their rows and replayed from them."""

from dataclasses import dataclass, field, replace
from typing import Final

from bot.agent.loop import Agent, Append
from bot.agent.profiles import choose_tools, make_head
from bot.agent.replay import replay_run
from bot.agent.row_redaction import redact_step
from bot.agent.selftest_run import STEPS, TASK, Sent, TimedModel, count_same, judge_run
from bot.agent.tools.toolbox import Toolbox
from bot.bootstrap.commands.selftest_tools import Place, ServiceTest, Tally
from bot.bootstrap.worker import open_model
from bot.domain.models.reasoning import Reasoning
from bot.domain.models.selftest import Failure, Fault, ModelLine, note_cache
from bot.domain.runs.profile import AgentProfile, Mode
from bot.domain.runs.transcript import Budget, Step
from bot.errors import NightshiftError
from bot.ports.model import Errand, ModelClient, ModelPlace
from bot.services.rulebook import Rulebook
from bot.worker.drafting import Workshop

MODEL: Final = "model"
SECONDS: Final = 300.0


@dataclass(kw_only=True)
class ModelTest:
    """Runs of one model, and what has been seen of them."""

    place: ModelPlace
    profile: AgentProfile
    budget: Budget
    sent: list[Sent] = field(default_factory=list)
    cached: list[int | None] = field(default_factory=list)
    runs: int = 0
    calls: int = 0
    failures: int = 0
    same: int = 0
    notes: dict[str, None] = field(default_factory=dict)

    @classmethod
    def plan(cls, place: ModelPlace, rules: Rulebook, budget: Budget) -> "ModelTest":
        """Plan runs as those that answer a question, which propose nothing."""
        profile = rules.profile(Mode.QUESTION.value)
        reasoning = rules.reasoning.get(profile.name, Reasoning())
        extra = reasoning.add_to(place.extra, profile.effort)
        limited = replace(profile.limit(budget), steps=STEPS, seconds=min(budget.seconds, SECONDS))
        return cls(place=replace(place, extra=extra, reasoning_field=reasoning.field), profile=profile, budget=limited)

    async def run(self, test: ServiceTest, place: Place, tally: Tally) -> None:
        """Let the model work once, with a service's tools. Where it does not answer, that is the failure."""
        name = f"selftest:{self.runs + 1}"
        rows, broken = list[Step](), ""

        async def store(step: Step) -> Step:
            rows.append(redact_step(step, place.redact))
            return rows[-1]

        sent: list[Sent] = []
        try:
            workshop = await test.renew()
            async with open_model(self.place, Errand(), lambda _tried: None) as model:
                sent = await self._work(model, name, workshop, store)
        except NightshiftError as error:
            broken = str(error)
        self.runs += 1
        if broken:
            self._fail(tally, test.service, Fault.SILENT, place.redact(broken)[:400])
            return
        replay = replay_run(name, rows)
        for wrong in judge_run(replay, sent):
            self._fail(tally, test.service, wrong.fault, place.redact(wrong.why)[:400])
        cached = [asked.cached for asked in replay.requests]
        note = note_cache([asked.prompt for asked in replay.requests], cached)
        self.notes |= {note: None} if note else {}
        self.sent += sent
        self.cached += cached
        self.calls += sum(asked.calls for asked in replay.requests)
        self.same += count_same(replay, sent)

    async def _work(self, model: ModelClient, name: str, workshop: Workshop, store: Append) -> list[Sent]:
        timed = TimedModel(model)
        agent = Agent(
            model=timed,
            tools=Toolbox(workshop.hands, choose_tools(self.profile), proposes=False),
            head=make_head(self.place, self.budget, self.profile),
            budget=self.budget,
            append=store,
        )
        await agent.run(name, (), lambda: TASK)
        return timed.sent

    def _fail(self, tally: Tally, service: str, fault: Fault, why: str) -> None:
        self.failures += 1
        said = " ".join(why.split())
        tally.failures.append(Failure(service=service, tool=MODEL, arguments="", fault=fault, why=said))

    def tell(self) -> ModelLine:
        return ModelLine(
            runs=self.runs,
            answers=len(self.sent),
            calls=self.calls,
            failures=self.failures,
            first=tuple(each.first * 1000 for each in self.sent),
            whole=tuple(each.whole * 1000 for each in self.sent),
            cached=tuple(self.cached),
            requests=len(self.sent),
            same=self.same,
            notes=tuple(self.notes),
        )
