"""Applies a model's edits to one file: exactly, or not at all, and then says why.

An edit replaces `old`, text of the file as it is at head, by `new`. `old` must be found exactly once: as it is, else
under one uniform re-indentation, else around lines that are only `...` and stand for what stays. Nothing is guessed:
a patch that fits somewhere is worse than none.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

from bot.agent.edit_faults import (
    explain_absence,
    find_doubled,
    find_foreign,
    find_lazy,
    find_misplaced,
    find_mixed,
    opens_text,
)
from bot.agent.redaction import PLACEHOLDER
from bot.errors import Reason, Refused

MAX_OLD: Final = 60_000
MOST_PLACES: Final = 100
"""So often is a place looked for, and no further: what stands there a hundred times is not unique."""
MOST_DOTS: Final = 50
BOM: Final = "\ufeff"
_DOTS: Final = re.compile(r"^\s*\.\.\.\s*$")


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Replace `old` by `new`. An empty `old` makes a new file."""

    old: str
    new: str


@dataclass(frozen=True, kw_only=True)
class _Change:
    start: int
    end: int
    new: str


def apply_edits(path: str, text: str | None, edits: Sequence[Edit]) -> str:
    """Return the file's new text; `text` is None where there is no file yet. Raises `Refused`."""
    for edit in edits:
        _check_text(path, edit)
    if text is None or (not text and all(not edit.old for edit in edits)):
        if len(edits) != 1 or edits[0].old:
            raise _refuse(path, "there is no such file; to make it, give one edit with an empty `old`")
        return edits[0].new
    if text.startswith(BOM) and not any(BOM in edit.old for edit in edits):
        return BOM + apply_edits(path, text[1:], edits)
    is_crlf = "\r\n" in text and "\n" not in text.replace("\r\n", "")
    plain = text.replace("\r\n", "\n") if is_crlf else text
    changes = [change for edit in edits for change in _locate(path, plain, edit)]
    changed = _replace(path, plain, changes)
    if changed == plain:
        raise _refuse(path, "the edits change nothing")
    _check_neighbours(path, plain, changes)
    return changed.replace("\n", "\r\n") if is_crlf else changed


def _refuse(path: str, why: str) -> Refused:
    return Refused(f"{path}: {why}.", Reason.BAD_INPUT)


def _check_text(path: str, edit: Edit) -> None:
    if PLACEHOLDER.search(edit.new) or PLACEHOLDER.search(edit.old):
        raise _refuse(path, "a `[redacted:…]` mark stands for text that you cannot see; leave those lines out of edits")
    if len(edit.old) > MAX_OLD:
        raise _refuse(path, f"`old` is longer than {MAX_OLD:,} characters; name only the lines that change")
    fault = find_lazy(path, edit.old, edit.new) or find_foreign(path, edit.old, edit.new)
    fault = fault or find_mixed(path, edit.old, edit.new)
    if fault:
        raise _refuse(path, fault)


def _check_neighbours(path: str, text: str, changes: Sequence[_Change]) -> None:
    """Refuse what would stand twice, or elsewhere than its neighbours; what another edit changes is no neighbour."""
    ordered = sorted(changes, key=lambda change: change.start)
    ends = [0, *(change.end for change in ordered[:-1])]
    starts = [*(change.start for change in ordered[1:]), len(text)]
    for change, low, high in zip(ordered, ends, starts, strict=True):
        doubled = find_doubled(text[low:high], change.start - low, change.end - low, change.new)
        is_line = not change.start or text[change.start - 1] == "\n"
        fault = doubled or (is_line and find_misplaced(text[change.start : change.end], change.new))
        if fault:
            raise _refuse(path, fault)


def _replace(path: str, text: str, changes: Sequence[_Change]) -> str:
    ordered = sorted(changes, key=lambda change: (change.start, change.end))
    for before, after in pairwise(ordered):
        if after.start < before.end or (after.start, after.end) == (before.start, before.end):
            raise _refuse(path, "two edits change the same lines; make one of them")
    parts, position = [], 0
    for change in ordered:
        parts += [text[position : change.start], change.new]
        position = change.end
    return "".join([*parts, text[position:]])


