"""Wishes: what people asked to have changed in a patch, as the timeline keeps it."""

from datetime import datetime

from bot.domain.approvals.feedback import Feedback, FeedbackKind
from bot.domain.draft import Draft
from bot.domain.timeline import TimelineEvent
from bot.ports.work import UnitOfWork
from bot.services.rulebook import Rulebook

ASKED = "changes_asked"
MAX_FEEDBACK = 4


def base_run(run: str) -> str:
    """Return the investigation that a run belongs to: runs that people asked for follow it, with another draft
    ("INC-7:1+2") or an answer ("INC-7:1?2")."""
    return run.partition("+")[0].partition("?")[0]


def find_wish(work: UnitOfWork, incident: str, run: str) -> TimelineEvent | None:
    """Return the wish that a run of the model is about, None where nobody asked for it."""
    return next((event for event in list_wishes(work, incident) if event.data["run"] == run), None)


def list_wishes(work: UnitOfWork, incident: str) -> list[TimelineEvent]:
    """Return every wish of an incident, oldest first."""
    return [event for event in work.timeline.of(incident) if event.kind == ASKED]


def list_feedback(work: UnitOfWork, incident: str, rules: Rulebook) -> tuple[Feedback, ...]:
    """Return what people said about the patches of an incident, newest last: wishes, and reasons for a no."""
    drafts = {draft.digest: draft for draft in work.drafts.of(incident)}
    said = [
        _tell(FeedbackKind.CHANGES, rules.name_of(wish.actor), wish.at, wish.data["wish"], drafts[wish.data["digest"]])
        for wish in list_wishes(work, incident)
    ]
    said += [
        _tell(FeedbackKind.REJECTED, rules.name_of(vote.person), vote.at, vote.reason, drafts[approval.digest])
        for approval in work.approvals.of(incident)
        if (vote := approval.rejection) is not None and approval.digest in drafts  # not a rollback
    ]
    return tuple(sorted(said, key=lambda one: one.at)[-MAX_FEEDBACK:])


def _tell(kind: FeedbackKind, person: str, at: datetime, text: str, draft: Draft) -> Feedback:
    patch = draft.patch.text.decode(errors="backslashreplace")
    return Feedback(kind=kind, person=person, at=at, text=text, title=draft.title, patch=patch)
