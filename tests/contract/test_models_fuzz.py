"""Whatever a model server sends, the client and the loop behind it do not crash, and use little memory and CPU."""

import asyncio
import gzip
import json
import re
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from itertools import chain, repeat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.agent.replay import replay_run
from bot.agent.transcript import fold
from bot.domain.runs.transcript import Budget
from bot.errors import LimitReached, NightshiftError, Unavailable
from bot.ports.model import Completion
from connectors.models.openai import Client, Settings
from connectors.models.openai_stream import MAX_EVENT, Answer, EventReader
from tests.agent_world import AgentWorld
from tests.model_server import DONE, ModelServer, Raw, Stream, call_delta, chunk, serve_model, usage
from tests.model_server import Answer as Reply

QUICK = Settings(url="", connect_seconds=2, first_seconds=10, idle_seconds=10)
BUDGET = Budget(steps=3, answer_seconds=20)
MOST_MEMORY = 96 * 1024 * 1024
"""Server and client together, in this one process."""


@cache
def most_cpu() -> float:
    """Return seconds, under tracemalloc: twelve where two million additions take 0.12; what grows with the square takes
    a hundred times as long."""
    began = time.process_time()
    sum(1 for _ in range(2_000_000))
    return 100 * (time.process_time() - began)


UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
FEW = {
    "max_examples": 40,
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
}

STOP = json.loads(chunk({}, "stop")[6:])

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**30, float("nan"), float("inf"), -1, "", "\ud800", "a\udfff\x00", "\ufeff", "stop", [], {}]),
    st.text(max_size=8),
    st.lists(st.none() | st.integers() | st.text(max_size=3), max_size=3),
    st.dictionaries(st.sampled_from(["index", "message", "error", "text", "x"]), st.integers(), max_size=2),
)
names = st.sampled_from(
    ["read_file", "grep", "propose_patch", "run_check", " grep\n", "bash", "", "g" * 5000, "\ud800"]
)
arguments = st.one_of(
    st.sampled_from([
        '{"path": "shop/cart.py"}',
        '{"pattern": "percent"}',
        '{"check": "tests"}',
        '{"path": NaN}',
        '{"path": "a", "path": "b"}',
        '{"path": "\\ud800"}',
        '{"first": 1e999, "path": "README.md"}',
        '{"first": 99999999999999999999, "path": "README.md"}',
        '{"title": "t", "edits": [{"path": "../x", "old": "", "new": "x"}]}',
        '{"x":' * 10_000,
        '{"x":' * 400 + "1" + "}" * 400,
        "9" * 5000,
        "{}{}",
        "nonsense",
        "",
    ]),
    st.text(max_size=20),
)  # fmt: skip
calls = st.fixed_dictionaries(
    {"function": st.fixed_dictionaries({}, optional={"name": names | odd, "arguments": arguments | odd}) | odd},
    optional={"id": st.sampled_from(["same", "", "i" * 5000]) | odd, "index": st.integers(-1, 3) | odd, "type": odd},
)
deltas = st.fixed_dictionaries(
    {},
    optional={
        "role": odd,
        "content": st.sampled_from(["I look.", "<tool_call>", "ö€😀"]) | odd,
        "reasoning_content": odd,
        "tool_calls": st.lists(calls | odd, max_size=4) | odd,
    },
)
finishes = st.sampled_from(["stop", "tool_calls", "length", "abort", None]) | odd
choices = st.fixed_dictionaries(
    {"delta": deltas | odd, "message": deltas | odd}, optional={"index": odd, "finish_reason": finishes}
)
tokens = st.fixed_dictionaries({}, optional={"prompt_tokens": odd, "prompt_tokens_details": odd, "x": odd}) | odd
events = st.fixed_dictionaries(
    {"choices": st.lists(choices | odd, max_size=2) | odd}, optional={"usage": tokens, "error": odd, "message": odd}
)
likely = st.one_of(
    st.builds(lambda delta, finish: json.loads(chunk(delta, finish)[6:]), deltas, st.none() | st.just("tool_calls")),
    st.builds(lambda index, name, text: json.loads(chunk(call_delta(index, own="same", name=name, arguments=text))[6:]),
              st.integers(0, 2), st.sampled_from(["grep", "read_file"]), arguments),
    events,
)  # fmt: skip


