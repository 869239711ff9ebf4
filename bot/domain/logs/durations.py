"""How long a request took, as a log line says it: JSON, logfmt, access logs and plain sentences, units included."""

import math
import re
from collections.abc import Mapping
from typing import Final

from bot.domain.logs.logfields import flatten, parse_logfmt, parse_object

MAX_SECONDS: Final = 86_400.0
_HEAD: Final = 8_192
_LINE: Final = 65_536

_UNITS: Final[Mapping[str, float]] = {
    **dict.fromkeys(("ns", "nanos", "nanoseconds"), 1e-9),
    **dict.fromkeys(("us", "µs", "μs", "micros", "microseconds"), 1e-6),
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "milliseconds", "millisecond"), 1e-3),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min"), 60.0),
    "h": 3_600.0,
}
_UNIT: Final = "|".join(sorted(_UNITS, key=len, reverse=True))
_NUMBER: Final = r"\d{1,15}(?:\.\d{1,12})?"
_KEY: Final = re.compile(
    r"(?:^|[._])(?:duration|elapsed|latency|took|taken|dur|rt|runtime|(?:response|request|processing|exec(?:ution)?|total"
    rf"|elapsed|upstream[_-]?response|request[_-]?processing)[_-]?time|time[_-]?(?:taken|elapsed)|request[_-]?duration)"
    rf"(?:[_.-]?({_UNIT}))?$"
)
_HINT: Final = re.compile(
    rf"dur|elapsed|latency|took|taken|time|\brt\b|\d ?(?:{_UNIT})\b|HTTP/[\d.]{{1,4}}\" ", re.IGNORECASE
)
_PARTS: Final = re.compile(rf"({_NUMBER}) ?({_UNIT})", re.IGNORECASE)
_CLOCK: Final = re.compile(r"(\d{1,2}):([0-5]\d):([0-5]\d(?:\.\d{1,9})?)")
_SAID: Final = re.compile(
    rf"\b(?:in|took|taken|after|elapsed|duration|latency|time|rt)[\"']?[=: (]{{1,3}}((?:{_NUMBER} ?(?:{_UNIT})){{1,4}})"
    r"(?![\w.])",
    re.IGNORECASE,
)
_LOOSE: Final = re.compile(rf"(?<![\w.])((?:{_NUMBER} ?(?:ns|[uµμ]s|ms|s)){{1,3}})(?![\w.])", re.IGNORECASE)
#: The end of an access log line: status, size, perhaps referer and user agent, then the time.
_ACCESS: Final = re.compile(
    r"\" [1-5]\d\d (?:\d{1,15}|-)(?: \"[^\"]{0,2048}\"){0,3} \"?(\d{1,12}(?:\.\d{1,9})?)\"?\s*$"
)
_MILLIS_BY_HABIT: Final = frozenset({"responsetime", "response-time"})


def read_duration(text: str) -> float | None:
    """Return the seconds that the line says something took, None where it does not say."""
    text = text[:_LINE]
    if not _HINT.search(text):
        return None
    if "{" in text[:256] and (fields := parse_object(text)) is not None:
        flat = flatten(fields)
        return _longest(flat) or _read_message(flat)
    if "=" in text and (found := _longest(parse_logfmt(text))) is not None:
        return found
    return _read_text(text)


def _longest(fields: Mapping[str, object]) -> float | None:
    """Return the longest of the durations: the whole request took longer than its parts."""
    found = [seconds for key, value in fields.items() if (seconds := _read_field(key, value)) is not None]
    return max(found, default=None)


def _read_field(key: str, value: object) -> float | None:
    match = _KEY.search(key)
    if match is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return _read_value(key, value.strip(), match.group(1))
    return _scale(key, value, match.group(1)) if isinstance(value, int | float) else None


def _read_value(key: str, text: str, unit: str | None) -> float | None:
    if len(text) > 40:
        return None
    if re.fullmatch(_NUMBER, text):
        return _scale(key, float(text) if "." in text else int(text), unit)
    if clock := _CLOCK.fullmatch(text):
        return _bound(int(clock[1]) * 3_600 + int(clock[2]) * 60 + float(clock[3]))
    return _add_parts(text) if re.fullmatch(rf"(?:{_PARTS.pattern})+", text, re.IGNORECASE) else None


def _scale(key: str, value: int | float, unit: str | None) -> float | None:
    """Return a bare number in seconds. Without a unit in the key: fractions are seconds, whole numbers milliseconds,
    very large ones nanoseconds, as the usual loggers write them."""
    if isinstance(value, int) and abs(value) > 10**18:
        return None
    if unit is not None:
        return _bound(value * _UNITS[unit])
    if key.rsplit(".", 1)[-1] in _MILLIS_BY_HABIT:
        return _bound(value / 1_000)
    if isinstance(value, float):
        return _bound(value)
    return _bound(value / 1e9 if value >= 1_000_000 else value / 1_000)


def _read_message(flat: Mapping[str, object]) -> float | None:
    message = next((flat[key] for key in ("message", "msg", "event") if isinstance(flat.get(key), str)), None)
    return _read_text(message) if isinstance(message, str) else None


def _read_text(text: str) -> float | None:
    if (access := _ACCESS.search(text[-4_096:])) is not None:
        number = access.group(1)
        return _bound(float(number) if "." in number else int(number) / 1e6)
    text = text[:_HEAD]
    match = _SAID.search(text) or _LOOSE.search(text)
    return _add_parts(match.group(1)) if match else None


def _add_parts(text: str) -> float | None:
    return _bound(sum(float(number) * _UNITS[unit.lower()] for number, unit in _PARTS.findall(text)))


def _bound(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and 0 <= seconds <= MAX_SECONDS else None
