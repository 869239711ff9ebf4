"""A package that may have become another one although no commit says so: nothing pins it, and the error comes from it.

Only what the evidence shows is said: where the frame is, what the repository asks for, which versions a log names.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.domain.entries.entry import Unreadable
from bot.domain.entries.put_back import is_pin, read_entries
from bot.domain.evidence import ErrorRecord, LogLine
from bot.domain.text.file_names import is_lock_file

INSTALLED: Final = "installed"
WAS_INSTALLED: Final = "installed when green"
MAX_INSTALLED: Final = 20
_MAX_LINE: Final = 2_000
_MAX_PATH: Final = 500

_PACKAGE: Final = re.compile(
    r"(?:/(?:site|dist)-packages|^/toolchain/lib)/([A-Za-z_][\w-]*)(?:/|\.py)"
    r"|/node_modules/((?:@[\w.-]+/)?[\w.-]+)/(?!(?:.*/)?node_modules/)|/gems/([a-z][\w-]*?)-\d"
)
_NO_PACKAGES: Final = frozenset({"pip", "setuptools", "pytest", "_pytest", "pluggy", "unittest"})
_TELLS: Final = re.compile(
    r"\bSuccessfully installed |\bRequirement already satisfied: |^\s*\+ [\w.-]+==\d|\bInstalling [\w.-]+ \(?\d"
    r"|^[\w.-]+==\d\S*$"
)
_HINTS: Final = ("nstall", "==", "already satisfied")
"""What each line that tells has in it: to look for that first costs a thirtieth, and logs have millions of lines."""
_EXACT: Final = re.compile(r"===?\s*v?\d[\w.+-]*(?!\S*[*,])|^[\"']?v?\d[\w.+-]*[\"']?$")


@dataclass(frozen=True, kw_only=True)
class Drift:
    """`version` is what a log says is installed, `before` what one of a green run said; each may be "". `asked` is what
    the repository asks for in `manifest`, both "" where no file there names the package; `cite` is the error's line."""

    package: str
    version: str = ""
    before: str = ""
    asked: str = ""
    manifest: str = ""
    cite: str = ""


def pick_installed(lines: Iterable[LogLine]) -> tuple[LogLine, ...]:
    """Return the lines in which package managers say what they installed, the last ones."""
    return tuple(line for line in lines if _tells(line.text[:_MAX_LINE]))[-MAX_INSTALLED:]


def _tells(text: str) -> bool:
    return any(hint in text for hint in _HINTS) and _TELLS.search(text) is not None


def find_package(path: str) -> str:
    """Return the installed package that a frame's file belongs to, "" where it belongs to none."""
    found = _PACKAGE.search(path[-_MAX_PATH:].replace("\\", "/"))
    name = next((group for group in found.groups() if group), "") if found else ""
    return "" if name in _NO_PACKAGES else name


def find_drift(
    records: Sequence[ErrorRecord],
    files: Mapping[str, str],
    *,
    changed: Iterable[str],
    told: Mapping[str, str],
) -> Drift | None:
    """Return the package that the most telling error comes out of, if nothing pins it and no commit changed it.

    `files` are the manifests and lock files at the head, `changed` the lines of them as they were before commits
    changed them (to add a package changes no version), `told` what the logs say is installed, by `INSTALLED` and
    `WAS_INSTALLED`.
    """
    record = next((each for each in records if each.frames), None)
    package = find_package(record.frames[-1].path) if record else ""
    if record is None or not package:
        return None
    wanted = _fold(package)
    if any(wanted in _names(line) for line in changed):
        return None
    if any(is_lock_file(path) and wanted in _names(text) for path, text in files.items()):
        return None
    asked = next(
        ((path, value) for path, text in files.items() if (value := _find_asked(path, text, wanted))), ("", "")
    )
    if asked[1] and _EXACT.search(asked[1]):
        return None
    return Drift(
        package=package,
        version=_find_version(told.get(INSTALLED, ""), package),
        before=_find_version(told.get(WAS_INSTALLED, ""), package),
        asked=asked[1],
        manifest=asked[0],
        cite=record.cite,
    )


def _fold(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _names(text: str) -> frozenset[str]:
    return frozenset(_fold(word) for word in re.findall(r"@?[A-Za-z][\w./-]*", text))


def _find_asked(path: str, text: str, wanted: str) -> str:
    """Return what a manifest asks for of a package."""
    try:
        entries = read_entries(path, text)
    except Unreadable:
        return ""
    named = (each for key, each in entries.items() if is_pin(path, key) and _fold(key[-1]) == wanted)
    return next((" ".join(each.value.split())[:100] for each in named), "")


def _find_version(told: str, package: str) -> str:
    name = re.escape(package).replace("_", "[-_.]").replace(r"\-", "[-_.]")
    found = re.findall(rf"(?<![\w.-]){name}(?:==?=?|-|\s+\(?)v?(\d[\w.]*)", told, re.IGNORECASE)
    return str(found[-1]).rstrip(".") if found else ""
