"""One error model for every way in which an OpenAI-compatible server says no.

A refusal may come as a status, as a body with status 200, or as an event in a stream; what the body says counts
for more than the status. Shapes seen: a flat error object, an `error` object, an `error` text, `detail`, HTML, nothing.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

from bot.errors import LimitReached, NightshiftError, Reason, Rejected, Unavailable

MAX_TEXT: Final = 300
MAX_WAIT: Final = 600.0

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")
_OVERFLOW: Final = re.compile(
    r"longer than the model'?s context|maximum context length|context[ _](length|window)[ _]exceed"
    r"|prompt is too long|too many (input )?tokens",
    re.IGNORECASE,
)
_BUSY: Final = re.compile(
    r"queue is full|higher priority request|no[_ ]available[_ ]workers|waiting timeout|overloaded", re.IGNORECASE
)
#: A gateway says this of a model that it does not know, and of one whose workers are not there yet.
_NO_WORKER: Final = re.compile(r"no worker available for|no_workers|no_models_available", re.IGNORECASE)
_NOT_ALLOWED: Final = frozenset({401, 403})
_FULL: Final = frozenset({408, 503, 529})
_RETRY: Final = frozenset({408, 409, 425, 429})


class Said(NamedTuple):
    """What a server says of an error: its message, a code (a status, or the code inside the body), and the words for
    programs, which are read and not shown."""

    text: str = ""
    code: int | None = None
    words: str = ""


def load_json(raw: bytes | str) -> Any:  # noqa: ANN401 -- JSON from outside
    """Parse JSON from outside. Raises `ValueError` for whatever is wrong with it."""
    try:
        return json.loads(raw)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_refusal(status: int, body: bytes, headers: Mapping[str, str], now: datetime) -> NightshiftError:
    """Return the error that an answer with another status than 200 stands for."""
    try:
        payload = load_json(body)
    except ValueError:
        payload = None
    said = find_error(payload) or Said()
    if not said.text and not isinstance(payload, dict):
        text = body[:2_000].decode("utf-8", "replace").strip()
        said = said._replace(text="" if text.startswith("<") else text)
    if said.code is None or said.code < 300:
        said = said._replace(code=status)
    return make_error(said, _read_wait(headers, now))


def find_error(payload: object) -> Said | None:
    """Return what a JSON value says where it is an error in one of its shapes, None where it is something else."""
    if not isinstance(payload, dict):
        return None
    error = payload.get("error")
    if error:
        inner = error if isinstance(error, dict) else {"message": error}
        return _read_error(inner)
    if payload.get("object") == "error" or ("message" in payload and "choices" not in payload):
        return _read_error(payload)
    if "detail" in payload and "choices" not in payload:
        return _read_error({"message": payload["detail"]})
    return None


def make_error(answer: Said, wait: float | None = None) -> NightshiftError:
    """Return the error for what a server says."""
    text, code = f"{answer.text} {answer.words}", answer.code
    shown = _clean(answer.text) or _clean(answer.words)
    said = f": {shown}" if shown else ""
    if _OVERFLOW.search(text):
        return LimitReached(f"The conversation is too long for the model{said}", Reason.TOO_LARGE)
    if _NO_WORKER.search(text):
        return Unavailable(f"The model server has no worker for this model{said}", Reason.SERVER_ERROR, wait)
    if code is not None and code < 500 and code not in _RETRY and not _BUSY.search(text):
        return _final(code, shown)
    what, reason = "failed", Reason.SERVER_ERROR
    if code == 429:
        what, reason = "asks for fewer requests", Reason.RATE_LIMITED
    elif code in _FULL or _BUSY.search(text):
        what, reason = "is busy", Reason.OVERLOADED
    return Unavailable(f"The model server {what}{said}", reason, wait)


def _final(code: int, shown: str) -> Rejected:
    """Return the error of a refusal that stays one, however often it is tried."""
    if code in _NOT_ALLOWED:
        why = f" ({shown})" if shown else ""  # what follows "KEY:" reads like one, and would be redacted
        return Rejected(f"The model server refuses the key{why}; set NIGHTSHIFT_MODEL_API_KEY", Reason.NOT_ALLOWED)
    said = f": {shown}" if shown else ""
    if code == 404:
        what = "The model server does not know the model or the path; check NIGHTSHIFT_MODEL_URL and _NAME"
        return Rejected(f"{what}{said}", Reason.NOT_FOUND)
    if 300 <= code < 400:
        return Rejected("The model server redirects; set NIGHTSHIFT_MODEL_URL to where it leads", Reason.BAD_INPUT)
    return Rejected(f"The model server refuses the request ({code}){said}", Reason.BAD_INPUT)


def _read_error(error: Mapping[str, Any]) -> Said:
    message, *words = (_word(error.get(key)) for key in ("message", "code", "type"))
    return Said(message, _code(error), " ".join(word for word in words if word))


def _word(value: object) -> str:
    return value[:2_000] if isinstance(value, str) else ""


def _code(error: Mapping[str, Any]) -> int | None:
    for key in ("code", "status", "type"):
        value = error.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and 100 <= value < 600:
            return value
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) == 3:
            return int(value)
    return None


def _clean(text: str) -> str:
    return " ".join(_CONTROL.sub(" ", text).split())[:MAX_TEXT]


def _read_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read Retry-After: seconds or a date, never more than ten minutes."""
    value = headers.get("Retry-After", "").strip()[:40]
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            at = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        seconds = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), MAX_WAIT) if seconds == seconds else None  # noqa: PLR0124 -- not a number
