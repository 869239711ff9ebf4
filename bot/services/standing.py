"""What must hold of an incident and its other patches before one is approved, and again before it is pushed."""

from bot.domain.approval import Approval, ApprovalState
from bot.domain.approvals.subject import Subject
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork

THINKS = "think_harder"
ASKED = frozenset({"triage_asked", "changes_asked", THINKS})
"""Timeline events by which a person asks for a run; the patch that it yields is asked for by that person."""
PUT_UP = frozenset({"patch_ready", "rollback_ready"})
"""Timeline events by which something is put up for approval."""
CARRIED_OUT = frozenset({"pushed", "rolled_back"})
"""Timeline events by which what was approved has happened."""


def require_open(work: UnitOfWork, incident: str, done: str = Subject.PATCH.done) -> None:
    """Raises `Refused` once the incident is over: what was right at night may be wrong in the morning."""
    if not work.incidents.get(incident).is_open:
        raise Refused(f"{incident} was resolved meanwhile; nothing was {done}.", Reason.STALE)


def require_patch(approval: Approval) -> None:
    """Raises `Refused` where an approval is not about a patch: nothing of it is ever applied or pushed."""
    if approval.subject is not Subject.PATCH:
        raise Refused(f"{approval.digest[:12]} is a rollback, which is never pushed.", Reason.BAD_INPUT)


def require_no_other(work: UnitOfWork, approval: Approval) -> None:
    """One thing at a time is carried out, and a patch that was asked for before another was pushed is out of date.

    A patch mends the branch and a rollback what runs: one that is done does not put the other out of date.
    """
    for other in work.approvals.of(approval.incident):
        if other.digest == approval.digest:
            continue
        if other.state is ApprovalState.APPROVED:
            name = f"{other.subject.value.capitalize()} {other.digest[:12]}"
            raise Refused(f"{name} was approved and is on its way; wait for its verdict.", Reason.CONFLICT)
        if other.subject is not approval.subject:
            continue
        if other.state is ApprovalState.EXECUTED and not _was_asked_after(work, approval, other):
            done = f"{other.subject.value} for this incident was {other.subject.done} already"
            what = f"Another {done}: {other.digest[:12]}."
            raise Refused(what, Reason.ALREADY_DONE)


def _was_asked_after(work: UnitOfWork, approval: Approval, other: Approval) -> bool:
    """Say whether this was put up for approval after the other one was carried out."""
    told = work.timeline.of(approval.incident)
    done = [e.seq for e in told if e.kind in CARRIED_OUT and e.data.get("digest") == other.digest]
    asked = [e.seq for e in told if e.kind in PUT_UP and e.data.get("digest") == approval.digest]
    return bool(done and asked) and done[-1] < asked[-1]


def find_requester(work: UnitOfWork, incident: str, run: str) -> str | None:
    """Return who asked for a run; None where an alert began it."""
    asked = [e for e in work.timeline.of(incident) if e.kind in ASKED and e.data.get("run") == run]
    return asked[-1].actor if asked else None
