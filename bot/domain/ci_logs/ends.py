"""Where in a CI's log the command stands that failed: from its beginning to the line that says so."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bot.domain.ci_logs.text import CILine

_CODE: Final = r"(?!0\b)-?\d{1,10}"
_STATUSES: Final = (
    rf"##\[error\].{{0,400}}exit(?:ed with)? code {_CODE}",
    r"##\[error\]The (?:operation|job) .{0,200}(?:canceled|exceeded)",
    rf"(?!ERROR: ).{{0,1000}}\" (?:failed and )?exited with {_CODE}(?: during\b|\.$|$)",
    r"No output has been received in the last \d",
    r"The job exceeded the maximum (?:time|log)",
    r"ERROR: Job failed\b",
    r"ERROR: Job execution timed? ?out",
    rf"ERROR: script returned exit code {_CODE}",
    r"Build step '.{1,200}' (?:marked build as failure|changed build result to FAILURE)",
    r"Build timed out\b",
    rf"program finished with exit code {_CODE}",
    rf"Exited with code (?:exit status )?{_CODE}",
    rf"Command exited with code {_CODE}",
    rf".{{0,40}}The command exited with status {_CODE}",
    rf"== [^:]{{1,100}}: (?:exit {_CODE}|stopped by the limit on )",
)
_TOOLS: Final = (
    r"(?:make|gmake)(?:\[\d{1,3}\])?: \*\*\* .{0,400}Error \d",
    r"ninja: build stopped",
    r"npm ERR! ",
    r"error Command failed with exit code",
    r"\[ERROR\] (?:Failed to execute goal|BUILD FAILED)",
    r"BUILD FAILED\b",
    r"FAILURE: Build failed",
    r"error: (?:could not compile|aborting due to|test failed)",
    r"error: Recipe .{1,200} failed",
    r"FAILED \((?:failures|errors)=",
    r"FAIL\t",
    r"=+ .{0,100}\b\d{1,9} (?:failed|errors?)\b",
    r"rake aborted!",
    r"\*\* (?:BUILD|TEST|ARCHIVE) FAILED",
    r"\d{1,9} examples?, [1-9]\d{0,9} failures?",
    r"(?:ERRORS|FAILURES)!$",
    r"Result: FAIL",
    r"Tests?:? .{0,100}[1-9]\d{0,9} failed",
    r"(?:ERROR: |\[error\] ).{0,200}(?:failed|error)",
    r"Finished: FAILURE",
)
_STATUS: Final = re.compile("|".join(_STATUSES))
_TOOL: Final = re.compile("|".join(_TOOLS))
_LOCAL: Final = re.compile(r"== (?P<check>[^:]{1,100}): ")
_ERROR: Final = "##[error]"
MAX_SPANS: Final = 20
_STEP: Final = re.compile(r"##\[group\]Run |##\[section\]Starting: ")
_TRAVIS: Final = re.compile(r"(?:The command \")?(?P<command>.{0,1000})\" (?:failed and )?exited with \d")
_ECHO: Final = re.compile(r"(?:\d{1,6}(?:\.\d{1,3})?s)?\$ (?P<command>.{1,1000})")


@dataclass(frozen=True, kw_only=True)
class Span:
    """The output of what failed: `begin` up to, and without, `end`. `is_marked`: the CI itself says that it failed.

    `is_step`: CI divides its log into steps, so that nothing outside belongs to the failure.
    """

    begin: int
    end: int
    is_marked: bool = False
    is_step: bool = False


def find_spans(lines: Sequence[CILine]) -> list[Span]:
    """Return where the outputs of the failed commands stand; the whole log where nothing says which they are."""
    spans: list[Span] = []
    for mark in _find_marks(lines):
        begin = _find_begin(lines, mark)
        is_step = bool(lines[mark].step) or _STEP.match(lines[begin].text) is not None
        begin = max(begin, spans[-1].end if spans else 0)
        spans.append(Span(begin=begin, end=mark + 1, is_marked=True, is_step=is_step))
    if spans:
        return spans
    ends = (place for place in range(len(lines) - 1, -1, -1) if _TOOL.match(lines[place].text))
    return [Span(begin=0, end=next(ends, len(lines) - 1) + 1)]


def _find_marks(lines: Sequence[CILine]) -> list[int]:
    """Return the places of the lines by which CI says that a command failed, else of the first that marks an error."""
    marks = [place for place, line in enumerate(lines) if _STATUS.match(line.text)][:MAX_SPANS]
    return marks or [place for place, line in enumerate(lines) if line.text.startswith(_ERROR)][:1]


def _find_begin(lines: Sequence[CILine], mark: int) -> int:
    step, ended, local = lines[mark].step, _TRAVIS.match(lines[mark].text), _LOCAL.match(lines[mark].text)
    if step:
        outside = (place + 1 for place in range(mark, -1, -1) if lines[place].step != step)
        return next(outside, 0)
    if ended is not None:
        return _find_echo(lines, mark, ended["command"])
    if local is not None:
        return next((place for place in range(mark - 1, -1, -1) if lines[place].text.startswith(local[0])), 0)
    return next((place for place in range(mark, -1, -1) if _STEP.match(lines[place].text)), 0)


def _find_echo(lines: Sequence[CILine], mark: int, command: str) -> int:
    """Return where a command was shown before it ran, or where the one before it ended."""
    for place in range(mark - 1, -1, -1):
        shown = _ECHO.match(lines[place].text)
        if shown is not None and shown["command"].strip() == command.strip():
            return place
        if _TRAVIS.match(lines[place].text):
            return place + 1
    return 0
