"""What every line of a log begins with, found from a sample: time, level, process, host, logger, in any order.

Nothing is configured. A column belongs to the header when nearly every line has it and its values say that it does: a
time, a level, a number, a bracket, few distinct names before a colon. What is left of a line is its message.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bot.reduction.stamps import SHAPES

SAMPLE: Final = 1_000
_HEAD: Final = 200
_MAX_COLUMN: Final = 12
_MAX_STEPS: Final = 10
_MAX_LAYOUTS: Final = 3
_SHARE: Final = 0.2

_WORDS: Final = (
    "TRACE|DEBUG|INFO|INFORMATION|NOTICE|WARN|WARNING|ERROR|ERR|SEVERE|FATAL|CRITICAL|CRIT|FAILURE|ALERT|EMERG|PANIC"
    "|VERBOSE|CONFIG|FINE|FINER|FINEST"
)
_CASES: Final = "|".join((_WORDS, _WORDS.lower(), *(word.capitalize() for word in _WORDS.split("|"))))
_DASH: Final = "(?:[-–>:|]+[ \t]+)?"
_END: Final = "(?:[ \t|,;][ \t]*|$)" + _DASH
_LEVEL: Final = (
    rf"(?:[\[<(](?:{_CASES}|[VDIWEF])[\]>)]:?|(?:{_CASES}):|(?:{_CASES}|[VDIWEF])(?:[ \t|,;][ \t]*|$))[ \t]*" + _DASH
)
_COLUMN: Final = "[^ \t]+[ \t]+"
_HOST: Final = r"[^ \t:\[\]]+[ \t]+"
_TAG: Final = (
    r"(?:[^ \t:=\[\]]+(?: [^ \t:=\[\]]+){0,3}\[[0-9]+\](?: ?\([^)]*\))?|[^ \t:=]+(?: [0-9][0-9A-Za-z_.]*)?|-- [^ \t:]+)"
    "[ \t]*:(?:[ \t]+|$)"
)
_NUMBER: Final = r"[\[(<#]?-?[0-9]+[\])>]?" + _END
_FIRST: Final = re.compile(r"(?:^|[ \t\[(<|])(?:" + "|".join(f"({shape})" for shape in SHAPES) + r")(?=[ \t\])>|,;]|$)")
#: What goes on with the line before it shows no time, and says nothing about how lines begin.
_GOES_ON: Final = re.compile(
    r"[ \t]|$|Traceback |Caused by|at |goroutine |\.\.\. \d|---|[\w.$:]*(?:Error|Exception|Warning|Interrupt|Exit)\b"
)
_DIGITS: Final = re.compile("[0-9]+")

_JSON_MESSAGES: Final = ("message", "msg", "event", "log", "text", "body", "MESSAGE")
_JSON_TIMES: Final = "@timestamp|timestamp|time|ts|t|datetime|date|asctime|eventTime"
_PAIR: Final = re.compile(r"(?:^|[ \t])[A-Za-z_@][A-Za-z0-9_.@-]*=")


@dataclass(frozen=True, kw_only=True)
class _Step:
    """A column that may come next. `share` of the lines must have it, at most `variety` × lines values."""

    name: str
    pattern: str
    share: float
    variety: float = 1.0
    is_last: bool = False


_STEPS: Final = (
    _Step(name="level", pattern=_LEVEL, share=0.9),
    _Step(name="field", pattern=r"[^|]{0,80}\|[ \t]*", share=0.95),
    _Step(name="tab", pattern="[^\t]{0,80}\t[ \t]*", share=0.95),
    _Step(name="number", pattern=_NUMBER, share=0.95),
    _Step(name="bracket", pattern=r"\[(?:[^\[\]]|\[[^\[\]]*\])*\]:?" + _END, share=0.95),
    *(
        _Step(name=f"{count} columns and level", pattern=_COLUMN * count + _DASH + _LEVEL, share=0.9, variety=0.2)
        for count in range(1, 5)
    ),
    _Step(name="program", pattern=r"[^ \t].{0,60}? - ", share=0.9, variety=0.1, is_last=True),
    _Step(name="logger", pattern=r"[A-Za-z0-9_$-]+(?:[.$/][A-Za-z0-9_$-]+)+" + _END, share=0.95, variety=0.05),
    _Step(name="host and tag", pattern=_HOST + f"(?:{_TAG})?", share=0.8, variety=0.3, is_last=True),
    _Step(name="tag", pattern=_TAG, share=0.8, variety=0.125, is_last=True),
    _Step(name="host, number and tag", pattern=_HOST + _NUMBER + _TAG, share=0.8, variety=0.3, is_last=True),
    _Step(name="padded", pattern="[^ \t:=]+(?:[ \t]{2,}|\t)", share=0.95, variety=0.02),
)
#: A step that is tried by a stricter pattern than it is used with.
_PROOFS: Final = {"host and tag": _HOST + _TAG}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How to take a line apart, as patterns that Python's and Rust's engines read alike.

    `header` matches at the beginning of a line and is dropped; `messages` find the message in group 1 instead, where
    lines are structured; `stamps` find the time in group 1. `columns` says in words what was found.
    """

    header: str = ""
    messages: tuple[str, ...] = ()
    stamps: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


PLAIN: Final = Layout()


