"""One model at several addresses, and a second model while all of these are out.

What is known of an address (does it answer, is it full, what does it understand) outlives the conversations.
"""

import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import uuid4

from pydantic import SecretStr

from bot.errors import LimitReached, NightshiftError, Reason, Unavailable
from bot.ports.model import Completion, Errand, ModelClient, ModelPlace, ModelTry, OnDelta, OnTry, TryResult
from connectors.models.breaker import Breaker, Gate
from connectors.models.openai import Client, Settings, Slow
from connectors.models.openai_facts import learn

BUSY_SECONDS: Final = 1.0
READY_SECONDS: Final = 5.0
"""How long a server that was ready to take something new counts as ready."""
_COMMON: Final = frozenset({"messages", "tools", "stream", "stream_options", "max_tokens", "response_format"})
"""What a request says to any model; the rest is for the one whose settings it is from."""
_RUN_ID: Final = "rid"
"""Only sglang takes an id of ours."""
_BUSY: Final = frozenset({Reason.OVERLOADED, Reason.RATE_LIMITED})


@dataclass(kw_only=True)
class _Server:
    """What is known of one address; `takes` is None until it was asked, `ready_until` tells when to look again."""

    breaker: Breaker = field(default_factory=Breaker)
    busy_until: float = 0.0
    ready_until: float = 0.0
    takes: frozenset[str] | None = None
    last: str = "The model server does not answer"


@dataclass(frozen=True, kw_only=True)
class _Way:
    """One address for one conversation. `place` has this address alone; `number` counts through all of them."""

    number: int
    place: ModelPlace
    server: _Server
    client: Client
    is_second: bool


