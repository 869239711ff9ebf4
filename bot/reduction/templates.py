"""The texts seen so far and the templates they make. What is held grows with distinct texts, within bounds."""

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.reduction.masks import MASK, mask
from bot.reduction.merging import merge

MAX_TEXTS: Final = 100_000
MAX_BYTES: Final = 64 * 1024 * 1024
_MAX_COARSE: Final = 10_000
OTHER: Final = f"{MASK} (more kinds of lines than are told apart)"


@dataclass(frozen=True, kw_only=True)
class Template:
    """What the lines of one kind share. `id` counts from 1, in the order of their first lines."""

    id: int
    text: str
    count: int


class Texts:
    """Numbers distinct texts. Past its limits new ones are told apart by their first word only, then not at all."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._used = 0
        self.texts: list[str] = []
        self.counts = Counter[int]()

    def add(self, texts: Sequence[str], codes: "array[int]") -> "array[int]":
        """Return the number of each line's text; `codes` says which of `texts` a line has."""
        numbers = [self._number(text) for text in texts]
        for code, count in Counter(codes).items():
            self.counts[numbers[code]] += count
        return array("I", map(numbers.__getitem__, codes))

    def _number(self, text: str) -> int:
        found = self._numbers.get(text)
        if found is not None:
            return found
        if len(self.texts) >= MAX_TEXTS or self._used > MAX_BYTES:
            text = f"{text.split(' ', 1)[0][:80]} {MASK}" if len(self.texts) < MAX_TEXTS + _MAX_COARSE else OTHER
        if text not in self._numbers:
            self._used += len(text)
            self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return self._numbers[text]

    def find_templates(self) -> tuple[list[Template], list[int]]:
        """Return the templates, and for each number of a text the place of its template among them."""
        masked = [mask(text) for text in self.texts]
        counts = Counter[str]()
        for number, text in enumerate(masked):
            counts[text] += self.counts[number]
        return _number_templates(masked, counts, merge(counts))


def _number_templates(
    masked: Sequence[str], counts: Mapping[str, int], belongs: Mapping[str, str]
) -> tuple[list[Template], list[int]]:
    sums = Counter[str]()
    for text, count in counts.items():
        sums[belongs[text]] += count
    places: dict[str, int] = {}
    numbers = [places.setdefault(belongs[text], len(places)) for text in masked]
    templates = [Template(id=place + 1, text=text, count=sums[text]) for text, place in places.items()]
    return templates, numbers
