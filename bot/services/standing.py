"""What must hold of an incident and its other patches before one is approved, and again before it is pushed."""

from bot.domain.approval import Approval, ApprovalState
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork

ASKED = frozenset({"triage_asked", "changes_asked"})
"""Timeline events by which a person asks for a run; the patch that it yields is asked for by that person."""


def require_open(work: UnitOfWork, incident: str) -> None:
    """Raises `Refused` once the incident is over: what was right at night may be wrong in the morning."""
    if not work.incidents.get(incident).is_open:
        raise Refused(f"{incident} was resolved meanwhile; nothing was pushed.", Reason.STALE)


def require_no_other(work: UnitOfWork, approval: Approval) -> None:
    """One patch at a time is pushed, and one that was asked for before another was pushed is out of date."""
    for other in work.approvals.of(approval.incident):
        if other.digest == approval.digest:
            continue
        if other.state is ApprovalState.APPROVED:
            what = f"Patch {other.digest[:12]} was approved and is on its way; wait for its verdict."
            raise Refused(what, Reason.CONFLICT)
        if other.state is ApprovalState.EXECUTED and not _was_asked_after(work, approval, other):
            what = f"Another patch for this incident was pushed already: {other.digest[:12]}."
            raise Refused(what, Reason.ALREADY_DONE)


def _was_asked_after(work: UnitOfWork, approval: Approval, other: Approval) -> bool:
    """Say whether a patch was put up for approval after another one was pushed."""
    told = work.timeline.of(approval.incident)
    pushed = [e.seq for e in told if e.kind == "pushed" and e.data.get("digest") == other.digest]
    asked = [e.seq for e in told if e.kind == "patch_ready" and e.data.get("digest") == approval.digest]
    return bool(pushed and asked) and pushed[-1] < asked[-1]


def find_requester(work: UnitOfWork, incident: str, run: str) -> str | None:
    """Return who asked for a run; None where an alert began it."""
    asked = [e for e in work.timeline.of(incident) if e.kind in ASKED and e.data.get("run") == run]
    return asked[-1].actor if asked else None
