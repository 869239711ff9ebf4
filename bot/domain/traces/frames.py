"""Stack traces as eight languages print them: from raw texts to frames, the innermost frame last.

Of chained exceptions the one that surfaced gives the name. The frames of an explicit cause come last, because that
is where it began.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from bot.domain.evidence import Frame
from bot.domain.traces.parts import MAX_FRAMES, MAYBE_NAMED, Trace, make_frame, split_exception
from bot.domain.traces.pytest_report import PYTEST_TRIGGER, parse_pytest

MAX_LINES: Final = 400
_WIDTH: Final = 2_000

_CONTAINER: Final = re.compile(r"^[\w.-]{1,64} {0,20}\| ")
_RUNTIME: Final = re.compile(
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:\d\d) (?:std(?:out|err) [FP] )?", re.ASCII
)
_SYSLOG: Final = re.compile(
    r"^(?:<\d{1,3}>)?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d )?[\w.-]{1,64} [\w./-]{1,64}(?:\[\d{1,7}\]): ", re.ASCII
)


def strip_header(text: str) -> str:
    """Return a bounded text without what containers and syslog put before each line; indentation stays."""
    text = text[:_WIDTH].rstrip("\r\n")
    for pattern in (_CONTAINER, _RUNTIME, _SYSLOG):
        text = pattern.sub("", text, count=1)
    return text


def may_start(text: str, following: str) -> bool:
    """Say cheaply whether a trace may begin at `text`; both are stripped."""
    return bool(_TRIGGER.search(text) or _TRIGGER_NEXT.match(following) or MAYBE_NAMED.search(text))


def find_trace(texts: Sequence[str]) -> Trace | None:
    """Return the trace that begins at the first text, None if none does."""
    texts = texts[:MAX_LINES]
    if not texts or _AT.match(texts[0]):
        return None
    for parse in _PARSERS:
        found = parse(texts)
        if found is not None:
            return found
    return None


def parse_stack(stack: str) -> Trace | None:
    """Return the trace inside one field of a structured line."""
    texts = [strip_header(text) for text in stack[: MAX_LINES * _WIDTH].splitlines()[:MAX_LINES]]
    for index in range(min(len(texts), 8)):
        found = find_trace(texts[index:])
        if found is not None:
            return found
    return None


# Python -------------------------------------------------------------------------------------------------------------
_PY_START: Final = "Traceback (most recent call last):"
_PY_FRAME: Final = re.compile(r'^[ |+-]{1,40}File "([^"]{1,500})", line (\d{1,9})(?:, in (.{1,200}))?')
_PY_RAISED: Final = re.compile(r"^([A-Za-z_][\w.]{0,200})(?:: ?(.*))?$")
_PY_CAUSE: Final = "The above exception was the direct cause of the following exception:"
_PY_CHAIN: Final = "During handling of the above exception, another exception occurred:"


def _parse_python(texts: Sequence[str]) -> Trace | None:
    if _PY_START not in texts[0]:
        return None
    frames, kind, message, position = _parse_python_part(texts, 1)
    cause = ""
    while True:
        start, link = _find_link(texts, position)
        if not link:
            break
        cause = f" (after {kind}: {message}"[:299] + ")"
        own, kind, message, position = _parse_python_part(texts, start + 1)
        frames = [*own, *frames] if link == _PY_CAUSE else [*frames, *own]
    return Trace(kind=kind, message=message + cause, frames=tuple(frames[-MAX_FRAMES:]), end=position)


def _parse_python_part(texts: Sequence[str], position: int) -> tuple[list[Frame], str, str, int]:
    frames: list[Frame] = []
    while position < len(texts):
        text = texts[position]
        match = _PY_FRAME.match(text)
        if match is not None:
            frames.append(make_frame(match.group(1), match.group(2), match.group(3) or ""))
        elif text[:1] in {" ", "\t"}:
            if frames and not frames[-1].code and text.strip(" ^~|+-"):
                last = frames[-1]
                frames[-1] = make_frame(last.path, str(last.line), last.function, text)
        else:
            break
        position += 1
    raised = _PY_RAISED.match(texts[position]) if position < len(texts) else None
    if raised is None:
        return frames, "Traceback", "", position
    return frames, raised.group(1)[:200], (raised.group(2) or "").strip()[:500], position + 1


def _find_link(texts: Sequence[str], position: int) -> tuple[int, str]:
    """Return where the next chained traceback begins and how it is linked, or the same place and nothing."""
    for ahead in range(position, min(position + 12, len(texts))):
        text = texts[ahead].strip()
        if text in {_PY_CAUSE, _PY_CHAIN}:
            for start in range(ahead + 1, min(ahead + 4, len(texts))):
                if _PY_START in texts[start]:
                    return start, text
            break
        if _PY_START in text:
            break
    return position, ""


# Java, .NET, Node ---------------------------------------------------------------------------------------------------
_AT: Final = re.compile(r"^\s{1,20}at \S")
_JAVA_FRAME: Final = re.compile(
    r"^\s{1,20}at (?:[\w.@-]{1,80}/{1,2})?([\w.$<>]{1,300})"
    r"\(([^():\s]{1,200}\.\w{1,10}|Unknown Source|Native Method)(?::(\d{1,9}))?\)"
)
_DOTNET_FRAME: Final = re.compile(r"^\s{1,20}at (.{1,600}?\))(?: in (.{1,500}):line (\d{1,9}))?\s*$")
_NODE_FRAME: Final = re.compile(
    r"^\s{1,20}at (?:async )?(?:(.{1,300}?) \()?((?:file://)?[^()\s]{1,500}):(\d{1,9}):\d{1,9}\)?(?: \{)?$"
)
_NODE_NATIVE: Final = re.compile(r"^\s{1,20}at (.{1,300}?) \((native|<anonymous>|index \d{1,9})\)$")
_AT_REST: Final = re.compile(
    r"^\s{0,20}(?:\.\.\. \d{1,9} (?:more|common frames omitted|lines matching)|--- End of |Suppressed: )"
)
_AT_INNER: Final = re.compile(r"^\s{0,20}--- End of inner ")
_AT_CAUSE: Final = re.compile(r"^\s{0,20}(?:Caused by: |---> |\[cause\]: )(.*)$")
_AHEAD: Final = 8


def _parse_at(texts: Sequence[str]) -> Trace | None:
    start = _first_at(texts)
    if start is None:
        return None
    head = next((text for text in texts[:start] if split_exception(text)), texts[start - 1])
    kind, message = split_exception(head) or ("Error", head.strip()[:500])
    causes = [cause.group(1) for text in texts[1:start] if (cause := _AT_CAUSE.match(text))]
    groups: list[list[Frame]] = [[]]
    current, position = groups[0], start
    while position < len(texts):
        text = texts[position]
        cause = _AT_CAUSE.match(text)
        if cause is not None:
            causes.append(cause.group(1))
            groups.append(current := [])
        elif _AT_INNER.match(text):
            # .NET prints the cause's frames first.
            groups.insert(0, current := [])
        elif _AT.match(text):
            current.extend(frame for frame in (_at_frame(text),) if frame is not None)
        elif not _AT_REST.match(text) and not _goes_on(texts, position):
            break
        position += 1
    frames = [frame for group in groups for frame in reversed(group)]
    note = f" (caused by {causes[-1].strip()[:300]})" if causes else ""
    return Trace(kind=kind, message=message + note, frames=tuple(frames[-MAX_FRAMES:]), end=position)


def _first_at(texts: Sequence[str]) -> int | None:
    """Return where the frames begin: right below, or a few lines on where the message has several lines."""
    reach = _AHEAD if split_exception(texts[0]) else 2
    return next((n for n in range(1, min(reach, len(texts))) if _AT.match(texts[n]) and _at_frame(texts[n])), None)


def _goes_on(texts: Sequence[str], position: int) -> bool:
    """Say whether a line between frames is part of a cause's message of several lines."""
    nearby = texts[position + 1 : position + 3]
    return texts[position][:1] in {" ", "\t"} and any(_AT.match(text) or _AT_CAUSE.match(text) for text in nearby)


