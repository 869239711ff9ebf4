"""The lines of a failed CI log that are worth reading: against a green log of the job, or by what failed in it."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from bot.domain.ci_logs.compare import compare
from bot.domain.ci_logs.ends import Span, find_spans
from bot.domain.ci_logs.signs import begins_report, goes_on, is_soft, names_failure
from bot.domain.ci_logs.text import CILine, mask
from bot.domain.ci_logs.words import is_idle, tells_failure

LIMIT: Final = 120
_ENDING: Final = 50
_AFTER: Final = 4
_LEAD: Final = 3
_CALM: Final = 6
_PIECE: Final = 90
_MUCH: Final = 0.05
_ENOUGH: Final = 20.0
_LATE: Final = 2.0
_SURE: Final = 1.5
_LONG: Final = 10
_TAG: Final = re.compile(r"\[[A-Za-z]{1,9}\] ")


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """`relevant` and `shown` are places in the log that was read; what is shown are at most `LIMIT` of the relevant.

    Without a green log they are the same. `span` is where the output of the first failed command stands.
    """

    relevant: tuple[int, ...]
    shown: tuple[int, ...]
    span: Span
    is_compared: bool


def choose_excerpt(failed: Sequence[CILine], green: Sequence[CILine] = (), *, limit: int = LIMIT) -> Excerpt:
    """Return what of a failed log to read. Where a green one has all that it shows, what failed in it counts."""
    spans = find_spans(failed)
    relevant = compare(failed, green, spans) if green else []
    if relevant:
        shown = _choose(failed, relevant, limit)
        return Excerpt(relevant=tuple(relevant), shown=tuple(shown), span=spans[0], is_compared=True)
    found = tuple(_choose(failed, _told(failed, spans), limit))
    return Excerpt(relevant=found, shown=found, span=spans[0], is_compared=False)


def _told(lines: Sequence[CILine], spans: Sequence[Span]) -> list[int]:
    """Return the places of the failed commands' outputs, and of the first lines after them that may belong to them."""
    end = spans[-1].end
    rest = range(end, end if spans[-1].is_step else len(lines))
    after = islice((place for place in rest if lines[place].text.strip()), _AFTER)
    inside = (place for span in spans for place in range(span.begin, span.end))
    return [place for place in inside if lines[place].text.strip()] + list(after)


def _choose(lines: Sequence[CILine], places: Sequence[int], limit: int) -> list[int]:
    """Return all of a short output; of a long one its end and the reports of failures in it, best first.

    What was said before in the end comes after the best report, and what is idle there where room is left.
    """
    if len(places) <= limit:
        return list(places)
    fresh = _drop_repeats(lines, places)
    scores = _score(lines, fresh)
    end = [place for place in places[-min(_ENDING, limit) :] if not is_idle(lines[place].text)]
    told = set(fresh).intersection(end)
    pieces = [piece for piece in _cut_pieces(lines, fresh, scores) if max(scores[p] for p in piece) >= _SURE]
    best, *others = sorted(pieces, key=lambda piece: -_worth(piece, scores, len(lines))) or [[]]
    chosen = set[int]()
    for some in (told, best, end[::-1], *others, places[::-1]):
        unseen = [place for place in some if place not in chosen]
        chosen.update(unseen[: limit - len(chosen)])
    return sorted(chosen)


def _drop_repeats(lines: Sequence[CILine], places: Sequence[int]) -> list[int]:
    """Return the places without long reports that say an earlier one again, as tools do when they end.

    A report that is the same in every character stays: what was tried again may be what counts.
    """
    dropped = {place for run in _find_repeats(lines, places) if len(run) >= _LONG for place in run}
    return [place for place in places if place not in dropped]


def _find_repeats(lines: Sequence[CILine], places: Sequence[int]) -> Iterator[list[int]]:
    """Yield stretches that begin with a failure named before and go on as it did then, but for levels before lines."""
    seen: dict[str, str] = {}
    pairs = set[tuple[str, str]]()
    run: list[int] = []
    before, is_other = "", False
    for place in places:
        whole = lines[place].text
        text = _TAG.sub("", whole).strip()
        if (run and (before, text) in pairs) or (text in seen and _weigh(whole) > 0):
            run.append(place)
            is_other = is_other or seen.get(text) != whole
        else:
            if is_other:
                yield run
            run, is_other = [], False
        seen.setdefault(text, whole)
        pairs.add((before, text))
        before = text
    if is_other:
        yield run


def _score(lines: Sequence[CILine], places: Sequence[int]) -> Mapping[int, float]:
    """Return how surely each line is of a failure; what is said again and again counts less each time."""
    masked = {place: mask(lines[place].text) for place in places}
    often = Counter(masked.values())
    return {place: _weigh(lines[place].text) / (1 + math.log2(often[masked[place]])) for place in places}


def _weigh(text: str) -> float:
    if begins_report(text):
        return 4.0
    if names_failure(text):
        return 3.0
    return 1.0 if tells_failure(text) and not is_idle(text) and not is_soft(text) else 0.0


def _cut_pieces(lines: Sequence[CILine], places: Sequence[int], scores: Mapping[int, float]) -> list[list[int]]:
    """Return the stretches that tell of failures, with a little before the first word of one and after the last.

    Frames, notes and quoted code go on with what stands before them.
    """
    pieces: list[list[int]] = []
    piece: list[int] = []
    calm = 0
    for index, place in enumerate(places):
        if scores[place] > 0:
            lead = places[max(0, index - _LEAD) : index]
            piece = piece or [*(p for p in lead if not is_idle(lines[p].text)), place]
            calm = 0
        elif not goes_on(lines[place].text):
            calm += 1
        if piece and piece[-1] != place:
            piece.append(place)
        if piece and (calm >= _CALM or len(piece) >= _PIECE):
            pieces.append(piece)
            piece, calm = [], 0
    return [*pieces, piece] if piece else pieces


def _worth(piece: Sequence[int], scores: Mapping[int, float], whole: int) -> float:
    """Return what a stretch is worth: what it tells most surely, how much of it, and how late, where things ended."""
    told = [scores[place] for place in piece]
    return max(told) + _MUCH * min(sum(told), _ENOUGH) + _LATE * piece[0] / whole
