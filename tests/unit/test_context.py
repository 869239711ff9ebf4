"""The context: counted before each call, shortened by a row of its own, the same for a resume and a replay."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from bot.agent.context import estimate_tokens, plan_stubs
from bot.agent.replay import Match, Told, replay_run
from bot.agent.transcript import fold
from bot.domain.runs.account import tell_steps, write_whole
from bot.domain.runs.transcript import Budget, EndReason, StepKind
from bot.ports.model import Completion, Usage
from bot.services.run_story import of_step
from tests.agent_world import FILES, AgentWorld, ScriptedModel, propose, say
from tests.worldkit import NOW

LIMIT = 12_000
FILE = "".join(f"line {number} of a long file\n" for number in range(150))
WORLD = FILES | {f"f{number}.txt": FILE for number in range(40)}


def read(number: int):
    return say(f"I read {number}.", ("read_file", {"path": f"f{number}.txt"}))


class Honest(ScriptedModel):
    """A model whose server tells with each answer how long the prompt was: a token for every four bytes."""

    async def complete(self, request: bytes, **more) -> Completion:
        answer = await super().complete(request, **more)
        return replace(answer, usage=replace(answer.usage, prompt=len(request) // 4))


class Counting(Honest):
    """And before it is asked."""

    async def count_tokens(self, request: bytes) -> int | None:
        return len(request) // 4


def world(script, *, kind=Counting, **more) -> AgentWorld:
    budget = Budget(context_tokens=LIMIT, tool_bytes=1_000_000)
    return AgentWorld(model=kind(script=script), files=WORLD, budget=budget, **more)


LONG = [read(0), say("", propose()), *map(read, range(1, 20)), say("Done.")]


async def test_old_results_become_a_line_each_and_the_run_goes_on():
    shop = world(LONG)
    state = await shop.run()
    assert state.ended is EndReason.DONE
    shortened = [row for row in shop.rows if row.kind is StepKind.COMPACT]
    assert 1 <= len(shortened) <= 5, "it is done seldom: everything after it is read anew"
    messages = json.loads(shop.model.requests[-1])["messages"]
    results = [message for message in messages if message["role"] == "tool"]
    assert results[0]["content"].startswith("[left out: ")
    assert 'of read_file {"path": "f0.txt"}. Make the call again' in results[0]["content"]
    assert results[1]["content"].startswith("VERIFIED"), "verdicts stay"
    assert "line 149" in results[-1]["content"], "the newest results stay"
    assert messages[1]["content"] == "# The shop fails\n"
    assert max(len(request) // 4 for request in shop.model.requests) < 2 * LIMIT


async def test_requests_begin_with_the_one_before_except_after_such_a_row():
    shop = world(LONG)
    await shop.run()
    broken = sum(not after.startswith(before.removesuffix(b"]}")) for before, after in pairwise(shop.model.requests))
    assert broken == sum(row.kind is StepKind.COMPACT for row in shop.rows)


async def test_a_replay_and_a_resume_at_any_row_make_the_same_bytes():
    whole = world(LONG)
    await whole.run()
    replay = replay_run("INC-1:1", whole.rows)
    assert all(asked.request.match is Match.SAME for asked in replay.requests)
    assert any(isinstance(event, Told) and "left out of the prompt" in event.text for event in replay.events)
    at = next(number for number, row in enumerate(whole.rows) if row.kind is StepKind.COMPACT)
    for cut in (at, at + 1, at + 2):
        told = sum(row.kind is StepKind.MODEL for row in whole.rows[:cut])
        again = world(LONG[told:], rows=list(whole.rows[:cut]))
        await again.run()
        assert again.model.requests == whole.model.requests[told:]
    assert fold(whole.rows).seq == len(whole.rows)


async def test_a_call_whose_result_was_left_out_may_be_made_again():
    script = [*LONG[:-1], read(0), read(19), say("Done.")]
    shop = world(script)
    await shop.run()
    again, repeated = shop.answers()[-2:]
    assert "line 149" in again
    assert repeated.startswith("Not done again")


@pytest.mark.parametrize("kind", [Honest, ScriptedModel])
async def test_without_a_count_usage_decides_and_without_usage_the_size(kind):
    script = LONG if kind is Honest else [_without_usage(answer) for answer in LONG]
    shop = world(script, kind=kind)
    await shop.run()
    assert any(row.kind is StepKind.COMPACT for row in shop.rows)
    assert max(map(len, shop.model.requests)) < 8 * LIMIT


def _without_usage(answer):
    return replace(answer, usage=Usage())


async def test_a_short_run_is_left_alone():
    shop = AgentWorld(model=ScriptedModel(script=[say("", propose()), say("Done.")]))
    await shop.run()
    assert all(row.kind is not StepKind.COMPACT for row in shop.rows)


async def test_nothing_is_shortened_where_little_would_go():
    shop = world([read(0), *(say("long words " * 300, ("grep", {"pattern": f"x{n}"})) for n in range(8)), say("Done.")])
    state = await shop.run()
    assert estimate_tokens(state, 0) > 0
    assert plan_stubs(fold(shop.rows[:4])) == {}, "the newest results are never touched"


async def test_it_is_told_in_the_account_of_the_run():
    shop = world(LONG)
    await shop.run()
    (row, *_) = [row for row in shop.rows if row.kind is StepKind.COMPACT]
    assert of_step(row, NOW).text == "Old results were shortened"
    lines = tell_steps(shop.rows)
    (line, *_) = [line for line in lines if line.call == "shortened"]
    assert line.came.endswith(f"about {json.loads(row.body)['left']:,}")
    assert "longer than model.context_tokens allows" in line.result
    gone = [step.brief for step in lines if step.is_left_out]
    assert gone[:2] == ["read_file f0.txt", "read_file f1.txt"], "the patch's verdict between them stays"
    assert line.result.splitlines()[2:] == [f"- {call}" for call in gone[: len(json.loads(row.body)["stubs"])]]
    assert all(step.result.startswith("f") for step in lines if step.is_left_out), "what came back is still told"
    assert "(left out of later prompts)" in "\n".join(write_whole(1, lines[0]))


@pytest.mark.parametrize("count", [None, 10])
async def test_what_the_server_counts_wins_over_the_estimate(count):
    class Fixed(ScriptedModel):
        async def count_tokens(self, request: bytes) -> int | None:
            return count

    script = [_without_usage(answer) for answer in LONG]
    shop = world(script, kind=Fixed)
    await shop.run()
    assert any(row.kind is StepKind.COMPACT for row in shop.rows) == (count is None)
