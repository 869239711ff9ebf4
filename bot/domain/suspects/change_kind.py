"""What a hunk does to a program, read leniently from its lines: which names it touches, and how much it can change."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from bot.domain.suspects.blame import LooseHunk, is_comment

COSMETIC: Final = 0.05
TELLING: Final = 0.15
ADDING: Final = 0.6
CHANGING: Final = 1.0

_DEFINES: Final = re.compile(
    r"^\s*(?:(?:export|default|public|private|protected|internal|static|final|abstract|async|pub(?:\(\w+\))?|override|"
    r"virtual|sealed|unsafe)\s+)*(?:def|class|function\*?|func|fn|module|interface|struct|trait|impl|type)\s+"
    r"(?:\([^)]{0,80}\)\s*)?(?:self\.)?([A-Za-z_$][\w$]*)"
)
_METHOD: Final = re.compile(
    r"^\s+(?:(?:public|private|protected|internal|static|final|abstract|async|override|virtual|get|set)\s+)*"
    r"(?:[\w<>\[\],.?]+\s+)?([A-Za-z_$][\w$]*)\s*\([^;]{0,200}\)\s*(?:throws [\w, .]+)?\{\s*$"
)
_BINDS_FUNCTION: Final = re.compile(
    r"^\s*(?:export\s+)?(?:(?:const|let|var)\s+)?(?:[\w$]{1,60}\.){0,4}([A-Za-z_$][\w$]{0,100})\s*[:=]\s*"
    r"(?:async\s+)?(?:function\b|\([^()]{0,200}\)\s*(?::[^=(){}]{0,80})?=>|[\w$]{1,60}\s*=>)"
)
_ASSIGNS: Final = re.compile(
    r"^(?:export\s+)?(?:const\s+|let\s+|var\s+|final\s+)?([A-Za-z_$][\w$]*)\s*(?::[^=]{0,80})?=[^=>]"
)
_CONTROL: Final = frozenset({"if", "for", "while", "switch", "catch", "return", "else", "with", "do", "try", "match"})
_LOGS: Final = re.compile(r"^\s*(?:self\.|this\.)?_?(?:log|logger|logging|LOG|LOGGER|console|slog)\.\w+\(.*$")
_TEXT: Final = re.compile(r"^\s*[rRbBfFuU]{0,2}(?:\"\"\".*|'''.*|\"[^\"]*\"\s*$|\*.*)$")
_IMPORTS: Final = re.compile(r"^\s*(?:from [\w.]+ import |import [\w.]+|use [\w:]+|#include |require )")
_TOKEN: Final = re.compile(r"[A-Za-z_$][\w$]*|\d[\w.]*|\"[^\"]*\"|'[^']*'|[^\s\w]")
_NAMED_RESULT: Final = re.compile(r"^([ \t]*)(\w+)\s*:?=\s*(.+)\n\1return \2;?$", re.MULTILINE)
_BINDS: Final = re.compile(
    r"(?<![\w.])([A-Za-z_]\w*)(?:,\s*([A-Za-z_]\w*))?\s*(?::?=(?!=)|\bin\b)|\bas\s+([A-Za-z_]\w*)"
)


def touched_names(hunk: LooseHunk) -> frozenset[str]:
    """Return the functions, classes and top-level names whose lines a hunk changes; "" is the file's own level."""
    return frozenset(_walk(hunk))


def assigned_names(hunk: LooseHunk) -> frozenset[str]:
    """Return the names that changed lines of a hunk give a value to on the file's own level."""
    found = (_ASSIGNS.match(line[1:]) for line in hunk.lines if line[:1] in "+-")
    return frozenset(match.group(1) for match in found if match is not None)


def _walk(hunk: LooseHunk) -> Iterator[str]:
    current = defined_name(hunk.heading) or ""
    for line in hunk.lines:
        sign, text = line[:1], line[1:]
        named = defined_name(text)
        if named:
            current = named
        elif (assigned := _ASSIGNS.match(text)) is not None:
            current = ""
            if sign in "+-":
                yield assigned.group(1)
            continue
        if sign in "+-" and text.strip() and not is_comment(text):
            yield current


def defined_name(text: str) -> str:
    """Return the function, method or class that a line begins, else ""."""
    found = _DEFINES.match(text) or _METHOD.match(text) or _BINDS_FUNCTION.match(text)
    return found.group(1) if found is not None and found.group(1) not in _CONTROL else ""


def is_silent(text: str) -> bool:
    """Say whether a line only tells something to people: a comment, a text, what is logged."""
    return not text.strip() or bool(is_comment(text) or _LOGS.match(text) or _TEXT.match(text))


def weigh_hunk(hunk: LooseHunk, *, bound: frozenset[str] = frozenset()) -> float:
    """Return how much a hunk can change, from white space to lines that were there and run otherwise now.

    `bound` are the names that the whole change gives a value to: only those can have been renamed.
    """
    if hunk.is_cosmetic:
        return COSMETIC
    added = [text for text in hunk.added if not is_silent(text)]
    removed = [text for text in hunk.removed if not is_silent(text)]
    if all(_IMPORTS.match(text) for text in (*added, *removed)):
        return TELLING
    before, after = _read_tokens(removed), _read_tokens(added)
    if before == after or (before and is_renaming(before, after, bound)):
        return TELLING
    return ADDING if _is_within(removed, added) else CHANGING


def bound_names(hunks: Iterable[LooseHunk]) -> frozenset[str]:
    """Return the names that changed lines of several hunks give a value to."""
    return frozenset(
        name
        for hunk in hunks
        for line in hunk.lines
        if line[:1] in "+-"
        for match in _BINDS.finditer(line[1:])
        for name in match.groups()
        if name
    )


def is_renaming(before: Sequence[str], after: Sequence[str], bound: frozenset[str]) -> bool:
    """Say whether the same tokens stand on both sides but for names that have other names now, each always the same."""
    if len(before) != len(after):
        return False
    there, back = dict[str, str](), dict[str, str]()
    for old, new in zip(before, after, strict=True):
        if there.setdefault(old, new) != new or back.setdefault(new, old) != old:
            return False
    return all(old == new or (old in bound and new in bound) for old, new in there.items())


def _read_tokens(lines: Sequence[str]) -> list[str]:
    """Return the tokens of lines; a value that is named and then returned reads as the value returned."""
    return _TOKEN.findall(_NAMED_RESULT.sub(r"\1return \3", "\n".join(lines)))


def _is_within(removed: Sequence[str], added: Sequence[str]) -> bool:
    """Say whether nothing is lost: each line that went is there again, a signature perhaps with more in it."""
    left = [text.strip() for text in added]
    for text in (each.strip() for each in removed):
        same = next((each for each in left if each == text or _extends(text, each)), None)
        if same is None:
            return False
        left.remove(same)
    return True


def _extends(old: str, new: str) -> bool:
    """Say whether a definition takes more than before, and nothing less."""
    name = defined_name(old)
    head, _, _ = old.rpartition(")")
    return bool(name) and name == defined_name(new) and new.startswith(head.rstrip(", ")) and len(new) > len(old)
