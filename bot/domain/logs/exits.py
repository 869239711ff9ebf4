"""How often a service ended and was started again, as its log and its supervisor's say. Pure."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.domain.evidence import ErrorRecord, LogLine

REACH: Final = 60
MAX_CODE: Final = 255
_HEAD: Final = 2_000
_MAX_CODES: Final = 8
_HINT: Final = re.compile(r"exit|restart|terminated|killed|crashloop|respawn", re.IGNORECASE)
_CODE: Final = re.compile(
    r"\b(?:exited|terminated|stopped|died|exit)\b.{0,60}?"
    r"(?:exit[-_ ]?(?:code|status)|\bcode|\bstatus)\"?[ =:]{1,3}\[?\"?(-?\d{1,3})\b"
    r"|\bexit[-_ ]?(?:code|status)\"?[ =:]{1,3}\"?(-?\d{1,3})\b",
    re.IGNORECASE,
)
_SIGNAL: Final = re.compile(
    r"(?:\bcode=(?:killed|dumped), status=|\b(?:killed|terminated|exited)\b.{0,40}?\bsignal\"?[ =:]{1,3}\"?)"
    r"(\d{1,2}|SIG[A-Z]{2,6}|KILL|SEGV|ABRT)\b",
    re.IGNORECASE,
)
_OUT_OF_MEMORY: Final = re.compile(r"\bOOMKilled\b|\boom[-_ ]kill|\bOut of memory: Killed", re.IGNORECASE)
_RESTART: Final = re.compile(
    r"restart counter is at (\d{1,9})|restart[_ -]?count\"?[ =:]{1,3}\"?(\d{1,9})|\(restart (\d{1,9})\)", re.IGNORECASE
)
_AGAIN: Final = re.compile(
    r"back-?off restarting failed|crashloopbackoff|scheduled restart job|\brestarting\b|\brespawning\b", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class Exits:
    """`codes` are exit codes, signals and "out of memory" with their counts, most frequent first; `restarts` is the
    highest count of restarts that the log shows; `cite` names the newest line that says so, `text` holds it."""

    count: int
    codes: tuple[tuple[str, int], ...]
    restarts: int
    first_at: datetime | None
    last_at: datetime | None
    cite: str
    text: str


@dataclass(frozen=True, kw_only=True)
class _Mark:
    line: LogLine
    code: str = ""
    restarts: int = 0


def find_exits(lines: Sequence[LogLine]) -> Exits | None:
    """Return what the lines say about ends and restarts, None where they say nothing."""
    marks = [mark for line in lines if (mark := _read(line)) is not None]
    if not marks:
        return None
    codes = Counter(mark.code for mark in marks if mark.code)
    again = sum(not mark.code for mark in marks)
    times = [mark.line.at for mark in marks if mark.line.at is not None]
    ends = [mark for mark in marks if mark.code] or marks
    return Exits(
        count=codes.total(),
        codes=tuple(codes.most_common(_MAX_CODES)),
        restarts=max(again, *(mark.restarts for mark in marks)),
        first_at=min(times, default=None),
        last_at=max(times, default=None),
        cite=ends[-1].line.cite,
        text=ends[-1].line.text[:500],
    )


def order_by_exit(records: Sequence[ErrorRecord], lines: Sequence[LogLine]) -> tuple[ErrorRecord, ...]:
    """Put the errors first that stand right before an end of the service: what it died of."""
    ends: dict[str, list[int]] = {}
    for line in lines:
        mark = _read(line)
        if mark is not None and mark.code:
            ends.setdefault(line.source, []).append(line.number)

    def is_last_word(record: ErrorRecord) -> bool:
        last = record.lines[-1] if record.lines else None
        return last is not None and any(0 < end - last.number <= REACH for end in ends.get(last.source, ()))

    return tuple(sorted(records, key=lambda record: not is_last_word(record)))


def _read(line: LogLine) -> _Mark | None:
    text = line.text[:_HEAD]
    if not _HINT.search(text):
        return None
    restarts = max((int(number) for match in _RESTART.findall(text) for number in match if number), default=0)
    if _OUT_OF_MEMORY.search(text):
        return _Mark(line=line, code="out of memory", restarts=restarts)
    if signal := _SIGNAL.search(text):
        return _Mark(line=line, code=f"signal {signal[1].upper()}", restarts=restarts)
    if (code := _CODE.search(text)) and (number := int(code[1] or code[2])) <= MAX_CODE:
        return _Mark(line=line, code=f"exit code {number}", restarts=restarts)
    return _Mark(line=line, restarts=restarts) if restarts or _AGAIN.search(text) else None
