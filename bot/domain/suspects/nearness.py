"""How near a change comes to what the failure can reach, or did reach: the part of the ranking that knows code."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from bot.domain.suspects.blame import LooseHunk
from bot.domain.suspects.change_kind import assigned_names, bound_names, touched_names, weigh_hunk
from bot.domain.suspects.reach import Reach
from bot.domain.suspects.spectrum import Spectrum
from bot.domain.text.documents import is_document
from bot.domain.text.file_names import is_dependency_file, is_test_file

#: The functions that a watched run called, by file.
Executed = Mapping[str, frozenset[str]]

NOT_RUN: Final = 0.15
NOT_SEEN: Final = 0.6
OTHERS_RUN: Final = 0.5
UNREAD: Final = 0.6
BOOST: Final = 0.8
RUN_SHARE: Final = 0.6
#: Stands among the files where the watched run was too long to see all of it.
CUT: Final = "*"
_NO_SPECTRUM: Final = Spectrum()
_OWN_LEVEL: Final = 0.6
_PIN: Final = 0.35
_NAMED_PIN: Final = 0.8
_CODE: Final = re.compile(r"\.(?:pyi?|[cm]?jsx?|tsx?|java|go|rb|rs|php|cs|kt|scala|c|h|cc|cpp|hpp|swift)$")
_DEVELOPERS: Final = re.compile(r"(^|[/_.-])(dev|test|tests|docs?|lint|ci)([/_.-]|$)", re.IGNORECASE)
_USED: Final = 0.3
#: A package with its version, and a setting with its value.
_PINNED: Final = re.compile(
    r"""^[\s"'-]*([A-Za-z][\w.-]{1,60}?)["']?\s*(?:\[[\w, -]*\]\s*)?"""
    r"""(?:[=<>~!^@]=?=?\s*["']?[\^~v]*\d|:\s*["'^~<>=v]*\d|\s+v\d)"""
)
_KEY: Final = re.compile(r"([A-Za-z][\w-]{2,60})[\"']?\s*[:=]")
_COMMON: Final = frozenset(
    {"true", "false", "null", "none", "name", "version", "value", "type", "the", "and", "for", "not"}
)


@dataclass(frozen=True, kw_only=True)
class Nearness:
    """`score` is how near, `factor` what is left of all other suspicion, `reason` says why."""

    score: float = 0.0
    factor: float = 1.0
    reason: str = ""


def is_pin_file(path: str) -> bool:
    """Say whether a file names the packages that a program runs with."""
    return is_dependency_file(path) and not _DEVELOPERS.search(path)


def is_code(path: str) -> bool:
    return bool(_CODE.search(path))


def measure_nearness(
    hunks: Sequence[LooseHunk],
    reach: Reach,
    executed: Executed | None,
    aliases: Mapping[str, str],
    *,
    spectrum: Spectrum = _NO_SPECTRUM,
) -> Nearness:
    """Return the nearest that any of a change's hunks comes, weighed by what the hunk can change."""
    best, factor, reason = 0.0, 0.0, ""
    bound = bound_names(hunks)
    for hunk in hunks:
        if is_test_file(hunk.path) or is_document(hunk.path):
            continue
        weight = weigh_hunk(hunk, bound=bound)
        path = aliases.get(hunk.path, hunk.path)
        near, run, why = _weigh(hunk, path, _measure(hunk, path, reach, executed), spectrum)
        factor = max(factor, weight * run)
        if weight * near * run > best:
            best, reason = weight * near * run, why
    return Nearness(score=best, factor=factor if hunks else 1.0, reason=reason)


def may_have_run(hunk: LooseHunk, reach: Reach | None, executed: Executed | None, aliases: Mapping[str, str]) -> bool:
    """Say whether a hunk can have had a part in the failure: no test, nothing that reached code does not read, and no
    code that did not run."""
    path = aliases.get(hunk.path, hunk.path)
    if is_test_file(hunk.path):
        return False
    if not is_code(path):
        return reach is None or _measure_data(hunk, path, reach)[1] > UNREAD
    if not executed or CUT in executed:
        return True
    called = executed.get(path, frozenset())
    return bool(called) and bool(touched_names(hunk) & called or {"", *assigned_names(hunk)} & touched_names(hunk))