@st.composite
def streams(draw) -> list[bytes]:
    """Return the pieces of a stream: events in any framing, cut anywhere, with rubbish between them."""
    text = draw(st.sampled_from(["", "\ufeff", ": hello\n\n"]))
    for value in [
        *draw(st.lists(likely, max_size=5)),
        *draw(st.sampled_from([[], [json.loads(chunk({}, "stop")[6:])]])),
    ]:
        lines = json.dumps(value, indent=draw(st.sampled_from([None, None, 1]))).split("\n")
        between = draw(st.sampled_from(["\n\n", "\r\n\r\n", "\n", "\r", "\n: still here\n\n", "\nid: 1\nevent: x\n\n"]))
        text += "\n".join(draw(st.sampled_from(["data: ", "data:"])) + line for line in lines) + between
    whole = (text + draw(st.sampled_from([DONE, ""]))).encode()
    whole = whole[: draw(st.integers(0, len(whole)))] if draw(st.integers(0, 5)) == 0 else whole
    whole += draw(st.sampled_from([b"", b"", b"", b"\xff", "ö".encode()[:1]]))
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True) if a < b]


bodies = st.one_of(
    events.map(json.dumps), st.binary(max_size=30).map(lambda raw: raw.decode("latin-1")), odd.map(json.dumps)
)
raws = st.builds(
    lambda status, body, media, headers: Raw(status=status, body=body.encode(), media_type=media, headers=headers),
    st.sampled_from([200, 200, 200, 201, 204, 301, 400, 401, 404, 408, 429, 500, 503, 599]),
    bodies,
    st.sampled_from(["application/json", "text/html", "text/event-stream", "text/event-stream; charset=utf-7", "x"]),
    st.sampled_from([
        {},
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "br, gzip"},
        {"Retry-After": "Mon, 01 Jan 99999999999 00:00:00 GMT"},
        {"Retry-After": "1e400"},
        {"Retry-After": "-0"},
        {"Set-Cookie": "a=" + "b" * 4000},
        {"Location": "http://[::1"},
    ]),
)  # fmt: skip


