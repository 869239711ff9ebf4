"""Puts single settings and pins of a file back to what they were, and leaves every other byte as it is. Pure.

What is written is read again: where anything but the wanted entry differs then, nothing is written at all.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from bot.domain.entries.entry import MAX_ENTRIES, MAX_TEXT, Entry, Key, Unreadable, end_of_line
from bot.domain.entries.json_file import list_json
from bot.domain.entries.lines_file import list_assignments, list_gems, list_go, list_ini, list_pom, list_requirements
from bot.domain.entries.toml_file import list_toml
from bot.domain.entries.yaml_file import list_yaml
from bot.domain.text.file_names import is_lock_file

MAX_KEYS: Final = 40

_Reader = Callable[[str], Iterable[Entry]]

_REQUIREMENTS: Final = re.compile(r"(^|/)((dev-|test-)?(requirements|constraints)[^/]*|requirements/[^/]+)\.(txt|in)$")
_NAMES: Final[Mapping[str, _Reader]] = {
    "go.mod": list_go,
    "gemfile": list_gems,
    "pom.xml": list_pom,
    "pipfile": list_toml,
    "pyproject.toml": lambda text: list_toml(text, package_lists=True),
}
_SUFFIXES: Final[Mapping[str, _Reader]] = {
    ".json": list_json,
    ".toml": list_toml,
    ".yaml": list_yaml,
    ".yml": list_yaml,
    ".ini": list_ini,
    ".cfg": list_ini,
    ".conf": list_ini,
    ".properties": list_assignments,
    ".env": list_assignments,
}
#: Tables of packages, by file; in every other manifest each entry is a package.
_TABLES: Final = {
    "package.json": re.compile(r"(dev|optional|peer)?dependencies|overrides|resolutions", re.IGNORECASE),
    "composer.json": re.compile(r"require(-dev)?"),
    "cargo.toml": re.compile(r"([\w-]+-)?dependencies"),
    "pyproject.toml": re.compile(r"([\w-]+-)?(dependencies|dependency-groups)|requires|build-system"),
    "pipfile": re.compile(r"(dev-)?packages"),
    "setup.cfg": re.compile(r"install_requires|extras_require"),
}


def is_pin(path: str, key: Key) -> bool:
    """Say whether an entry names a package's version, rather than a setting."""
    name = PurePosixPath(path).name.lower()
    if name in _TABLES:
        return any(_TABLES[name].fullmatch(part) for part in key[:-1] or key)
    return bool(_REQUIREMENTS.search(path.lower())) or name in {"go.mod", "gemfile", "pom.xml"}


def can_read(path: str) -> bool:
    """Say whether single entries of a file can be put back."""
    return not is_lock_file(path) and _find_reader(path) is not None


def _find_reader(path: str) -> _Reader | None:
    lower = path.lower()
    if _REQUIREMENTS.search(lower):
        return list_requirements
    name = PurePosixPath(lower).name
    suffix = ".env" if name == ".env" or name.startswith(".env.") else PurePosixPath(name).suffix
    return _NAMES.get(name) or _SUFFIXES.get(suffix)


def read_entries(path: str, text: str) -> Mapping[Key, Entry]:
    """Return the entries of a file by their keys. Raises `Unreadable`, also where a key stands there twice."""
    reader = _find_reader(path)
    if reader is None or len(text) > MAX_TEXT:
        raise Unreadable
    found: dict[Key, Entry] = {}
    for entry in reader(text):
        if entry.key in found or len(found) >= MAX_ENTRIES:
            raise Unreadable
        found[entry.key] = entry
    return found


def find_changed(path: str, before: str, after: str, head: str) -> tuple[Key, ...]:
    """Return the keys that a commit changed, added or removed and that stand at the head as it left them."""
    try:
        old, new, now = (read_entries(path, text) for text in (before, after, head))
    except Unreadable:
        return ()
    keys = dict.fromkeys([*new, *old])
    changed = (key for key in keys if _value(old, key) != _value(new, key))
    return tuple(key for key in changed if _value(now, key) == _value(new, key))


def _value(entries: Mapping[Key, Entry], key: Key) -> str | None:
    return entries[key].value if key in entries else None


def put_back(path: str, before: str, head: str, keys: Sequence[Key]) -> str:
    """Return the head's text with these entries as they were before. Raises `Unreadable` where that is not certain."""
    if len(keys) > MAX_KEYS:
        raise Unreadable
    old = read_entries(path, before)
    text, wanted = head, {key: entry.value for key, entry in read_entries(path, head).items()}
    for key in keys:
        now = read_entries(path, text)
        if key not in old:
            text = _remove(path, text, now[key])
            del wanted[key]
            continue
        value = old[key].value
        text = _replace(text, now[key], value) if key in now else _insert(path, before, text, old[key])
        wanted[key] = value
    if {key: entry.value for key, entry in read_entries(path, text).items()} != wanted or not _is_sound(path, text):
        raise Unreadable
    return text


def _replace(text: str, entry: Entry, value: str) -> str:
    return text[: entry.first] + value + text[entry.last :]


def _remove(path: str, text: str, entry: Entry) -> str:
    if not path.lower().endswith(".json"):
        return text[: entry.start] + text[entry.end :]
    head, tail = text[: entry.start], text[entry.end :]
    if tail.lstrip().startswith(","):
        return head + tail.lstrip()[1:].lstrip()
    return head.rstrip().removesuffix(",") + tail


def _insert(path: str, before: str, text: str, entry: Entry) -> str:
    """Put an entry in again, behind the one that it stood behind."""
    old, now = read_entries(path, before), read_entries(path, text)
    above = list(old)[: list(old).index(entry.key)]
    near = next((key for key in reversed(above) if key in now and key[:-1] == entry.key[:-1]), None)
    if near is None:
        raise Unreadable
    if path.lower().endswith(".json"):
        space = before[old[near].end : entry.start].lstrip(",")
        return text[: now[near].end] + "," + space + before[entry.start : entry.end] + text[now[near].end :]
    at = end_of_line(text, now[near].last)
    written = before[entry.start : entry.end]
    if not text[:at].endswith("\n"):
        written = f"\n{written}".removesuffix("\n")
    return text[:at] + written + text[at:]


def _is_sound(path: str, text: str) -> bool:
    """Say whether those who read the file for real would read it."""
    try:
        if path.lower().endswith(".json"):
            json.loads(text)
        elif path.lower().endswith((".toml", "pipfile")):
            tomllib.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def name_key(key: Key) -> str:
    """Return a key as people write it: "http.timeout", "servers[0].port"."""
    return ".".join(key).replace(".[", "[")


def find_version(value: str) -> str:
    """Return the one version in a pin, "" where there is none, or more than one."""
    found: Iterator[str] = (match.group() for match in re.finditer(r"(?<![\w.])v?\d+(?:\.\w+)+(?:[-+][\w.]+)?", value))
    versions = list(dict.fromkeys(found))
    return versions[0] if len(versions) == 1 else ""
