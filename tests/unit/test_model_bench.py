"""`model bench`: a small bounded load, and what is made of it."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.bootstrap.commands.model_server import run_load
from bot.domain.models.bench import Call, Load, percentile, sum_up
from bot.ports.model import ModelPlace
from bot.render.model_status import bench_as_json, show_bench
from tests.model_server import Raw, Say, flat_error, serve_model

LOAD = Load(runs=3, turns=2, answer_tokens=20, prompt_words=50, seconds=20)


async def measure(script, load=LOAD):
    async with serve_model(script) as server:
        result = await run_load(ModelPlace(url=server.url, name="m"), load)
        return result, [json.loads(body) for body in server.seen]


async def test_all_runs_talk_and_each_turn_follows_the_answer_before():
    result, seen = await measure(lambda request, number: Say(text="one two", cached=len(request["messages"]) * 10))
    assert (result.calls, result.failed, result.tokens) == (6, (), 120)
    assert [turn.number for turn in result.turns] == [1, 2]
    assert all(turn.share is not None for turn in result.turns)
    assert result.tokens_per_second > 0
    assert 0 < result.first_p50 <= result.first_p99
    assert len({body["messages"][0]["content"] for body in seen}) == 1, "all runs begin alike"
    later = [body["messages"] for body in seen if len(body["messages"]) == 4]
    assert len(later) == 3
    assert all(messages[2] == {"role": "assistant", "content": "one two"} for messages in later)
    assert {body["max_tokens"] for body in seen} == {20}


async def test_two_loads_never_begin_alike():
    _, first = await measure(lambda request, number: Say(text="x"))
    _, second = await measure(lambda request, number: Say(text="x"))
    assert first[0]["messages"][0] != second[0]["messages"][0]


async def test_a_server_that_refuses_is_told_and_asked_no_further():
    full = Raw(status=503, body=flat_error("The request queue is full.", 503, "503"))
    result, seen = await measure(lambda request, number: full)
    assert (result.calls, result.tokens, len(seen)) == (3, 0, 3)
    text = show_bench(result, LOAD)
    assert "3 calls failed:" in text
    assert "The model server is busy: The request queue is full." in text
    assert "tokens/s" not in text


async def test_a_server_that_tells_no_cache_is_measured_without():
    result, _ = await measure(lambda request, number: Say(text="x", cached=None))
    assert [turn.share for turn in result.turns] == [None, None]
    assert "does not say how much of a prompt it had already" in show_bench(result, LOAD)


def call(turn=1, asked=0.0, first=0.1, ended=1.1, **more):
    return Call(turn=turn, asked=asked, first=first, ended=ended, **{"prompt": 100, "cached": 0, "tokens": 11, **more})


def test_the_figures_are_the_calls():
    calls = [
        call(),
        call(turn=2, asked=1.1, first=1.4, ended=2.2, prompt=200, cached=150),
        call(fault="cut off", tokens=0),
    ]
    result = sum_up(calls)
    assert (result.seconds, result.tokens, result.tokens_per_second) == (2.2, 22, 10.0)
    assert round(result.run_tokens_per_second, 3) == round(20 / 1.8, 3)
    assert (round(result.first_p50, 3), round(result.first_p99, 3)) == (0.1, 0.3)
    assert [(turn.prompt, turn.share) for turn in result.turns] == [(100, 0.0), (200, 0.75)]
    assert result.failed == ("cut off",)
    text = show_bench(result, LOAD)
    assert text.index("tokens/s, all runs") < text.index("first word") < text.index("turn 2")
    assert "100 ms p50, 300 ms p99" in text
    assert "turn 2      200 tokens  75%" in text
    assert json.loads(json.dumps(bench_as_json(result, LOAD)))["turns"][1]["share"] == 0.75


def test_nothing_answered_is_nothing_measured():
    result = sum_up([Call(turn=1, asked=1.0, fault="gone")])
    assert (result.tokens_per_second, result.first_p99, result.turns) == (0.0, 0.0, ())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1).map(sorted), st.floats(0.01, 1.0))
def test_a_percentile_is_one_of_the_values_and_not_exceeded_by_its_part(values, part):
    found = percentile(values, part)
    assert found in values
    assert sum(value <= found for value in values) >= part * len(values) - 1e-9