class Rig:
    """One server for all the answers of these tests; `ask` lets a run of three steps talk to it."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._answers: tuple[Reply, ...] = ()
        self._serving = serve_model(self._play)

    def __enter__(self) -> "Rig":
        self._server: ModelServer = self._runner.run(self._serving.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._serving.__aexit__(None, None, None))

    def ask(self, *answers: Reply) -> AgentWorld:
        """Answer each time from the list, and with the last one for ever."""
        self._answers = answers
        self._server.seen.clear()
        return self._runner.run(self._ask())

    def _play(self, _request: dict, _number: int) -> Reply:
        return self._answers[min(len(self._server.seen), len(self._answers)) - 1]

    async def _ask(self) -> AgentWorld:
        async with Client(replace(QUICK, url=self._server.url)) as client:
            world = AgentWorld(model=client, budget=BUDGET)
            failed, state = "", None
            try:
                state = await world.run()
            except NightshiftError as error:
                failed = str(error)
        assert len(failed) < 600
        assert not UNSEEN.search(failed)
        assert failed or (state.ended and fold(world.rows) == state)
        check_requests(self._server.seen)
        replay = replay_run("INC-1:1", world.rows)
        assert not replay.broken
        assert replay.is_sound
        return world


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with asyncio.Runner() as runner, Rig(runner) as one:
        yield one


def check_requests(seen: list[bytes]) -> None:
    """Each is JSON that any server takes: sound arguments, and to each call one answer, which follows it."""
    for body in seen:
        waiting: list[str] = []
        for message in json.loads(body.decode("utf-8"))["messages"]:
            if message["role"] == "tool":
                assert message["tool_call_id"] == waiting.pop(0)
                continue
            assert not waiting
            waiting = [call["id"] for call in message.get("tool_calls", ())]
            assert len(set(waiting)) == len(waiting)
            for call in message.get("tool_calls", ()):
                assert isinstance(json.loads(call["function"]["arguments"]), dict)
                assert 0 < len(call["function"]["name"]) <= 200
        assert not waiting


@settings(**FEW)
@given(made=st.lists(streams(), min_size=1, max_size=3))
def test_no_stream_crashes_a_run_and_none_leaves_a_history_that_a_server_would_refuse(rig, made):
    rig.ask(*(Stream(pieces=tuple(pieces)) for pieces in made))


@settings(**FEW | {"max_examples": 30})
@given(answer=raws)
def test_no_answer_that_is_not_a_stream_crashes_a_run(rig, answer):
    rig.ask(answer)


@settings(**FEW | {"max_examples": 60})
@given(streams(), st.randoms(use_true_random=False))
def test_where_a_stream_is_cut_makes_no_difference(pieces, chance):
    whole = b"".join(pieces).rstrip(b"\xc3\xff")
    cuts = sorted(chance.randrange(len(whole) + 1) for _ in range(6))
    others = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert read([whole]) == read(others)


def read(pieces: list[bytes]) -> object:
    try:
        return take_all(pieces)
    except NightshiftError as error:
        return type(error), str(error)


def take_all(pieces: Iterable[bytes]) -> Completion:
    reader, answer = EventReader(), Answer()
    events = chain(chain.from_iterable(reader.feed(piece) for piece in pieces), reader.end())
    any(answer.take(data) for data in events)
    return answer.close()


@contextmanager
def bounded() -> Iterator[None]:
    tracemalloc.start()
    began = time.process_time()
    try:
        yield
        spent, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    print(f"{peak / 1e6:.0f} MB, {spent:.2f} s CPU")
    assert peak < MOST_MEMORY
    assert spent < most_cpu()


TEN = 10 * 1024 * 1024
LONG = "x" * 4000


def make_bomb(head: bytes = b"", **more: str) -> Raw:
    """Packing it takes a second: whoever tests with it does that, not whoever loads this file."""
    return Raw(body=gzip.compress(head + bytes(200 * 1024 * 1024)), headers={"Content-Encoding": "gzip"}, **more)


HEAVY = {
    "arguments of 10 MB at once": Stream(
        pieces=(chunk(call_delta(0, own="a", name="grep", arguments="x" * TEN)), DONE)
    ),
    "arguments of 10 MB in pieces": Stream(
        pieces=(
            *(chunk(call_delta(0, own="a", name="grep", arguments='{"x":' * 20_000)) for _ in range(105)),
            chunk({}, "tool_calls"),
        )
    ),
    "many calls that are long together": Stream(
        pieces=(
            *(chunk(call_delta(n, own="a", name="grep", arguments=f'{{"x":"{LONG * 50}"}}')) for n in range(30)),
            chunk({}, "tool_calls"),
        )
    ),
    "a call nested 10,000 deep": Stream(
        pieces=(
            chunk(call_delta(0, own="a", name="read_file", arguments='{"path":' * 10_000 + "1" + "}" * 10_000)),
            chunk({}, "tool_calls"),
        )
    ),
    "an event nested 10,000 deep": Stream(pieces=("data: " + '{"x":' * 10_000 + "1" + "}" * 10_000 + "\n\n", DONE)),
    "an id and a name of a megabyte": Stream(
        pieces=(chunk(call_delta(0, own="i" * 900_000, name="grep", arguments="{}")), chunk({}, "tool_calls"), usage())
    ),
    "a stream of words without end": Stream(pieces=(chunk({"content": "a"}, pad=LONG) * 10,) * 450),
    "a stream of comments without end": Stream(pieces=(f": {LONG}\n\n" * 10,) * 450),
    "a stream of empty lines without end": Stream(pieces=("\n" * 60_000,) * 300),
    "a stream of empty data without end": Stream(pieces=("data:\n" * 10_000,) * 300),
    "a line without end": Stream(pieces=("data: " + "x" * 60_000, *("x" * 60_000 for _ in range(300)))),
    "a body that grows twentyfold when it is parsed": Raw(body=b"[" + b"{}," * 1_000_000 + b"{}]"),
    "a body of digits": Raw(body=b"9" * TEN),
    "a refusal of 10 MB": Raw(status=500, body=b'{"error": "' + b"x" * TEN + b'"}'),
    "a gzip bomb": make_bomb,
    "a gzip bomb that says it is a stream": partial(make_bomb, b"data: ", media_type="text/event-stream"),
}


SLOW = (
    "a stream of empty lines without end",
    "a stream of empty data without end",
    "a body that grows twentyfold when it is parsed",
)
"""Millions of lines or objects, which take some seconds of CPU."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.long) if n in SLOW else n for n in HEAVY])
def test_what_is_too_much_costs_little(rig, name):
    answer = HEAVY[name]() if callable(HEAVY[name]) else HEAVY[name]
    with bounded():
        world = rig.ask(answer)
    assert sum(len(row.body) for row in world.rows) < 4 * 1024 * 1024


@pytest.mark.parametrize("piece", [b"x", b"data:\n", b"data: 1\n", b"data: {\n", b"data: \xc3\xb6\r\n"])
def test_the_cost_of_a_stream_grows_with_its_length_alone(piece):
    """A line that comes byte by byte, and an event of very many lines, are no more work than they are long."""
    count = min(MAX_EVENT + 1, 400_000 * len(piece)) // len(piece)
    began = time.process_time()
    with pytest.raises((Unavailable, LimitReached)):
        take_all(repeat(piece, count))
    assert time.process_time() - began < most_cpu() / 4


@pytest.mark.parametrize("piece", [b"x" * 60_000, b"data: " + b"x" * 60_000 + b"\n"])
def test_an_event_without_end_is_given_up_at_a_megabyte(piece):
    reader = EventReader()
    for _ in range(MAX_EVENT // len(piece)):
        assert list(reader.feed(piece)) == []
    with pytest.raises(Unavailable, match="without end"):
        list(reader.feed(piece))


def test_what_is_not_utf8_is_refused_and_not_read_over():
    with pytest.raises(Unavailable, match="not UTF-8"):
        list(EventReader().feed(b"data: {\xff}\n\n"))
