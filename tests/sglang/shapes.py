"""Every shape in which SGLang was seen to answer and to refuse: how to bring it about, and what our client makes of it.

`record.py` writes them down, the tests of this folder bring them about again, and the default tests replay them.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import aiohttp

from bot.agent.suggesting import SUGGEST
from bot.errors import LimitReached, NightshiftError, Reason, Rejected, Unavailable
from bot.ports.model import Completion, Finish
from tests.sglang.servers import ADMIN, KEY, NAME, QUEUED, RUNNING

TOOL = {
    "type": "function",
    "function": {
        "name": "read_log",
        "description": "Read the log of a service.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"service": {"type": "string", "enum": ["api", "web"]}, "newest": {"type": "boolean"}},
            "required": ["service", "newest"],
            "additionalProperties": False,
        },
    },
}
NO_THINKING = {"enable_thinking": False, "thinking": False}
CHAT = "/v1/chat/completions"


def ask(text: str = "What broke?", *, stream: bool = True, **more: object) -> dict:
    """Return a request as our agent writes them."""
    told = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    return {"model": NAME, "messages": [{"role": "user", "content": text}], "max_tokens": 200, **told, **more}


def call(**more: object) -> dict:
    return ask("Read the log.", tools=[TOOL], tool_choice="required", chat_template_kwargs=NO_THINKING, **more)


def long(**more: object) -> dict:
    """Return a request that keeps the server busy for a known number of tokens."""
    return ask(**({"ignore_eos": True, "max_tokens": 300} | more))


def aside(**more: object) -> dict:
    """Return the question that is asked apart, behind a run: it says in which form it wants its answer."""
    form = json.loads(f"{{{SUGGEST.form}}}")
    return ask(SUGGEST.text, tools=[TOOL], max_tokens=900, chat_template_kwargs=NO_THINKING, **form, **more)


class Talk:
    """Raw requests to a server."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self.url = session, url

    async def post(self, path: str, body: dict, key: str = KEY) -> tuple[int, dict[str, str], bytes]:
        headers = {"Authorization": f"Bearer {key}"}
        async with self._session.post(self.url + path, json=body, headers=headers) as answer:
            return answer.status, dict(answer.headers), await answer.read()

    async def get(self, path: str) -> bytes:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with self._session.get(self.url + path, headers=headers) as answer:
            return await answer.read()

    async def status(self, path: str) -> int:
        async with self._session.get(self.url + path, headers={"Authorization": f"Bearer {KEY}"}) as answer:
            return answer.status

    async def load(self) -> tuple[int, int]:
        """Return how many requests run, and how many wait."""
        load = json.loads(await self.get("/v1/loads"))["loads"][0]
        return load["num_running_reqs"], load["num_waiting_reqs"]

    async def wait_for(self, running: int, waiting: int, seconds: float = 60.0) -> None:
        async with asyncio.timeout(seconds):
            while await self.load() != (running, waiting):
                await asyncio.sleep(0.05)


@asynccontextmanager
async def talk(url: str) -> AsyncIterator[Talk]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=300)) as session:
        yield Talk(session, url)


