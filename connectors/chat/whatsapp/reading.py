"""What WhatsApp's webhook says, from its JSON to presses, words and news about what we sent. Pure."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bot.domain.runs.image import Attachment
from bot.domain.text.nesting import is_nested_deeper
from bot.errors import Reason, Rejected
from connectors.chat.fetching import describe

MAX_DEPTH: Final = 20
KEPT: Final = timedelta(days=8)
"""WhatsApp repeats for seven days; what is older is no repetition."""
AHEAD: Final = timedelta(minutes=5)
_MAX_TEXT: Final = 4096
_NUMBER: Final = re.compile(r"[0-9]{5,20}")
_MESSAGE: Final = re.compile(r"[!-~]{1,200}")
_SECONDS: Final = re.compile(r"[0-9]{1,11}")


@dataclass(frozen=True, kw_only=True)
class Tapped:
    """A button, a row of a list, or a button of a template."""

    id: str
    number: str
    at: datetime
    choice: str
    label: str
    under: str = ""


@dataclass(frozen=True, kw_only=True)
class Typed:
    """Words, or a picture or a file with them. `under` is the message of ours that they answer to, "" where there is
    none."""

    id: str
    number: str
    at: datetime
    text: str
    under: str = ""
    files: tuple[Attachment, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What became of a message of ours. `code` and `text` say why it failed; `mark` is what we had sent with it."""

    id: str
    number: str
    status: str
    code: int = 0
    text: str = ""
    mark: str = ""


Event = Tapped | Typed | Fate


def parse(body: bytes) -> Mapping[str, Any]:
    """Return the call as JSON. Raises `Rejected` for what is none, or is nested too deeply."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Rejected("This is no call of WhatsApp.", Reason.BAD_INPUT) from error
    if not isinstance(found, dict) or is_nested_deeper(found, MAX_DEPTH):
        raise Rejected("This is no call of WhatsApp.", Reason.BAD_INPUT)
    return found


def read(call: Mapping[str, Any], phone_number_id: str, now: datetime) -> list[Event]:
    """Return the events for our number, in their order; what is malformed, stale or not for us is left out."""
    events: list[Event] = []
    for change in _dicts(call, "entry", "changes"):
        value = change.get("value")
        if not isinstance(value, dict) or change.get("field") != "messages":
            continue
        about = value.get("metadata")
        if not isinstance(about, dict) or about.get("phone_number_id") != phone_number_id:
            continue
        events += [event for one in _dicts(value, "messages") if (event := _read_message(one, now)) is not None]
        events += [fate for one in _dicts(value, "statuses") if (fate := _read_status(one)) is not None]
    return events


def _read_message(message: Mapping[str, Any], now: datetime) -> Tapped | Typed | None:
    number, name, at = message.get("from"), message.get("id"), _time(message.get("timestamp"))
    if not _fits(_NUMBER, number) or not _fits(_MESSAGE, name) or at is None or not now - KEPT <= at <= now + AHEAD:
        return None
    kind = message.get("type")
    held = message.get(kind) if isinstance(kind, str) else None
    if not isinstance(held, dict):
        return None
    found = _dict(message, "context").get("id")
    under = found if isinstance(found, str) else ""
    if kind == "text" and isinstance(held.get("body"), str):
        return Typed(id=str(name), number=str(number), at=at, text=held["body"][:_MAX_TEXT], under=under)
    if kind in {"image", "document"}:
        text = str(held.get("caption") or "")[:_MAX_TEXT]
        files = (describe(held.get("filename") or kind, held.get("mime_type"), 0, held.get("id")),)
        return Typed(id=str(name), number=str(number), at=at, text=text, under=under, files=files)
    choice, label = _read_choice(str(kind), held)
    if not isinstance(choice, str) or not isinstance(label, str):
        return None
    return Tapped(id=str(name), number=str(number), at=at, choice=choice, label=label, under=under)


def _read_choice(kind: str, held: Mapping[str, Any]) -> tuple[object, object]:
    if kind == "button":
        return held.get("payload"), held.get("text")
    chosen = _dict(held, "button_reply") or _dict(held, "list_reply") if kind == "interactive" else {}
    return chosen.get("id"), chosen.get("title")


def _read_status(status: Mapping[str, Any]) -> Fate | None:
    number, name, kind = status.get("recipient_id"), status.get("id"), status.get("status")
    if not _fits(_NUMBER, number) or not _fits(_MESSAGE, name) or not isinstance(kind, str):
        return None
    error = next(iter(_dicts(status, "errors")), {})
    code, mark = error.get("code"), status.get("biz_opaque_callback_data")
    return Fate(
        id=str(name),
        number=str(number),
        status=kind,
        code=code if isinstance(code, int) else 0,
        text=str(error.get("title") or error.get("message") or "")[:200],
        mark=mark if isinstance(mark, str) else "",
    )


def _dicts(value: Mapping[str, Any], *path: str) -> Iterator[Mapping[str, Any]]:
    """Yield the objects at the end of a path through lists of objects."""
    found = value.get(path[0])
    for item in found if isinstance(found, list) else ():
        if isinstance(item, dict):
            if len(path) == 1:
                yield item
            else:
                yield from _dicts(item, *path[1:])


def _dict(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _fits(shape: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and shape.fullmatch(value) is not None


def _time(value: object) -> datetime | None:
    return datetime.fromtimestamp(int(str(value)), UTC) if _fits(_SECONDS, value) else None
