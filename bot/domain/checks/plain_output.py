"""What a red check prints where no error is told in a form of its own: TAP, a shell script, a compiler."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from bot.domain.evidence import ErrorRecord, Frame, LogLine
from bot.domain.text.file_names import is_test_file
from bot.domain.traces.parts import make_frame, split_exception

MAX_LINES: Final = 60
MAX_READ: Final = 1_000
MAX_PLACES: Final = 16
_REACH: Final = 500
_PLACE: Final = re.compile(
    r"(?<![\w.@/$<-])(?:([\w.$<>]{1,100}) \()?((?:[\w.@-]{0,80}/){0,20}[\w.@-]{1,80}\.[A-Za-z]\w{0,7}):(\d{1,8})\b"
)
_FAULT: Final = re.compile(
    r"error|fail|assert|expected|panic|fatal|cannot|could not|not found|\bnot ok\b", re.IGNORECASE
)
_WELL: Final = re.compile(r"^\s{0,20}(?:ok\b|#|\d{1,6}\.\.\d|-{3}$|\.{3}$|duration_ms|PASS\b)")


def tell_output(lines: Sequence[LogLine], files: Iterable[str] = ()) -> ErrorRecord | None:
    """Return the output as one error: the lines that may tell why, and the places that they name, the first as the
    innermost frame. `files` are those that the command names, the outermost. None where nothing is said."""
    told = [line for line in lines[-MAX_READ:] if line.text.strip() and not _WELL.match(line.text)]
    if not told:
        return None
    faults = [line for line in told if _FAULT.search(line.text[:_REACH])]
    headline = (faults or told[-1:])[0].text.strip()[:_REACH]
    named = next(filter(None, (split_exception(line.text[:_REACH]) for line in faults)), None)
    places = [*_find_places(told), *(Frame(path=path, line=0, function="", code="") for path in files)]
    return ErrorRecord(
        headline=headline,
        kind=named[0] if named else "ERROR",
        frames=tuple(reversed(places)),
        lines=tuple(told[-MAX_LINES:]),
    )


def _find_places(lines: Iterable[LogLine]) -> list[Frame]:
    """Return the places that lines name, those in tests last: they call what fails."""
    found = dict.fromkeys(
        make_frame(path, number, function)
        for line in lines
        for function, path, number in _PLACE.findall(line.text[:_REACH])
    )
    return sorted(found, key=lambda frame: is_test_file(frame.path))[:MAX_PLACES]
