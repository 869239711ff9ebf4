"""Failures as pytest reports them, in its long and its short style: from texts to frames, the innermost frame last."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from bot.domain.evidence import Frame
from bot.domain.traces.parts import MAX_FRAMES, Trace, make_frame

#: What a line may begin with, for whoever looks cheaply first.
PYTEST_TRIGGER: Final = r"^_{3,} \S|^(?:FAILED|ERROR) \S+\.py\b"

_TITLE: Final = re.compile(r"^_{3,} (?:ERROR (?:at (?:setup|teardown) of|collecting) )?(\S.{0,300}?) _{3,}$")
_RULE: Final = re.compile(r"^(?:={3,} .*={3,}|_{3,} \S.{0,300} _{3,})$")
_PART: Final = re.compile(r"^(?:_ ){5,}_?$|^-{3,} .*-{3,}$")
_PLACE: Final = re.compile(r"^(\S[^:\n]{0,400}\.py):(\d{1,9}): ?(?:in (\S{1,200}))?(.{0,300})$")
_CALL: Final = re.compile(r"^ {0,80}(?:async )?def (\w{1,200})\(")
_SAID: Final = re.compile(r"^E {1,12}(.*)$")
_RAISED: Final = re.compile(r"^([A-Za-z_][\w.]{0,200})(?:: ?(.*))?$")
_SUMMARY: Final = re.compile(r"^(FAILED|ERROR) (\S{1,400}?\.py)(?:::(\S{1,300}))?(?: - (.*))?$")
_SHOWN: Final = 12


@dataclass(kw_only=True)
class _Section:
    """What was read of one failure so far."""

    frames: list[Frame] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    kind: str = ""
    function: str = ""
    code: str = ""

    def read(self, text: str) -> None:
        if match := _PLACE.match(text):
            self._add_place(*match.groups())
        elif match := _SAID.match(text):
            self.said.append(match.group(1))
        elif match := _CALL.match(text):
            self.function = match.group(1)
        elif text.startswith(">"):
            self.code = text[1:].strip()
        elif text.startswith("    ") and self.frames and not self.frames[-1].code and text.strip(" ^"):
            # The short style shows the line of code below its place.
            last = self.frames[-1]
            self.frames[-1] = make_frame(last.path, str(last.line), last.function, text)

    def _add_place(self, path: str, line: str, function: str | None, rest: str) -> None:
        self.frames.append(make_frame(path, line, function or self.function, "" if function else self.code))
        self.kind = rest.strip() if not function and _RAISED.match(rest.strip()) else self.kind
        self.function = self.code = ""


def parse_pytest(texts: Sequence[str]) -> Trace | None:
    """Return the failure whose title, or whose line in the summary, is the first text."""
    if summary := _SUMMARY.match(texts[0]):
        return _read_summary(summary)
    title = _TITLE.match(texts[0])
    if title is None:
        return None
    section, end = _Section(), 1
    for text in _until_next(texts):
        section.read(text)
        end += 1
    if not section.frames or not (section.said or section.kind):
        return None
    first = section.said[0] if section.said else ""
    raised = _RAISED.match(first)
    named = raised is not None and (raised.group(1).rsplit(".", 1)[-1][:1].isupper() and raised.group(2) is not None)
    kind = raised.group(1) if raised and named else section.kind.partition(":")[0] or "AssertionError"
    head = [raised.group(2) or "", *section.said[1:]] if raised and named else section.said
    message = "\n".join(text.strip() for text in head[:_SHOWN] if text.strip())
    return Trace(kind=kind[:200], message=message[:500], frames=tuple(section.frames[-MAX_FRAMES:]), end=end)


def _until_next(texts: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a failure without what the test printed; all of them count as read."""
    is_printed = False
    for text in texts[1:]:
        if _RULE.match(text):
            return
        if _PART.match(text):
            is_printed = text.startswith("-")
        yield "" if is_printed else text


def _read_summary(match: re.Match[str]) -> Trace:
    _, path, test, said = match.groups()
    raised = _RAISED.match(said or "")
    kind = raised.group(1) if raised and raised.group(2) is not None else "AssertionError"
    message = (raised.group(2) if raised and raised.group(2) is not None else said) or ""
    name = (test or "").partition("[")[0].replace("::", ".")
    return Trace(kind=kind[:200], message=message.strip()[:500], frames=(make_frame(path, None, name),), end=1)
