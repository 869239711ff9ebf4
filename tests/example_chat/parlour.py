"""Parlour, a chat service that does not exist: the example of docs/new-chat.md, line by line."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from bot.domain.chat import Bullets, Button, ChatLimits, Code, Fields, File, Link, Message, Press, Said
from bot.domain.text.split import split_text
from bot.domain.text.unseen import make_harmless
from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from bot.ports.chat import ChatInbox, ChatPlace, Health
from bot.ports.http import Webhook

LIMITS: Final = ChatLimits(
    text=4000,
    buttons=20,
    can_edit=True,
    can_thread=True,
    can_answer_privately=True,
    has_forms=True,
    files=True,
    file_bytes=1_000_000,
)
_PIECE: Final = LIMITS.text // 2
"""Characters of plain text in one message: escaped, each may become two."""
_SIGN: Final = re.compile(r"[!-/:-@\[-`{-~]")
_LABEL: Final = 60
_REMEMBERED: Final = 2000


class Settings(BaseModel):
    """What may stand in [channels.<name>] besides `kind`. `room` is where Nightshift writes and listens."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    url: str = Field(pattern=r"^https?://[!-~]+[^/]$")
    token: SecretStr
    room: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    wait_seconds: int = Field(default=20, ge=0, le=60)


class Connector:
    """Posts into one room and listens there. A reference holds the numbers of the messages that one message became."""

    def __init__(self, settings: Settings, place: ChatPlace) -> None:
        self._settings = settings
        self._place = place
        self._grown: dict[str, str] = {}

    @property
    def limits(self) -> ChatLimits:
        return LIMITS

    async def post(self, channel: str, message: Message, key: str, thread: str | None) -> str:  # noqa: ARG002 -- one room
        """Post. Parlour knows a key again and answers with the message that is there."""
        return await self._bring([], message, key, thread.split()[0] if thread else "")

    async def edit(self, channel: str, message: Message, ref: str) -> None:  # noqa: ARG002 -- one room
        """Change the messages there are, send what is missing, take away the rest."""
        there = self._grown.get(ref, ref).split()
        digest = hashlib.sha256(repr(message).encode(errors="replace")).hexdigest()[:8]
        self._grown[ref] = await self._bring(there, message, f"{ref} {digest}", "")
        for number in there[len(self._grown[ref].split()) :]:
            await self._call("DELETE", f"/messages/{number}")
        if len(self._grown) > _REMEMBERED:
            self._grown.pop(next(iter(self._grown)))

    async def run(self, inbox: ChatInbox) -> None:
        """Ask for what people did until cancelled. Parlour tells of an event until it is answered, so the inbox has it
        before Parlour forgets it."""
        while True:
            path, wait = f"/rooms/{self._settings.room}/events", self._settings.wait_seconds
            for event in (await self._call("GET", path, params={"wait": wait}))["events"]:
                await self._take(event, inbox)

    def webhooks(self, inbox: ChatInbox) -> Sequence[Webhook]:  # noqa: ARG002 -- Parlour is asked
        return ()

    async def check(self) -> Health:
        """Say whether the token works."""
        try:
            me = await self._call("GET", "/me")
        except NightshiftError as error:
            return Health(ok=False, text=str(error))
        return Health(ok=True, text=f"@{make_harmless(str(me['name']))} in {self._settings.room}")

    async def _bring(self, there: Sequence[str], message: Message, key: str, under: str) -> str:
        """Let the messages `there`, and as many more as it takes, show this one; return the reference of all."""
        numbers: list[str] = []
        for at, text in enumerate(render(message)):
            head: dict[str, Any] = {"buttons": [], "files": [], "rings": []}
            if at == 0:
                rings = [self._place.accounts[one] for one in message.rings if one in self._place.accounts]
                head = {"buttons": _buttons(message.buttons), "files": _files(message.files), "rings": rings}
            body = {"text": text, **head}
            if at < len(there):
                await self._call("PUT", f"/messages/{there[at]}", json=body)
                numbers.append(there[at])
                continue
            body |= {"key": f"{key} {at}", "under": under or next(iter(numbers), "")}
            posted = await self._call("POST", f"/rooms/{self._settings.room}/messages", json=body)
            numbers.append(str(posted["id"]))
        return " ".join(numbers)

    async def _take(self, event: Mapping[str, Any], inbox: ChatInbox) -> None:
        """Hand in a press or words, and let only the person who did it see the answer."""
        reply = await inbox.receive(self._read(event))
        body = {"text": escape(reply.text), "ok": reply.ok}
        await self._call("POST", f"/events/{event['id']}/answer", json=body)

    def _read(self, event: Mapping[str, Any]) -> Press | Said:
        number, account, at = str(event["id"]), str(event["by"]), datetime.fromisoformat(event["at"])
        name = self._place.name
        if event["kind"] == "press":
            values = {str(key): str(value) for key, value in event["values"].items()}
            return Press(
                event=number,
                channel=name,
                account=account,
                button=str(event["button"]),
                values=values,
                pressed_at=at,
            )
        return Said(event=number, channel=name, account=account, text=str(event["text"]), said_at=at)

    async def _call(self, method: str, path: str, **sent: Any) -> Any:  # noqa: ANN401 -- JSON
        """Call once. Raises `Unavailable` or `Rejected`; no text holds the token."""
        headers = {"Authorization": f"Bearer {self._settings.token.get_secret_value()}"}
        patience = aiohttp.ClientTimeout(total=self._settings.wait_seconds + 10)
        try:
            async with (
                aiohttp.ClientSession(headers=headers, timeout=patience, trust_env=True) as session,
                session.request(method, f"{self._settings.url}{path}", allow_redirects=False, **sent) as answer,
            ):
                if answer.status == 200:
                    return await answer.json()
                raise translate(answer.status, answer.headers.get("Retry-After", ""))
        except TimeoutError as error:
            raise Unavailable("Parlour did not answer in time.", Reason.TIMEOUT) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unavailable(f"Parlour cannot be reached: {type(error).__name__}.", Reason.UNREACHABLE) from error


