"""Changes that other systems tell of: a deploy, a flag, a migration of the infrastructure. The body is hostile."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from bot.domain.suspects.happened import Happened, WhatKind
from bot.domain.text.unseen import remove_unseen
from bot.errors import Reason, Refused

MAX_BODY: Final = 64 * 1024
MAX_TOLD: Final = 100
#: How far ahead of our clock a change may be.
MAX_AHEAD: Final = timedelta(minutes=10)
_KINDS: Final = frozenset(set(WhatKind) - {WhatKind.MERGE, WhatKind.ASIDE})
_TEXTS: Final[Mapping[str, int]] = {"service": 100, "what": 200, "who": 80, "source": 200, "id": 100, "at": 40}


@dataclass(frozen=True, kw_only=True)
class ToldChange:
    """One change of a service; `service` "" is every one. The same `key` twice is one change."""

    key: str
    service: str
    happened: Happened


def read_told(body: bytes, now: datetime) -> tuple[ToldChange, ...]:
    """Read one change or a list of them. Raises `Refused` that names what is wrong."""
    try:
        said = json.loads(body.decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise _fault("the body is not JSON") from error
    listed = said if isinstance(said, list) else [said]
    if not 1 <= len(listed) <= MAX_TOLD:
        raise _fault(f"1 to {MAX_TOLD} changes can be told at once")
    return tuple(_read_one(each, now) for each in listed)


def _fault(what: str) -> Refused:
    return Refused(f"changes: {what}.", Reason.BAD_INPUT)


def _read_one(said: object, now: datetime) -> ToldChange:
    if not isinstance(said, dict) or set(said) - {*_TEXTS, "kind"}:
        raise _fault(f"a change is an object of {', '.join(sorted({*_TEXTS, 'kind'}))} and nothing else")
    texts = {name: _read_text(said, name, limit) for name, limit in _TEXTS.items()}
    kind = said.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise _fault(f"kind is one of {', '.join(sorted(_KINDS))}")
    if not texts["what"]:
        raise _fault("what changed is missing")
    happened = Happened(
        kind=WhatKind(kind),
        what=texts["what"],
        who=texts["who"],
        at=_read_time(texts["at"], now),
        source=texts["source"] or "told",
    )
    whole = json.dumps([kind, *sorted(texts.items())])
    key = texts["id"] or hashlib.sha256(whole.encode()).hexdigest()[:32]
    return ToldChange(key=key, service=texts["service"], happened=happened)


def _read_text(said: Mapping[str, object], name: str, limit: int) -> str:
    value = said.get(name, "")
    if not isinstance(value, str) or len(value) > limit:
        raise _fault(f"{name} is a text of at most {limit} characters")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _fault(f"{name} holds half a character") from error
    return " ".join(remove_unseen(value).replace("\0", "").split())


def _read_time(text: str, now: datetime) -> datetime:
    if not text:
        return now
    try:
        at = datetime.fromisoformat(text)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _fault('at is a time like "2026-03-04T12:00:00Z"') from error
    if at > now + MAX_AHEAD:
        raise _fault("at lies in the future")
    return at
