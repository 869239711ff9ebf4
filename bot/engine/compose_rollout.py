"""Renders what follows an approval: notices, the change on the patch card, the offer to merge on the verdict."""

from collections.abc import Callable, Mapping
from typing import Final

from bot.domain.approvals.order import read_order
from bot.domain.approvals.subject import Subject
from bot.domain.chat import Message, Paragraph, Tone
from bot.domain.draft import Draft
from bot.domain.incident import Incident
from bot.domain.timeline import TimelineEvent
from bot.ports.work import UnitOfWork
from bot.render.rollback import add_rollback, render_unproposed
from bot.render.rollout import (
    Question,
    add_change,
    add_consequence,
    render_ended,
    render_question,
    render_watched,
)
from bot.render.words import write_clock
from bot.services import deploy, dispatch, merging, reverting, rollback, rollback_ask
from bot.services.proposing import find_change, find_ending
from bot.services.rulebook import Rulebook

_STILL_OPEN: Final = "The alert is still open. Look at the patch card and decide what to do next."
_PLAIN: Final[Mapping[str, tuple[str, str]]] = {
    "missing": ("ci_missing", "If it does not come, look at CI: something keeps it from running."),
    "change": ("change_refused", "The branch is pushed; propose it by hand if you need it."),
    "merge": ("merge_refused", "Nothing was forced. Look at the change and decide what to do next."),
    "asked": ("ci_order_failed", "Nothing was changed."),
    "deployed": ("deploy_refused", "Deploy it by hand, or look at CI."),
    "deployment": (
        deploy.FAILED,
        "Look at CI: what runs may be the old release or half of the new one.",
    ),
    "returned": (rollback.FAILED, "Look at CI: what runs may be the new release or half of the old one."),
    "rollback": (rollback.REFUSED, "What runs is as it was. Look at the card, or roll back by hand."),
}
"""Topic of a notice → the event that it tells, and what to do."""


class RolloutComposer:
    """Renders one kind of message each; None where there is nothing (any more) to show."""

    def __init__(self, rules: Rulebook) -> None:
        self._rules = rules

    def notice(self, work: UnitOfWork, incident: Incident, arg: str) -> Message | None:
        """Return a notice. `arg` is "<topic>.<digest>", without a topic the push was refused."""
        topic, _, digest = arg.rpartition(".")
        if topic == "release":
            return _tell_unproposed(work, incident, digest)
        approvers = work.approvals.get(incident.id, digest).approved_by
        if topic == "watch":
            return self._watched(work, incident, digest, approvers)
        if topic == "hand":
            ended = find_ending(work, incident.id, digest)
            return render_ended(incident.id, digest, ended.text, ended.data["about"]) if ended else None
        if topic in _PLAIN:
            kind, advice = _PLAIN[topic]
            ring = () if topic == "asked" else approvers
            return _tell(work, incident, arg, kind=kind, advice=advice, ring=ring)
        if topic:
            return self._question(work, incident, topic, digest)
        return _tell(work, incident, digest, kind="push_refused", advice=_STILL_OPEN, ring=approvers)

    def add_to_patch(self, work: UnitOfWork, draft: Draft, message: Message) -> Message:
        """Add to a patch card what follows, and the change where there is one."""
        service = self._rules.services.get(work.incidents.get(draft.incident).service)
        if service is not None:
            message = add_consequence(message, service)
        change = find_change(work, draft.incident, draft.digest)
        return add_change(message, draft, change, may_merge=False, ended=_tell_ending(work, draft))

    def add_to_verdict(self, work: UnitOfWork, draft: Draft, message: Message) -> Message:
        """Add to a verdict the change, and the offer to merge it where that is a person's to do."""
        service = self._rules.services.get(work.incidents.get(draft.incident).service)
        may_merge = service is not None and merging.may_merge(work, draft.incident, draft.digest, service)
        change = find_change(work, draft.incident, draft.digest)
        return add_change(message, draft, change, may_merge=may_merge, ended=_tell_ending(work, draft))

    def _question(self, work: UnitOfWork, incident: Incident, topic: str, digest: str) -> Message | None:
        order = read_order(incident.id, work.approvals.get(incident.id, digest).digest, topic)
        told = [event for event in work.timeline.of(incident.id) if event.data.get("key") == order.key]
        asked = [event for event in told if event.kind == dispatch.UNANSWERED]
        if not asked:
            return None
        ended = [event.text for event in told if event.seq > asked[-1].seq]
        runs = [run.url for known, run in work.ci_runs.of(incident.id) if known == order.digest]
        service = self._rules.services.get(incident.service)
        url = next((url for url in reversed(runs) if url), _page_of(service.repository) if service else "")
        question = Question(order=order, text=asked[-1].text, url=url, settled=ended[-1] if ended else "")
        return render_question(question, ring=work.approvals.get(incident.id, digest).approved_by)

    def _watched(self, work: UnitOfWork, incident: Incident, digest: str, approvers: tuple[str, ...]) -> Message | None:
        told = _events(work, incident, digest, lambda event: event.kind in deploy.WATCHED)
        if not told:
            return None
        fires = any(event.kind == deploy.STILL_FIRES for event in told)
        is_patch = work.approvals.get(incident.id, digest).subject is Subject.PATCH
        can_revert = is_patch and reverting.find_revert(work, incident) is not None
        offers = fires and incident.is_open and can_revert
        ring = approvers if fires else ()
        message = render_watched(incident.id, digest, told[-1].text, offers_revert=offers, ring=ring)
        service = self._rules.services.get(incident.service)
        return add_rollback(message, incident, service) if fires and is_patch else message


def _tell_unproposed(work: UnitOfWork, incident: Incident, request: str) -> Message | None:
    told = work.timeline.of(incident.id)
    asked = [event.actor for event in told if event.kind == rollback_ask.ASKED and str(event.seq) == request]
    why = [e.text for e in told if e.kind == rollback_ask.NONE_FOUND and e.data["request"] == request]
    return render_unproposed(incident.id, request, why[-1], ring=tuple(asked)) if why else None


def _tell_ending(work: UnitOfWork, draft: Draft) -> str:
    """Return how and when people ended the change of a patch, "" where they did not."""
    ended = find_ending(work, draft.incident, draft.digest)
    return f"{ended.text}; seen at {write_clock(ended.at, work.now)}." if ended else ""


def _page_of(repository: str) -> str:
    """Return the page of a repository whose address is one; never one that holds a user or a password."""
    return "" if "@" in repository else repository.removesuffix(".git")


def _events(
    work: UnitOfWork, incident: Incident, digest: str, accept: Callable[[TimelineEvent], bool]
) -> list[TimelineEvent]:
    mine = [e for e in work.timeline.of(incident.id) if e.data.get("digest", "").startswith(digest)]
    return [event for event in mine if accept(event)]


def _tell(
    work: UnitOfWork, incident: Incident, arg: str, *, kind: str, advice: str, ring: tuple[str, ...]
) -> Message | None:
    told = _events(work, incident, arg.rpartition(".")[2], lambda event: event.kind == kind)
    if not told:
        return None
    return Message(
        incident=incident.id,
        slot=f"notice:{arg}",
        headline=told[-1].text,
        tone=Tone.WARN,
        blocks=(Paragraph(text=advice),),
        rings=ring,
    )
