"""The lines of a CI's log without what the CI put around them, and without what differs from run to run."""

import re
from dataclasses import dataclass
from typing import Final

from bot.domain.text.unseen import remove_unseen

MAX_LINE: Final = 2_000
_ENDS: Final = re.compile(r"\r\n|\r|\n")
_OTHER_ESCAPE: Final = re.compile(r"\x1b[()][0-9A-B]|\x1b[=>78cDEHM]")
_STAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z(?: [0-9a-f]{2}[OE]\+?)?(?: |$)", re.ASCII)
_COLUMNS: Final = re.compile(r"(?P<step>[^\t]{1,200}\t[^\t]{1,200})\t(?=\d{4}-\d\d-\d\dT)", re.ASCII)
_CLOCK: Final = re.compile(
    r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?\]?[ \t]|\[\d\d:\d\d:\d\d\] ", re.ASCII
)
_FOLD: Final = re.compile(
    r"travis_time:start:[0-9a-f]{8}"
    r"|travis_time:end:[0-9a-f]{8}:start=\d{1,20},finish=\d{1,20},duration=\d{1,20}(?:,event=[a-z_]{1,40})?"
    r"|travis_fold:(?:start|end):[A-Za-z0-9_.-]{1,80}?(?=travis_|\$ |[A-Z]|\s|\x1b|$)"
    r"|section_(?:start|end):\d{1,20}:[\w.-]{1,200}(?:\[[^\]]{0,100}\])?",
    re.ASCII,
)
_BARE_COLOUR: Final = re.compile(r"\[\d{1,3}(?:;\d{1,3}){0,4}[mKGJ](?!\])", re.ASCII)
"""What is left of a colour where somebody took the escape characters out of the log."""

_TEMPORARY: Final = re.compile(r"/(?:tmp|temp|_temp|var/folders)/[^\s'\":;,)\]]{1,200}", re.IGNORECASE)
_ID: Final = re.compile(
    r"(?<![^\W_])(?=[0-9a-fA-F_-]{0,40}[0-9])[0-9a-fA-F]{7,64}(?:-[0-9a-fA-F]{4,12}){0,4}(?![^\W_])", re.ASCII
)
_SIZE: Final = re.compile(r"(?<![\d.,])\d[\d.,]{0,20}\s?(?:[kKMGT]i?)?(?:B|bytes?)\b(?:/s\b)?", re.ASCII)
_NUMBER: Final = re.compile(r"\d+(?:[.,:]\d+)*", re.ASCII)
_NONE: Final = re.compile(
    r"\b0(?= (?:failed|failures?|failing|errors?|offenses?|problems?|violations?)\b)"
    r"|(?<=ailures: )0\b|(?<=rrors: )0\b|(?<=ailed: )0\b|(?<=ailures=)0\b|(?<=rrors=)0\b"
    r"|(?<=exited with )0\b|(?<=exit code )0\b|(?<=exit status )0\b|(?<=: exit )0\b",
    re.ASCII,
)
_SPAN: Final = re.compile(r"#\s?(?:ms|s|secs?|seconds?|mins?|minutes?|m#s|h)\b")
_BAR: Final = re.compile(r"([=#*~_.+-])\1{3,}")
_SPACE: Final = re.compile(r"\s+")


@dataclass(frozen=True, kw_only=True)
class CILine:
    """One line: where it stands in the log, the step it belongs to as CI wrote beside it, and what is left to read."""

    number: int
    text: str
    step: str = ""


def read_lines(log: str) -> list[CILine]:
    """Return the lines of a log, numbered from 1: each progress report that overwrote another is one of them."""
    parts = _ENDS.split(log)
    whole = parts[:-1] if not parts[-1] else parts
    return [_read(number, raw[:MAX_LINE]) for number, raw in enumerate(whole, 1)]


def _read(number: int, raw: str) -> CILine:
    text, step = raw, ""
    columns = _COLUMNS.match(text)
    if columns is not None:
        step, text = columns["step"], text[columns.end() :]
    text = _STAMP.sub("", text.removeprefix("\ufeff"), count=1)
    text = _BARE_COLOUR.sub("", remove_unseen(_OTHER_ESCAPE.sub("", _FOLD.sub("", text))))
    text = _CLOCK.sub("", text, count=1) if _CLOCK.match(text) else text
    return CILine(number=number, text=text.rstrip(), step=step)


def mask(text: str) -> str:
    """Return a line with what differs from run to run replaced: numbers, times, sizes, ids, temporary names.

    Whether anything failed stays: no failure and one failure are no mere difference of numbers.
    """
    text = _NONE.sub("none", _TEMPORARY.sub("/temporary/#", text[:MAX_LINE]))
    text = _NUMBER.sub("#", _SIZE.sub("#B", _ID.sub("#", text)))
    return _SPACE.sub(" ", _BAR.sub(r"\1\1\1", _SPAN.sub("#s", text))).strip()
