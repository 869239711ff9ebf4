"""Tools that look beyond the repository: what they ask for, what they say of the answer, and of none."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.agent.tools.toolbox import Toolbox
from bot.domain.ci import CIRun, CIState
from bot.domain.investigation import Suspected
from bot.domain.metrics.metric import MetricQuery, MetricRead, Series
from bot.domain.past import Alike, PastIncident
from bot.domain.suspects.happened import Happened, WhatKind
from bot.ports.desk import AlikeWanted, ChangesWanted, PlaybookText, PlaybookWanted, RunsWanted, Told
from tests.agent_world import HEAD, JOB, NOON, AgentWorld, ScriptedModel

ERRORS = MetricQuery(name="errors", title="Failing requests", expr='rate(errors{service="shop"}[1m])', unit="ratio")


def make(**fields) -> AgentWorld:
    return AgentWorld(model=ScriptedModel(script=[]), **fields)


async def call(world: AgentWorld, name: str, /, **given: object) -> str:
    return (await Toolbox(world.hands()).call(name, json.dumps(given), (), room=100_000)).text


def series(*values: float, **labels: str) -> Series:
    begin = NOON.timestamp()
    return Series(labels=labels, points=tuple((begin + 15 * n, value) for n, value in enumerate(values)))


def read(*found: Series, fault: str = "") -> Told:
    unread = MetricRead(query=ERRORS, since=NOON, until=NOON + timedelta(minutes=1), step=15, series=found, fault=fault)
    return Told(metrics=(unread,))


WITH_ERRORS = replace(JOB, service=replace(JOB.service, metrics=(ERRORS,)))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("ci_status", {}),
        ("ci_status", {"branch": "bbbbbbb"}),
        ("metrics", {"query": "up"}),
        ("similar_incidents", {}),
        ("load_playbook", {"name": "http-5xx"}),
    ],
)
async def test_what_is_not_configured_is_said_and_not_guessed(name, given):
    assert (await call(make(), name, **given)).startswith("Not done: no ")


class TestTimes:
    @pytest.mark.parametrize(
        ("given", "part"),
        [
            ({"since": "yesterday"}, 'since is no time: write it as "2026-11-20T14:05:00Z"'),
            ({"until": "2026-11-31"}, "until is no time"),
            ({"since": "9999-12-31T23:59:59-23:59"}, "since is no time"),
            (
                {"since": "2026-11-20T13:00", "until": "2026-11-20T12:00"},
                "nothing lies between since (2026-11-20 13",
            ),
            ({"since": "2026-11-01"}, "at most 24 hours can be looked at at once"),
            ({"since": 3}, "since must be a text"),
        ],
    )
    async def test_that_cannot_be_meant_are_refused_with_what_is_right(self, given, part):
        world = make()
        assert part in await call(world, "query_logs", **given)
        assert world.queried == []

    async def test_are_utc_without_a_zone_and_never_ahead_of_what_can_have_been_written(self):
        world = make()
        await call(world, "query_logs", since="2026-11-20T11:00", until="2026-11-21T01:00+02:00")
        await call(world, "query_logs", until="2026-11-19T12:00:00Z")
        first, second = world.queried
        assert first == (datetime(2026, 11, 20, 11, tzinfo=UTC), JOB.log_span[1])
        assert second[1] - second[0] == JOB.log_span[1] - JOB.log_span[0]


class TestLogs:
    async def test_of_another_time_are_looked_at_like_those_of_the_alert(self):
        world = make()
        shown = await call(world, "query_logs", since="2026-11-19T12:00", until="2026-11-19T13:00", pattern="ERROR")
        head, count, line = shown.splitlines()
        assert head == "Between 2026-11-19 12:00:00 UTC and 2026-11-19 13:00:00 UTC, 2 lines:"
        assert count == "1 of 2 lines match; page 1 of 1, 1 lines:"
        assert line.startswith("app.log:8  12:00:01 ERROR")

    async def test_that_are_not_there_name_place_and_time(self):
        shown = await call(make(log=(), faults=("(loki: down)",)), "query_logs", since="2026-11-20T11:59:00Z")
        assert shown == (
            "(loki: down)\nNo line between 2026-11-20 11:59:00 UTC and 2026-11-20 12:03:00 UTC, looked for in app.log."
        )


class TestMetrics:
    async def test_without_a_query_are_named(self):
        assert await call(make(job=WITH_ERRORS), "metrics") == (
            'Metrics by name; query takes a name or PromQL:\nerrors: Failing requests, rate(errors{service="shop"}[1m])'
        )
        assert await call(make(), "metrics") == "No metric of shop has a name; give PromQL as query."

    async def test_are_a_table_with_the_largest_change_first(self):
        world = make(job=WITH_ERRORS, told={"metrics": read(series(0.1, 0.1, pod="a"), series(0, 0.5, 0.2, pod="b"))})
        head, columns, first, second = (await call(world, "metrics", query="errors")).splitlines()
        assert head.startswith("Failing requests between 2026-11-20 12:00:00 UTC and")
        assert columns == "series | min | mean | max at | first → last | values | over time"
        assert first.startswith('pod="b" | 0 % | 23.3 % | 50 % at 11-20 12:00:15 | 0 % → 20 % | 3 | ')
        assert second.startswith('pod="a" | 10 % |')
        (asked,) = world.asked
        assert asked.unread[0].query == ERRORS

    async def test_of_many_series_show_those_that_moved_most(self):
        many = [series(0, n / 100, pod=f"p{n}") for n in range(60)]
        shown = await call(make(told={"metrics": read(*many)}), "metrics", query="sum by (pod) (errors)")
        assert 'pod="p59"' in shown
        assert 'pod="p1"' not in shown
        assert "… 40 more series, of less change" in shown

    async def test_without_a_value_name_query_and_time(self):
        shown = await call(make(told={"metrics": read()}), "metrics", query="sum( up )", since="2026-11-20T11:00")
        assert shown == ("No value between 2026-11-20 11:00:00 UTC and 2026-11-20 12:03:00 UTC, asked for sum( up ).")

    async def test_that_cannot_be_had_say_why_and_what_was_asked(self):
        shown = await call(make(told={"metrics": read(fault="prometheus: bad query")}), "metrics", query="up")
        assert shown.startswith("Not done: prometheus: bad query (between ")
        assert shown.endswith("asked for up)")

    async def test_of_no_query_at_all_name_those_there_are(self):
        world = make(job=WITH_ERRORS)
        shown = await call(world, "metrics", query="rate(x[5m]")
        assert shown.startswith("Not done: the query is no named metric (errors), and as PromQL it ")
        assert world.asked == []


class TestCI:
    async def test_runs_are_told_by_commit_with_those_that_have_none(self):
        run = CIRun(id="7", sha="b" * 40, state=CIState.FAILED, attempt=2, failed_step="tests: make", finished_at=NOON)
        world = make(told={"runs": Told(runs=(run,))})
        assert await call(world, "ci_status") == (
            "Runs of CI (local) of head, newest commit first:\n"
            "bbbbbbbbbbbb Read the rate of a coupon: failed in attempt 2, at tests: make, ended 2026-11-20 12:00:00 UTC"
        )
        assert world.asked == [RunsWanted(shas=("b" * 40,))]
        world.told["runs"] = Told()
        assert (await call(world, "ci_status", commit="bbbbbbbb")).endswith("coupon: no run")
        assert "not both" in await call(world, "ci_status", commit="bbbbbbbb", branch="main")
        assert "at least 7" in await call(world, "ci_status", commit="bbb")

    async def test_a_log_is_reduced_first_and_paged_after(self):
        world = make()
        shown = await call(world, "ci_log")
        assert shown.startswith(f"CI's log of {HEAD[:12]}:\nCI log of tests, {HEAD[:12]}\nKeyError: 'percent'\n")
        assert (await call(world, "ci_log", page=2)).splitlines()[1:3] == [
            "100 of 100 lines match; page 2 of 2, 20 lines:",
            "ci:1  line 1",
        ]
        assert "ci:50  line 50" in await call(world, "ci_log", commit="bbbbbbbb", at="ci:50")

    async def test_the_alert_s_commit_goes_before_head(self):
        world = make(job=replace(JOB, labels={"sha": "d" * 40}))
        assert (await call(world, "ci_log")).startswith("CI's log of dddddddddddd:")


class TestChanges:
    COMMIT = Happened(
        kind=WhatKind.CODE,
        what="Read the rate of a coupon",
        who="Cy",
        at=NOON - timedelta(hours=2),
        source="b" * 40,
        score=0.8,
        reasons=("shares percent",),
    )
    FLAG = Happened(kind=WhatKind.FLAG, what="new-cart on", who="ops", at=NOON - timedelta(minutes=5), source="flagd")

    def world(self, **told) -> AgentWorld:
        done = (Suspected(head=HEAD, suspects=(), changed=(self.COMMIT,)),)
        return make(job=replace(JOB, done=done), told=told)

    async def test_are_listed_by_suspicion_or_by_time_with_releases(self):
        world = self.world(changes=Told(changes=(self.FLAG,)))
        commit = "0.80 2026-11-20 10:00:00 UTC code: Read the rate of a coupon (Cy, bbbbbbbbbbbb); shares percent"
        flag = "2026-11-20 11:55:00 UTC feature flag: new-cart on (ops, flagd)"
        lines = (await call(world, "deploys")).splitlines()
        assert lines[0].endswith("by suspicion; it began 2026-11-20 12:00:00 UTC:")
        assert lines[1:3] == [commit, flag]
        assert lines[-1] == "Releases that head holds, newest first: v1.4.2 at bbbbbbbbbbbb"
        assert (await call(world, "deploys", order="time")).splitlines()[1:3] == [flag, commit]
        assert world.asked[0] == ChangesWanted(since=JOB.log_span[1] - timedelta(days=7), until=JOB.log_span[1])

    async def test_that_others_told_of_and_cannot_be_read_are_named_beside_the_rest(self):
        shown = await call(self.world(), "deploys")
        assert "Read the rate of a coupon" in shown
        assert "(what others told of could not be read: no changes can be had here)" in shown

    async def test_of_another_time_are_left_out(self):
        shown = await call(self.world(changes=Told(changes=(self.FLAG,))), "deploys", since="2026-11-20T11:00")
        assert "Read the rate" not in shown
        assert "new-cart on" in shown
        assert "order must be one of suspicion, time" in await call(self.world(), "deploys", order="size")


class TestMemory:
    PAST = PastIncident(
        incident="INC-0", service="cart", title="Carts fail", fix="Keep percent", words=("percent",), at=NOON
    )

    async def test_past_incidents_say_what_mended_them_and_what_they_share(self):
        world = make(told={"alike": Told(alike=(Alike(past=self.PAST, shared=("percent",)),))})
        assert await call(world, "similar_incidents", text="KeyError: percent") == (
            "INC-0 2026-11-20 cart “Carts fail”: mended by Keep percent; shares percent"
        )
        assert world.asked == [AlikeWanted(text="KeyError: percent")]
        world.told["alike"] = Told()
        assert await call(world, "similar_incidents") == "No past incident shares enough words with this one."
        assert "shares the words of 'zzz'" in await call(world, "similar_incidents", text="zzz")

    async def test_playbooks_are_listed_and_read(self):
        listed = (PlaybookText(name="http-5xx", title="A service answers with HTTP 5xx"),)
        world = make(told={"playbook": Told(playbooks=listed)})
        assert await call(world, "load_playbook") == "http-5xx: A service answers with HTTP 5xx"
        world.told["playbook"] = Told(playbooks=(replace(listed[0], text="Look at the errors.\n" * 900),))
        shown = await call(world, "load_playbook", name="http-5xx")
        assert shown.startswith("A service answers with HTTP 5xx\n\nLook at the errors.\n")
        assert shown.endswith("\n… page 1 of 2; page=2 goes on")
        assert world.asked[1] == PlaybookWanted(name="http-5xx")
