"""Discord's gateway through the SDK's socket: an event's number counts only once the event is dealt with.

After a break the session is resumed behind the last event that counts, so Discord sends again what was not stored yet.
"""

import asyncio
import logging
import zlib
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final

import aiohttp
import structlog
from discord import Client, Intents
from discord.errors import ConnectionClosed
from discord.gateway import DiscordWebSocket, ReconnectWebSocket
from discord.voice_client import VoiceClient

from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from connectors.chat.discord.api import Api, translate

log = structlog.get_logger(__name__)
KINDS: Final = ("INTERACTION_CREATE", "MESSAGE_CREATE")
INTENTS: Final = Intents(guild_messages=True)
"""Messages that name the bot come whole without the privileged intent; presses and commands need none."""
PAUSE: Final = 2.0
"""Seconds before a new session, and before a connection that broke at once is tried again."""
_CONNECT_SECONDS: Final = 30.0
_SHORT: Final = 5.0
_NONSENSE: Final = (KeyError, TypeError, ValueError, AttributeError, RuntimeError, zlib.error)
"""What the SDK ends with where a frame is not as it should be."""
_CLOSE_SECONDS: Final = 1.0
_BAD_TOKEN, _FINAL = 4004, frozenset(range(4010, 4015))

Take = Callable[[str, dict[str, Any]], Coroutine[None, None, None]]


class Ledger:
    """Which events have arrived, and which of them are still being dealt with."""

    def __init__(self, newest: int | None = None) -> None:
        self.newest = newest
        self._open: set[int] = set()

    @property
    def safe(self) -> int | None:
        """The last event before which nothing is open."""
        waiting = tuple(self._open)
        return min(waiting) - 1 if waiting else self.newest

    def begin(self) -> int:
        number = self.newest or 0
        self._open.add(number)
        return number

    def end(self, number: int) -> None:
        self._open.discard(number)


class Socket(DiscordWebSocket):
    """The SDK's socket; what it tells Discord as its last event is the last one that counts."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, *, loop: asyncio.AbstractEventLoop) -> None:
        self.ledger = Ledger()
        super().__init__(socket, loop=loop)

    @property
    def sequence(self) -> int | None:
        return self.ledger.safe

    @sequence.setter
    def sequence(self, value: int | None) -> None:
        if value is None:
            self.ledger = Ledger()
        else:
            self.ledger.newest = value


class Gateway:
    """One session, kept over broken connections, also from one `run` to the next."""

    def __init__(self, api: Api, address: str) -> None:
        self._api = api
        self._address = type(DiscordWebSocket.DEFAULT_GATEWAY)(address)
        self._resume_at = self._address
        self._session: str | None = None
        self._sequence: int | None = None
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._failure: BaseException | None = None

    async def run(self, take: Take) -> None:
        """Listen until cancelled. Raises `Unavailable` or `Rejected` where the connection cannot be had."""
        logging.getLogger("discord.state").setLevel(logging.ERROR)  # it warns of the intents that are not needed here
        VoiceClient.warn_nacl = VoiceClient.warn_dave = False  # nobody speaks here
        client = Client(intents=INTENTS)
        client.loop = asyncio.get_running_loop()
        client.http = client._connection.http = self._api  # noqa: SLF001 -- the SDK has no setting for it
        try:
            while True:
                began = client.loop.time()
                await self._connect(client, take)
                if self._failure is not None:
                    raise self._failure
                if self._session is None or client.loop.time() - began < _SHORT:
                    await asyncio.sleep(PAUSE)
        finally:
            self._failure = None
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def _connect(self, client: Client, take: Take) -> None:
        """Return when the connection broke in a way that a new one mends."""
        await self._api.open()
        socket: Socket | None = None
        try:
            socket = await self._open(client)
            socket._discord_parsers = {kind: self._receiver(socket, kind, take) for kind in KINDS}  # noqa: SLF001 -- else the SDK keeps whole servers in memory
            while True:
                await socket.poll_event()
        except ReconnectWebSocket as broken:
            log.info("discord_reconnects", resumes=broken.resume)
        except ConnectionClosed as closed:
            raise _explain(closed) from closed
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            raise translate(error) from error
        except _NONSENSE as error:
            raise Unavailable("Discord's gateway said what nobody understands.", Reason.SERVER_ERROR) from error
        finally:
            if socket is not None:
                await self._leave(socket)

    async def _open(self, client: Client) -> Socket:
        resumes = self._session is not None
        async with asyncio.timeout(_CONNECT_SECONDS):
            return await Socket.from_client(
                client,
                initial=True,  # the SDK would wait five seconds before a second session
                gateway=self._resume_at if resumes else self._address,
                session=self._session,
                sequence=self._sequence,
                resume=resumes,
            )

    async def _leave(self, socket: Socket) -> None:
        self._session, self._sequence = socket.session_id, socket.sequence
        self._resume_at = socket.gateway
        with suppress(TimeoutError, OSError, aiohttp.ClientError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await socket.close()

    def _receiver(self, socket: Socket, kind: str, take: Take) -> Callable[[dict[str, Any]], None]:
        def receive(data: dict[str, Any]) -> None:
            """Begin with an event; one that is sent again after a break while we are at it is not begun twice."""
            key = f"{kind} {data.get('id')}"
            if key not in self._busy:
                self._busy[key] = asyncio.ensure_future(take(kind, data))
            number = socket.ledger.begin()
            self._busy[key].add_done_callback(partial(self._finish, socket, number, key))

        return receive

    def _finish(self, socket: Socket, number: int, key: str, task: asyncio.Task[None]) -> None:
        self._busy.pop(key, None)
        if task.cancelled():
            return
        if task.exception() is None:
            socket.ledger.end(number)
            return
        self._failure = task.exception()
        self._closing = asyncio.ensure_future(socket.close())


def _explain(closed: ConnectionClosed) -> NightshiftError:
    if closed.code == _BAD_TOKEN:
        return Rejected("Discord does not accept the token; make a new one for the bot.", Reason.REVOKED)
    if closed.code in _FINAL:
        return Rejected(f"Discord's gateway does not take the bot: code {closed.code}.", Reason.NOT_ALLOWED)
    return Unavailable(f"Discord's gateway closed the connection: code {closed.code}.", Reason.UNREACHABLE)
