"""What every language's stack trace is read into, and how its parts are cut out of text."""

import re
from dataclasses import dataclass
from typing import Final

from bot.domain.evidence import Frame

MAX_FRAMES: Final = 128
_NAMED: Final = ("Exception", "Error", "Throwable", "Failure", "Fault", "Warning", "Exit", "Interrupt", "Panic")
MAYBE_NAMED: Final = re.compile("|".join(_NAMED))
_TOKEN: Final = re.compile(r"[\w$.\\:]++")
_PARTS: Final = re.compile(r"\.|\\|::|\$")


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A trace found in a run of texts: `texts[:end]` belong to it."""

    kind: str
    message: str
    frames: tuple[Frame, ...]
    end: int

    @property
    def headline(self) -> str:
        return f"{self.kind}: {self.message}" if self.message else self.kind


def make_frame(path: str, line: str | None, function: str, code: str = "") -> Frame:
    number = int(line) if line and len(line) < 9 else 0
    return Frame(path=path.strip()[:500], line=number, function=function.strip()[:200], code=code.strip()[:300])


def split_exception(text: str) -> tuple[str, str] | None:
    """Return the name and the message of the first exception that `text` names."""
    if not MAYBE_NAMED.search(text):
        return None
    for token in _TOKEN.finditer(text):
        name = token.group().rstrip(".:\\")
        last = _PARTS.split(name)[-1]
        if last[:1].isupper() and last.endswith(_NAMED):
            message = text[token.start() + len(name) :].lstrip(": (")
            return name.lstrip(".:\\")[:200], message.strip()[:500]
    return None