Situation = Callable[[Talk], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def calm(_server: Talk) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def busy(server: Talk, running: int = RUNNING, waiting: int = 0) -> AsyncIterator[None]:
    """Let requests run and wait until the block ends."""
    bodies = [long(max_tokens=3000, priority=50) for _ in range(running)]
    tasks = [asyncio.create_task(server.post(CHAT, body)) for body in bodies]
    try:
        await server.wait_for(running, 0)
        tasks += [asyncio.create_task(server.post(CHAT, long(priority=50))) for _ in range(waiting)]
        await server.wait_for(running, waiting)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_for(0, 0)


def full(server: Talk) -> AbstractAsyncContextManager[None]:
    return busy(server, waiting=QUEUED)


@asynccontextmanager
async def _meanwhile(server: Talk, running: int, waiting: int, then: Callable[[], object]) -> AsyncIterator[None]:
    """Do something once so many requests run and wait, one of which is the one that is looked at."""

    async def act() -> None:
        await server.wait_for(running, waiting)
        await then()

    task = asyncio.create_task(act())
    try:
        yield
        await task
    finally:
        task.cancel()


@asynccontextmanager
async def evicting(server: Talk) -> AsyncIterator[None]:
    """Fill the queue but for one place, and let something more urgent come once that is taken too."""
    urgent: list[asyncio.Task] = []

    async def come() -> None:
        urgent.append(asyncio.create_task(server.post(CHAT, long(priority=50, max_tokens=5))))

    async with busy(server, waiting=QUEUED - 1), _meanwhile(server, RUNNING, QUEUED, come):
        yield
    for task in urgent:
        task.cancel()
    await server.wait_for(0, 0)


@asynccontextmanager
async def aborting(server: Talk) -> AsyncIterator[None]:
    async def abort() -> None:
        await asyncio.sleep(0.5)
        await server.post("/abort_request", {"rid": "to-be-aborted"}, ADMIN)

    async with _meanwhile(server, 1, 0, abort):
        yield


@asynccontextmanager
async def same_id(server: Talk) -> AsyncIterator[None]:
    task = asyncio.create_task(server.post(CHAT, long(rid="twice")))
    await server.wait_for(1, 0)
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await server.wait_for(0, 0)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A request, the situation it meets, and what becomes of it: a finish, or an error's kind and reason."""

    request: dict
    ends: Finish | tuple[type[Exception], Reason]
    situation: Situation = calm
    key: str = KEY


TOO_LONG = (LimitReached, Reason.TOO_LARGE)
FULL = (Unavailable, Reason.OVERLOADED)
WRONG = (Rejected, Reason.BAD_INPUT)
ABORTED = (Unavailable, Reason.SERVER_ERROR)
NO_SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nothing"}}}
BAD_HISTORY = [
    {"role": "user", "content": "Read it."},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "read_log", "arguments": "{oops"}}],
    },
    {"role": "tool", "tool_call_id": "a", "content": "nothing"},
]
SHAPES = {
    "answer": Shape(request=ask(stream=False), ends=Finish.STOP),
    "answer, streamed": Shape(request=ask(), ends=Finish.STOP),
    "call": Shape(request=call(stream=False, stream_options=None), ends=Finish.TOOL_CALLS),
    "call, streamed": Shape(request=call(), ends=Finish.TOOL_CALLS),
    "form, streamed": Shape(request=aside(), ends=Finish.STOP),
    "length": Shape(request=long(stream=False, stream_options=None, max_tokens=4), ends=Finish.LENGTH),
    "length, streamed": Shape(request=long(max_tokens=4), ends=Finish.LENGTH),
    "overflow": Shape(request=ask("too long " * 30_000, stream=False), ends=TOO_LONG),
    "overflow, streamed": Shape(request=ask("too long " * 30_000), ends=TOO_LONG),
    "overflow with the answer": Shape(request=ask(max_tokens=40_000), ends=TOO_LONG),
    "queue full": Shape(request=ask(stream=False), ends=FULL, situation=full),
    "queue full, streamed": Shape(request=ask(), ends=FULL, situation=full),
    "evicted": Shape(request=ask(stream=False, priority=0), ends=FULL, situation=evicting),
    "evicted, streamed": Shape(request=ask(priority=0), ends=FULL, situation=evicting),
    "abort": Shape(
        request=long(stream=False, stream_options=None, rid="to-be-aborted", max_tokens=3000),
        ends=ABORTED,
        situation=aborting,
    ),
    "abort, streamed": Shape(request=long(rid="to-be-aborted", max_tokens=3000), ends=ABORTED, situation=aborting),
    "wrong key": Shape(request=ask(), ends=(Rejected, Reason.NOT_ALLOWED), key="wrong"),
    "bad schema": Shape(request=ask(stream=False, response_format=NO_SCHEMA), ends=WRONG),
    "bad history": Shape(request=ask(messages=BAD_HISTORY), ends=WRONG),
    "bad field": Shape(request=ask(priority="high"), ends=WRONG),
    "an id twice": Shape(request=ask(rid="twice"), ends=WRONG, situation=same_id),
}
NO_WORKER = (Unavailable, Reason.SERVER_ERROR)
GATEWAY_SHAPES = {
    "answer, streamed": Shape(request=ask(), ends=Finish.STOP),
    "wrong key": Shape(request=ask(), ends=(Rejected, Reason.NOT_ALLOWED), key="wrong"),
    "unknown model": Shape(request=ask(model="another"), ends=NO_WORKER),  # a gateway without workers says the same
    "queue full, streamed": Shape(request=ask(), ends=FULL),
    "worker lost": Shape(request=long(max_tokens=3000), ends=NO_WORKER),
    "no worker": Shape(request=ask(), ends=NO_WORKER),
}


async def settle(asking: Awaitable[Completion]) -> Finish | tuple[type[Exception], Reason]:
    """Return how a question ended, in the words of `Shape.ends`."""
    try:
        return (await asking).finish
    except NightshiftError as error:
        return type(error), error.reason


def body_of(shape: Shape) -> bytes:
    return json.dumps({key: value for key, value in shape.request.items() if value is not None}).encode()