def _at_frame(text: str) -> Frame | None:
    if match := _JAVA_FRAME.match(text):
        function, path, line = match.groups()
        return make_frame(path, line, function)
    if match := _NODE_FRAME.match(text):
        function, path, line = match.groups()
        return make_frame(path.removeprefix("file://"), line, function or "")
    if match := _NODE_NATIVE.match(text):
        return make_frame(match.group(2), None, match.group(1))
    if match := _DOTNET_FRAME.match(text):
        function, path, line = match.groups()
        return make_frame(path or "", line, function.partition("(")[0])
    return None


# Go -----------------------------------------------------------------------------------------------------------------
_GO_START: Final = re.compile(r"(?:^|\s)(?:panic: |http: panic serving [^ ]{1,100}: |fatal error: )(.*)$")
_GO_ROUTINE: Final = re.compile(r"^goroutine \d{1,12} \[[^\]]{0,100}\]:")
_GO_PLACE: Final = re.compile(r"^\s{1,8}(\S.{0,500}?):(\d{1,9})(?: \+0x[0-9a-f]{1,16})?$")
_GO_OWN: Final = ("panic(", "runtime.", "runtime/debug.", "net/http.(*conn).serve.func")


def _parse_go(texts: Sequence[str]) -> Trace | None:
    match = _GO_START.search(texts[0])
    routine = next((n for n in range(1, min(_AHEAD, len(texts))) if _GO_ROUTINE.match(texts[n])), None)
    if match is None or routine is None:
        return None
    frames: list[tuple[str, Frame]] = []
    position = routine + 1
    while position + 1 < len(texts) and (place := _GO_PLACE.match(texts[position + 1])) is not None:
        call = texts[position].strip()
        name = call.removeprefix("created by ")
        name = name[: name.rfind("(")] if name.endswith(")") else name.partition(" in goroutine ")[0]
        frames.append((call, make_frame(place.group(1), place.group(2), name)))
        position += 2
    thrown = max((n for n, (call, _) in enumerate(frames) if call.startswith("panic(")), default=-1)
    frames = frames[thrown + 1 :]
    while frames and frames[0][0].startswith(_GO_OWN):
        frames.pop(0)
    message = match.group(1).removesuffix(" [recovered]").strip()[:500]
    kind, _, rest = message.partition(": ") if message.startswith("runtime error: ") else ("panic", "", message)
    ordered = tuple(frame for _, frame in reversed(frames[:MAX_FRAMES]))
    return Trace(kind=kind, message=rest, frames=ordered, end=_skip_routines(texts, position))


