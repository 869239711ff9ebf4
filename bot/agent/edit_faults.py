"""What is wrong with an edit that cannot be applied: models mix in other ways of writing edits, and copy inexactly.

Each answer says what is right: a model that reads it can mend its edit in one more step.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Final

from bot.agent.likely import list_likely

MOST_SHOWN: Final = 160
DOUBLED: Final = 12
"""Characters of one repeated neighbour from which that is no accident; two lines are never one."""
_MARKERS: Final = re.compile(
    r"^(?:<{5,9} ?(?:SEARCH|HEAD|ORIGINAL|OLD)?|={5,9}|>{5,9} ?(?:REPLACE|UPDATED|NEW)?"
    r"|\*\*\* (?:Begin Patch|End Patch|End of File|(?:Update|Add|Delete) File: .*)"
    r"|@@(?: -\d.*@@.*| .*)?|diff --git .*|\\ No newline at end of file"
    r"|</?(?:old|new|old_str|new_str|search|replace|edit|code)>)\s*$"
)
_DOTS_AND_WORDS: Final = re.compile(
    r"(?:(?:#|//|/\*|--|;|<!--|%|\*)\s*(?:\.\.\.|…)\s*\(?|\.\.\.(?:\s+\(?|\()|…\s*\(?)"
    r"(?:the )?(?:rest|existing|unchanged|same|remaining|previous|other|code|snip|omitted|as before)\b",
    re.IGNORECASE,
)
_DOTS_ALONE: Final = re.compile(r"(?:#+|//+|\{?/\*+|--+|;+|<!--|%+)?\s*[\[(<]?(?:\.{3,}|…)[\])>]?\s*(?:\*/\}?|-->)?$")
_WORDS_ALONE: Final = re.compile(
    r"(?:#+|//+|\{?/\*+|--+|;+|<!--|%+)\s*[\[(]?(?:\.\.\.|…)?\s*(?:(?:the )?(?:rest|remainder|remaining) .*"
    r"\b(?:unchanged|same|before|here|omitted|is)\b|(?:keep|existing|previous|original|other|unchanged|same) "
    r".*\b(?:here|unchanged|same|before|above|remains?|omitted|is)\b"
    r"|(?:existing|unchanged|remaining|same|previous|original) (?:code|methods?|functions?|logic|lines|as before)\b"
    r"|unchanged\b|code omitted\b|no changes?\b)",
    re.IGNORECASE,
)
"""A comment that stands for code: counted against where the edit also takes lines away."""
_WORD: Final = re.compile(r"\w+")
_FENCE: Final = re.compile(r"^\s*(?:```|~~~)")
_NUMBERED: Final = re.compile(r"^\s*(\d{1,6})(?:[:|→\t]|  ?\|)")
_DOCUMENTS: Final = frozenset({".md", ".markdown", ".mdx", ".rst", ".txt", ".adoc", ".diff", ".patch"})
_SAME: Final = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u00ab": '"',
        "\u00bb": '"',
        "\u2010": "-",
        "\u2011": "-",
        "\u2012": "-",
        "\u2013": "-",
        "\u2014": "-",
        "\u2212": "-",
        "\u200b": None,
        "\u200c": None,
        "\u200d": None,
        "\ufeff": None,
        "\u00ad": None,
    }
)
_ALIKE: Final = str.maketrans("аеорсухіјѕАВЕКМНОРСТХΑΒΕΗΙΚΜΝΟΡΤΧο", "aeopcyxijsABEKMHOPCTXABEHIKMNOPTXo")


# Code left out --------------------------------------------------------------------------------------------------------
def find_lazy(path: str, old: str, new: str) -> str:
    """Return what to say where a line of `new` only stands for code that it leaves out; else ""."""
    mine, before = _list_filled(new), _list_filled(old)
    kept = set(before)
    takes_away = not kept <= set(mine)
    for line in mine:
        bare = line.strip()[:MOST_SHOWN]
        if line in kept:
            continue
        is_lazy = bool(_DOTS_AND_WORDS.match(bare))
        if not _is_document(path):
            # Python's own dots come in where nothing goes: a stub
            is_lazy |= bool(_DOTS_ALONE.match(bare)) and (takes_away or not path.endswith((".py", ".pyi")))
            is_lazy |= bool(_WORDS_ALONE.match(bare)) and len(mine) <= len(before)
        if is_lazy:
            return f"`new` leaves code out ({bare[:60]!r}); write every line that must stay"
    return ""


def _list_filled(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def opens_text(old: str, new: str) -> bool:
    """Say whether `new` brings in a text of several lines, whose lines must not be moved as code is."""
    kept = set(old.splitlines())
    return any(line.count(quote) % 2 for line in new.splitlines() if line not in kept for quote in ('"""', "'''"))


