"""A model server in this process: it speaks the shapes that were recorded of a real SGLang, follows a script, and can
misbehave in every way that was seen."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

from aiohttp import web

DONE = "data: [DONE]\n\n"


@dataclass(frozen=True, kw_only=True)
class Say:
    """A whole answer: text, reasoning, and calls as (name, arguments) or (id, name, arguments)."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, ...], ...] = ()
    finish: str = ""
    cached: int | None = 0


@dataclass(frozen=True, kw_only=True)
class Raw:
    """An answer that is not streamed."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


Piece = str | bytes | float | asyncio.Event | None


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Raw pieces of a stream; a number is a pause in seconds, an event is waited for, None hangs up in the middle of
    the body."""

    pieces: tuple[Piece, ...]


@dataclass(frozen=True, kw_only=True)
class Hang:
    """Take the request and say nothing more."""


CONTRACT = Say(calls=(("report", '{"word": "ready"}'),))
"""What every server here answers to the start's look at what it can do; no script has to know of it."""

SUGGESTION = Say(text='{"title": "A coupon ends the purchase", "severity": "critical", "reason": "Nobody can pay."}')
"""What every server here says where it is asked for a title and a severity, behind a run that has ended."""

Answer = Say | Raw | Stream | Hang
Script = Callable[[dict, int], Answer]


# What real servers said, as tests/sglang/record.py wrote it down: shapes are taken from there -------------------------
def _read(name: str) -> dict:
    return json.loads((Path(__file__).parent / "sglang" / "recorded" / f"{name}.json").read_text())


RECORDED = {name: _read(name) for name in ("sglang", "smg")}


def recorded(name: str, source: str = "sglang") -> Raw | Stream:
    """Return an answer as it was recorded."""
    shape = RECORDED[source]["shapes"][name]
    if isinstance(shape["body"], list):
        return Stream(pieces=tuple(f"{event}\n\n" for event in shape["body"] if event))
    headers = {name: value for name, value in shape["headers"].items() if name != "Content-Type"}
    return Raw(status=shape["status"], body=shape["body"].encode(), headers=headers)


def _events(name: str) -> list[dict]:
    lines = RECORDED["sglang"]["shapes"][name]["body"]
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]


_CHUNK, _USAGE = _events("answer, streamed")[0], _events("answer, streamed")[-1]
_REFUSAL = _events("queue full, streamed")[0]
_CALL = next(one for one in _events("call, streamed") if one["choices"][0]["delta"].get("tool_calls"))
_FLAT = json.loads(RECORDED["sglang"]["shapes"]["queue full"]["body"])


def event(value: object) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def chunk(delta: dict | None = None, finish: str | None = None, **more: object) -> str:
    """Return one event of a stream."""
    choice = _CHUNK["choices"][0] | {"delta": delta or {}, "finish_reason": finish}
    return event(_CHUNK | {"choices": [choice]} | more)


def usage(prompt: int = 158, completion: int = 100, cached: int | None = 157) -> str:
    return event(_USAGE | {"usage": usage_body(prompt, completion, cached)})