def _locate(path: str, text: str, edit: Edit) -> list[_Change]:
    """Return what the edit replaces, by the first of the three ways that finds it."""
    old, new = edit.old.replace("\r\n", "\n"), edit.new.replace("\r\n", "\n")
    if not old.strip():
        what = "has no text" if old else "is empty, but the file exists"
        raise _refuse(path, f"`old` {what}; copy the lines to be replaced into it")
    # a last line without a line end is a place too
    exact = _occurrences(text if text.endswith("\n") else f"{text}\n", old)
    if len(exact) == 1 and exact[0] + len(old) <= len(text):
        return [_exact(path, text, exact[0], old, new)]
    if len(exact) > 1:
        raise _refuse(path, f"`old` stands there {_tell_count(exact)} times; add lines around it until it is unique")
    moved = _reindented(path, text, old, new)
    if len(moved) == 1:
        return moved
    if moved:
        raise _refuse(path, f"`old` fits {len(moved)} places with other indentation; add lines around it")
    if any(_DOTS.match(line) for line in old.split("\n")):
        return _elided(path, text, old, new)
    raise _refuse(path, explain_absence(text, old))


def _occurrences(text: str, old: str) -> list[int]:
    """Return the places, overlapping ones too; no more than `MOST_PLACES`."""
    places: list[int] = []
    at = text.find(old)
    while at >= 0 and len(places) < MOST_PLACES:
        places.append(at)
        at = text.find(old, at + 1)
    return places


def _tell_count(places: Sequence[object]) -> str:
    return str(len(places)) if len(places) < MOST_PLACES else f"at least {MOST_PLACES}"


def _exact(path: str, text: str, at: int, old: str, new: str) -> _Change:
    """Replace the one place; whole lines stay whole lines, and a part of a word is no place."""
    end = at + len(old)
    begins_in_word = at > 0 and _is_word(text[at - 1]) and _is_word(old[0])
    ends_in_word = end < len(text) and _is_word(text[end]) and _is_word(old[-1])
    if begins_in_word or ends_in_word:
        raise _refuse(path, "`old` begins or ends inside a word; copy whole lines")
    before = text[text.rfind("\n", 0, at) + 1 : at]
    if before and not before.strip(" \t"):
        _check_indentation(path, old, new)
    if not old.endswith("\n") and end < len(text) and text[end] != "\n":
        if new.endswith("\n"):
            raise _refuse(path, "`new` ends with a line end where `old` stops inside a line; copy whole lines")
        return _Change(start=at, end=end, new=new)
    if before.strip(" \t"):
        return _Change(start=at, end=end - old.endswith("\n"), new=new.removesuffix("\n"))
    return _whole_lines(text, at, end, new)


def _check_indentation(path: str, old: str, new: str) -> None:
    """`old` begins behind its line's indentation: go on only where that cannot move the new lines."""
    old_lines = [line for line in old.split("\n") if line.strip()]
    new_lines = [line for line in new.split("\n") if line.strip()]
    if not new_lines:
        return
    if _indent(new_lines[0]) != _indent(old_lines[0]) or (len(old_lines) == 1 and len(new_lines) > 1):
        raise _refuse(path, "begin `old` and `new` with the whole line, indentation included")


def _whole_lines(text: str, at: int, end: int, new: str) -> _Change:
    """The place covers lines to their end: one line end at the end of `old` and of `new` says nothing."""
    if text[end - 1] == "\n":
        end -= 1
    if new:
        return _Change(start=at, end=end, new=new.removesuffix("\n"))
    start = text.rfind("\n", 0, at) + 1
    if end < len(text):
        return _Change(start=start, end=end + 1, new="")
    return _Change(start=max(start - 1, 0), end=end, new="")


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