def find_layout(lines: Sequence[str]) -> Layout:
    """Return the layout that the lines of a sample share; `PLAIN` where they share none."""
    sample = [line for line in _thin(lines) if line.strip()]
    if not sample:
        return PLAIN
    return _find_structure(sample) or _find_headers(sample)


def _thin(lines: Sequence[str]) -> Sequence[str]:
    return lines[:: max(1, -(-len(lines) // SAMPLE))]


# Structured lines -----------------------------------------------------------------------------------------------------
def _find_structure(lines: Sequence[str]) -> Layout | None:
    enough = 0.8 * len(lines)
    if sum(line.lstrip().startswith("{") and line.rstrip().endswith("}") for line in lines) >= enough:
        for name in _JSON_MESSAGES:
            pattern = rf'"{name}"[ \t]*:[ \t]*"((?:[^"\\]|\\.)*)"'
            if sum(re.search(pattern, line) is not None for line in lines) >= enough:
                stamp = rf'"(?:{_JSON_TIMES})"[ \t]*:[ \t]*"?([^",}}]{{8,40}})'
                return Layout(messages=(pattern,), stamps=(stamp,), columns=("JSON", name))
        return None
    if sum(len(_PAIR.findall(line[:_HEAD])) >= 3 and _PAIR.match(line) is not None for line in lines) < enough:
        return None
    for name in ("msg", "message", "event"):
        begin = rf"(?:^|[ \t]){name}="
        patterns = (begin + r'"((?:[^"\\]|\\.)*)"', begin + r'([^ \t"][^ \t]*)')
        if sum(any(re.search(pattern, line) for pattern in patterns) for line in lines) >= enough:
            stamp = rf'(?:^|[ \t])(?:{_JSON_TIMES})="?([^ \t"]{{8,40}})'
            return Layout(messages=patterns, stamps=(stamp,), columns=("logfmt", name))
    return None


# Headers --------------------------------------------------------------------------------------------------------------
def _find_headers(lines: Sequence[str]) -> Layout:
    """Return one layout for all the ways in which many of the lines begin."""
    headers: list[str] = []
    stamps: list[str] = []
    columns: list[str] = []
    rest = list(lines)
    while len(headers) < _MAX_LAYOUTS and len(rest) >= max(3, _SHARE * len(lines)):
        found = _find_header(rest)
        if found is None:
            break
        headers.append(found.header)
        stamps += found.stamps
        columns += found.columns
        pattern = re.compile(found.header)
        rest = [line for line in rest if not pattern.match(line) and not _GOES_ON.match(line)]
    if not headers:
        return PLAIN
    return Layout(header=f"^(?:{'|'.join(headers)})", stamps=tuple(stamps), columns=tuple(columns))


def _find_header(lines: Sequence[str]) -> Layout | None:
    found = _find_time(lines)
    prefix = ""
    stamps: tuple[str, ...] = ()
    rest = list(lines)
    if found is not None:
        column, shape = found
        before = r"[ \t]*" + (f"(?:{_COLUMN}){{{column}}}" if column else "") + r"[\[(<|]?"
        prefix, stamps = before + f"(?:{shape})" + r"[\])>]?" + _END, (f"^{before}({shape})",)
        pattern = re.compile(prefix)
        rest = [line[match.end() :] for line in lines if (match := pattern.match(line))]
    elif not _has(_STEPS[0], rest):
        return None
    steps: list[_Step] = []
    while len(steps) < _MAX_STEPS and any(rest) and not (steps and steps[-1].is_last):
        step = next((step for step in _STEPS if _has(step, rest)), None)
        if step is None:
            break
        pattern = re.compile(step.pattern)
        rest = [line[match.end() :] if (match := pattern.match(line)) else line for line in rest]
        steps.append(step)
    tail = ""
    for step in reversed(steps):
        tail = f"(?:{step.pattern}{tail})?" if prefix or step is not steps[0] else step.pattern + tail
    names = (("time",) if prefix else ()) + tuple(step.name for step in steps)
    return Layout(header=prefix + tail, stamps=stamps, columns=names)


def _find_time(lines: Sequence[str]) -> tuple[int, str] | None:
    """Return the column of the last time that most lines have in one place, and the shape it mostly has there."""
    columns, shapes = Counter[int](), Counter[tuple[int, int]]()
    for line in lines:
        head = line[:_HEAD]
        found = {}
        for match in _FIRST.finditer(head):
            shape = match.lastindex or 1
            before = head[: match.start(shape)]
            inside = bool(before) and not before[-1].isspace()
            found[len(before.split()) - inside] = shape - 1
        columns.update(found.keys())
        shapes.update(found.items())
    most = max(columns.values(), default=0)
    started = sum(not _GOES_ON.match(line) for line in lines)
    if most < 0.5 * started or most < 0.1 * len(lines):
        return None
    usual = [column for column, count in columns.items() if column <= _MAX_COLUMN and count >= 0.85 * most]
    if not usual:
        return None
    column = max(usual)
    return column, SHAPES[max(range(len(SHAPES)), key=lambda shape: shapes[column, shape])]


def _has(step: _Step, lines: Sequence[str]) -> bool:
    pattern = re.compile(_PROOFS.get(step.name, step.pattern))
    found = [match.group() for line in lines if (match := pattern.match(line)) and match.end()]
    if len(found) < step.share * len(lines):
        return False
    return step.variety >= 1 or len({_DIGITS.sub("0", text) for text in found}) <= max(3, step.variety * len(lines))
