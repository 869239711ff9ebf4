"""The web pages as a chat service: posted by the connector, read and pressed over HTTP."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

import aiohttp
import pytest

from bot.domain.chat import Button
from bot.domain.incident import Incident
from bot.errors import Reason, Unavailable
from bot.ports.board import BoardMessage
from bot.web.views import view_message
from connectors.chat.web import Connector, Settings
from tests.contract.chat_suite import ChatContract, ChatRig, RecordingInbox, card, note
from tests.web_html import Element, read_html
from tests.web_world import INCIDENT, FixedClock, MemoryBoard, World, served

_TEXT_TAGS = {
    "article",
    "p",
    "h2",
    "time",
    "bdi",
    "span",
    "div",
    "dl",
    "dt",
    "dd",
    "ul",
    "li",
    "pre",
    "a",
    "strong",
    "code",
}
_FORM_TAGS = {"details", "summary", "form", "button", "input", "fieldset", "legend", "label", "textarea"}
_TAGS = _TEXT_TAGS | _FORM_TAGS | {"select", "option"}
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


class WebRig(ChatRig):
    channel = "web"
    account = "ada@web"
    shows_apart = False

    def __init__(self, world: World, client: aiohttp.ClientSession) -> None:
        self.connector = Connector(Settings(), world.board)
        self._world = world
        self._client = client
        self._told: list[str] = []
        self._last: tuple[str, dict[str, str]] | None = None

    async def _page(self) -> Element:
        async with self._client.get("/incidents/INC-7") as answer:
            assert answer.status == 200
            return read_html(await answer.text())

    def _id(self, ref: str) -> str:
        item: BoardMessage = self._world.board.messages[ref]
        return view_message(item).id

    async def _article(self, ref: str) -> Element:
        return (await self._page()).one("article", id=self._id(ref))

    async def shown(self, ref: str) -> str:
        return (await self._article(ref)).text

    async def file(self, ref: str, name: str) -> str:
        article = await self._article(ref)
        (attached,) = [part for part in article.all("details") if part.all("summary")[0].text == name]
        return "".join(pre.text for pre in attached.all("pre"))

    async def buttons(self, ref: str) -> Sequence[str]:
        article = await self._article(ref)
        asks = [part.one("summary").text.removesuffix("…") for part in article.all("details", **{"class": "ask"})]
        return [button.text for button in article.all("button", name="button")] + asks

    async def live(self, ref: str) -> Sequence[str]:
        found = []
        article = await self._article(ref)
        for element in article.walk():
            names = element.attributes.keys()
            if element.tag not in _TAGS or any(name.startswith("on") or name in {"style", "src"} for name in names):
                found.append(f"<{element.tag} {element.attributes}>")
            href = element.attributes.get("href", "/")
            if not href.startswith(("/", "https://runbooks.example/")):
                found.append(href)
        return [*found, *_INVISIBLE.findall(article.text)]

    async def copies(self, text: str) -> int:
        return sum(text in article.text for article in (await self._page()).all("article"))

    async def is_under(self, ref: str, card: str) -> bool:
        ids = [article.attributes["id"] for article in (await self._page()).one("section", id="thread").all("article")]
        return ids.index(self._id(card)) < ids.index(self._id(ref))

    async def press(self, ref: str, button: Button, values: Mapping[str, str]) -> None:
        article = await self._article(ref)
        forms = article.all("form")
        (form,) = [form for form in forms if form.fields().get("button", _submits(form)) == button.id]
        names = {element.attributes.get("name") for element in form.walk()}
        assert {f"field.{name}" for name in values} <= names
        filled = {f"field.{name}": value for name, value in values.items()}
        await self._send(form.attributes["action"], {**form.fields(), "button": button.id, **filled})

    async def say(self, text: str) -> None:
        form = (await self._page()).one("form", id="say")
        await self._send(form.attributes["action"], {**form.fields(), "text": text})

    async def repeat(self) -> None:
        assert self._last is not None
        await self._send(*self._last)

    async def told(self) -> str:
        return "\n".join(self._told)

    async def _send(self, path: str, fields: dict[str, str]) -> None:
        self._last = (path, fields)
        async with self._client.post(path, data=fields, headers={"Origin": self._world.url}) as answer:
            assert answer.status == 200
            self._told.append(read_html(await answer.text()).one("div", id="notice-text").text)


def _submits(form: Element) -> str:
    return next((button.attributes.get("value", "") for button in form.all("button", name="button")), "")


class TestChatWeb(ChatContract):
    @pytest.fixture
    async def rig(self, inbox: RecordingInbox) -> AsyncIterator[WebRig]:
        async with served(inbox=inbox) as world:
            world.board.change(replace(INCIDENT, id="INC-7"))
            yield WebRig(world, await world.signed_in())

    @pytest.fixture
    def idle(self) -> Connector:
        return Connector(Settings(), MemoryBoard(FixedClock()))

    async def test_a_repeated_post_makes_no_second_copy(self, rig: WebRig) -> None:
        first = await self._post(rig, card(headline="only once"), "key-1")
        second = await self._post(rig, card(headline="only once"), "key-1")
        assert first == second
        assert await rig.copies("only once") == 1

    async def test_the_same_slot_of_two_incidents_is_two_places(self) -> None:
        board = MemoryBoard(FixedClock())
        connector = Connector(Settings(), board)
        await connector.post("web", note(), "key-1", None)
        await connector.post("web", note(incident="INC-8"), "key-2", None)
        assert [item.message.incident for item in board.messages.values()] == ["INC-7", "INC-8"]

    async def test_there_are_no_routes_to_mount(self, idle: Connector, inbox: RecordingInbox) -> None:
        assert idle.webhooks(inbox) == ()

    async def test_check_names_a_store_that_does_not_answer(self) -> None:
        class LockedBoard(MemoryBoard):
            def incidents(self, limit: int = 100) -> Sequence[Incident]:
                raise Unavailable("the database is locked", Reason.TIMEOUT)

        health = await Connector(Settings(), LockedBoard(FixedClock())).check()
        assert not health.ok
        assert "the database is locked" in health.text

    def test_settings_refuse_what_they_do_not_know(self) -> None:
        with pytest.raises(ValueError, match="token"):
            Settings.model_validate({"token": "x"})
