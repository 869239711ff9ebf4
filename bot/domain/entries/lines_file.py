"""The entries of files that have one on each line: ini, properties, environment, and lists of packages."""

import re
from collections.abc import Iterator
from typing import Final

from bot.domain.entries.entry import Entry, Key, cut_lines, make_entry

_SECTION: Final = re.compile(r"\[([^\]\n]+)\]\s*(?:[#;].*)?")
_ASSIGNS: Final = re.compile(r"(?:export\s+)?([^\s=:#;\[][^=:\n]*?)\s*[=:]\s*")
_COMMENT: Final = re.compile(r"\s+[#;]")
_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*(?=[=<>~!;@(]|$|\s+#|\\|--)")
_GO: Final = re.compile(r"\s*(?:(require|replace)\s+)?(\S+)\s+(?:(v\S+)|=>\s*(\S.*?))\s*(?://.*)?")
_GEM: Final = re.compile(r"\s*gem[\s(]+([\"'])([\w.-]+)\1")
_POM: Final = re.compile(
    r"<dependency>\s*<groupId>([^<\s]+)</groupId>\s*<artifactId>([^<\s]+)</artifactId>\s*<version>([^<]*)</version>"
    r"|<([\w.-]+[.-]version)>([^<]*)</\4>"
)


def list_ini(text: str) -> Iterator[Entry]:
    """Yield the entries of an ini file; a line that is indented goes on with the value above it."""
    section, lines = Key(), cut_lines(text)
    for number, (at, line) in enumerate(lines):
        if not line.strip() or line[0] in "#; \t":
            continue
        if header := _SECTION.fullmatch(line.rstrip()):
            section = (header[1].strip(),)
            continue
        assigns = _ASSIGNS.match(line)
        if assigns is None:
            continue
        last = at + _without_comment(line)
        for below_at, below in lines[number + 1 :]:
            if not below.strip() or below[0] not in " \t":
                break
            last = below_at + len(below.rstrip())
        yield make_entry(text, (*section, assigns[1]), at + assigns.end(), max(last, at + assigns.end()))


def list_assignments(text: str) -> Iterator[Entry]:
    """Yield the entries of a properties or environment file; a line that ends with a backslash goes on."""
    goes_on = False
    for at, line in cut_lines(text):
        was, goes_on = goes_on, line.rstrip().endswith("\\")
        if was or not line.strip() or line.lstrip()[0] in "#!;":
            continue
        assigns = _ASSIGNS.match(line.lstrip())
        if assigns is None:
            continue
        first = at + len(line) - len(line.lstrip()) + assigns.end()
        yield make_entry(text, (assigns[1],), first, _end_of_logical(text, at) if goes_on else at + len(line))


def list_requirements(text: str) -> Iterator[Entry]:
    """Yield the packages of a requirements or constraints file, each with its hashes."""
    goes_on = False
    for at, line in cut_lines(text):
        was, goes_on = goes_on, line.rstrip().endswith("\\")
        named = _REQUIREMENT.match(line)
        if was or named is None:
            continue
        last = _end_of_logical(text, at) if goes_on else at + _without_comment(line)
        yield make_entry(text, (re.sub(r"[-_.]+", "-", named[1]).lower(),), at, last)


def list_go(text: str) -> Iterator[Entry]:
    """Yield the modules that a go.mod requires, and those that it replaces."""
    block = ""
    for at, line in cut_lines(text):
        opens = re.match(r"\s*(require|replace|exclude|retract)\s*\(", line)
        if opens or line.strip() == ")":
            block = opens[1] if opens else ""
            continue
        found = _GO.fullmatch(line)
        kind = (found[1] or block) if found else ""
        if found and kind in {"require", "replace"}:
            group = 3 if found[3] else 4
            yield make_entry(text, (kind, found[2]), at + found.start(group), at + found.end(group))


def list_gems(text: str) -> Iterator[Entry]:
    """Yield the gems of a Gemfile; what follows the name on its line is the value."""
    for at, line in cut_lines(text):
        if found := _GEM.match(line):
            yield make_entry(text, (found[2],), at + found.end(), at + max(_without_comment(line), found.end()))


def list_pom(text: str) -> Iterator[Entry]:
    """Yield versions of dependencies that stand in the usual order, and properties that are named for a version."""
    for found in _POM.finditer(_blank_comments(text)):
        group = 3 if found[1] else 5
        key = (f"{found[1]}:{found[2]}",) if found[1] else (found[4],)
        yield make_entry(text, key, found.start(group), found.end(group))


def _blank_comments(text: str) -> str:
    """Put blanks in the place of XML comments, so that all else stays where it is."""
    parts, at = list[str](), 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start)) >= 0:
        parts += [text[at:start], " " * (end + 3 - start)]
        at = end + 3
    return "".join([*parts, text[at:]])


def _without_comment(line: str) -> int:
    """Return where a line ends before a comment on it."""
    found = _COMMENT.search(line)
    return found.start() if found else len(line.rstrip())


def _end_of_logical(text: str, at: int) -> int:
    """Return where a line ends that backslashes carry on."""
    while True:
        end = text.find("\n", at)
        if end < 0 or not text[at:end].rstrip().endswith("\\"):
            return len(text) if end < 0 else end
        at = end + 1
