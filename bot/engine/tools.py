"""The outside, as the phases need it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Final, TypeVar

from bot.domain.ci import CIRequest, Trigger
from bot.domain.service import LogPlace
from bot.engine.commit_news import CommitNews
from bot.engine.far_tools import FarToolShelf
from bot.errors import Reason, Refused, Rejected
from bot.ports.ci import CIProvider, KnowsOrders
from bot.ports.forge import Forge
from bot.ports.investigator import CIReader, Investigator, Plotter
from bot.ports.logs import LogSource
from bot.ports.metrics import MetricSource
from bot.ports.work import Store, UnitOfWork
from bot.ports.workspace import Workspaces
from bot.render.links import Links
from bot.services.rulebook import Rulebook

T = TypeVar("T")
Args = Mapping[str, str]
SLOWER: Final = 1.5


FetchImage = Callable[[str, str], Awaitable[bytes]]
"""Fetches what was posted in a channel, by its reference there. Raises `Unavailable` or `Rejected`."""


async def cannot_fetch(channel: str, _ref: str) -> bytes:
    raise Rejected(f"no image can be fetched from {channel}", Reason.NOT_FOUND)


@dataclass(frozen=True, kw_only=True)
class Tools:
    """`ci` and `forges` map the names that services use to what they are.

    A run is asked about every `poll_seconds` at first, then less and less often, down to what `longest_poll` says of
    its CI; `dispatch_patience` is how long an order without an answer is looked for. Without a `ci_reader` a red run is
    told with the end of its log; without `open_log` only logs in files are read, without `metrics` nobody is
    asked, without `far_tools` no tool of another server is there, without a `plotter` no metric is plotted in chats.
    """

    investigator: Investigator
    workspaces: Workspaces
    ci: Mapping[str, CIProvider]
    forges: Mapping[str, Forge] = field(default_factory=dict)
    news: CommitNews = field(default_factory=CommitNews)
    folder: Path
    redact: Callable[[str], str]
    poll_seconds: float = 0.5
    longest_poll: Mapping[str, float] = field(default_factory=dict)
    dispatch_patience: timedelta = timedelta(seconds=90)
    links: Links = field(default_factory=Links)
    has_model: bool = False
    ci_reader: CIReader | None = None
    plotter: Plotter | None = None
    open_log: Callable[[LogPlace], LogSource] | None = None
    metrics: MetricSource | None = None
    fetch_image: FetchImage = cannot_fetch
    far_tools: FarToolShelf | None = None

    def pauses(self, ci: str) -> Iterator[float]:
        """Yield how long to wait between two questions: longer and longer, as long as this CI is to be asked seldom."""
        first = self.poll_seconds
        longest = max(first, self.longest_poll.get(ci, first))
        while True:
            yield first
            first = min(first * SLOWER, longest)

    def find_ci(self, name: str) -> CIProvider:
        """Raises `Refused` where no connection has that name any more."""
        if name not in self.ci:
            raise Refused(f'No CI is called "{name}" any more; look at the configuration.', Reason.NOT_FOUND)
        return self.ci[name]

    def find_forge(self, name: str) -> Forge:
        """Raises `Refused` where no connection has that name any more."""
        if name not in self.forges:
            raise Refused(f'No forge is called "{name}" any more; look at the configuration.', Reason.NOT_FOUND)
        return self.forges[name]


def expect_ordered(provider: CIProvider, request: CIRequest) -> None:
    """Say which run is meant before it is asked about: a process that was just started does not know it."""
    if request.trigger is Trigger.DISPATCH and isinstance(provider, KnowsOrders):
        provider.expect(request)


class UnitWork:
    """What phases have in common: the store, in units of work, and the rules."""

    def __init__(self, store: Store, rules: Rulebook) -> None:
        self._store = store
        self._rules = rules

    async def _in_unit(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run something inside one unit of work, in a thread of its own."""

        def run() -> T:
            with self._store.begin() as unit:
                return work(unit)

        return await asyncio.to_thread(run)


class PhaseWork(UnitWork):
    """Phases that reach the outside too."""

    def __init__(self, store: Store, rules: Rulebook, tools: Tools) -> None:
        super().__init__(store, rules)
        self._tools = tools


def has_stood_still(since: float, patience: timedelta) -> bool:
    """Say whether so much time has gone by (`monotonic`) that another process may have taken over and asked people."""
    return monotonic() - since > patience.total_seconds() / 2
