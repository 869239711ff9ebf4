"""The client against every shape of answer and of refusal that servers were seen to send."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from pydantic import SecretStr

from bot.errors import LimitReached, NightshiftError, Reason, Rejected, Unavailable
from bot.ports.model import Finish
from connectors.models.openai import Client, Settings, endpoint
from tests.model_server import (
    DONE,
    Hang,
    Raw,
    Say,
    Stream,
    call_delta,
    chunk,
    event,
    flat_error,
    refusal,
    serve_model,
    usage,
    usage_body,
)

REQUEST = json.dumps({"model": "m", "messages": []}).encode()
QUICK = Settings(url="", connect_seconds=1, first_seconds=5, idle_seconds=5)


@asynccontextmanager
async def talk(*answers, settings=QUICK):
    async with serve_model(answers) as server, Client(replace(settings, url=server.url)) as client:
        yield server, client


async def ask(*answers, settings=QUICK, seconds=10.0, on_delta=None):
    async with talk(*answers, settings=settings) as (_server, client):
        deadline = asyncio.get_running_loop().time() + seconds
        return await client.complete(REQUEST, on_delta=on_delta, deadline=deadline)


async def test_a_streamed_answer_with_reasoning_calls_and_usage():
    heard = []
    say = Say(text="Found", reasoning="hm", calls=(("grep", '{"pattern": "x"}'), ("read_file", '{"path":"a"}')))
    answer = await ask(say, on_delta=lambda kind, piece: heard.append((kind, piece)))
    assert (answer.text, answer.reasoning, answer.finish) == ("Found", "hm", Finish.TOOL_CALLS)
    assert [(call.name, call.arguments) for call in answer.calls] == [
        ("grep", '{"pattern": "x"}'),
        ("read_file", '{"path":"a"}'),
    ]
    assert len({call.id for call in answer.calls}) == 2
    assert (answer.usage.cached, answer.usage.completion) == (0, 20)
    assert heard[0] == ("reasoning", "hm")
    assert "".join(piece for kind, piece in heard if kind == "call") == '{"pattern": "x"}{"path":"a"}'


async def test_a_plain_answer_where_streaming_is_ignored():
    message = {
        "role": "assistant",
        "content": "",
        "reasoning_content": None,
        "tool_calls": [{"id": "call_1", "index": 0, "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    body = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls", "matched_stop": None}],
        "usage": usage_body(158, 49, 35),
        "metadata": {"weight_version": "default"},
    }
    answer = await ask(Raw(body=json.dumps(body).encode()))
    assert answer.calls[0].name == "f"
    assert answer.usage.cached == 35


@pytest.mark.parametrize("calls", [7, "x", {"id": "a"}, [None, "x"]])
async def test_calls_that_are_no_list_of_objects_are_none(calls):
    message = {"role": "assistant", "content": "Found", "tool_calls": calls}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    answer = await ask(Raw(body=json.dumps(body).encode()))
    assert (answer.text, answer.calls) == ("Found", ())


async def test_a_byte_order_mark_hides_no_event():
    answer = await ask(Stream(pieces=("\ufeff" + chunk({"content": "Found"}), chunk({}, "stop"))))
    assert answer.text == "Found"


async def test_no_cache_report_means_unknown_not_zero():
    answer = await ask(Say(text="x", cached=None))
    assert answer.usage.cached is None


async def test_an_answer_that_was_cut_says_so():
    answer = await ask(Stream(pieces=(chunk({"content": "half"}), chunk({}, "length"), usage(), DONE)))
    assert answer.finish is Finish.LENGTH


async def test_the_key_goes_out_as_bearer_and_the_request_bytes_as_they_are():
    settings = replace(QUICK, api_key=SecretStr("s3cret"))
    async with talk(Say(text="x"), settings=settings) as (server, client):
        await client.complete(REQUEST, deadline=asyncio.get_running_loop().time() + 5)
        assert server.seen == [REQUEST]
        assert server.headers[0]["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in repr(settings)


async def test_without_a_key_no_authorization_is_sent():
    async with talk(Say(text="x")) as (server, client):
        await client.complete(REQUEST, deadline=asyncio.get_running_loop().time() + 5)
        assert "Authorization" not in server.headers[0]


OVERFLOW = "The input (9009 tokens) is longer than the model's context length (8192 tokens)."
TOTAL = "Requested token count exceeds the model's maximum context length of 8192 tokens. You requested 9030 tokens."
PRIORITY = "The request is aborted by a higher priority request."
UNSTARTED = {
    "error": {"type": "server_error", "code": "no_available_workers", "message": "All workers are unavailable"}
}
FAILURES = {
    "overflow": (Raw(status=400, body=flat_error(OVERFLOW, 400)), LimitReached, Reason.TOO_LARGE),
    "overflow with max_tokens": (Raw(status=400, body=flat_error(TOTAL, 400)), LimitReached, Reason.TOO_LARGE),
    "overflow in an error object": (
        Raw(status=400, body=json.dumps({"error": {"message": OVERFLOW}}).encode()),
        LimitReached,
        Reason.TOO_LARGE,
    ),
    "bad schema": (
        Raw(status=400, body=flat_error("Failed to compile json grammar: x", 400)),
        Rejected,
        Reason.BAD_INPUT,
    ),
    "queue full": (
        Raw(status=503, body=flat_error("The request queue is full.", 503, "503")),
        Unavailable,
        Reason.OVERLOADED,
    ),
    "refused stream": (Stream(pieces=(refusal(), DONE)), Unavailable, Reason.OVERLOADED),
    "evicted stream": (Stream(pieces=(refusal(PRIORITY), DONE)), Unavailable, Reason.OVERLOADED),
    "error body with status 200": (
        Raw(body=flat_error("The request queue is full.", 503)),
        Unavailable,
        Reason.OVERLOADED,
    ),
    "overflow in a stream": (Stream(pieces=(refusal(OVERFLOW, 400), DONE)), LimitReached, Reason.TOO_LARGE),
    "refused after text": (
        Stream(pieces=(chunk({"content": "half"}), refusal("running timeout"), DONE)),
        Unavailable,
        Reason.OVERLOADED,
    ),
    "gateway loses its worker": (
        Stream(pieces=(chunk({"content": "a"}), event({"error": {"message": "Stream error: reset"}}), DONE)),
        Unavailable,
        Reason.SERVER_ERROR,
    ),
    "an error after the finish": (
        Stream(pieces=(chunk({"content": "a"}, "stop"), event({"error": {"message": "late"}}), DONE)),
        Unavailable,
        Reason.SERVER_ERROR,
    ),
    "abort": (
        Stream(pieces=(chunk({"content": "half a pat"}), chunk({}, "abort"), usage(17, 125, None), DONE)),
        Unavailable,
        Reason.SERVER_ERROR,
    ),
    "done without a finish": (Stream(pieces=(chunk({"content": "half"}), DONE)), Unavailable, Reason.SERVER_ERROR),
    "done alone": (Stream(pieces=(DONE,)), Unavailable, Reason.SERVER_ERROR),
    "an empty stream": (Stream(pieces=()), Unavailable, Reason.SERVER_ERROR),
    "end without done or finish": (Stream(pieces=(chunk({"content": "half"}),)), Unavailable, Reason.SERVER_ERROR),
    "connection reset": (Stream(pieces=(chunk({"content": "half"}), 0.05, None)), Unavailable, Reason.UNREACHABLE),
    "content filter": (Stream(pieces=(chunk({}, "content_filter"), DONE)), Rejected, Reason.NOT_ALLOWED),
    "not JSON": (Stream(pieces=("data: {oops\n\n",)), Unavailable, Reason.SERVER_ERROR),
    "nested without end": (Stream(pieces=("data: " + "[" * 200_000 + "\n\n",)), Unavailable, Reason.SERVER_ERROR),
    "a list": (Stream(pieces=("data: [1]\n\n",)), Unavailable, Reason.SERVER_ERROR),
    "not UTF-8": (Stream(pieces=(b"data: \xff\xfe\n\n",)), Unavailable, Reason.SERVER_ERROR),
    "an event without end": (Stream(pieces=("data: " + "x" * (1 << 20), "y" * 100)), Unavailable, Reason.SERVER_ERROR),
    "a plain body that is not JSON": (Raw(body=b"<html>hello</html>"), Unavailable, Reason.SERVER_ERROR),
    "a plain body without a choice": (Raw(body=b'{"choices": []}'), Unavailable, Reason.SERVER_ERROR),
    "wrong key, a text": (Raw(status=401, body=b'{"error":"Unauthorized"}'), Rejected, Reason.NOT_ALLOWED),
    "wrong key, nothing": (Raw(status=401), Rejected, Reason.NOT_ALLOWED),
    "unknown model": (
        Raw(status=404, body=json.dumps({"error": {"message": "no", "code": "model_not_found"}}).encode()),
        Rejected,
        Reason.NOT_FOUND,
    ),
    "gateway full": (Raw(status=408), Unavailable, Reason.OVERLOADED),
    "breakers open": (Raw(status=503, body=json.dumps(UNSTARTED).encode()), Unavailable, Reason.OVERLOADED),
    "no worker in a stream": (Stream(pieces=(event(UNSTARTED), DONE)), Unavailable, Reason.OVERLOADED),
    "too many requests": (Raw(status=429, body=b"slow down"), Unavailable, Reason.RATE_LIMITED),
    "bad gateway": (Raw(status=502, body=b"<html>"), Unavailable, Reason.SERVER_ERROR),
    "server error": (Raw(status=500, body=b'{"detail": "boom"}'), Unavailable, Reason.SERVER_ERROR),
    "redirect": (Raw(status=302, headers={"Location": "http://127.0.0.1:1/"}), Rejected, Reason.BAD_INPUT),
    "validation": (Raw(status=422, body=b'{"detail": [{"loc": ["x"]}]}'), Rejected, Reason.BAD_INPUT),
    "babble": (
        Stream(pieces=tuple(chunk({"content": "bla " * 20_000}) for _ in range(8))),
        LimitReached,
        Reason.TOO_LARGE,
    ),
    "arguments without measure": (
        Stream(
            pieces=(
                chunk(call_delta(0, own="a", name="f")),
                *(chunk(call_delta(0, arguments="x" * 100_000)) for _ in range(3)),
            )
        ),
        LimitReached,
        Reason.TOO_LARGE,
    ),
    "calls without measure": (
        Stream(pieces=tuple(chunk(call_delta(n, own=f"c{n}", name="f")) for n in range(40))),
        LimitReached,
        Reason.TOO_LARGE,
    ),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_failures(name):
    answer, kind, reason = FAILURES[name]
    with pytest.raises(NightshiftError) as caught:
        await ask(answer)
    assert (type(caught.value), caught.value.reason) == (kind, reason), str(caught.value)
    assert len(str(caught.value)) < 500


async def test_retry_after_is_handed_on_and_bounded():
    far = "Mon, 01 Jan 99999999999 00:00:00 GMT"
    for value, seconds in (("7", 7.0), ("1e9", 600.0), ("-3", 0.0), ("soon", None), ("nan", None), (far, None)):
        with pytest.raises(Unavailable) as caught:
            await ask(Raw(status=503, headers={"Retry-After": value}))
        assert caught.value.retry_after == seconds, value


async def test_a_hostile_error_text_is_tamed():
    with pytest.raises(Rejected) as caught:
        await ask(Raw(status=400, body=flat_error("\x1b[31m\u202ewrong\n\n" + "x" * 5000, 400)))
    text = str(caught.value)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\n" not in text
    assert len(text) < 400


@pytest.mark.parametrize(
    ("answer", "settings"),
    [
        (Hang(), replace(QUICK, first_seconds=0.1)),
        (Stream(pieces=(60.0,)), replace(QUICK, first_seconds=0.1)),
        (Stream(pieces=(chunk({"content": "a"}), 60.0)), replace(QUICK, idle_seconds=0.1)),
    ],
    ids=["no headers", "no first event", "silent in the middle"],
)
async def test_silence_is_a_time_out(answer, settings):
    with pytest.raises(Unavailable) as caught:
        await ask(answer, settings=settings)
    assert caught.value.reason is Reason.TIMEOUT


async def test_a_stream_that_only_keeps_alive_ends_at_the_deadline():
    with pytest.raises(Unavailable) as caught:
        await ask(Stream(pieces=tuple(piece for _ in range(50) for piece in (": ping\n\n", 0.02))), seconds=0.2)
    assert caught.value.reason is Reason.TIMEOUT


async def test_nobody_listens():
    client = Client(replace(QUICK, url="http://127.0.0.1:9"))
    with pytest.raises(Unavailable) as caught:
        await client.complete(REQUEST, deadline=asyncio.get_running_loop().time() + 5)
    assert caught.value.reason is Reason.UNREACHABLE
    await client.close()


@pytest.mark.parametrize("answer", [Hang(), Stream(pieces=(chunk({"content": "a"}), 60.0))], ids=["early", "late"])
async def test_cancelling_closes_the_stream(answer):
    async with talk(answer) as (server, client):
        task = asyncio.create_task(client.complete(REQUEST, deadline=asyncio.get_running_loop().time() + 60))
        while not server.seen:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(3):
            await server.hung_up.wait()


async def test_pieces_cut_anywhere_read_the_same():
    whole = "".join(
        (
            ": comment\r\n\r\n",
            chunk({"content": "Grüße €"}).replace("\n\n", "\r\n\r\n"),
            "event: message\nid: 3\n" + chunk({"content": " ok"}),
            chunk({}, "stop"),
            usage(),
        )
    ).encode()
    for size in (1, 2, 3, 7, 64):
        pieces = tuple(whole[at : at + size] for at in range(0, len(whole), size))
        answer = await ask(Stream(pieces=pieces))
        assert answer.text == "Grüße € ok"


@pytest.mark.parametrize(
    ("deltas", "expected"),
    {
        "ids repeated in every piece": (
            [
                call_delta(0, own="a", name="f", arguments="{"),
                call_delta(0, own="a", name="f", arguments='"x":1}'),
            ],
            [("a", "f", '{"x":1}')],
        ),
        "no index, new ids": (
            [
                {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{"}}]},
                {"tool_calls": [{"function": {"arguments": "}"}}]},
                {"tool_calls": [{"id": "b", "function": {"name": "g", "arguments": "{}"}}]},
            ],
            [("a", "f", "{}"), ("b", "g", "{}")],
        ),
        "two calls with one id": (
            [call_delta(0, own="a", name="f", arguments="{}"), call_delta(1, own="a", name="g", arguments="{}")],
            [("a", "f", "{}"), ("a", "g", "{}")],
        ),
        "no id at all": ([call_delta(0, name="f", arguments="{}")], [("", "f", "{}")]),
        "arguments as an object": (
            [{"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]}],
            [("a", "f", '{"x": 1}')],
        ),
        "no arguments": ([call_delta(0, own="a", name="f")], [("a", "f", "")]),
        "nonsense among them": (
            [{"tool_calls": ["x", 3, {"index": 0, "id": 7, "function": None}]}, call_delta(0, own="a", name="f")],
            [("a", "f", "")],
        ),
    }.values(),
)
async def test_calls_in_pieces(deltas, expected):
    answer = await ask(Stream(pieces=(*(chunk(delta) for delta in deltas), chunk({}, "tool_calls"), DONE)))
    assert [(call.id, call.name, call.arguments) for call in answer.calls] == expected


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("http://gpu:30000", "http://gpu:30000/v1/chat/completions"),
        ("http://gpu:30000/", "http://gpu:30000/v1/chat/completions"),
        ("https://gpu/v1", "https://gpu/v1/chat/completions"),
        ("https://gpu/team/v1/", "https://gpu/team/v1/chat/completions"),
        ("https://gpu/v1/chat/completions", "https://gpu/v1/chat/completions"),
    ],
)
def test_the_base_may_be_written_in_several_ways(base, expected):
    assert endpoint(base) == expected


@pytest.mark.parametrize("base", ["", "gpu:30000", "ftp://gpu", "http://", "http://a:b@gpu", "http://gpu:99999"])
def test_what_is_no_base_is_refused(base):
    with pytest.raises(Rejected, match="NIGHTSHIFT_MODEL_URL"):
        endpoint(base)


async def test_the_tokens_of_a_prompt_are_counted_by_the_server():
    async with talk() as (server, client):
        server.tokens = 41_000
        body = {
            "model": "m",
            "stream": True,
            "max_tokens": 9,
            "tools": [],
            "messages": [{"role": "user", "content": "ä"}],
            "chat_template_kwargs": {"preserve_thinking": True},
        }
        assert await client.count_tokens(json.dumps(body).encode()) == 41_000
        counted = ("model", "messages", "tools", "chat_template_kwargs")
        assert json.loads(server.counted[0]) == {name: body[name] for name in counted}


async def test_a_server_that_counts_nothing_is_asked_once():
    async with talk() as (server, client):
        assert await client.count_tokens(REQUEST) is None
        assert await client.count_tokens(REQUEST) is None
        assert len(server.counted) == 1


async def test_a_server_that_is_gone_or_speaks_nonsense_counts_nothing():
    async with talk() as (server, client):
        server.tokens = 0
        assert await client.count_tokens(REQUEST) is None
    async with Client(replace(QUICK, url=server.url)) as client:
        assert await client.count_tokens(REQUEST) is None


@pytest.mark.parametrize("more", [{"reasoning_tokens": 7}, {"completion_tokens_details": {"reasoning_tokens": 7}}])
async def test_tokens_of_thinking_are_told_in_two_ways(more):
    usage = {"prompt_tokens": 1, "completion_tokens": 9, "total_tokens": 10}
    told = event({"id": "c1", "choices": [], "usage": usage | more})
    answer = await ask(Stream(pieces=(chunk({"content": "x"}), chunk({}, "stop"), told, DONE)))
    assert answer.usage.reasoning == 7
