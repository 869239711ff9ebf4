"""The self-test's rules: what is a silent failure, which calls are made in what order, and what is printed."""

import json
from dataclasses import replace
from itertools import islice

import pytest

from bot.agent.exercise import Planned, find_harmless_edit, plan_calls, take_turns
from bot.agent.replay import replay_run
from bot.agent.selftest_run import Sent, TimedModel, count_same, judge_run
from bot.agent.sources import Sources
from bot.agent.tools.every import TOOLS
from bot.agent.tools.toolbox import CUT, MAX_ANSWER, Toolbox
from bot.bootstrap.commands.selftest import _count_runs
from bot.bootstrap.commands.selftest_options import tell_code
from bot.domain.models.selftest import (
    UNCALLED,
    Failure,
    Fair,
    Fault,
    ModelLine,
    SelfTest,
    ToolLine,
    find_percentile,
    judge_answer,
    note_cache,
)
from bot.domain.runs.transcript import Budget
from bot.ports.model import Finish
from bot.render.selftest import selftest_as_json, show_selftest
from tests.agent_world import FILES, AgentWorld, ScriptedModel, make_archive, say

SECRET = "hunter2-hunter2"
FAIR = Fair(limit=MAX_ANSWER, cut=CUT, secrets=(SECRET, "abc"))


def fault_of(answer: str, fair: Fair = FAIR) -> Fault | None:
    wrong = judge_answer(answer, fair)
    return wrong.fault if wrong else None


class TestAnAnswer:
    @pytest.mark.parametrize(
        ("answer", "fault"),
        [
            ("app.py, lines 1 to 2 of 2:\na = 1\nabc", None),
            ("x" * MAX_ANSWER + CUT, None),
            ("", Fault.EMPTY),
            (" \n", Fault.EMPTY),
            (CUT, Fault.CUT),
            ("x" * (MAX_ANSWER + len(CUT.encode()) + 1), Fault.TOO_LONG),
            ("Not done: the server refused", Fault.ERROR),
            ("There is no tool 'lst'. Did you mean list?", Fault.ERROR),
            ("Not done: no answer within 30 s", Fault.TIME_OUT),
            (f"token={SECRET}", Fault.SECRET),
            (f"Not done: {SECRET} is wrong", Fault.SECRET),
        ],
    )
    def test_is_judged_by_what_a_model_would_read(self, answer, fault):
        assert fault_of(answer) is fault

    def test_may_refuse_where_there_may_rightly_be_nothing_but_never_wait(self):
        fair = Fair(limit=MAX_ANSWER, cut=CUT, may_refuse=True)
        assert fault_of("Not done: no metric server is configured", fair) is None
        assert fault_of("Not done: no answer within 30 s", fair) is Fault.TIME_OUT

    def test_has_to_hold_what_was_asked_for(self):
        assert fault_of("No line matches.", Fair(limit=99, cut=CUT, holds="app.py:")) is Fault.MISSING
        assert fault_of("app.py:1: a", Fair(limit=99, cut=CUT, holds="app.py:")) is None

    def test_of_a_check_that_was_not_run_fails_and_one_of_a_red_check_does_not(self):
        fair = Fair(limit=999, cut=CUT, holds="tests")
        assert fault_of("tests could not be run to its end at aaaa (0.1 s)\n", fair) is Fault.ERROR
        assert fault_of("tests FAILS at aaaa (0.1 s)\nit could not be run to its end", fair) is None

    def test_fails_where_a_part_of_a_configured_source_could_not_be_read(self):
        told = "({app=shop} could not be read: 401)\n1 of 1 lines match\napp.log:1  ok"
        assert fault_of(told, Fair(limit=999, cut=CUT, tells_unread=True)) is Fault.ERROR
        assert fault_of(told, Fair(limit=999, cut=CUT)) is None, "a file may hold such words"
        quoted = "app.log:1  (x could not be read: y)"
        assert fault_of(quoted, Fair(limit=999, cut=CUT, tells_unread=True)) is None


def test_percentiles_are_values_that_were_seen():
    assert [find_percentile(range(1, 101), percent) for percent in (50, 95, 100)] == [50, 95, 100]
    assert find_percentile([], 95) == 0
    assert find_percentile([7.0], 50) == 7.0


@pytest.mark.parametrize(
    ("cached", "said"),
    [
        ((0, 900, 1200), ""),
        ((900,), ""),
        ((None, None), "does not say"),
        ((900, 0, 0), "keeps no prefix"),
        ((0, 900, 300), "shrink"),
        ((1200, 900, 950), ""),
    ],
)
def test_a_cache_that_does_not_help_is_noted(cached, said):
    note = note_cache([1000] * len(cached), cached)
    assert said in note if said else not note