def _measure(hunk: LooseHunk, path: str, reach: Reach, executed: Executed | None) -> tuple[float, float, str]:
    """Return how near a hunk is, whether it ran (1, or less where it did not), and why."""
    if not is_code(path):
        return _measure_data(hunk, path, reach)
    names = touched_names(hunk)
    called = executed.get(path, frozenset()) if executed else None
    if called is None:
        near, name = _find_nearest(names, path, reach)
        return near, 1.0, _say_near(path, name, near)
    ran = sorted(names & called)
    near, name = _find_nearest(names, path, reach)
    if ran:
        shown = max(ran, key=lambda each: (reach.of(path, each), each))
        return 0.4 + 0.6 * near, 1.0, f"changes {shown} in {path}, which the failing check runs"
    at_load = names & {"", *assigned_names(hunk)}
    if called and at_load:
        near, name = _find_nearest(at_load, path, reach)
        return 0.2 + 0.6 * near, 0.8, _say_near(path, name, near) or f"changes {path}, which the failing check loads"
    return near, NOT_SEEN if executed and CUT in executed else NOT_RUN, ""


def _find_nearest(names: frozenset[str], path: str, reach: Reach) -> tuple[float, str]:
    """Return how near the nearest of several names is, and that; "" is the file's own level."""
    near, name = max(((reach.of(path, name), name) for name in names if name), default=(0.0, ""))
    own = _OWN_LEVEL * reach.files.get(path, 0.0) if "" in names else 0.0
    return (own, "") if own > near else (near, name)


def _weigh(hunk: LooseHunk, path: str, found: tuple[float, float, str], spectrum: Spectrum) -> tuple[float, float, str]:
    """Weigh what was measured of a hunk by how much what it changes stands out; as it is where no test calls that."""
    known = [(weight, name) for name in touched_names(hunk) if (weight := spectrum.of(path, name)) is not None]
    near, run, why = found
    if not known:
        return found
    weight, name = max(known)
    if not weight:
        return near * OTHERS_RUN, run * OTHERS_RUN, why
    if spectrum.is_rare(path, name):
        why = f"changes {name} in {path}, which the failing tests call and few others"
    return max(near, BOOST * weight), run * (RUN_SHARE + (1 - RUN_SHARE) * weight**0.5), why


def _say_near(path: str, name: str, near: float) -> str:
    if near < 0.2:
        return ""
    return (
        f"changes {name} in {path}, which the failing code can reach"
        if name
        else f"changes {path}, which the failing code uses"
    )


def _measure_data(hunk: LooseHunk, path: str, reach: Reach) -> tuple[float, float, str]:
    """Settings, pins and data count where reached code names what is changed in them, less where it names the file."""
    named = max(reach.files.get(path, 0.0), reach.files.get(PurePosixPath(path).name, 0.0))
    pins = is_pin_file(path)
    pattern = _PINNED if pins else _KEY
    lines = (*hunk.added, *hunk.removed)
    changed = {match.lower() for text in lines for match in pattern.findall(text)} - _COMMON
    known = sorted({word.replace("-", "_") for word in changed} & set(reach.words))
    used = max(known, key=lambda each: reach.words[each], default="")
    near = reach.words.get(used, 0.0)
    if pins:
        if near > _USED:
            return max(_NAMED_PIN, near), 1.0, f"changes the version of {used}, which the failing code uses"
        return (_PIN, 1.0, f"changes packages in {path}") if changed else (0.0, UNREAD, "")
    if near > _USED and (named or "_" in used):
        return max(near, named), 1.0, f"changes {used} in {path}, which the failing code uses"
    return (named, 1.0, f"changes {path}, which the failing code reads") if named else (0.0, UNREAD, "")


def read_aliases(renames: Sequence[Sequence[tuple[str, str]]]) -> dict[str, str]:
    """Return where files of older commits are at the head. `renames` are (old, new) of each change, newest first."""
    aliases: dict[str, str] = {}
    for pairs in renames:
        for old, new in pairs:
            aliases[old] = aliases.get(new, new)
    return aliases
