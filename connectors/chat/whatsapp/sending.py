"""The single things that go out to one number: text, buttons, files, templates."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from bot.domain.chat import File, Message, Picture
from bot.domain.text.unseen import make_harmless
from connectors.chat.pace import Credit, insist
from connectors.chat.whatsapp.api import Api
from connectors.chat.whatsapp.choices import Key, build_interactive, build_keys
from connectors.chat.whatsapp.markup import BODY, deaden, fit, units
from connectors.chat.whatsapp.memory import is_page, put
from connectors.chat.whatsapp.settings import Settings

_AT_ONCE: Final = 45
_SECONDS: Final = 6.0
"""To one person Meta takes a message in six seconds, and up to 45 of them at once on credit."""
_SPARE: Final = 8
"""How much of the credit is left to what rings and to answers."""
_LINE: Final = 600
_NAME: Final = 200
_CAPTION: Final = 300
_SUFFIX: Final = ".txt"
"""A phone opens a text file; it does not know what to do with a .diff."""


@dataclass(frozen=True, kw_only=True)
class To:
    """A number, the message there that is answered, and the mark that comes back with what becomes of ours.

    Without a mark it is what somebody asked for: nobody else tries that again. `rings` goes before what does not.
    """

    number: str
    under: str = ""
    mark: str = ""
    rings: bool = False


Files = Sequence[File | Picture]
Step = Callable[[To], Awaitable[str]]


class Sender:
    """Each call sends one message and returns its id."""

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api = api
        self._settings = settings
        self._paces: OrderedDict[str, Credit] = OrderedDict()

    def plan(self, pieces: Sequence[str], message: Message, *, files: Files) -> list[Step]:
        """Return what has to be sent for a message: its text, its buttons under the last of it, its files."""
        keys = build_keys(message)
        if not keys:
            texts, last = list(pieces), None
        elif units(pieces[-1]) <= BODY:
            texts, last = list(pieces[:-1]), pieces[-1]
        else:
            texts, last = list(pieces), fit(name_of(message), _LINE)
        steps: list[Step] = [partial(self.send_text, text) for text in texts]
        if last is not None:
            steps.append(partial(self.send_keys, last, keys))
        return [*steps, *(partial(self._send_attached, file) for file in files)]

    async def send_text(self, text: str, to: To) -> str:
        return await self._send(to, "text", {"body": text, "preview_url": False})

    async def send_keys(self, text: str, keys: Sequence[Key], to: To) -> str:
        return await self._send(to, "interactive", build_interactive(text, keys))

    async def _send_attached(self, file: File | Picture, to: To) -> str:
        return await (self.send_picture(file, to) if isinstance(file, Picture) else self.send_file(file, to))

    async def send_picture(self, picture: Picture, to: To) -> str:
        media = await self._api.upload(_name(picture), picture.data, picture.media_type)
        return await self._send(to, "image", {"id": media, "caption": deaden(picture.caption)[:_CAPTION]})

    async def send_file(self, file: File, to: To) -> str:
        name = _name(file)
        name = name if name.endswith(_SUFFIX) else f"{name}{_SUFFIX}"
        media = await self._api.upload(name, file.text.encode(errors="replace") or b"\n", "text/plain")
        return await self._send(to, "document", {"id": media, "filename": name})

    async def send_template(self, message: Message, to: To) -> str:
        """Send what may go out at any time: one line in an approved form, with buttons that open the rest."""
        show = f"~show|{message.incident}"
        is_call = is_page(message.slot) and bool(message.buttons) and message.buttons[0].form is None
        payloads = [message.buttons[0].id, show] if is_call else [show]
        line = {"type": "text", "text": fit(name_of(message), _LINE)}
        components: list[dict[str, Any]] = [{"type": "body", "parameters": [line]}]
        for index, payload in enumerate(payloads):
            button = {"type": "button", "sub_type": "quick_reply", "index": str(index)}
            components.append({**button, "parameters": [{"type": "payload", "payload": payload}]})
        name = self._settings.page_template if is_call else self._settings.news_template
        language = {"policy": "deterministic", "code": self._settings.template_language}
        return await self._send(to, "template", {"name": name, "language": language, "components": components})

    async def _send(self, to: To, kind: str, content: dict[str, Any]) -> str:
        body: dict[str, Any] = {"recipient_type": "individual", "to": to.number, "type": kind, kind: content}
        if to.under:
            body["context"] = {"message_id": to.under}
        if to.mark:
            body["biz_opaque_callback_data"] = to.mark
        send = partial(self._send_in_turn, body, 0 if to.rings or not to.mark else _SPARE)
        return await send() if to.mark else await insist(send)

    async def _send_in_turn(self, body: dict[str, Any], spare: int) -> str:
        pace = put(self._paces, body["to"], self._paces.get(body["to"]) or Credit(_AT_ONCE, _SECONDS))
        async with pace.turn(spare=spare):
            return await self._api.send(body)


def _name(file: File | Picture) -> str:
    return make_harmless(file.name).replace("/", "_").replace("\n", " ")[:_NAME]


def attached(message: Message) -> Files:
    return (*message.files, *message.pictures)


def name_of(message: Message) -> str:
    """Return the headline with its incident."""
    headline = message.headline
    return headline if headline.startswith(message.incident) else f"{message.incident} · {headline}"
