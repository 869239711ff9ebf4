"""The example of docs/new-chat.md as a chat service: its connector against a Parlour on the loopback."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.domain.chat import Button, Paragraph
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.chat import ChatPlace
from tests.contract.chat_suite import ACK, ChatContract, ChatRig, RecordingInbox, card, numbered
from tests.example_chat.parlour import Connector, Settings

PLACE = ChatPlace(name="parlour", accounts={"ana": "ana"})
TOKEN = "parlour-token-of-this-test"
ROOM = "on-call"
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


@dataclass
class Parlour:
    """The far side: keeps what is posted, tells of events until they are answered, refuses what Parlour refuses."""

    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: list[str] = field(default_factory=list)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)
    _count: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/me", self._me)
        app.router.add_post(f"/rooms/{ROOM}/messages", self._post)
        app.router.add_put("/messages/{id}", self._put)
        app.router.add_delete("/messages/{id}", self._delete)
        app.router.add_get(f"/rooms/{ROOM}/events", self._tell)
        app.router.add_post("/events/{id}/answer", self._answer)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=401)
        if self.faults and request.method == "POST":
            status, headers = self.faults.pop(0)
            return web.Response(status=status, headers=headers)
        return await handler(request)

    async def _me(self, _request: web.Request) -> web.Response:
        return web.json_response({"name": "nightshift"})

    async def _post(self, request: web.Request) -> web.Response:
        given = await request.json()
        known = [number for number, one in self.messages.items() if one["key"] == given["key"]]
        if not known:
            self._count += 1
            known = [f"m{self._count}"]
            self._check(given)
            self.messages[known[0]] = given
        return web.json_response({"id": known[0]})

    async def _put(self, request: web.Request) -> web.Response:
        given = await request.json()
        self._check(given)
        self.messages[request.match_info["id"]] |= given
        return web.json_response({})

    async def _delete(self, request: web.Request) -> web.Response:
        del self.messages[request.match_info["id"]]
        return web.json_response({})

    async def _tell(self, request: web.Request) -> web.Response:
        if not self.events:
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(float(request.query["wait"])):
                    await self._news.wait()
        return web.json_response({"events": [*self.events.values()]})

    async def _answer(self, request: web.Request) -> web.Response:
        self.events.pop(request.match_info["id"], None)
        self.answers.append(plain((await request.json())["text"]))
        return web.json_response({})

    def _check(self, given: Mapping[str, Any]) -> None:
        fits = 0 < len(given["text"]) <= 4000 and len(given["buttons"]) <= 20
        fits = fits and all(len(button["label"]) <= 60 for button in given["buttons"])
        self.violations += [] if fits else [str(given)[:200]]

    def happen(self, kind: str, **content: Any) -> None:
        """Let Ana do something."""
        self._count += 1
        self.last = {"id": f"e{self._count}", "kind": kind, "by": "ana", "at": datetime.now(UTC).isoformat(), **content}
        self.repeat()

    def repeat(self) -> None:
        self.events[self.last["id"]] = self.last
        self._news.set()


def plain(text: str) -> str:
    """Return what a reader sees: markup away, escapes resolved."""
    return re.sub(r"\\(.)", r"\1", re.sub(r"(?<!\\)((?:\\\\)*)\*", r"\1", text))


class ParlourRig(ChatRig):
    channel = "parlour"
    account = "ana"

    def __init__(self, connector: Connector, server: Parlour) -> None:
        self.connector = connector
        self.server = server

    def _parts(self, ref: str) -> list[dict[str, Any]]:
        own = [self.server.messages[number] for number in ref.split()]
        head = ref.split(maxsplit=1)[0]
        more = [one for one in self.server.messages.values() if one["under"] == head and one["key"].startswith(ref)]
        return [*own, *(one for one in more if one not in own)]

    async def shown(self, ref: str) -> str:
        return "\n".join(plain(part["text"]) for part in self._parts(ref))

    async def file(self, ref: str, name: str) -> str:
        return next(file["text"] for file in self._parts(ref)[0]["files"] if file["name"] == name)

    async def buttons(self, ref: str) -> Sequence[str]:
        return [button["label"] for button in self._parts(ref)[0]["buttons"]]

    async def live(self, ref: str) -> Sequence[str]:
        found = []
        for part in self._parts(ref):
            text = re.sub(r"\A\*(.*?)(?<!\\)\*", r"\1", part["text"], count=1)
            found += re.findall(r"[!-/:-@\[-`{-~]", re.sub(r"\\.", "", text))
            found += _HIDDEN.findall(part["text"] + "".join(button["label"] for button in part["buttons"]))
        return found

    async def copies(self, text: str) -> int:
        return sum(text in plain(one["text"]) for one in self.server.messages.values())

    async def is_under(self, ref: str, card: str) -> bool:
        return bool(self._parts(ref)[0]["under"] == card.split(maxsplit=1)[0])

    async def press(self, ref: str, button: Button, values: Mapping[str, str]) -> None:
        (drawn,) = [one for one in self._parts(ref)[0]["buttons"] if one["id"] == button.id]
        asked = {one["name"] for one in (drawn["form"] or {"fields": []})["fields"]}
        assert asked == values.keys()
        self.server.happen("press", button=button.id, values=dict(values))

    async def told(self) -> str:
        return "\n".join(self.server.answers)

    async def say(self, text: str) -> None:
        self.server.happen("said", text=text)

    async def repeat(self) -> None:
        async with asyncio.timeout(5):
            while self.server.events:
                await asyncio.sleep(0.005)
        self.server.repeat()


class TestChatParlour(ChatContract):
    @pytest.fixture
    async def served(self) -> AsyncIterator[tuple[Parlour, TestServer]]:
        parlour = Parlour()
        async with TestServer(parlour.app()) as server:
            yield parlour, server
        assert parlour.violations == []

    @pytest.fixture
    def idle(self, served: tuple[Parlour, TestServer]) -> Connector:
        url = str(served[1].make_url("")).rstrip("/")
        return Connector(Settings.model_validate({"url": url, "token": TOKEN, "room": ROOM}), PLACE)

    @pytest.fixture
    async def rig(
        self, served: tuple[Parlour, TestServer], idle: Connector, inbox: RecordingInbox
    ) -> AsyncIterator[ParlourRig]:
        listening = asyncio.create_task(idle.run(inbox))
        yield ParlourRig(idle, served[0])
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)

    async def test_a_repeated_post_makes_no_second_copy(self, rig: ParlourRig) -> None:
        first = await self._post(rig, card(headline="only once"))
        assert (await self._post(rig, card(headline="only once")), await rig.copies("only once")) == (first, 1)

    @pytest.mark.parametrize(
        ("status", "kind", "reason"),
        [
            (429, Unavailable, Reason.RATE_LIMITED),
            (500, Unavailable, Reason.SERVER_ERROR),
            (401, Rejected, Reason.REVOKED),
            (404, Rejected, Reason.NOT_FOUND),
            (400, Rejected, Reason.BAD_INPUT),
        ],
    )
    async def test_errors_say_whether_a_retry_helps(
        self, rig: ParlourRig, status: int, kind: type[Unavailable], reason: Reason
    ) -> None:
        rig.server.faults = [(status, {"Retry-After": "7"})]
        with pytest.raises(kind) as caught:
            await self._post(rig, card())
        assert (caught.value.reason, TOKEN in str(caught.value)) == (reason, False)
        if reason is Reason.RATE_LIMITED:
            assert caught.value.retry_after == 7

    async def test_an_edit_that_grows_and_shrinks_leaves_what_the_last_one_says(self, rig: ParlourRig) -> None:
        ref = await self._post(rig, card())
        for words in (9000, 3000, 6000, 1):
            blocks = (Paragraph(text=" ".join(numbered(f"w{words}x", words // 10 or 1))),)
            await rig.connector.edit(rig.channel, card(blocks=blocks), ref)
            shown = "\n".join(plain(one["text"]) for one in rig.server.messages.values())
            assert shown.count("x0000") == 1
            assert shown.count(f"w{words}x") == (words // 10 or 1)

    async def test_a_press_is_told_again_until_it_is_answered(self, rig: ParlourRig, inbox: RecordingInbox) -> None:
        ref = await self._post(rig, card())
        await rig.press(ref, ACK, {})
        await inbox.wait(1)
        async with asyncio.timeout(5):
            while rig.server.events:
                await asyncio.sleep(0.005)
        assert rig.server.answers == ["Noted."]