def usage_body(prompt: int, completion: int, cached: int | None) -> dict:
    counts = {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
    details = None if cached is None else {"cached_tokens": cached}
    return _USAGE["usage"] | counts | {"prompt_tokens_details": details}


def refusal(message: str = _REFUSAL["error"]["message"], code: int = 503) -> str:
    """Return the one event of a stream that was refused with status 200."""
    return event({"error": _REFUSAL["error"] | {"message": message, "code": code}})


def flat_error(message: str, code: int, kind: str = "BadRequestError") -> bytes:
    return json.dumps(_FLAT | {"message": message, "type": kind, "code": code}).encode()


def call_delta(index: int, *, own: str | None = None, name: str | None = None, arguments: str = "") -> dict:
    delta = _CALL["choices"][0]["delta"]
    call = delta["tool_calls"][0] | {"id": own, "index": index, "function": {"name": name, "arguments": arguments}}
    return delta | {"tool_calls": [call]}


def stream_of(say: Say, number: int, prompt: int) -> list[str]:
    """Return the events of an answer, arguments split in the middle as they really come."""
    events = [chunk({"reasoning_content": None, "role": "assistant", "content": ""})]
    events += [chunk({"reasoning_content": say.reasoning})] if say.reasoning else []
    events += [chunk({"content": say.text[at : at + 400]}) for at in range(0, len(say.text), 400)]
    for index, call in enumerate(say.calls):
        own, name, arguments = call if len(call) == 3 else (f"call_{number:020x}{index:04x}", *call)
        events.append(chunk(call_delta(index, own=own, name=name)))
        half = len(arguments) // 2
        events += [chunk(call_delta(index, arguments=part)) for part in (arguments[:half], arguments[half:])]
    finish = say.finish or ("tool_calls" if say.calls else "stop")
    return [*events, chunk({"reasoning_content": None}, finish), usage(prompt, 20, say.cached), DONE]


def is_contract(body: bytes) -> bool:
    tools = json.loads(body).get("tools") or []
    return [tool["function"]["name"] for tool in tools] == ["report"]


def is_aside(body: bytes) -> bool:
    return b'"response_format":{"type":"json_schema","json_schema":{"name":"suggestion"' in body


class ModelServer:
    """Serves a script: a list of answers, or a function of the request and its number. `seen` holds every body of a
    conversation, `asides` those that ask for a title, which `suggestion` answers."""

    def __init__(self, script: Sequence[Answer] | Script) -> None:
        self._script = script
        self._numbers = count()
        self.seen: list[bytes] = []
        self.asides: list[bytes] = []
        self.suggestion = SUGGESTION
        self.headers: list[dict[str, str]] = []
        self.counted: list[bytes] = []
        self.tokens: int | None = None
        self.is_stopping = False
        self.hung_up = asyncio.Event()
        self.url = ""

    def answer(self, request: dict) -> Answer:
        number = next(self._numbers)
        if callable(self._script):
            return self._script(request, number)
        return self._script[number] if number < len(self._script) else Say(text="I have nothing to add.")

    async def tokenize(self, request: web.Request) -> web.Response:
        """Count as SGLang does, where `tokens` says what; else there is no such address here."""
        self.counted.append(await request.read())
        if self.tokens is None:
            return web.json_response({"detail": "Not Found"}, status=404)
        return web.json_response({"tokens": [7] * self.tokens, "count": self.tokens, "max_model_len": 8192})

    async def ready(self, _request: web.Request) -> web.Response:
        """Answer as SGLang does, which takes requests all the same until nothing runs any more."""
        return web.Response(status=503 if self.is_stopping else 200)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if is_contract(body):
            return await self._stream(request, stream_of(CONTRACT, 0, 9))
        if is_aside(body):
            self.asides.append(body)
            return await self._stream(request, stream_of(self.suggestion, 0, len(body) // 4))
        self.seen.append(body)
        self.headers.append(dict(request.headers))
        answer = self.answer(json.loads(body))
        try:
            if isinstance(answer, Hang):
                await asyncio.sleep(3600)
            if isinstance(answer, Raw):
                headers = {"Content-Type": answer.media_type} | answer.headers
                return web.Response(status=answer.status, body=answer.body, headers=headers)
            pieces = stream_of(answer, len(self.seen), len(body) // 4) if isinstance(answer, Say) else answer.pieces
            return await self._stream(request, pieces)
        except (asyncio.CancelledError, ConnectionError):
            self.hung_up.set()
            raise

    async def _stream(self, request: web.Request, pieces: Sequence[Piece]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for piece in pieces:
            if piece is None:
                assert request.transport is not None
                request.transport.abort()
                return response
            if isinstance(piece, asyncio.Event):
                await piece.wait()
                continue
            if isinstance(piece, (int, float)):
                await asyncio.sleep(piece)
                continue
            await response.write(piece.encode() if isinstance(piece, str) else piece)
        return response


async def _say(value: object, _request: web.Request) -> web.Response:
    return web.json_response(value)


@contextlib.asynccontextmanager
async def serve_model(
    script: Sequence[Answer] | Script, *, path: str = "/v1/chat/completions", is_sglang: bool = False
) -> AsyncIterator[ModelServer]:
    """Serve on a free loopback port until the block ends; `is_sglang` also says of itself what SGLang says."""
    server = ModelServer(script)
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post(path, server.handle)
    app.router.add_post("/v1/tokenize", server.tokenize)
    if is_sglang:
        server.tokens = RECORDED["sglang"]["tokenize"]["count"]
        app.router.add_get("/v1/models", partial(_say, RECORDED["sglang"]["models"]))
        app.router.add_get("/ready", server.ready)
        app.router.add_get("/server_info", partial(_say, RECORDED["sglang"]["server_info"]))
    else:
        app.router.add_get("/v1/models", partial(_say, {"object": "list", "data": []}))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    server.url = f"http://127.0.0.1:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()
