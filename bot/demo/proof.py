"""What the demo checks and says at its end: the pushed bytes are the shown bytes, pushed once, tested once."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from bot.demo.api import Event, IncidentStatus
from bot.demo.history import git
from bot.domain.patches.patch import parse_patch

_STAGES: Final = {"suspected": "suspect named", "confirmed": "suspect confirmed by execution"}
_KINDS: Final = {
    "patch_ready": "verified patch shown",
    "approved": "approved",
    "pushed": "pushed",
    "ci_passed": "verdict: CI passed",
    "ci_failed": "verdict: CI failed",
    "resolved": "closed",
}


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What stands in the repository now: the one pushed commit, its branch and its parent."""

    branch: str
    sha: str
    parent: str


def find_pushed(repository: Path, incident: str) -> list[Pushed]:
    """Return the branches that Nightshift pushed for an incident."""
    listed = git(
        "for-each-ref",
        "--format=%(refname:short) %(objectname) %(parent)",
        f"refs/heads/nightshift/{incident}/",
        cwd=repository,
    )
    rows = (line.split(" ") for line in listed.splitlines())
    return [Pushed(branch=row[0], sha=row[1], parent=row[2] if len(row) > 2 else "") for row in rows]


def diff_of(repository: Path, pushed: Pushed) -> bytes:
    """Return the pushed commit's change in canonical form."""
    raw = git("diff", "--no-color", "--no-ext-diff", "--no-renames", pushed.parent, pushed.sha, cwd=repository)
    return parse_patch(raw.encode(errors="surrogateescape")).text


def find_faults(repository: Path, status: IncidentStatus, shown: bytes) -> list[str]:
    """Return what does not hold of "one approval, one push of the shown bytes, one CI run"; empty = all holds."""
    faults = []
    pushed = find_pushed(repository, status.id)
    if len(pushed) != 1:
        faults.append(f"{len(pushed)} branches were pushed instead of one")
    if len(status.ci) != 1:
        faults.append(f"there are {len(status.ci)} CI runs instead of one")
    elif pushed and status.ci[0].sha != pushed[0].sha:
        faults.append(f"CI ran {status.ci[0].sha[:12]}, pushed was {pushed[0].sha[:12]}")
    executed = [patch for patch in status.patches if patch.state == "executed"]
    if len(executed) != 1:
        faults.append(f"{len(executed)} approvals were executed instead of one")
    for patch in executed:
        if hashlib.sha256(shown).hexdigest() != patch.digest:
            faults.append("the diff on the page is not the one that was approved")
        if pushed and pushed[0].parent != patch.base:
            faults.append("the pushed commit does not stand on the approved base")
    if pushed and diff_of(repository, pushed[0]) != shown:
        faults.append("the pushed commit's diff is not the diff that was shown")
    return faults


@dataclass(frozen=True, kw_only=True)
class Milestone:
    name: str
    seconds: float


def find_milestones(events: Sequence[Event], alerted_at: datetime) -> list[Milestone]:
    """Return how long after the alert the first card, the suspect, the patch and the verdict were there."""
    firsts: dict[str, datetime] = {}
    for event in events:
        name = _milestone_of(event)
        if name:
            firsts.setdefault(name, event.at)
    return [
        Milestone(name=name, seconds=max(0.0, (at - alerted_at) / timedelta(seconds=1))) for name, at in firsts.items()
    ]


def _milestone_of(event: Event) -> str:
    if event.kind == "posted":
        return "first card" if event.data.get("slot") == "card" else ""
    if event.kind == "stage":
        return _STAGES.get(event.data.get("stage", ""), "")
    return _KINDS.get(event.kind, "")
