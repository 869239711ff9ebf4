"""A self-test of one service's tools: each is called through workshop, toolbox and desk as in a run, and judged."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from time import monotonic
from typing import Final

from bot.agent.exercise import LIVE, Planned, plan_calls, take_turns
from bot.agent.tools.toolbox import CUT, MAX_ANSWER, Toolbox
from bot.domain.investigation import Job, Suspected
from bot.domain.models.selftest import Failure, Fair, Fault, Wrong, judge_answer
from bot.errors import NightshiftError
from bot.ports.desk import Desk
from bot.worker.drafting import Workshop
from bot.worker.tools import Tools

SECONDS: Final = 60.0
"""Longer than the desk lets anything take."""
ONCE_SECONDS: Final = 1_800.0
_BROKEN: Final = (NightshiftError, OSError, ValueError, LookupError, TypeError, AttributeError)
REPOSITORY: Final = "repository"


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a service's tools stand on. `redact` knows this installation's `secrets`; the worker's own does not."""

    desk: Desk
    tools: Tools
    redact: Callable[[str], str]
    secrets: Sequence[str]
    has_metrics: bool


@dataclass(kw_only=True)
class Tally:
    """What has been seen so far: milliseconds of each call by tool, and what failed."""

    times: dict[str, list[float]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


class ServiceTest:
    """The tools of one service. A workshop is opened anew for each turn: a call that is made again reads again."""

    def __init__(self, place: Place, job: Job, tally: Tally) -> None:
        self._place = place
        self._job = job
        self._tally = tally
        self._workshop: Workshop | None = None
        self._seen: dict[tuple[str, str], str] = {}

    @property
    def service(self) -> str:
        return self._job.service.name

    async def run(self, calls: int, equip: Callable[[Job], Awaitable[Job]]) -> bool:
        """Make so many calls. What cannot be opened is a failure of the repository, and nothing more is called then."""
        try:
            self._job = await equip(self._job)
            await self._take_turns(calls)
        except _BROKEN as error:
            self._fail(Planned(tool=REPOSITORY, arguments=""), Fault.ERROR, f"{type(error).__name__}: {error}")
            return False
        return True

    async def _take_turns(self, calls: int) -> None:
        workshop = await self.renew()
        head = Suspected(head=workshop.hands.head, suspects=())
        self._job = replace(self._job, done=(head,))  # the same commit in every turn
        before, plan = 0, await plan_calls(workshop.hands, has_metrics=self._place.has_metrics)
        for turn, planned in islice(take_turns(plan), calls):
            if turn != before:
                await self.renew()
                before = turn
            await self._try(planned)

    async def renew(self) -> Workshop:
        """Open what the tools stand on anew; nothing of it was read."""
        ask = partial(self._place.desk.answer, self._job)
        self._workshop = await Workshop.open(self._job, self._place.tools, ask)
        return self._workshop

    async def _try(self, planned: Planned) -> None:
        began = monotonic()
        answer = await self._ask(planned)
        self._tally.times.setdefault(planned.tool, []).append((monotonic() - began) * 1000)
        wrong = answer if isinstance(answer, Wrong) else self._judge(planned, answer)
        if wrong is None and not planned.once:
            wrong = await self._compare(planned, str(answer))
        if wrong:
            self._fail(planned, wrong.fault, wrong.why)

    async def _ask(self, planned: Planned) -> str | Wrong:
        """Return the answer, or how the tool broke."""
        try:
            async with asyncio.timeout(ONCE_SECONDS if planned.once else SECONDS):
                return await self._call(planned)
        except TimeoutError:
            return Wrong(fault=Fault.TIME_OUT, why="it came to no end")
        except _BROKEN as error:
            return Wrong(fault=Fault.ERROR, why=f"{type(error).__name__}: {error}")

    def _judge(self, planned: Planned, answer: str) -> Wrong | None:
        fair = Fair(
            limit=MAX_ANSWER,
            cut=CUT,
            secrets=self._place.secrets,
            holds=planned.holds,
            may_refuse=planned.may_refuse,
            tells_unread=planned.tool in LIVE,
        )
        return judge_answer(answer, fair)

    async def _call(self, planned: Planned) -> str:
        """Return the answer as the model would read it: redacted on both sides."""
        workshop = self._workshop or await self.renew()
        toolbox = Toolbox(workshop.hands)
        result = await toolbox.call(planned.tool, planned.arguments, (), room=MAX_ANSWER)
        return self._place.redact(result.text)

    async def _compare(self, planned: Planned, answer: str) -> Wrong | None:
        """Hold an answer against the one before. Where its source lives, a third that is like the second excuses it."""
        key = (planned.tool, planned.arguments)
        before = self._seen.setdefault(key, answer)
        if before == answer:
            return None
        self._seen[key] = answer
        if planned.tool in LIVE:
            await self.renew()
            if await self._ask(planned) == answer:
                return None
        return Wrong(fault=Fault.UNSTEADY, why=_find_difference(before, answer))

    def _fail(self, planned: Planned, fault: Fault, why: str) -> None:
        said = self._place.redact(" ".join(why.split())[:400])
        arguments = self._place.redact(planned.arguments)
        failure = Failure(service=self.service, tool=planned.tool, arguments=arguments, fault=fault, why=said)
        self._tally.failures.append(failure)


def _find_difference(before: str, after: str) -> str:
    pairs = zip(f"{before}\n".split("\n"), f"{after}\n".split("\n"), strict=False)
    first, second = next(((a, b) for a, b in pairs if a != b), ("", ""))
    return f"at first {first[:120]!r}, then {second[:120]!r}"
