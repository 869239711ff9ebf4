"""Loads and runs the patterns. Anything wrong with them is a `ConfigError` that lists every problem."""

import math
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Protocol, cast

import ahocorasick
import re2

from bot.agent.redaction_shapes import SHAPES, Shape
from bot.errors import ConfigError, Problem

_KIND_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_GUESSING: Final = "generic-api-key"


class _Match(Protocol):
    def span(self, group: int) -> tuple[int, int]: ...
    def group(self, group: int) -> str: ...


class _Pattern(Protocol):
    @property
    def groups(self) -> int: ...
    def finditer(self, text: str) -> Iterator[_Match]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One pattern. A lower `rank` names the secret where several find it."""

    kind: str
    pattern: _Pattern
    keywords: tuple[str, ...]
    rank: int
    group: int = 0
    entropy: float = 0.0
    accept: Callable[[str, str], bool] | None = None

    def find(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Yield start, end and text of each secret."""
        for match in self.pattern.finditer(text):
            start, end = self._pick(match)
            value = text[start:end]
            if not value or (self.entropy and _measure_entropy(value) < self.entropy):
                continue
            if self.accept is None or self.accept(value, match.group(0)):
                yield start, end, value

    def _pick(self, match: _Match) -> tuple[int, int]:
        if self.group:
            return match.span(self.group)
        spans = (match.span(group) for group in range(1, self.pattern.groups + 1))
        return next((span for span in spans if span[1] > span[0]), match.span(0))


class Rules:
    """All rules, each tried only on text that holds one of its keywords."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)
        self._always = [(number, rule) for number, rule in enumerate(self._rules) if not rule.keywords]
        words: dict[str, list[int]] = {}
        for number, rule in enumerate(self._rules):
            for word in rule.keywords:
                words.setdefault(word, []).append(number)
        self._automaton = ahocorasick.Automaton()
        for word, numbers in words.items():
            self._automaton.add_word(word, tuple(numbers))
        self._automaton.make_automaton()

    def __len__(self) -> int:
        return len(self._rules)

    def find_places(self, text: str, lowered: str) -> Iterator[int]:
        """Yield a place within each stretch that some rule should look at."""
        for last, _ in self._automaton.iter(lowered):
            yield last
        for _, rule in self._always:
            for start, _, _ in rule.find(text):
                yield start

    def choose(self, lowered: str) -> list[Rule]:
        """Return the rules whose keywords are in the text."""
        numbers = {number for _, found in self._automaton.iter(lowered) for number in found}
        numbers.update(number for number, _ in self._always)
        return [self._rules[number] for number in sorted(numbers)]


@cache
def load_rules(path: Path) -> Rules:
    """Read the file, once in a process, and add our own shapes. Raises `ConfigError`."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError([Problem(where=path.name, what=f"cannot read the redaction rules: {error}")]) from error
    listed = table.get("rules")
    entries = cast("list[object]", listed) if isinstance(listed, list) else []
    problems: list[Problem] = []
    if not entries or table.get("count") != len(entries):
        what = f"holds {len(entries)} redaction rules, should hold {table.get('count')!r}; install Nightshift anew"
        problems.append(Problem(where=path.name, what=what))
    rules: list[Rule] = []
    for number, entry in enumerate(entries, start=1):
        try:
            rules.append(_read_rule(entry))
        except (ValueError, re2.error) as error:
            problems.append(Problem(where=f"{path.name} rule {number}", what=_say(error)))
    for shape in SHAPES:
        try:
            rules.append(_read_shape(shape))
        except re2.error as error:
            problems.append(Problem(where=f"redaction shape {shape.kind}", what=_say(error)))
    if problems:
        raise ConfigError(problems)
    return Rules(rules)


def _say(error: Exception) -> str:
    told = error.args[0] if error.args else error
    return told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)


def _read_rule(entry: object) -> Rule:
    if not isinstance(entry, Mapping):
        raise ValueError("is no table")  # noqa: TRY004 - one error for whatever is wrong with a rule
    kind, regex, keywords = entry.get("id"), entry.get("regex"), entry.get("keywords")
    if not isinstance(kind, str) or not kind or not set(kind) <= _KIND_LETTERS:
        raise ValueError("needs an id of letters, digits and dashes")
    if not isinstance(regex, str) or not regex:
        raise ValueError(f"{kind} needs a regex")
    if not isinstance(keywords, list) or not keywords or not all(isinstance(word, str) and word for word in keywords):
        raise ValueError(f"{kind} needs keywords")
    entropy, group = entry.get("entropy", 0.0), entry.get("group", 0)
    if not isinstance(entropy, float) or not isinstance(group, int):
        raise ValueError(f"{kind} has a wrong entropy or group")  # noqa: TRY004 - as above
    pattern = _compile(regex)
    if not 0 <= group <= pattern.groups:
        raise ValueError(f"{kind} names group {group}, the regex has {pattern.groups}")
    # Rules with a shape of their own are surer without the entropy test; the one that only guesses needs it.
    is_guessing = kind == _GUESSING
    return Rule(
        kind=kind,
        pattern=pattern,
        keywords=tuple(word.lower() for word in keywords),
        rank=3 if is_guessing else 1,
        group=group,
        entropy=entropy if is_guessing else 0.0,
    )


def _read_shape(shape: Shape) -> Rule:
    return Rule(kind=shape.kind, pattern=_compile(shape.regex), keywords=shape.keywords, rank=2, accept=shape.accept)


def _compile(regex: str) -> _Pattern:
    options = re2.Options()
    options.log_errors = False
    return cast("_Pattern", re2.compile(regex, options))


def _measure_entropy(value: str) -> float:
    total = len(value)
    return -sum(count / total * math.log2(count / total) for count in Counter(value).values())
