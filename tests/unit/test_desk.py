"""The front process answers what a run's tools ask: bounded, redacted, of the run's own service, never raising."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.agent.marks import keep_far_tools
from bot.agent.transcript import Rows, State
from bot.domain.ci import CIRun, CIState
from bot.domain.evidence import LogLine
from bot.domain.investigation import Job
from bot.domain.metrics.metric import MetricQuery, MetricRead, Series
from bot.domain.past import PastIncident
from bot.domain.runs.far_tool import FarTool, ToolPolicy
from bot.domain.service import LogPlace, Service
from bot.domain.suspects.happened import Happened, WhatKind
from bot.domain.suspects.told_change import ToldChange
from bot.engine import desk as module
from bot.engine.desk import FrontDesk
from bot.engine.far_tools import FarToolShelf, Served
from bot.engine.green_logs import GreenLogs
from bot.engine.tools import Tools
from bot.errors import Reason, Unavailable
from bot.ports.desk import (
    AlikeWanted,
    ChangesWanted,
    CILogWanted,
    LogsWanted,
    MCPWanted,
    MetricsWanted,
    PlaybookWanted,
    RunsWanted,
    Told,
)
from bot.ports.logs import LogQuery
from bot.ports.metrics import MetricAnswer, MetricQuestion
from bot.ports.tool_server import FarAnswer
from bot.services import modelling
from tests.worldkit import NOW, PLAYBOOK, World, alert, group, make_rules, make_world, quiet  # noqa: F401 -- fixture

SHA = "c" * 40
LOKI = LogPlace(kind="loki", query='{app="hunter2"}')
HOUR = timedelta(hours=1)


def redact(text: str) -> str:
    return text.replace("hunter2", "[redacted]")


class FarLog:
    """A log server in memory."""

    def __init__(self) -> None:
        self.name, self.notes, self.queries = "loki", ["hunter2 is noted"], list[LogQuery]()

    def read(self, query: LogQuery) -> Iterator[LogLine]:
        self.queries.append(query)
        yield LogLine(source="loki", number=1, text="token hunter2 refused")


class Meter:
    """A metric server in memory."""

    def __init__(self) -> None:
        self.name, self.asked = "prometheus", list[MetricQuestion]()

    def read(self, question: MetricQuestion) -> MetricAnswer:
        self.asked.append(question)
        points = ((question.since.timestamp(), 1.0), (question.until.timestamp(), 2.0))
        return MetricAnswer(series=(Series(labels={"key": "hunter2"}, points=points),))


class CI:
    """A CI system in memory, which knows one commit."""

    def __init__(self) -> None:
        self.hangs = False

    async def status(self, sha: str) -> CIRun | None:
        if self.hangs:
            raise Unavailable("CI does not answer hunter2", Reason.TIMEOUT)
        return CIRun(id="1", sha=sha, state=CIState.FAILED, failed_step="hunter2") if sha == SHA else None

    async def log(self, sha: str) -> str:
        return f"=== tests ===\nKeyError: hunter2 at {sha}\n" if sha == SHA else ""


class Office:
    """A desk over a real store, with everything outside in memory."""

    def __init__(self, world: World, **parts: object) -> None:
        self.world, self.log, self.meter, self.ci = world, FarLog(), Meter(), CI()
        given = {"open_log": lambda _place: self.log, "metrics": self.meter, "ci": {"cloud": self.ci}} | parts
        tools = Tools(
            investigator=None, workspaces=None, folder=Path("/nowhere"),
            redact=redact, **given,
        )  # fmt: skip
        self.desk = FrontDesk(world.store, world.rules, tools, green=GreenLogs(world.store, world.rules, tools))
        service = Service(name="checkout", repository="/srv/git/checkout.git", logs=(LOKI,), ci="cloud")
        self.job = Job(
            run="INC-1:1", incident="INC-1", service=service, playbook=PLAYBOOK, title="T", alert_started_at=NOW,
            now=NOW, folder="/n",
        )  # fmt: skip

    async def ask(self, question) -> Told:
        return await self.desk.answer(self.job, question)


@pytest.fixture
def office(tmp_path) -> Office:
    world = make_world(tmp_path, make_rules(playbooks=(replace(PLAYBOOK, text="Is {{ incident.id }} hunter2?\n"),)))
    world.receive(group(alert()))
    return Office(world)


class TestWhatIsRead:
    async def test_logs_of_another_time_redacted_and_with_their_place_as_it_is(self, office):
        (read,) = (await office.ask(LogsWanted(since=NOW - HOUR, until=NOW))).logs
        assert read.place == LOKI, "the worker finds it by its place"
        assert (read.lines[0].text, read.notes) == ("token [redacted] refused", ("[redacted] is noted",))
        (query,) = office.log.queries
        assert (query.since, query.until, query.service) == (NOW - HOUR, NOW, "checkout")

    async def test_metrics(self, office):
        wanted = MetricRead(query=MetricQuery(name="x", title="X", expr="up"), since=NOW - HOUR, until=NOW, step=60)
        (read,) = (await office.ask(MetricsWanted(unread=(wanted,)))).metrics
        assert read.series[0].labels == {"key": "[redacted]"}
        assert read.series[0].values == (1.0, 2.0)

    async def test_ci_runs_and_a_log(self, office):
        (run,) = (await office.ask(RunsWanted(shas=(SHA, "d" * 40)))).runs
        assert (run.sha, run.failed_step) == (SHA, "[redacted]")
        found = (await office.ask(CILogWanted(sha=SHA))).ci_log
        assert f"KeyError: [redacted] at {SHA}" in found.text
        assert (found.ci, found.green) == ("cloud", {})

    async def test_changes_that_others_told_of_and_that_the_bot_made(self, office):
        flag = Happened(kind=WhatKind.FLAG, what="hunter2 on", who="ops", at=NOW - HOUR, source="flagd")
        with office.world.unit() as work:
            work.told_changes.add(ToldChange(key="1", service="checkout", happened=flag))
            work.told_changes.add(ToldChange(key="2", service="cart", happened=flag))
            work.timeline.append("INC-1", "deployed", "nightshift", "Deployed release 7")
            work.timeline.append("INC-1", "status", "nightshift", "Nothing of that kind")
        told = await office.ask(ChangesWanted(since=NOW - 2 * HOUR, until=NOW + HOUR))
        assert [(each.kind, each.what, each.source) for each in told.changes] == [
            (WhatKind.DEPLOY, "Deployed release 7", "INC-1"),
            (WhatKind.FLAG, "[redacted] on", "flagd"),
        ]

    async def test_past_incidents_by_words_without_the_one_at_hand(self, office):
        words = ("keyerror", "percent", "coupon")
        with office.world.unit() as work:
            for incident, fix in (("INC-0", "Keep hunter2"), ("INC-1", "")):
                past = PastIncident(
                    incident=incident, service="checkout", title="Old", fix=fix, words=words, at=NOW - HOUR
                )
                work.past_incidents.keep(past)
        (alike,) = (await office.ask(AlikeWanted(text="KeyError: 'percent'"))).alike
        assert (alike.past.incident, alike.past.fix, alike.shared) == ("INC-0", "Keep [redacted]", words[:2])
        assert (await office.ask(AlikeWanted(text="unheard"))).alike == ()
        assert await office.ask(AlikeWanted(text="")) == Told()

    async def test_a_playbook_rendered_for_the_incident(self, office):
        (listed,) = (await office.ask(PlaybookWanted(name=""))).playbooks
        assert (listed.name, listed.text) == ("http-5xx", "")
        (book,) = (await office.ask(PlaybookWanted(name="http-5xx"))).playbooks
        assert book.text.strip() == "Is INC-1 [redacted]?"
        assert (await office.ask(PlaybookWanted(name="x"))).fault == "there is no playbook 'x'; there is: http-5xx"


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("question", "part"),
        [
            (LogsWanted(since=NOW, until=NOW), "over at most 8 days"),
            (LogsWanted(since=NOW - timedelta(days=400), until=NOW), "over at most 8 days"),
            (RunsWanted(shas=("main; rm -rf /",)), "is not a whole commit id"),
            (CILogWanted(sha="../../etc"), "is not a whole commit id"),
        ],
    )
    async def test_what_the_worker_may_not_ask(self, office, question, part):
        assert part in (await office.ask(question)).fault
        assert office.log.queries == []

    @pytest.mark.parametrize(
        ("expr", "span", "step"),
        [("up{", HOUR, 60), ("x" * 5_000, HOUR, 60), ("up", timedelta(days=99), 3600), ("up", HOUR, 0.001)],
    )
    async def test_metrics_without_bounds(self, office, expr, span, step):
        query = MetricQuery(name="x", title="X", expr=expr)
        wanted = MetricRead(query=query, since=NOW - span, until=NOW, step=step)
        assert (await office.ask(MetricsWanted(unread=(wanted,)))).fault
        assert office.meter.asked == []

    async def test_what_is_not_configured_is_named(self, office):
        bare = Office(office.world, open_log=None, metrics=None, ci={})
        wanted = MetricRead(query=MetricQuery(name="x", title="X", expr="up"), since=NOW - HOUR, until=NOW, step=60)
        faults = [
            (await bare.ask(question)).fault
            for question in (
                LogsWanted(since=NOW - HOUR, until=NOW),
                MetricsWanted(unread=(wanted,)),
                RunsWanted(shas=(SHA,)),
            )
        ]
        assert faults == [
            "no log server is configured for checkout",
            "no metric server is configured for checkout ([connections.prometheus])",
            'No CI is called "cloud" any more; look at the configuration.',
        ]

    async def test_a_system_that_is_down_or_hangs_is_a_fault_without_secrets(self, office, monkeypatch):
        office.ci.hangs = True
        assert (await office.ask(RunsWanted(shas=(SHA,)))).fault == "CI does not answer [redacted]"
        monkeypatch.setattr(module, "SECONDS", 0.0)
        assert (await office.ask(PlaybookWanted(name="http-5xx"))).fault == "no answer within 0 s"


async def test_a_tool_of_another_server_is_called_only_where_the_run_was_given_it(office):
    class Server:
        async def call(self, tool, arguments, policy):
            return FarAnswer(text=f"{tool} {arguments} hunter2")

    shelf = FarToolShelf({"shop": Served(server=Server(), policy=ToolPolicy(tools=("orders",)))}, redact)
    wanted = MCPWanted(server="shop", tool="orders", arguments="{}")
    assert (await office.ask(wanted)).fault == "no server of tools is configured"
    office = Office(office.world, far_tools=shelf)
    assert (await office.ask(wanted)).fault == "this run was not given such a tool"
    task = Rows("INC-1:1").task(State(), "It fails", "head")
    given = FarTool(server="shop", tool="orders", about="", schema="{}")
    modelling.record_step(office.world.store, keep_far_tools(task, (given,)))
    assert (await office.ask(wanted)).far == FarAnswer(text="orders {} [redacted]")