class TestTurns:
    def test_each_turn_has_one_call_of_each_tool_and_each_call_comes_again_in_the_next(self):
        plan = [
            Planned(tool="list", arguments="1"),
            Planned(tool="list", arguments="2"),
            Planned(tool="grep", arguments="3"),
            Planned(tool="run_check", arguments="4", once=True),
        ]
        drawn = [(turn, each.tool, each.arguments) for turn, each in islice(take_turns(plan), 9)]
        assert drawn[:3] == [(0, "list", "1"), (0, "grep", "3"), (0, "run_check", "4")]
        assert drawn[3:] == [
            (1, "list", "1"), (1, "grep", "3"), (2, "list", "2"), (2, "grep", "3"), (3, "list", "2"), (3, "grep", "3"),
        ]  # fmt: skip

    def test_end_where_every_call_is_made_once(self):
        assert len(list(take_turns([Planned(tool="run_check", arguments="", once=True)]))) == 1
        assert not list(take_turns([]))

    def test_of_the_model_are_few_and_shared_out(self):
        assert [_count_runs(100, number, 3) for number in range(3)] == [2, 1, 1]
        assert [_count_runs(1, number, 2) for number in range(2)] == [1, 0]
        assert _count_runs(10_000, 0, 1) == 8


class TestTheHarmlessEdit:
    def find(self, files: dict[str, str], paths: tuple[str, ...] = ()) -> dict[str, str]:
        return find_harmless_edit(Sources(make_archive(files), str), paths)

    def test_adds_a_comment_to_the_end_of_a_program(self):
        edit = self.find({"a.py": "x = 1\nx = 1\n", "b.md": "# B\n", "c.bin": "\0"})
        assert edit["path"] == "a.py"
        assert edit["old"] == "x = 1\nx = 1\n", "one line alone stands there twice"
        assert edit["new"] == f"{edit['old']}# nightshift selftest\n"

    def test_takes_a_document_where_there_is_no_program_and_keeps_to_the_folders_of_patches(self):
        assert self.find({"a.py": "x = 1\n", "docs/b.md": "# B\n"}, ("docs",))["path"] == "docs/b.md"

    def test_is_none_where_nothing_can_have_one(self):
        assert self.find({"a.py": "x = 1", "b.py": "y = 1\r\n", "c.txt": "c\n", "d.py": ""}) == {}


async def test_calls_ask_for_what_is_really_there():
    world = AgentWorld(model=ScriptedModel(script=[]))
    plan = await plan_calls(world.hands(), has_metrics=False)
    by_tool = {each.tool: each for each in reversed(plan)}
    every = {tool.name for tool in TOOLS} - set(UNCALLED)
    assert set(by_tool) == every
    files = [json.loads(each.arguments)["path"] for each in plan if each.tool == "read_file"]
    assert set(files) <= set(FILES)
    assert by_tool["ci_log"].may_refuse, "no run is known"
    assert not by_tool["query_logs"].may_refuse
    toolbox, there = (
        Toolbox(world.hands()),
        {"list", "read_file", "grep", "git_log", "git_show", "git_blame", "read_log"},
    )
    for each in plan:
        answer = await toolbox.call(each.tool, each.arguments, (), room=MAX_ANSWER)
        if each.tool in there:
            assert judge_answer(answer.text, Fair(limit=MAX_ANSWER, cut=CUT, holds=each.holds)) is None
    assert world.judged, "the edit of propose_patch reached the sandbox"


# The model ------------------------------------------------------------------------------------------------------------
LOOK = (say("", ("list", {})), say("", ("read_file", {"path": "README.md"})), say("It is about the shop."))


async def judge(*script) -> list[Fault]:
    timed = TimedModel(ScriptedModel(script=script))
    world = AgentWorld(model=timed, proposes=False, budget=Budget(steps=6))
    await world.run()
    replay = replay_run("INC-1:1", world.rows)
    assert count_same(replay, timed.sent) == len(timed.sent)
    assert all(0 <= each.first <= each.whole for each in timed.sent)
    return [wrong.fault for wrong in judge_run(replay, timed.sent)]


