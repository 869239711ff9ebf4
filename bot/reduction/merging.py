"""Which masked texts are one template: those that differ only in words that take many values, or in dotted names.

Works on distinct masked texts, of which there are few, and depends on nothing but them and their counts: neither on the
order of lines nor on how they came in pieces.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from bot.reduction.masks import MASK, PIECES

MAX_SLOTS: Final = 40
MAX_FINE: Final = 10_000
_ROUNDS: Final = 6
_MANY: Final = 10
_MANY_NAMES: Final = 5
_MANY_FIRST: Final = 20
_SOME: Final = 2
_RARE: Final = 20
_CROWD: Final = 200
_CROWDED: Final = 50

#: Before a word like these stands a name more often than a constant.
_NAMING: Final = re.compile(
    r"(?:[=\"'\[({@#]|\b(?:for|from|to|by|user|host|named?|called|client|at|in|on|of|with|class|file|queue|topic|node"
    r"|service|job|task|table|key|invalid) ?)$",
    re.IGNORECASE,
)
#: Words that say how something went are never a mere variable.
_OUTCOME: Final = re.compile(
    "ok(?:ay)?|success(?:ful|fully)?|succeeded|fail(?:s|ed|ing|ure)?|errors?|exception|fatal|panic|time(?:out|dout)|denied"
    "|refused|rejected|abort(?:ed)?|killed|crashed|true|false|null|none|nil|yes|no|on|off|up|down|enabled|disabled"
    "|start(?:ed|ing)?|stop(?:ped|ping)?|open(?:ed)?|clos(?:ed|ing)|(?:dis)?connected|(?:in)?active|(?:un)?healthy"
    "|degraded|(?:un)?available|unknown|(?:in)?valid|missing|expired|running|passed|pending|done",
    re.IGNORECASE,
)
#: Classes, hosts, bundles. What ends in capitals is a constant: android.intent.action.SCREEN_ON.
_DOTTED: Final = re.compile(r"[A-Za-z_][\w$-]*(?:\.[\w$-]+)*\.[\w$-]*[a-z][\w$-]*")
_NAME: Final = re.compile(r"\w+(?:[.-]\w+)+")
_LETTER: Final = re.compile("[A-Za-z]")
_MASKS: Final = re.compile(r"<\*>(?:<\*>)+")


_Group = list[tuple[str, list[str], set[int]]]


@dataclass(kw_only=True)
class _Slot:
    """The words that stand in one place of otherwise equal texts, and which texts those are."""

    before: str
    rest: str
    texts: dict[str, str] = field(default_factory=dict)


def merge(counts: Mapping[str, int]) -> dict[str, str]:
    """Return for each masked text the template that it belongs to."""
    belongs = {text: text for text in counts}
    current = Counter(dict(counts))
    for find in (_find_crowded, _find_dotted, _find_named, *(_find_variables,) * _ROUNDS):
        variable = find(current if find is _find_crowded else _take_frequent(current))
        if not variable and find is _find_variables:
            break
        renamed = {text: _blank(text, variable[text]) if text in variable else text for text in current}
        merged = Counter[str]()
        for text, count in current.items():
            merged[renamed[text]] += count
        belongs = {text: renamed[now] for text, now in belongs.items()}
        current = merged
    return belongs


def _take_frequent(counts: Mapping[str, int]) -> Mapping[str, int]:
    """Return the most frequent texts only where there are too many to compare each with all."""
    if len(counts) <= MAX_FINE:
        return counts
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_FINE])


def _blank(text: str, places: set[int]) -> str:
    pieces = PIECES.split(text)
    return _MASKS.sub(MASK, "".join(MASK if place in places else piece for place, piece in enumerate(pieces)))


def _find_crowded(counts: Mapping[str, int]) -> dict[str, set[int]]:
    """Return the places in which a crowd of texts of the same build, beginning with the same word, has very many words.

    This keeps the finer and slower ways of looking for logs that are made of free words.
    """
    crowds: dict[tuple[str, str], list[tuple[str, list[str]]]] = {}
    for text in counts:
        pieces = PIECES.split(text, MAX_SLOTS)
        if len(pieces) > 1:
            crowds.setdefault((pieces[1], "\0".join(pieces[::2])), []).append((text, pieces))
    found: dict[str, set[int]] = {}
    for crowd in crowds.values():
        if len(crowd) < _CROWD:
            continue
        for place in range(3, len(crowd[0][1]), 2):
            words = {pieces[place] for _text, pieces in crowd}
            if len(words) >= max(_CROWDED, len(crowd) // 50):
                for text, _pieces in crowd:
                    found.setdefault(text, set()).add(place)
    return found


def _find_dotted(counts: Mapping[str, int]) -> dict[str, set[int]]:
    """Return the places of dotted names in texts that differ in nothing else, of which there must be some."""
    groups = _group(counts, lambda pieces, place: pieces[place].count(".") > 1 and _is_dotted(pieces[place]))
    return {text: places for group in groups if len(group) >= _SOME for text, _pieces, places in group}


def _find_named(counts: Mapping[str, int]) -> dict[str, set[int]]:
    """Return the places where names stand, several in one text perhaps, that take many values."""
    found: dict[str, set[int]] = {}
    for group in _group(counts, _is_named):
        for place in group[0][2] if len(group) >= _MANY else ():
            if len({pieces[place] for _text, pieces, _places in group}) >= _MANY_NAMES:
                for text, _pieces, _places in group:
                    found.setdefault(text, set()).add(place)
    return found


def _group(counts: Mapping[str, int], is_blank: Callable[[list[str], int], bool]) -> list[_Group]:
    """Return texts that are equal but for the words to blank; those without any are left out."""
    groups: dict[str, _Group] = {}
    for text in counts:
        pieces = PIECES.split(text)
        places = {place for place in range(1, min(len(pieces), 2 * MAX_SLOTS), 2) if is_blank(pieces, place)}
        if places:
            shape = "".join("\0" if place in places else piece for place, piece in enumerate(pieces))
            groups.setdefault(shape, []).append((text, pieces, places))
    return list(groups.values())


def _is_outcome(word: str) -> bool:
    return _OUTCOME.fullmatch(word.strip(".!")) is not None


def _is_dotted(word: str) -> bool:
    return _DOTTED.fullmatch(word) is not None


def _is_named(pieces: list[str], place: int) -> bool:
    word = pieces[place]
    if word == MASK or word.isupper() or _is_outcome(word) or place < 3:
        return False
    return _NAMING.search((pieces[place - 2] + pieces[place - 1])[-20:]) is not None


def _find_variables(counts: Mapping[str, int]) -> dict[str, set[int]]:
    """Return the places of variable words, by text. One place after the other, to hold few slots at once."""
    found: dict[str, set[int]] = {}
    split = {text: PIECES.split(text) for text in counts}
    for place in range(1, 2 * MAX_SLOTS, 2):
        slots: dict[tuple[int, str, str], _Slot] = {}
        split = {text: pieces for text, pieces in split.items() if len(pieces) > place}
        for text, pieces in split.items():
            before, after = "".join(pieces[:place]), "".join(pieces[place + 1 :])
            slot = slots.setdefault((len(pieces), before, after), _Slot(before=before, rest=before + after))
            slot.texts[pieces[place]] = text
        for slot in slots.values():
            for text in _choose(slot, counts) if len(slot.texts) > 1 else ():
                found.setdefault(text, set()).add(place)
    return found


def _choose(slot: _Slot, counts: Mapping[str, int]) -> list[str]:
    """Return the texts whose word in this slot is variable."""
    words = [word for word in slot.texts if word != MASK and not _is_outcome(word)]
    if not words or not _LETTER.search(slot.rest):
        return []
    many = _MANY_FIRST if not _LETTER.search(slot.before) else _MANY
    if many == _MANY and _NAMING.search(slot.before) and not all(word.isupper() for word in words):
        many = _MANY_NAMES
    masked = slot.texts.get(MASK)
    is_variable = len(words) >= many or (masked is not None and _absorbs(slot, words, masked, counts))
    return [slot.texts[word] for word in words] + ([masked] if masked else []) if is_variable else []


def _absorbs(slot: _Slot, words: list[str], masked: str, counts: Mapping[str, int]) -> bool:
    """Return whether a place that is variable already is so for these few words too."""
    if all(_NAME.fullmatch(word) for word in words):
        return True
    least = _RARE if any(word.isupper() for word in words) else 0.5
    named = sum(counts[slot.texts[word]] for word in words)
    return bool(_LETTER.search(slot.before)) and counts[masked] >= least * named
