"""Helpers and the plan: rows within the run's own, the same first bytes, one budget, and nothing but reading."""

import json

import pytest

from bot.agent.replay import Asked, Match, Told, replay_run
from bot.agent.transcript import fold
from bot.domain.runs.account import add_up, tell_steps
from bot.domain.runs.todo import MAX_ITEMS, MAX_TEXT, find_todo, read_todo, write_item
from bot.domain.runs.transcript import HELPER_STEPS, MAX_HELPERS, Budget, EndReason, StepKind
from bot.errors import Reason, Refused, Unavailable
from tests.agent_world import AgentWorld, ScriptedModel, propose, say

READ = ("read_file", {"path": "shop/cart.py"})
HELP = ("sub_agent", {"task": "Find out who calls total()."})
END = [say("No patch can help."), say("No patch can help.")]


def world(*script, **more) -> AgentWorld:
    return AgentWorld(model=ScriptedModel(script=list(script)), **more)


def kinds(world):
    return [row.kind.value for row in world.rows]


async def test_a_helper_s_last_words_are_the_answer_of_the_call():
    run = world(say("", HELP), say("", READ), say("Nobody calls it."), *END)
    state = await run.run()
    assert run.answers() == ["Nobody calls it."]
    assert kinds(run)[:8] == ["task", "model", *["helper"] * 5, "tool"]
    assert state.ended is EndReason.DONE


async def test_it_begins_with_the_same_bytes_and_knows_nothing_but_its_task():
    run = world(say("", HELP), say("Nobody."), *END)
    await run.run()
    ours, its, then = run.model.requests[:3]
    opening = ours[: ours.index(b'{"role":"user"')]
    assert its.startswith(opening)
    told = json.loads(its)["messages"]
    assert [message["role"] for message in told] == ["system", "user"]
    assert told[1]["content"].endswith("\n\nFind out who calls total().")
    assert then.startswith(ours.removesuffix(b"]}"))


async def test_it_only_reads():
    ask = ("ask_user", {"question": "Why?", "answers": ["a", "b"]})
    run = world(say("", HELP), say("", propose(), ask, HELP), say("Well."), *END, has_people=True)
    await run.run()
    helped = json.loads(run.model.requests[2])["messages"]
    assert [message["content"] for message in helped if message["role"] == "tool"] == [
        "Not done: a helper only reads, and answers in words."
    ] * 3
    assert run.judged == []
    assert kinds(run).count("ask") == 0


async def test_what_it_uses_counts_and_it_never_uses_more_than_is_left():
    run = world(
        *[say("", HELP), *[say("", ("read_file", {"path": f"{n}.py"})) for n in range(99)]], budget=Budget(steps=6)
    )
    state = await run.run()
    assert state.spent.steps == 6 == len(run.model.requests)
    assert state.ended is EndReason.LIMIT
    assert "came to no end" in run.answers()[0]


async def test_it_gives_up_after_its_own_few_answers():
    reads = [say("", ("read_file", {"path": f"{n}.py"})) for n in range(HELPER_STEPS)]
    run = world(say("", HELP), *reads, *END)
    await run.run()
    assert "came to no end" in run.answers()[0]
    assert len(run.model.requests) == 1 + HELPER_STEPS + len(END)


async def test_only_a_few_help_in_a_run():
    asks = [say("", ("sub_agent", {"task": f"Task {n}"})) for n in range(MAX_HELPERS + 1)]
    script = [answer for ask in asks[:-1] for answer in (ask, say("Done."))]
    run = world(*script, asks[-1], *END)
    await run.run()
    assert run.answers()[-1].startswith(f"Not done: {MAX_HELPERS} helpers")


async def test_broken_off_it_goes_on_and_repeats_only_the_call_in_flight():
    run = world(say("", HELP), say("", READ), Unavailable("gone", Reason.TIMEOUT), say("Nobody."), *END)
    with pytest.raises(Unavailable):
        await run.run()
    asked = len(run.model.requests)
    state = await run.run()
    assert run.answers() == ["Nobody."]
    assert run.model.requests[asked] == run.model.requests[asked - 1]
    assert fold(run.rows) == state


async def test_wherever_it_dies_no_answer_is_asked_for_twice():
    whole = world(say("", HELP), say("", READ), say("Nobody."), *END)
    await whole.run()
    for rows in range(len(whole.rows)):
        told = sum(b'"completion"' in row.body.encode() for row in whole.rows[:rows])
        again = world(*whole.model.script[told:], rows=list(whole.rows[:rows]))
        await again.run()
        assert [row.kind for row in again.rows] == [row.kind for row in whole.rows]
        assert again.answers() == ["Nobody."]


async def test_its_requests_are_replayed_byte_for_byte():
    run = world(say("", HELP), say("", READ), say("Nobody."), *END)
    await run.run()
    again = replay_run("INC-1:1", run.rows)
    requests = [event.request for event in again.events if isinstance(event, Asked)]
    assert [each.body for each in requests] == run.model.requests
    assert {each.match for each in requests} == {Match.SAME}
    told = [event for event in again.events if isinstance(event, Told) and event.kind == "helper"]
    assert [each.text.endswith(HELP[1]["task"]) for each in told] == [True]


async def test_its_steps_and_tokens_stand_in_the_account():
    run = world(say("", HELP), say("", READ), say("Nobody."), *END)
    await run.run()
    lines = tell_steps(run.rows)
    assert [line.call for line in lines[:3]] == ["sub_agent", "helper: read_file", "helper: answers"]
    assert lines[0].result == "Nobody."
    assert add_up(lines).completion == 50 * len(run.model.requests)


async def test_secrets_are_taken_out_of_its_rows_too():
    run = world(say("", HELP), say("", ("read_file", {"path": "secret.env"})), say("It is hunter2-hunter2."), *END)
    await run.run()
    assert not any("hunter2" in row.body for row in run.rows)


# The plan -------------------------------------------------------------------------------------------------------------
def plan(*states):
    return ("todo", {"items": [{"text": f"Step {n}", "state": state} for n, state in enumerate(states, start=1)]})


async def test_the_newest_list_is_the_plan():
    run = world(say("", plan("doing", "open")), say("", plan("done", "doing")), *END)
    await run.run()
    assert run.answers() == ["Noted, 0 of 2 done.", "Noted, 1 of 2 done."]
    assert [write_item(item) for item in find_todo(run.rows)] == ["✓ Step 1", "→ Step 2"]


async def test_a_wrong_list_is_answered_and_is_no_plan():
    run = world(say("", plan("later")), *END)
    await run.run()
    assert "state must be one of open, doing, done" in run.answers()[0]
    assert find_todo(run.rows) == ()


@pytest.mark.parametrize(
    "items", [[], [("x", "open")] * (MAX_ITEMS + 1), [(" ", "open")], [("x" * (MAX_TEXT + 1), "open")]]
)
def test_a_list_has_its_bounds(items):
    with pytest.raises(Refused):
        read_todo(items)


def test_a_tool_s_text_alone_is_no_plan():
    assert StepKind.HELPER.value == "helper"
    assert find_todo([]) == ()
