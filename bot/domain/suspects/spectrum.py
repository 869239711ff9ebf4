"""What the failing tests call and the others do not: the function that is wrong is mostly among it."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from bot.domain.text.file_names import is_test_file

#: A function of the repository: its file and its name.
Function = tuple[str, str]
#: What each test of a run calls.
Called = Mapping[str, frozenset[Function]]

_FEW: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """How much each function that a test calls stands out, as Ochiai weighs it: 1 where all tests that fail call it and
    no other does, 0 where none of them does. Empty where no test fails or all do: then nothing tells them apart."""

    weights: Mapping[Function, float] = field(default_factory=dict)

    def of(self, path: str, name: str) -> float | None:
        """Return how much a function stands out, 1 for what does most of the product; None where no test calls it."""
        weight = self.weights.get((path, name))
        return None if weight is None else min(weight / self._top, 1.0)

    def is_rare(self, path: str, name: str) -> bool:
        """Say whether few tests call a function but those that fail."""
        return self.weights.get((path, name), 0.0) >= _FEW

    @cached_property
    def _top(self) -> float:
        return max((weight for (path, _), weight in self.weights.items() if not is_test_file(path)), default=0) or 1.0


def find_spectrum(called: Called, failing: Collection[str]) -> Spectrum:
    """Weigh what tests call by which of them fail."""
    red = [name for name in called if _is_among(name, failing)]
    if not red or len(red) == len(called):
        return Spectrum()
    alls, reds = _count(called.values()), _count(called[name] for name in red)
    return Spectrum(weights={each: reds.get(each, 0) / (len(red) * count) ** 0.5 for each, count in alls.items()})


def merge_spectra(spectra: Collection[Spectrum]) -> Spectrum:
    """Return how much each function stands out in any of several runs."""
    found: dict[Function, float] = {}
    for spectrum in spectra:
        for each, weight in spectrum.weights.items():
            found[each] = max(found.get(each, 0.0), weight)
    return Spectrum(weights=found)


def _count(tests: Iterable[frozenset[Function]]) -> Counter[Function]:
    return Counter(each for functions in tests for each in functions)


def _is_among(name: str, failing: Collection[str]) -> bool:
    """Say whether a test is one of those that failed: by pytest's id, else by unittest's dotted name."""
    if name in failing:
        return True
    path, _, function = name.partition("::")
    dotted = path.removesuffix(".py").replace("/", ".")
    return any(test.endswith(f".{function}") and test.startswith(f"{dotted}.") for test in failing)
