"""How bad a line says it is."""

import re
from enum import IntEnum
from typing import Final

_REACH: Final = 300
_FATAL: Final = r"FATAL|CRITICAL|CRIT|EMERG(?:ENCY)?|PANIC|ALERT"
_ERROR: Final = r"ERROR|ERR|SEVERE|FAILURE"
_WARNING: Final = r"WARN(?:ING)?"


def _level(words: str, letter: str) -> re.Pattern[str]:
    either = rf"(?:^|[\s\[<(|:,])(?:{words})(?=[\s\]>)|:,]|$)|[\[<(](?i:{words})[\]>)]"
    field = rf'(?i:level|lvl|severity|levelname)["\']?\s{{0,2}}[=:]\s{{0,2}}["\']?(?i:{words})\b'
    return re.compile(rf"{either}|{field}|\s{letter} [\w.]+\s*:")


_LEVELS: Final = (_level(_FATAL, "F"), _level(_ERROR, "E"), _level(_WARNING, "W"))
_WORDS: Final = re.compile(
    r"\b(?:exception|traceback|panicked|panic:|segfault|out of memory|oom-?kill|killed|refused|denied|timed out|timeout"
    r"|failed|failure|cannot|can't|could not|unable|fatal|errors?|abort(?:ed)?|corrupt)\b|Exception\b|Error\b",
    re.IGNORECASE,
)


class Severity(IntEnum):
    """Ordered: worse is more."""

    INFO = 0
    SUSPICIOUS = 1
    WARNING = 2
    ERROR = 3
    FATAL = 4


def find_severity(line: str) -> Severity:
    """Return the level that a line names, or that it sounds bad without one."""
    head = line[:_REACH]
    for severity, pattern in zip((Severity.FATAL, Severity.ERROR, Severity.WARNING), _LEVELS, strict=True):
        if pattern.search(head):
            return severity
    return Severity.SUSPICIOUS if _WORDS.search(head) else Severity.INFO