class Fleet:
    """Opens conversations; one for each process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._servers: dict[tuple[str, str], _Server] = {}

    @asynccontextmanager
    async def open(self, place: ModelPlace, errand: Errand, on_try: OnTry) -> AsyncIterator[ModelClient]:
        """Return the client of one conversation. Raises `Rejected` where an address or a CA file cannot be used."""
        async with AsyncExitStack() as stack:
            ways = []
            for number, url in enumerate(place.all_urls):
                is_second = number >= len(place.urls)
                own = replace(place.second if is_second and place.second else place, url=url, others=(), second=None)
                client = await stack.enter_async_context(Client(_settings(own)))
                server = self._servers.setdefault((own.name, url), _Server())
                ways.append(_Way(number=number, place=own, server=server, client=client, is_second=is_second))
            yield _Conversation(place, _by_affinity(ways, errand.incident), errand, on_try, clock=self._clock)


class _Conversation:
    """`bot.ports.model.ModelClient`: each request goes to the best address there is at that moment."""

    def __init__(
        self, place: ModelPlace, ways: Sequence[_Way], errand: Errand, on_try: OnTry, *, clock: Callable[[], float]
    ) -> None:
        self._extra = place.fields
        self._field = place.reasoning_field
        self._ways = ways
        self._errand = errand
        self._on_try = on_try
        self._clock = clock

    async def complete(self, request: bytes, *, on_delta: OnDelta | None = None, deadline: float) -> Completion:
        """See the port. Tries once, at one address."""
        way = await self._choose()
        if way.server.takes is None:
            way.server.takes = await _learn(way.place)
        request_id = uuid4().hex
        body = self._dress(way, request, request_id)
        try:
            answer = await way.client.attempt(body, on_delta=on_delta, deadline=deadline, request_id=request_id)
        except NightshiftError as error:
            self._note(way, error)
            if way.is_second and isinstance(error, LimitReached):
                text = f"The second model cannot go on with this conversation: {error}"
                raise Unavailable(text, Reason.UNREACHABLE) from error
            raise
        way.server.breaker.succeed()
        self._on_try(ModelTry(server=way.number, result=TryResult.ANSWERED))
        return replace(answer, by=way.place.name) if way.is_second else answer

    async def count_tokens(self, request: bytes) -> int | None:
        """`bot.ports.model.TokenCounter`: asks the address that is next, and none that is out."""
        now = self._clock()
        ways = [way for way in self._ways if not way.is_second and way.server.breaker.gate(now) is Gate.CLOSED]
        return await ways[0].client.count_tokens(request) if ways else None

    async def _choose(self) -> _Way:
        """Return the first address that answers, was not full just now, did not fail last, and is not being stopped."""
        for group in (False, True):
            now = self._clock()
            ways = [way for way in self._ways if way.is_second is group]
            ready = [way for way in ways if way.server.breaker.gate(now) is Gate.CLOSED]
            if ready:
                ready.sort(key=lambda way: (way.server.breaker.has_failed, way.server.busy_until > now))
                return await self._first_that_stays(ready)
            for way in ways:
                if way.server.breaker.gate(now) is Gate.HALF_OPEN and await self._probe(way):
                    return way
        raise self._all_out()

    async def _first_that_stays(self, ways: Sequence[_Way]) -> _Way:
        """Return the first address that is not being stopped, as far as it tells; `Unavailable`: busy for now."""
        for way in ways:
            server, now = way.server, self._clock()
            if _RUN_ID not in (server.takes or ()) or now < server.ready_until:
                return way
            if not await way.client.is_stopping():
                server.ready_until = now + READY_SECONDS
                return way
        raise Unavailable("The model server is being stopped", Reason.OVERLOADED)

    async def _probe(self, way: _Way) -> bool:
        """Ask an address that was out whether it is there again: no conversation waits for one that hangs."""
        breaker = way.server.breaker
        breaker.hold(self._clock())
        way.server.takes = await _learn(way.place)
        if way.server.takes is None:
            breaker.fail(self._clock())
            return False
        breaker.come_back()
        return True

    def _all_out(self) -> Unavailable:
        now = self._clock()
        wait = min(way.server.breaker.left(now) for way in self._ways)
        first = self._ways[0].server.last.rstrip(".")
        text = first if len(self._ways) == 1 else f"None of {len(self._ways)} model servers answers. {first}"
        return Unavailable(text, Reason.UNREACHABLE, wait)

    def _note(self, way: _Way, error: NightshiftError) -> None:
        """Remember what an error says about the address, and tell it."""
        server, now, result = way.server, self._clock(), judge(error)
        if result is TryResult.FAILED:
            server.breaker.fail(now)
            server.last = str(error)
        elif result is TryResult.BUSY:
            wait = error.retry_after if isinstance(error, Unavailable) else None
            server.busy_until = now + (wait or BUSY_SECONDS)
        else:
            server.breaker.succeed()
        is_open = server.breaker.gate(now) is not Gate.CLOSED
        self._on_try(ModelTry(server=way.number, result=result, is_open=is_open))

    def _dress(self, way: _Way, request: bytes, request_id: str) -> bytes:
        """Add what belongs to this one try; the conversation's own bytes stay as they are."""
        ours: dict[str, Any] = {"priority": int(self._errand.priority), _RUN_ID: request_id}
        takes = way.server.takes or frozenset()
        if not way.is_second:
            added = {key: value for key, value in ours.items() if key in takes and key not in self._extra}
            return add_fields(request, added)
        body = {key: value for key, value in json.loads(request).items() if key in _COMMON}
        body["messages"] = [_rename(message, self._field, way.place.reasoning_field) for message in body["messages"]]
        own = way.place.fields
        body |= {"model": way.place.name, **own} | {k: v for k, v in ours.items() if k in takes and k not in own}
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _rename(message: dict[str, Any], name: str, wanted: str) -> dict[str, Any]:
    """Return a message with the thinking behind it under the name that another model wants, without it for ""."""
    if name == wanted or name not in message:
        return message
    kept = {key: value for key, value in message.items() if key != name}
    return kept | ({wanted: message[name]} if wanted else {})


def judge(error: NightshiftError) -> TryResult:
    """Return what an error says about the server that gave it."""
    if isinstance(error, LimitReached):
        return TryResult.TOO_LONG
    if isinstance(error, Slow):
        return TryResult.SLOW
    if not isinstance(error, Unavailable):
        return TryResult.REFUSED
    return TryResult.BUSY if error.reason in _BUSY else TryResult.FAILED


def add_fields(request: bytes, fields: dict[str, Any]) -> bytes:
    """Return a JSON object with further fields at its end."""
    if not fields:
        return request
    return request.rstrip()[:-1] + b"," + json.dumps(fields, separators=(",", ":")).encode()[1:]


def _by_affinity(ways: Sequence[_Way], incident: str) -> list[_Way]:
    """Return the addresses in an incident's own order, the same for each of its conversations."""
    if not incident:
        return list(ways)
    return sorted(ways, key=lambda way: hashlib.sha256(f"{incident}\0{way.place.url}".encode()).digest())


def _settings(place: ModelPlace) -> Settings:
    key = SecretStr(place.api_key) if place.api_key else None
    return Settings(url=place.url, api_key=key, proxy=place.proxy, ca_file=place.ca_file)


async def _learn(place: ModelPlace) -> frozenset[str] | None:
    """Ask an address what it understands; None where it does not answer."""
    try:
        return (await learn(place)).takes
    except Unavailable:
        return None
    except NightshiftError:
        return frozenset()  # it answers, and has no list of models
