"""What the failing code can reach: from the functions on the stack along the names that they use, step by step.

Names are all it goes by, so that it holds for every language; a name that many places define says little. It does
without running anything; where a check was run and watched, what was executed is known better.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

MAX_STEPS: Final = 6
DECAY: Final = 0.82
SLICED, UNSLICED = 0.95, 0.6
MAX_REACHED: Final = 3_000
#: A name that more places define than this leads nowhere in particular.
MAX_HOMONYMS: Final = 8

_NAME: Final = re.compile(r"[A-Za-z_$][\w$]*")
_GIVES: Final = re.compile(r"^\s*(?:for\s+|const\s+|let\s+|var\s+)?([\w.,\s$()]{1,80}?)\s*(?::?[-+*/|&]?=(?!=)|\bin\b)")
_MAX_SLICE: Final = 4
_MAX_STATEMENT: Final = 60
_FILE: Final = re.compile(r"[\w@-][\w@.-]{0,80}\.[A-Za-z]\w{0,7}\b")
#: What runs without being named: constructors, and what test frameworks call before a test.
_IMPLIED: Final = frozenset(
    {"__init__", "__post_init__", "__new__", "__call__", "__enter__", "__getattr__", "constructor", "initialize"}
)
_BEFORE_TESTS: Final = frozenset(
    {
        "setUp",
        "setUpClass",
        "setUpModule",
        "setup_method",
        "setup_class",
        "setup_module",
        "setup",
        "beforeEach",
        "before",
    }
)


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A function, class or constant of a file, with the lines it stands on. `owner` is the class it is in."""

    name: str
    path: str
    start: int
    end: int
    owner: str = ""
    is_class: bool = False


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How near each definition, by path and name, and each file is to the failure: 1 on the stack, less with every
    step. `words` are the texts of what was reached, with the same weights."""

    names: Mapping[tuple[str, str], float] = field(default_factory=dict)
    files: Mapping[str, float] = field(default_factory=dict)
    texts: Sequence[tuple[str, float]] = ()

    @cached_property
    def words(self) -> Mapping[str, float]:
        """Return the names that reached code uses, in lower case, with how near the nearest use is."""
        found: dict[str, float] = {}
        for text, weight in self.texts:
            for name in _NAME.findall(text):
                found[name.lower()] = max(found.get(name.lower(), 0.0), weight)
        return found

    def of(self, path: str, name: str) -> float:
        return self.names.get((path, name), 0.0)


@dataclass(frozen=True, kw_only=True)
class Seed:
    """A function on the stack, the line of it that was running (0: not known), and how near it is to the failure."""

    path: str
    function: str
    line: int
    weight: float


def find_reach(seeds: Iterable[Seed], definitions: Iterable[Definition], sources: Mapping[str, Sequence[str]]) -> Reach:
    """Follow names from the seeds. `sources` are the lines of every file."""
    return _Walk(definitions, sources).walk(seeds)


def slice_lines(lines: Sequence[str], place: int) -> tuple[int, ...]:
    """Return the lines of a function that give the names on one of them their values, that one included."""
    if not 0 <= place < len(lines):
        return ()
    wanted, taken = set(_NAME.findall(lines[place])), {place}
    for _ in range(_MAX_SLICE):
        more = {
            number
            for number, line in enumerate(lines)
            if number not in taken
            and any(name in wanted for match in _GIVES.finditer(line) for name in _NAME.findall(match.group(1)))
        }
        if not more:
            break
        taken |= more
        wanted |= {name for number in more for name in _NAME.findall(lines[number])}
    return tuple(sorted(taken))


def find_statement(lines: Sequence[str], line: int) -> tuple[int, int]:
    """Return the first and the last line of what stands around a line, from 1: up to where nothing is indented."""
    start = end = line
    while start > 1 and line - start < _MAX_STATEMENT and _is_inner(lines[start - 1]):
        start -= 1
    while end < len(lines) and end - line < _MAX_STATEMENT and _is_inner(lines[end]):
        end += 1
    return start, end


def _is_inner(text: str) -> bool:
    return not text.strip() or text[0].isspace()


class _Walk:
    def __init__(self, definitions: Iterable[Definition], sources: Mapping[str, Sequence[str]]) -> None:
        self._sources = sources
        self._by_name: dict[str, list[Definition]] = defaultdict(list)
        self._by_place: dict[tuple[str, str], list[Definition]] = defaultdict(list)
        self._by_owner: dict[tuple[str, str], list[Definition]] = defaultdict(list)
        for each in definitions:
            self._by_name[each.name].append(each)
            self._by_place[each.path, each.name].append(each)
            if each.owner:
                self._by_owner[each.path, each.owner].append(each)
        self._near: dict[Definition, float] = {}

    def walk(self, seeds: Iterable[Seed]) -> Reach:
        front: dict[Definition, float] = {}
        for seed in seeds:
            for each in self._find_origins(seed):
                self._start(each, seed, front)
        for _ in range(MAX_STEPS):
            reached: dict[Definition, float] = {}
            for each, weight in front.items():
                if self._near.get(each, 0.0) < weight:
                    self._near[each] = weight
                    self._follow(each, self._body(each), weight * DECAY, reached)
            front = {each: weight for each, weight in reached.items() if self._near.get(each, 0.0) < weight}
            if not front or len(self._near) > MAX_REACHED:
                break
        return self._finish()

    def _find_origins(self, seed: Seed) -> list[Definition]:
        """Return the functions that a seed is in; where it is in none that has a name, the statement around its line:
        tests of many languages are functions without a name."""
        known = self._by_place.get((seed.path, seed.function), ())
        found = [each for each in known if each.start <= seed.line <= each.end or not seed.line]
        lines = self._sources.get(seed.path, ())
        if found or not 0 < seed.line <= len(lines):
            return found
        start, end = find_statement(lines, seed.line)
        return [Definition(name="", path=seed.path, start=start, end=end)]

    def _start(self, each: Definition, seed: Seed, front: dict[Definition, float]) -> None:
        """Begin with a function on the stack: what the line that ran got its values from is nearer than the rest."""
        self._near[each] = max(self._near.get(each, 0.0), seed.weight)
        lines = self._body(each).split("\n")
        near = slice_lines(lines, seed.line - each.start) if seed.line else tuple(range(len(lines)))
        inside = "\n".join(lines[number] for number in near)
        outside = "\n".join(line for number, line in enumerate(lines) if number not in near)
        self._follow(each, inside, seed.weight * SLICED, front)
        self._follow(each, outside, seed.weight * UNSLICED, front)
        self._add_implied(each, seed.weight * SLICED, front)

    def _follow(self, origin: Definition, text: str, weight: float, reached: dict[Definition, float]) -> None:
        for name in dict.fromkeys(_NAME.findall(text)):
            homonyms = self._by_name.get(name, ())
            own = [each for each in homonyms if each.path == origin.path] or homonyms
            if not 0 < len(own) <= MAX_HOMONYMS:
                continue
            near = weight / len(own) ** 0.5
            for each in own:
                if each is not origin and reached.get(each, 0.0) < near:
                    reached[each] = near
                    self._add_implied(each, near, reached)

    def _add_implied(self, each: Definition, weight: float, reached: dict[Definition, float]) -> None:
        """A class brings its constructor, a test what is run before it."""
        kin = self._by_owner.get((each.path, each.name if each.is_class else each.owner), ())
        wanted = _IMPLIED if each.is_class else _BEFORE_TESTS
        for other in kin:
            if other.name in wanted and reached.get(other, 0.0) < weight:
                reached[other] = weight

    def _body(self, each: Definition) -> str:
        """Return the text of a definition; of a class what stands above its first method."""
        end = each.end
        if each.is_class:
            inner = [other.start for other in self._by_owner.get((each.path, each.name), ())]
            end = min([end, *(start - 1 for start in inner if start > each.start)])
        return "\n".join(self._sources.get(each.path, ())[each.start - 1 : end])

    def _finish(self) -> Reach:
        names: dict[tuple[str, str], float] = {}
        files: dict[str, float] = {}
        for each, weight in self._near.items():
            place = (each.path, each.name)
            names[place] = max(names.get(place, 0.0), weight)
            files[each.path] = max(files.get(each.path, 0.0), weight)
        named = self._name_files(files)
        texts = [(self._body(each), weight) for each, weight in self._near.items()]
        return Reach(names=names, files={**named, **files}, texts=tuple(texts))

    def _name_files(self, files: Mapping[str, float]) -> dict[str, float]:
        """Return other files that the reached ones name: what they read as settings, pins or data."""
        found: dict[str, float] = {}
        for path, weight in files.items():
            for name in _FILE.findall("\n".join(self._sources.get(path, ()))):
                found[name] = max(found.get(name, 0.0), weight * DECAY)
        known = {path for path in found if path in files}
        return {name: weight for name, weight in found.items() if name not in known}