# Other ways of writing edits ------------------------------------------------------------------------------------------
def find_foreign(path: str, old: str, new: str) -> str:
    """Return what in `new` belongs to another way of writing edits, and not into the file; "" where nothing does."""
    mine, kept = new.splitlines(), set(old.splitlines())
    added = [line for line in mine if line not in kept]
    if not _is_document(path):
        marker = next((line for line in added if _MARKERS.match(line)), "")
        if marker:
            return f"`new` holds a mark of another edit format ({marker.strip()[:60]!r}); give the file's text alone"
        if _is_fenced(mine) and not _is_fenced(old.splitlines()):
            return "`new` stands in a code fence; give the file's text alone"
        if _is_signed(added, "+") and not _is_signed(old.splitlines(), "+"):
            return "`new` has diff signs before its lines; give the lines as they will stand in the file"
    if old and _is_numbered(mine) and not _is_numbered(old.splitlines()):
        return "`new` has line numbers before its lines; leave them out"
    return ""


def _is_document(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in _DOCUMENTS


def find_mixed(path: str, old: str, new: str) -> str:
    """Return what to say where `new` brings a word in that mixes letters which only look alike; else ""."""
    if _is_document(path) or new.isascii():
        return ""
    kept = set(_WORD.findall(old))
    for word in _WORD.findall(new):
        own, foreign = re.search("[A-Za-z]", word), next((c for c in word if ord(c) in _ALIKE), "")
        if own and foreign and word not in kept:
            return (
                f"`new` has U+{ord(foreign):04X}, which looks like a Latin letter, in {word[:60]!r}; write the letter"
            )
    return ""


def _is_fenced(lines: Sequence[str]) -> bool:
    return any(_FENCE.match(line) for line in (*lines[:1], *lines[-1:]))


def _is_signed(lines: Iterable[str], signs: str) -> bool:
    """Say whether every line that is not blank begins with a sign of a diff, and at least one is there."""
    filled = [line for line in lines if line.strip()]
    return bool(filled) and all(line[0] in signs and not line.startswith(("++", "--")) for line in filled)


def _is_numbered(lines: Iterable[str]) -> bool:
    """Say whether the lines count upwards by one, as tools that show a file number them."""
    found = [_NUMBERED.match(line) for line in lines if line.strip()]
    if len(found) < 2 or any(match is None for match in found):
        return False
    numbers = [int(match[1]) for match in found if match]
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


# Neighbours repeated --------------------------------------------------------------------------------------------------
def find_doubled(text: str, start: int, end: int, new: str) -> str:
    """Return what to say where `new` repeats lines that stand in the file right before or after the place; else ""."""
    if (start and text[start - 1] != "\n") or not new:
        return ""
    own, replaced = new.removesuffix("\n").split("\n"), text[start:end].removesuffix("\n").split("\n")
    after = text[end:].removeprefix("\n").split("\n")
    before = text[:start].removesuffix("\n").split("\n") if start else []
    tail = _overlap(own, after)
    if tail and replaced[-len(tail) :] != tail:
        return _tell_doubled(tail, "after")
    front = _overlap(before, own)
    if front and replaced[: len(front)] != front:
        return _tell_doubled(front, "before")
    return ""


def _overlap(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Return the longest end of `first` that is the beginning of `second`, if it is long enough to mean something."""
    for count in range(min(len(first), len(second), 400), 0, -1):
        common = list(first[-count:])
        filled = [line.strip() for line in common if line.strip()]
        if common == list(second[:count]) and (len(filled) > 1 or len("".join(filled)) >= DOUBLED):
            return common
    return []


def _tell_doubled(lines: Sequence[str], where: str) -> str:
    line = next(line for line in lines if line.strip()).strip()[:80]
    return (
        f"`new` repeats what stands right {where} the place ({line!r}), so it would stand there twice; "
        "leave it out of `new`, or copy it into `old` too"
    )


# Another indentation --------------------------------------------------------------------------------------------------
def find_misplaced(old: str, new: str) -> str:
    """Return what to say where `new` begins at another indentation than the lines it replaces by mistake; else "".

    No mistake: nothing but the indentation changes, or a line of both keeps its own.
    """
    before, after = [[line for line in text.split("\n") if line.strip()] for text in (old, new)]
    if not before or not after or _indent(before[0]) == _indent(after[0]) or set(before) & set(after):
        return ""
    if [line.strip() for line in before] == [line.strip() for line in after]:
        return ""
    return (
        f"`new` begins with other indentation than the lines it replaces ({before[0][:60]!r}); give both the file's, "
        "or, where that is meant, a line more that stays"
    )


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


# Why it is not there --------------------------------------------------------------------------------------------------
def explain_absence(text: str, old: str) -> str:
    """Say what is different: the nearest line helps more than "not found"."""
    wanted = [line for line in old.split("\n") if line.strip()]
    habit = _find_habit(text, wanted)
    if habit:
        return habit
    stripped = {line.strip(): line for line in reversed(text.split("\n"))}
    for line in wanted[:200]:
        if line.strip() not in stripped:
            return _explain_line(stripped, line)
    if "\r\n" in text and old in text.replace("\r\n", "\n"):
        return "the file mixes line ends (CRLF and LF); give one edit per line, without the line end in `old` and `new`"
    if _strip_ends(old) in _strip_ends(text):
        return "the lines of `old` are in the file with other white space at their ends; copy them exactly"
    if "\t" in old or "\t" in text:
        return "the lines of `old` are in the file, with other indentation (tabs, spaces); copy it exactly"
    return "the lines of `old` are in the file, but not together, or with other white space; read the file again"


def _find_habit(text: str, wanted: Sequence[str]) -> str:
    lines = set(text.split("\n"))
    foreign = [line for line in wanted if line not in lines]
    if any(_MARKERS.match(line) for line in foreign):
        return "`old` holds marks of another edit format; copy the file's lines alone into it"
    if _is_fenced(wanted) and not _FENCE.match(next(iter(lines), "")):
        return "`old` stands in a code fence; copy the file's lines alone into it"
    if _is_numbered(wanted):
        return "`old` has line numbers before its lines; leave them out"
    if _is_signed(wanted, "-+ ") and any(line[0] in "-+" for line in wanted):
        return "`old` has diff signs before its lines; copy the lines as they stand in the file"
    return ""


def _strip_ends(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.split("\n"))


def _explain_line(stripped: dict[str, str], line: str) -> str:
    shown = line.strip()[:MOST_SHOWN]
    plain = _plain(shown)
    keys = [key for key in stripped if key]
    alike = next((key for key in keys if _plain(key[:MOST_SHOWN]) == plain), "")
    if alike:
        return (
            f"`old` has other characters than the file: {_name_difference(shown, alike[:MOST_SHOWN])}; copy it exactly"
        )
    near = get_close_matches(line.strip()[:300], list_likely(line.strip()[:300], (key[:300] for key in keys)), 1, 0.6)
    hint = f"; the nearest line is {near[0][:MOST_SHOWN]!r}" if near else "; read the file again"
    return f"`old` is not in the file: it has no line {shown!r}{hint}"


def _plain(text: str) -> str:
    """Return the text with what looks the same made the same."""
    return " ".join(unicodedata.normalize("NFKC", text).translate(_SAME).translate(_ALIKE).split())


def _name_difference(mine: str, theirs: str) -> str:
    at = next((place for place, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), -1)
    if at < 0:
        at = min(len(mine), len(theirs))
    return f"{_name(mine, at)} where it has {_name(theirs, at)} in {theirs[:80]!r}"


def _name(text: str, at: int) -> str:
    return f"U+{ord(text[at]):04X}" if at < len(text) else "nothing"