def _skip_routines(texts: Sequence[str], position: int) -> int:
    """Return the end of the dump of the other goroutines, which tell nothing about this panic."""
    while position < len(texts):
        ahead = position + 1 if not texts[position].strip() else position
        if ahead >= len(texts) or not _GO_ROUTINE.match(texts[ahead]):
            break
        position = ahead + 1
        while position + 1 < len(texts) and _GO_PLACE.match(texts[position + 1]):
            position += 2
    return position


# Ruby ---------------------------------------------------------------------------------------------------------------
_RUBY_HEAD: Final = re.compile(
    r"(?:^|\s)(\S{1,500}?):(\d{1,9}):in [`'](.{1,200}?)': (.*?)(?: \(([A-Z][\w:]{0,200})\))?$"
)
_RUBY_FROM: Final = re.compile(r"^\s{1,20}from (\S{1,500}?):(\d{1,9}):in [`'](.{1,200})'$")
_RUBY_BARE: Final = re.compile(
    r"^\s{0,20}((?:\S{1,300}/)?[\w.-]{1,200}\.(?:rb|erb|ru|rake)):(\d{1,9}):in [`'](.{1,200})'$"
)
_RAILS_HEAD: Final = re.compile(r"(?:^|\s)((?:[A-Z]\w{0,80}::){0,8}[A-Z]\w{1,100}) \((.*)\):?$")


def _parse_ruby(texts: Sequence[str]) -> Trace | None:
    head = _RUBY_HEAD.search(texts[0])
    if head is not None and len(texts) > 1 and _RUBY_FROM.match(texts[1]):
        path, line, function, message, kind = head.groups()
        rest, end = _ruby_frames(texts, 1, _RUBY_FROM)
        frames = (*reversed(rest), make_frame(path, line, function))
        return Trace(kind=kind or "RuntimeError", message=message.strip()[:500], frames=frames, end=end)
    head = _RAILS_HEAD.search(texts[0])
    start = next((n for n in range(1, min(4, len(texts))) if _RUBY_BARE.match(texts[n])), None)
    if head is None or start is None:
        return None
    rest, end = _ruby_frames(texts, start, _RUBY_BARE)
    return Trace(kind=head.group(1), message=head.group(2)[:500], frames=tuple(reversed(rest)), end=end)


def _ruby_frames(texts: Sequence[str], position: int, pattern: re.Pattern[str]) -> tuple[list[Frame], int]:
    frames: list[Frame] = []
    while position < len(texts) and (match := pattern.match(texts[position])) is not None:
        frames.append(make_frame(match.group(1), match.group(2), match.group(3)))
        position += 1
    return frames[:MAX_FRAMES], position