def translate(status: int, wait: str) -> NightshiftError:
    """Return what a refusal means: whether the dispatcher tries again, and when."""
    if status == 429:
        seconds = float(wait) if wait.isascii() and wait.isdigit() else 1.0
        return Unavailable(f"Parlour asks to wait {seconds:g} s.", Reason.RATE_LIMITED, seconds)
    if status >= 500:
        return Unavailable(f"Parlour failed: {status}.", Reason.SERVER_ERROR)
    if status in {401, 403}:
        return Rejected("Parlour does not accept the token; make a new one.", Reason.REVOKED)
    return Rejected(f"Parlour refused: {status}.", Reason.NOT_FOUND if status == 404 else Reason.BAD_INPUT)


def render(message: Message) -> list[str]:
    """Return the texts of a message: the headline stands out in the first, and nothing else is markup."""
    headline = " ".join(make_harmless(message.headline).split())
    parts = [text for block in message.blocks for text in _lines(block)]
    first, *others = split_text("\n".join([headline, *(make_harmless(part) for part in parts)]), _PIECE)
    rest = first.removeprefix(headline)
    head = f"*{escape(headline)}*{escape(rest)}" if len(headline) < len(first) or not others else escape(first)
    return [head, *(escape(text) for text in others)]


def escape(text: str) -> str:
    """Return text in which no sign means anything to Parlour: no mention, no link, no markup."""
    return _SIGN.sub(r"\\\g<0>", make_harmless(text))


def _lines(block: object) -> list[str]:
    if isinstance(block, Fields):
        return [f"{label}: {value}" for label, value in block.items]
    if isinstance(block, Bullets):
        return [f"• {item}" for item in block.items]
    if isinstance(block, Link):
        return [f"{block.label}: {block.url}"]
    if isinstance(block, Code):
        return [block.text]
    return [str(getattr(block, "text", ""))]


def _buttons(buttons: Sequence[Button]) -> list[dict[str, Any]]:
    """Return buttons as Parlour draws them: their labels are plain text there, and a form opens by itself."""
    drawn = []
    for button in buttons:
        fields = button.form.fields if button.form else ()
        asked = [{"name": one.name, "label": one.label, "choices": [*one.choices]} for one in fields]
        form = {"title": make_harmless(button.form.title), "fields": asked} if button.form else None
        label = make_harmless(button.label)[:_LABEL]
        drawn.append({"id": button.id, "label": label, "style": button.style.value, "form": form})
    return drawn


def _files(files: Sequence[File]) -> list[dict[str, str]]:
    return [{"name": make_harmless(file.name).replace("/", "_"), "text": file.text} for file in files]