class TestARunOfTheModel:
    async def test_with_calls_and_a_sentence_is_well(self):
        assert await judge(*LOOK) == []

    @pytest.mark.parametrize(
        ("script", "faults"),
        [
            ([say("I would look into README.md.")], [Fault.NO_CALL]),
            ([say("", ("list", "{not json")), *LOOK[1:]], [Fault.BAD_CALL]),
            ([say("", ("list", {"folder": "shop"})), *LOOK[1:]], [Fault.BAD_CALL]),
            ([say("", ("open_file", {})), *LOOK[1:]], [Fault.BAD_CALL]),
            ([LOOK[0], say("<tool_call>{}</tool_call>"), LOOK[2]], [Fault.LEAK]),
            ([LOOK[0], say("It is", finish=Finish.LENGTH), LOOK[2]], [Fault.FINISH]),
            ([LOOK[0], say(""), LOOK[2]], [Fault.EMPTY]),
            ([LOOK[0]] * 6, [Fault.NO_END]),
        ],
    )
    async def test_that_is_no_use_says_why(self, script, faults):
        assert await judge(*script) == faults

    async def test_whose_arguments_cannot_be_read_shows_none_in_their_place(self):
        timed = TimedModel(ScriptedModel(script=[say("", ("list", "[]")), *LOOK[1:]]))
        world = AgentWorld(model=timed, proposes=False)
        await world.run()
        wrong = next(judge_run(replay_run("INC-1:1", world.rows), timed.sent))
        assert wrong.why == "list: the arguments cannot be used, they are no JSON object"

    async def test_whose_rows_do_not_make_the_bytes_that_were_sent_fails(self):
        timed = TimedModel(ScriptedModel(script=LOOK))
        world = AgentWorld(model=timed, proposes=False)
        await world.run()
        row = world.rows[2]
        changed = [*world.rows[:2], replace(row, body=row.body.replace("shop", "shed")), *world.rows[3:]]
        assert changed != world.rows
        replay = replay_run("INC-1:1", changed)
        assert [wrong.fault for wrong in judge_run(replay, timed.sent)] == [Fault.REPLAY]
        assert count_same(replay, timed.sent) == 1
        other = [timed.sent[0], Sent(body=b"{}", first=0, whole=0), timed.sent[2]]
        assert Fault.REPLAY in {wrong.fault for wrong in judge_run(replay_run("INC-1:1", world.rows), other)}


# What is said ---------------------------------------------------------------------------------------------------------
FAILED = Failure(
    service="shop", tool="metrics", arguments='{"query": "up"}', fault=Fault.ERROR, why="Not done: \x1b[31m401 " * 9
)
MODEL = ModelLine(
    runs=4, answers=12, calls=8, failures=0, first=(90.0, 110.0), whole=(400.0, 700.0), cached=(0, 4_000, None),
    requests=12, same=12, notes=("the server does not say how much of a prompt it had in its cache",),
)  # fmt: skip


def make_test(*failures: Failure, model: ModelLine | None = MODEL, has_model: bool = True) -> SelfTest:
    lines = [ToolLine(tool="similar_incidents", calls=1_000, failures=0, p50=3.25, p95=12_345.6)]
    lines.append(ToolLine(tool="list", calls=0, failures=0, p50=0, p95=0))
    return SelfTest(
        services=("shop",), tools=tuple(lines), failures=failures, model=model, has_model=has_model, seconds=3.21
    )


class TestTheReport:
    def test_fits_into_80_columns_and_obeys_no_terminal(self):
        text = show_selftest(make_test(FAILED))
        assert max(map(len, text.splitlines())) <= 80
        assert "\x1b" not in text
        assert '\n  metrics {"query": "up"}\n' in text, "the call to make again stands on a line of its own"
        assert "1 failure (shop, 3.2 s):" in text
        assert "replayed: 12 of 12" in text
        assert "Nothing failed (shop, 3.2 s)." in show_selftest(make_test())

    def test_says_that_no_model_was_asked_and_why(self):
        assert "No model was asked." in show_selftest(make_test(model=None))
        assert "NIGHTSHIFT_MODEL_URL" in show_selftest(make_test(model=None, has_model=False))

    def test_is_json_too(self):
        told = json.loads(json.dumps(selftest_as_json(make_test(FAILED))))
        assert (told["version"], told["ok"], told["services"]) == (1, False, ["shop"])
        assert told["failures"][0] | {"why": ""} == {
            "service": "shop", "tool": "metrics", "arguments": '{"query": "up"}', "fault": "an error", "why": "",
        }  # fmt: skip
        assert told["model"]["first"] == {"p50_ms": 90.0, "p95_ms": 110.0}
        assert told["tools"][0]["p95_ms"] == 12_345.6
        assert selftest_as_json(make_test(model=None))["model"] is None

    def test_has_an_exit_code_that_tells_a_failure_from_a_model_that_is_not_there(self):
        assert tell_code(make_test(), uses_model=True) == 0
        assert tell_code(make_test(FAILED, model=None, has_model=False), uses_model=True) == 1
        assert tell_code(make_test(model=None, has_model=False), uses_model=True) == 3
        assert tell_code(make_test(model=None, has_model=False), uses_model=False) == 0
