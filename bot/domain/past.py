"""Incidents of the past that look like one of today, and what mended them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.domain.conclusion import find_result, top_record
from bot.domain.evidence import Check
from bot.domain.incident import Incident
from bot.domain.investigation import Collected, Confirmed, Drafted, StageResult, Suspected, Verified
from bot.domain.text.vocabulary import split_words

MAX_WORDS: Final = 60
MIN_SHARED: Final = 3
MAX_ALIKE: Final = 3
MAX_FAILING: Final = 3


@dataclass(frozen=True, kw_only=True)
class PastIncident:
    """What is kept of an incident: `words` are how it is found again, `fix` is what mended it, "" where nothing did."""

    incident: str
    service: str
    title: str
    fix: str
    words: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Alike:
    """A past incident and the words that it shares with the one of today, which are the reason that it is shown."""

    past: PastIncident
    shared: tuple[str, ...]

    @property
    def text(self) -> str:
        mended = f"its fix: {self.past.fix}" if self.past.fix else "no fix is known"
        return f"{self.past.incident} “{self.past.title}”; {mended}; shares {', '.join(self.shared[:5])}"


def describe_past(incident: Incident, results: Sequence[StageResult], at: datetime) -> PastIncident:
    """Return what is to be kept of an incident as its investigation stands."""
    drafted, verified = find_result(results, Drafted), find_result(results, Verified)
    is_mended = drafted is not None and bool(drafted.patch) and verified is not None and verified.is_verified
    return PastIncident(
        incident=incident.id,
        service=incident.service,
        title=incident.title[:200],
        fix=drafted.title[:200] if is_mended and drafted else _name_culprit(results),
        words=pick_words(incident, results),
        at=at,
    )


def pick_words(incident: Incident, results: Sequence[StageResult]) -> tuple[str, ...]:
    """Return the words by which an incident is told from others: its worst error, its failing tests, then its title."""
    texts = [*_list_failing(results), incident.title]
    collected = find_result(results, Collected)
    record = top_record(collected) or next(iter(collected.ci_records), None) if collected else None
    if record is not None:
        stack = [f"{frame.function} {frame.path.rsplit('/', 1)[-1]}" for frame in record.frames[-5:]]
        texts = [f"{record.kind} {record.headline}", *reversed(stack), *texts]
    words = dict.fromkeys(word for text in texts for word in split_words(text))
    return tuple(words)[:MAX_WORDS]


def _list_failing(results: Sequence[StageResult]) -> tuple[str, ...]:
    """Return the tests that fail at the head, where a check was run."""
    confirmed = find_result(results, Confirmed)
    runs = confirmed.runs if confirmed else ()
    return next((run.failing[:MAX_FAILING] for run in runs if run.verdict is Check.RED), ())


def _name_culprit(results: Sequence[StageResult]) -> str:
    confirmed, suspected = find_result(results, Confirmed), find_result(results, Suspected)
    if confirmed is None or confirmed.culprit is None:
        return ""
    known = next((each for each in (suspected.suspects if suspected else ()) if each.commit == confirmed.culprit), None)
    return f"nothing yet; the culprit was {confirmed.culprit[:12]}{f' “{known.subject}”' if known else ''}"[:200]


def choose_alike(words: Sequence[str], found: Sequence[PastIncident]) -> tuple[Alike, ...]:
    """Return those that share enough, the closest first; the store finds more than are alike."""
    wanted = set(words)
    alike = [Alike(past=past, shared=tuple(word for word in past.words if word in wanted)) for past in found]
    alike = [each for each in alike if len(each.shared) >= MIN_SHARED]
    alike.sort(key=lambda each: (-len(each.shared), not each.past.fix, -each.past.at.timestamp()))
    return tuple(alike[:MAX_ALIKE])
