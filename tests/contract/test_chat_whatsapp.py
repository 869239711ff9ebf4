"""WhatsApp as a chat service: our client of the Cloud API against a server on the loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.domain.chat import Button, Message
from bot.ports.chat import ChatPlace
from bot.ports.http import Webhook, WebRequest
from connectors.chat.whatsapp import Connector, Settings
from connectors.chat.whatsapp.reference import read_reference
from tests.contract.chat_suite import ChatContract, ChatRig, RecordingInbox
from tests.whatsapp_server import ANA, PHONE, SECRET, TOKEN, VERIFY, Got, WhatsAppServer

PLACE = ChatPlace(name="whatsapp", accounts={"ana": f"+{ANA}"})
HEAD = "~more|"


class Watched(Connector):
    """Keeps which messages an edit sent: the newest ones are what a reader sees of a message."""

    def __init__(self, settings: Settings, place: ChatPlace, server: WhatsAppServer) -> None:
        super().__init__(settings, place)
        self._server = server
        self.edits: dict[str, list[Got]] = {}

    async def edit(self, channel: str, message: Message, ref: str) -> None:
        before = len(self._server.sent)
        await super().edit(channel, message, ref)
        if sent := self._server.sent[before:]:
            self.edits[ref] = sent


class WhatsAppRig(ChatRig):
    channel = "whatsapp"
    account = f"+{ANA}"

    def __init__(self, connector: Watched, server: WhatsAppServer) -> None:
        self.connector: Watched = connector
        self.server = server

    def parts(self, ref: str) -> list[Got]:
        ids = read_reference(ref).sent[ANA]
        return self.connector.edits.get(ref) or [got for got in self.server.sent if got.id in ids]

    async def shown(self, ref: str) -> str:
        return "\n".join(got.text for got in self.parts(ref) if not got.name)

    async def file(self, ref: str, name: str) -> str:
        (found,) = [got for got in self.parts(ref) if got.name == f"{name}.txt"]
        return found.content

    async def buttons(self, ref: str) -> Sequence[str]:
        return [title for got in self.parts(ref) for _, title in got.keys]

    async def live(self, ref: str) -> Sequence[str]:
        return [text for got in self.parts(ref) for text in got.live()]

    async def copies(self, text: str) -> int:
        return sum(text in got.text for got in self.server.sent)

    async def is_under(self, ref: str, card: str) -> bool:
        return self.parts(ref)[0].under == self.parts(card)[0].id

    async def press(self, ref: str, button: Button, values: Mapping[str, str]) -> None:
        shown = self.parts(ref)
        found = _key(shown, button)
        if found is None:
            before = len(self.server.sent)
            (more,) = [(got, key) for got in shown for key, _ in got.keys if key.startswith(HEAD)]
            await self.server.tap(*more)
            await self.server.wait(lambda got: _key([*self.server.sent[before:]], button) is not None)
            found = _key(self.server.sent[before:], button)
        assert found is not None
        before = len(self.server.sent)
        await self.server.tap(*found)
        for value in values.values():
            await self.fill(before, value)

    async def fill(self, before: int, value: str) -> None:
        """Answer the question that comes after the first `before` messages: by a row, or by typing."""
        async with asyncio.timeout(5):
            while len(self.server.sent) <= before:
                await asyncio.sleep(0.005)
        asked = self.server.sent[before]
        keys = [key for key, _ in asked.keys if key.endswith(value)]
        await (self.server.tap(asked, keys[0]) if keys else self.server.say(value))

    async def told(self) -> str:
        return "\n".join(got.text for got in self.server.sent)

    async def say(self, text: str) -> None:
        await self.server.say(text)

    async def repeat(self) -> None:
        await self.server.repeat()


def _key(shown: Sequence[Got], button: Button) -> tuple[Got, str] | None:
    return next(((got, key) for got in shown for key, _ in got.keys if key.lstrip("?!") == button.id), None)


def settings(server: TestServer, **more: object) -> Settings:
    secrets = {"token": TOKEN, "app_secret": SECRET, "verify_token": VERIFY}
    values = {**secrets, "phone_number_id": PHONE, "url": str(server.make_url("/v23.0")), **more}
    return Settings.model_validate(values)


async def _mount(hooks: Callable[[], Sequence[Webhook]], app: web.Application) -> None:
    async def handle(request: web.Request) -> web.Response:
        asked = WebRequest(
            method=request.method,
            path=request.path,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
            query=dict(request.query),
        )
        (hook,) = [hook for hook in hooks() if (hook.method, hook.path) == (request.method, request.path)]
        answer = await hook.handle(asked)
        return web.Response(status=answer.status, text=answer.body)

    app.router.add_route("*", "/{path:.*}", handle)


@pytest.fixture
def world() -> WhatsAppServer:
    return WhatsAppServer()


@pytest.fixture
async def served(world: WhatsAppServer) -> AsyncIterator[TestServer]:
    async with TestServer(world.app()) as server:
        yield server
    assert world.violations == []


async def _rig(
    world: WhatsAppServer, served: TestServer, inbox: RecordingInbox, place: ChatPlace = PLACE, **more: object
) -> AsyncIterator[WhatsAppRig]:
    """A connector that listens, to which Ana wrote today."""
    connector = Watched(settings(served, **more), place, world)
    app = web.Application(client_max_size=10_000_000)
    await _mount(lambda: connector.webhooks(inbox), app)
    async with TestServer(app) as hook:
        world.hook = str(hook.make_url("/v1/chat/whatsapp"))
        task = asyncio.create_task(connector.run(inbox))
        await world.say("id")
        await world.wait(lambda got: f"+{ANA}" in got.text)
        world.sent.clear()
        yield WhatsAppRig(connector, world)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class TestChatWhatsApp(ChatContract):
    """Everything is told, to somebody who wrote today."""

    @pytest.fixture
    async def rig(self, world: WhatsAppServer, served: TestServer, inbox: RecordingInbox) -> AsyncIterator[WhatsAppRig]:
        async for rig in _rig(world, served, inbox, tell="all"):
            yield rig

    @pytest.fixture
    def idle(self, served: TestServer) -> Connector:
        return Connector(settings(served), PLACE)
