"""`selftest`: calls the agent's tools and the model for every service as a run would, and says what fails silently.

It needs no running server and leaves nothing: the store and all clones are in a folder that goes when it ends.
"""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Final

from bot.agent.redaction import load_redactor
from bot.agent.tools.every import TOOLS
from bot.bootstrap.ci import spool_folder
from bot.bootstrap.commands.selftest_model import ModelTest
from bot.bootstrap.commands.selftest_tools import Place, ServiceTest, Tally
from bot.bootstrap.log_sources import make_opener
from bot.bootstrap.metric_source import open_metrics
from bot.bootstrap.platforms import make_platforms
from bot.bootstrap.repositories import open_git
from bot.bootstrap.rules import load_rules
from bot.bootstrap.state import open_empty_store
from bot.bootstrap.worker import make_tools
from bot.domain.checks.reproduction import Reproduce
from bot.domain.incident import Incident, IncidentState, Severity
from bot.domain.investigation import Job
from bot.domain.models.selftest import UNCALLED, SelfTest, ToolLine, find_percentile
from bot.domain.playbook import Playbook
from bot.engine.handlers import Handlers
from bot.engine.tools import Tools
from bot.errors import Reason, Refused
from bot.ports.work import Store, UnitOfWork
from bot.services.rulebook import Rulebook
from bot.services.triage import describe_job
from bot.settings import Settings
from bot.worker.investigate import Investigation

CALLS_PER_RUN: Final = 25
"""The model works once for so many calls of tools, at least once and at most `MOST_RUNS` times."""
MOST_RUNS: Final = 8
BEFORE: Final = timedelta(hours=2)
"""What is read lies so far back: it does not change while it is read twice."""
_PLAYBOOK: Final = Playbook(name="selftest", title="Self-test", when={}, reproduce=Reproduce.CHECK, seconds=600)


@dataclass(frozen=True, kw_only=True)
class Order:
    """How many calls of tools, of which service ("" = all), and whether the model is asked."""

    calls: int = 100
    service: str = ""
    use_model: bool = True


def run_selftest(settings: Settings, order: Order) -> SelfTest:
    """Test everything. Raises `ConfigError`, or `Refused` where there is nothing that could be tested."""
    return asyncio.run(examine(settings, order))


async def examine(settings: Settings, order: Order) -> SelfTest:
    began, rules = monotonic(), load_rules(settings)
    names = _choose_services(rules, order.service)
    place, tally, model = settings.model_place(), Tally(), None
    if place and order.use_model:
        model = ModelTest.plan(place, rules, settings.model_budget())
    async with _open_ground(settings, rules) as ground:
        for number, name in enumerate(names):
            share = order.calls // len(names) + (number < order.calls % len(names))
            test = ServiceTest(ground.place, ground.describe(name), tally)
            if not await test.run(share, ground.handlers.equip) or model is None:
                continue
            for _ in range(_count_runs(order.calls, number, len(names))):
                await model.run(test, ground.place, tally)
    return SelfTest(
        services=tuple(names),
        tools=tuple(_tell_tools(tally)),
        failures=tuple(tally.failures),
        model=model.tell() if model else None,
        has_model=place is not None,
        seconds=monotonic() - began,
    )


def _choose_services(rules: Rulebook, service: str) -> Sequence[str]:
    known = ", ".join(rules.services) or "none"
    if service and service not in rules.services:
        raise Refused(f"There is no service {service[:60]!r}; there is: {known}.", Reason.NOT_FOUND)
    if not rules.services:
        raise Refused("No service is configured, so there is nothing to test: add [services.NAME].", Reason.NOT_FOUND)
    return [service] if service else list(rules.services)


def _count_runs(calls: int, number: int, services: int) -> int:
    """Return how often the model works on one of so many services: those runs are dealt out one by one."""
    runs = min(MOST_RUNS, max(1, calls // CALLS_PER_RUN))
    return runs // services + (number < runs % services)


def _tell_tools(tally: Tally) -> Iterator[ToolLine]:
    failed = [failure.tool for failure in tally.failures]
    for name in sorted(tool.name for tool in TOOLS if tool.name not in UNCALLED):
        times = tally.times.get(name, [])
        yield ToolLine(
            tool=name,
            calls=len(times),
            failures=failed.count(name),
            p50=find_percentile(times, 50),
            p95=find_percentile(times, 95),
        )


@dataclass(frozen=True, kw_only=True)
class _Ground:
    """What every test stands on: what a front process and its worker would have, over a store of its own."""

    handlers: Handlers
    store: Store
    rules: Rulebook
    folder: Path
    place: Place

    def describe(self, service: str) -> Job:
        """Return a job as of an incident of the service."""
        with self.store.begin() as work:
            incident = _add_incident(work, service)
            return describe_job(work, incident, _PLAYBOOK, folder=str(self.folder / "work"), rules=self.rules)


def _add_incident(work: UnitOfWork, service: str) -> Incident:
    began = work.now - BEFORE
    return work.incidents.add(
        Incident(
            id="",
            key=f"selftest {service}",
            title=f"Self-test of {service}",
            service=service,
            severity=Severity.INFO,
            state=IncidentState.TRIGGERED,
            opened_at=began,
            changed_at=began,
            alert_started_at=began,
        )
    )


@contextlib.asynccontextmanager
async def _open_ground(settings: Settings, rules: Rulebook) -> AsyncIterator[_Ground]:
    redactor = load_redactor(settings.secrets(), os.urandom(32))
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nightshift-selftest-")))
        store = stack.enter_context(open_empty_store(folder))
        platforms = make_platforms(_spare_folder(settings, folder))
        stack.push_async_callback(platforms.close)
        worker = await make_tools()
        metrics = open_metrics(settings)
        tools = Tools(
            investigator=Investigation(tools=worker),
            open_log=make_opener(settings),
            metrics=metrics,
            workspaces=open_git(settings),
            ci=platforms.ci,
            folder=folder,
            redact=redactor.redact,
        )
        handlers = Handlers(store, rules, tools)
        place = Place(
            desk=handlers.desk,
            tools=worker,
            redact=redactor.redact,
            secrets=settings.secrets(),
            has_metrics=metrics is not None,
        )
        yield _Ground(handlers=handlers, store=store, rules=rules, folder=folder, place=place)


def _spare_folder(settings: Settings, folder: Path) -> Settings:
    """Let the local CI make its folder in ours where it has none yet: a question alone would make it."""
    if spool_folder(settings).exists():
        return settings
    return settings.model_copy(update={"server": settings.server.model_copy(update={"ci_dir": folder / "ci"})})