# Other indentation ----------------------------------------------------------------------------------------------------
def _reindented(path: str, text: str, old: str, new: str) -> list[_Change]:
    """Return the places where the lines of `old` stand moved left or right, all by the same white space."""
    wanted, lines = old.removesuffix("\n").split("\n"), text.split("\n")
    bare = "\n".join(["", *map(_bare, lines), ""])
    places = _occurrences(bare, "\n".join(["", *map(_bare, wanted), ""]))
    if len(places) == MOST_PLACES:
        raise _refuse(path, f"`old` fits {_tell_count(places)} places but for the indentation; add lines around it")
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    changes: list[_Change] = []
    for at in places:
        number = bare.count("\n", 0, at)
        shift = _find_shift(wanted, lines[number : number + len(wanted)])
        moved = _shift_lines(new, shift) if shift else None
        if moved is not None:
            end = min(starts[number + len(wanted)] - 1, len(text))
            changes.append(_whole_lines(text, starts[number], end, moved))
    if changes and opens_text(old, new):
        raise _refuse(path, "`new` holds a text of several lines, which cannot be moved; give the file's indentation")
    return changes


def _bare(line: str) -> str:
    """Return a line without its indentation, a blank one as an empty one."""
    return line.lstrip(" \t") if line.strip() else ""


def _find_shift(wanted: Sequence[str], found: Sequence[str]) -> tuple[str, str] | None:
    """Return (white space to take away, white space to add) that turns every line into the other."""
    shift: tuple[str, str] | None = None
    for want, have in zip(wanted, found, strict=True):
        if not want.strip() and not have.strip():
            continue
        own = _shift_of(_indent(want), _indent(have))
        if own is None or (shift is not None and own != shift):
            return None
        shift = own
    return shift


def _shift_of(want: str, have: str) -> tuple[str, str] | None:
    if have.endswith(want):
        return "", have[: len(have) - len(want)]
    if want.endswith(have):
        return want[: len(want) - len(have)], ""
    return None


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def _shift_lines(new: str, shift: tuple[str, str]) -> str | None:
    """Move the new lines as the old ones were moved; None where one stands too far left for that."""
    away, add = shift
    moved: list[str] = []
    for line in new.split("\n"):
        if not line.strip():
            moved.append("")
        elif line.startswith(away):
            moved.append(add + line[len(away) :])
        else:
            return None
    return "\n".join(moved)


# Lines that are only "..." --------------------------------------------------------------------------------------------
def _elided(path: str, text: str, old: str, new: str) -> list[_Change]:
    """Replace piece by piece what stands between the dots; what the dots stand for is not touched."""
    old_pieces, new_pieces = _split_at_dots(old), _split_at_dots(new)
    if len(old_pieces) > MOST_DOTS:
        raise _refuse(path, f"`old` has more than {MOST_DOTS} `...` lines; give one edit per place")
    if len(old_pieces) != len(new_pieces):
        raise _refuse(path, "`old` and `new` need the same `...` lines; better, give one edit per place")
    changes: list[_Change] = []
    position = 0
    for before, after in zip(old_pieces, new_pieces, strict=True):
        if not before.strip():
            if after.strip():
                raise _refuse(path, "text beside `...` has no counterpart in `old`; give one edit per place")
            continue
        change = _whole_piece(path, text, before, after)
        if change.start < position:
            raise _refuse(path, "the parts around `...` stand in another order in the file")
        position = change.end
        changes.append(change)
    return changes


def _split_at_dots(text: str) -> list[str]:
    pieces: list[list[str]] = [[]]
    for line in text.removesuffix("\n").split("\n"):
        if _DOTS.match(line):
            pieces.append([])
        else:
            pieces[-1].append(line)
    return ["\n".join(piece) for piece in pieces]


def _whole_piece(path: str, text: str, before: str, after: str) -> _Change:
    places = _occurrences(f"\n{text}\n", f"\n{before}\n")
    if len(places) != 1:
        often = f"there {_tell_count(places)} times" if places else "not there"
        raise _refuse(path, f"a part of `old` around `...` is {often}: {before.strip()[:80]!r}")
    return _whole_lines(text, places[0], places[0] + len(before), after)
