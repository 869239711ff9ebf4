"""What the store knows that a run of the model may ask for: changes of its service, and incidents like it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from bot.domain.past import MAX_WORDS, Alike
from bot.domain.suspects.happened import Happened, WhatKind
from bot.domain.text.vocabulary import split_words
from bot.ports.work import UnitOfWork
from bot.services import deploy, rollback
from bot.services.proposing import MERGED
from bot.services.triage import find_alike

MAX_CHANGES: Final = 100
MAX_INCIDENTS: Final = 20
MAX_FOUND: Final = 5
_OURS: Final = {
    MERGED: WhatKind.MERGE,
    deploy.DEPLOYED: WhatKind.DEPLOY,
    deploy.FAILED: WhatKind.DEPLOY,
    rollback.ROLLED_BACK: WhatKind.DEPLOY,
    rollback.PASSED: WhatKind.DEPLOY,
    rollback.FAILED: WhatKind.DEPLOY,
}


def list_changes(work: UnitOfWork, service: str, since: datetime, until: datetime) -> tuple[Happened, ...]:
    """Return what others told of and what came of the service's incidents here, newest first."""
    incidents = [each for each in work.incidents.recent() if each.service == service][:MAX_INCIDENTS]
    ours = [
        Happened(kind=_OURS[event.kind], what=event.text, who=event.actor, at=event.at, source=event.incident)
        for incident in incidents
        for event in work.timeline.of(incident.id)
        if event.kind in _OURS and since <= event.at < until
    ]
    found = [*work.told_changes.between(service, since, until), *ours]
    found.sort(key=lambda each: each.at, reverse=True)
    return tuple(found[:MAX_CHANGES])


def list_alike(work: UnitOfWork, incident: str, run: str, text: str) -> tuple[Alike, ...]:
    """Return past incidents that share words with a text, else with the incident as its investigation stands."""
    if not text:
        return find_alike(work, work.incidents.get(incident), work.investigations.of(run))
    words: Sequence[str] = tuple(dict.fromkeys(split_words(text)))[:MAX_WORDS]
    found = work.past_incidents.like(words, but=incident)
    alike = [Alike(past=past, shared=tuple(word for word in words if word in past.words)) for past in found]
    alike.sort(key=lambda each: (-len(each.shared), -each.past.at.timestamp()))
    return tuple(each for each in alike if each.shared)[:MAX_FOUND]