# PHP ----------------------------------------------------------------------------------------------------------------
_PHP_STACK: Final = re.compile(r"(?:^|\s)(?:Stack trace:|\[stacktrace\])\s*$")
_PHP_FRAME: Final = re.compile(
    r"^(?:PHP)?\s{0,6}#\d{1,4} (?:(.{1,500}?)\((\d{1,9})\): |\[internal function\]: )?(.{0,400})$"
)
_PHP_PLACE: Final = re.compile(r"(?: in | at )(/?[^\s():]{1,500}):(\d{1,9})\)?\s*$")
_PHP_KIND: Final = re.compile(
    r"(?:Uncaught |\[object\] \()((?:\w{1,80}\\){0,12}\w{1,100})(?:: |\(code: \d{1,9}\): )(.*)$"
)


def _parse_php(texts: Sequence[str]) -> Trace | None:
    start = next((n for n in range(min(4, len(texts))) if _PHP_STACK.search(texts[n])), None)
    head = _PHP_KIND.search(texts[0])
    if start is None or (head is None and start == 0):
        return None
    place = _PHP_PLACE.search(texts[start - 1] if start else texts[0])
    frames: list[Frame] = [make_frame(place.group(1), place.group(2), "")] if place else []
    position = start + 1
    while position < len(texts) and (match := _PHP_FRAME.match(texts[position])) is not None:
        path, line, function = match.groups()
        if path:
            frames.append(make_frame(path, line, function.partition("(")[0]))
        position += 1
    if position < len(texts) and texts[position].strip().removeprefix("PHP").strip().startswith("thrown in "):
        position += 1
    kind, message = (head.group(1), head.group(2)) if head else ("Error", texts[0].strip())
    message = _PHP_PLACE.sub("", message).strip()[:500]
    return Trace(kind=kind, message=message, frames=tuple(reversed(frames[:MAX_FRAMES])), end=position)


# Rust ---------------------------------------------------------------------------------------------------------------
_RUST_NEW: Final = re.compile(r"thread '([^']{0,100})'(?: \(\d{1,12}\))? panicked at (.{1,500}?):(\d{1,9}):\d{1,9}:$")
_RUST_OLD: Final = re.compile(r"thread '([^']{0,100})' panicked at '(.{0,1000})', (.{1,500}?):(\d{1,9}):\d{1,9}$")
_RUST_CALL: Final = re.compile(r"^\s{1,6}\d{1,4}: (.{1,400})$")
_RUST_PLACE: Final = re.compile(r"^\s{4,30}at (.{1,500}?):(\d{1,9})(?::\d{1,9})?$")


def _parse_rust(texts: Sequence[str]) -> Trace | None:
    if match := _RUST_NEW.search(texts[0]):
        path, line, position = match.group(2), match.group(3), 2
        message = texts[1].strip()[:500] if len(texts) > 1 else ""
    elif match := _RUST_OLD.search(texts[0]):
        message, path, line, position = match.group(2)[:500], match.group(3), match.group(4), 1
    else:
        return None
    frames: list[Frame] = []
    while position < len(texts):
        text = texts[position]
        place = _RUST_PLACE.match(text)
        call = _RUST_CALL.match(text)
        if place is not None and frames:
            frames[-1] = make_frame(place.group(1), place.group(2), frames[-1].function)
        elif call is not None:
            frames.append(make_frame("", None, call.group(1)))
        elif not text.startswith(("stack backtrace:", "note: ")):
            break
        position += 1
    own = [frame for frame in frames if frame.path and not frame.path.startswith("/rustc/")][:MAX_FRAMES]
    if not own or (own[0].path.removeprefix("./"), own[0].line) != (path, int(line)):
        own.insert(0, make_frame(path, line, ""))
    return Trace(kind="panic", message=message, frames=tuple(reversed(own)), end=min(position, len(texts)))


_TRIGGER: Final = re.compile(
    r"Traceback \(most recent call last\):|panic: |panic serving |fatal error: "
    r"|panicked at |Stack trace:|\[stacktrace\]|" + PYTEST_TRIGGER
)
_TRIGGER_NEXT: Final = re.compile(r"^\s{1,20}(?:at|from) \S|^(?:PHP )?Stack trace:|^\[stacktrace\]")
_PARSERS: Final[tuple[Callable[[Sequence[str]], Trace | None], ...]] = (
    parse_pytest,
    _parse_python,
    _parse_go,
    _parse_rust,
    _parse_php,
    _parse_ruby,
    _parse_at,
)
