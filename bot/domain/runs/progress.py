"""How far a run is, folded from what is stored: rows of the timeline and of the model's transcripts. Pure.

A run is one investigation of an incident with all that followed from it: the model's part, its patches, their approval
and what CI said. It has the one state that matters most: a question to people comes before work, work before an end.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final


class RunStatus(StrEnum):
    """The public names. EXPIRED: nobody decided in time. CANCELLED: people, or the course of things, ended it."""

    PROCESSING = "PROCESSING"
    TOOL_INVOKED = "TOOL_INVOKED"
    WAITING_APPROVAL = "WAITING_APPROVAL"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"

    @property
    def is_final(self) -> bool:
        """Say whether nothing goes on by itself. A final run goes on where people ask for that."""
        return self not in {RunStatus.PROCESSING, RunStatus.TOOL_INVOKED, RunStatus.WAITING_APPROVAL}


@dataclass(frozen=True, kw_only=True)
class Happening:
    """One stored row: of the timeline (`transcript` is ""), or of a transcript, whose kinds begin with "step."."""

    at: datetime
    seq: int
    kind: str
    text: str = ""
    transcript: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    calls: tuple[str, ...] = ()


class _Patch(StrEnum):
    WAITING = "waiting"
    GOING = "going"
    DONE = "done"
    FAILED = "failed"
    REJECTED = "rejected"
    EXPIRED = "expired"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """All that the rows say. `verdict` is how the work itself ended, `patches` what became of each patch; `before` is
    that of patches whose CI was asked to run again."""

    working: frozenset[str] = frozenset()
    pending: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    patches: Mapping[str, _Patch] = field(default_factory=dict)
    before: Mapping[str, _Patch] = field(default_factory=dict)
    verdict: RunStatus | None = None
    text: str = ""
    status: RunStatus = RunStatus.PROCESSING
    since: datetime | None = None

    @property
    def tool(self) -> str:
        """Return the tool that is at work, "" where none is."""
        return next((calls[0] for calls in self.pending.values() if calls), "")


def fold_progress(happenings: Iterable[Happening]) -> Progress:
    """Return how far a run is after all of its rows, in their order."""
    progress = Progress()
    for happening in happenings:
        progress = advance(progress, happening)
    return progress


def advance(progress: Progress, happening: Happening) -> Progress:
    """Return how far a run is after one more row; rows that change nothing are passed over."""
    change = _CHANGES.get(happening.kind)
    if change is None:
        return progress
    changed = change(progress, happening)
    status = _judge(changed)
    since = happening.at if status is not progress.status or progress.since is None else progress.since
    return replace(changed, status=status, since=since, text=happening.text or changed.text)


_ENDS: Final = (
    (_Patch.DONE, RunStatus.COMPLETED),
    (_Patch.FAILED, RunStatus.FAILED),
    (_Patch.REJECTED, RunStatus.CANCELLED),
    (_Patch.EXPIRED, RunStatus.EXPIRED),
)


def _judge(progress: Progress) -> RunStatus:
    fates = set(progress.patches.values())
    if _Patch.WAITING in fates:
        return RunStatus.WAITING_APPROVAL
    if progress.tool:
        return RunStatus.TOOL_INVOKED
    if progress.working or _Patch.GOING in fates:
        return RunStatus.PROCESSING
    ended = next((status for fate, status in _ENDS if fate in fates), None)
    return ended or progress.verdict or RunStatus.PROCESSING


# What each kind of row changes ----------------------------------------------------------------------------------------
def _begin(name: str) -> Callable[[Progress, Happening], Progress]:
    return lambda progress, row: replace(progress, working=progress.working | {_name(name, row)})


def _name(name: str, row: Happening) -> str:
    return name if name == "triage" else f"{name} {row.data.get('run', '')}"


def _skip(progress: Progress, _row: Happening) -> Progress:
    return replace(progress, working=frozenset(), verdict=RunStatus.CANCELLED)


def _end_triage(progress: Progress, row: Happening) -> Progress:
    verdict = RunStatus.FAILED if row.data.get("state") == "failed" else RunStatus.COMPLETED
    return replace(progress, working=progress.working - {"triage"}, verdict=verdict)


def _end_model(progress: Progress, row: Happening) -> Progress:
    run = row.data.get("run", "")
    pending = {name: calls for name, calls in progress.pending.items() if name != run}
    verdict = RunStatus.CANCELLED if row.data.get("cancelled") else progress.verdict
    return replace(progress, working=progress.working - {f"model {run}"}, pending=pending, verdict=verdict)


def _end_revert(progress: Progress, row: Happening) -> Progress:
    return replace(progress, working=progress.working - {_name("revert", row)})


def _call(progress: Progress, row: Happening) -> Progress:
    return replace(progress, pending={**progress.pending, row.transcript: row.calls})


def _answer(progress: Progress, row: Happening) -> Progress:
    left = progress.pending.get(row.transcript, ())[1:]
    return replace(progress, pending={**progress.pending, row.transcript: left})


def _propose(progress: Progress, row: Happening) -> Progress:
    return replace(progress, patches={**progress.patches, row.data["digest"][:12]: _Patch.WAITING})


def _withdraw(progress: Progress, row: Happening) -> Progress:
    gone = row.data["digest"][:12]
    left = {digest: fate for digest, fate in progress.patches.items() if digest != gone}
    return replace(progress, patches=left, verdict=progress.verdict or RunStatus.CANCELLED)


def _approve(progress: Progress, row: Happening) -> Progress:
    """Only the vote that was enough brings a statement."""
    return _mark(_Patch.GOING)(progress, row) if "statement" in row.data else progress


def _mark(fate: _Patch) -> Callable[[Progress, Happening], Progress]:
    def mark(progress: Progress, row: Happening) -> Progress:
        digest = row.data.get("digest", "")[:12]
        is_known = digest in progress.patches
        return replace(progress, patches={**progress.patches, digest: fate}) if is_known else progress

    return mark


def _refuse(progress: Progress, row: Happening) -> Progress:
    return _mark(_Patch.EXPIRED if row.data.get("state") == "expired" else _Patch.FAILED)(progress, row)


def _conclude(fate: _Patch) -> Callable[[Progress, Happening], Progress]:
    """CI's newest verdict is about the patch that it names; older rows name none and are about what was pushed."""

    def conclude(progress: Progress, row: Happening) -> Progress:
        if "digest" in row.data:
            return _mark(fate)(progress, row)
        pushed = {_Patch.GOING, _Patch.DONE, _Patch.FAILED}
        fates = {digest: fate if old in pushed else old for digest, old in progress.patches.items()}
        return replace(progress, patches=fates)

    return conclude


def _run_again(progress: Progress, row: Happening) -> Progress:
    """CI is asked for another run of what has a verdict."""
    digest = row.data.get("digest", "")[:12]
    fate = progress.patches.get(digest)
    if fate is not _Patch.DONE and fate is not _Patch.FAILED:
        return progress
    asked = replace(progress, before={**progress.before, digest: fate})
    return _mark(_Patch.GOING)(asked, row)


def _refuse_order(progress: Progress, row: Happening) -> Progress:
    """CI did not do what it was asked to: after a rerun that there is not, the verdict stands."""
    digest = row.data.get("digest", "")[:12]
    fate = progress.before.get(digest)
    is_rerun = row.data.get("order") == "rerun" and progress.patches.get(digest) is _Patch.GOING
    return _mark(fate)(progress, row) if fate is not None and is_rerun else progress


def _close(progress: Progress, _row: Happening) -> Progress:
    """The incident is over: nothing is waited for any more. What CI said before it was asked again stands."""
    known = {d: progress.before.get(d, fate) if fate is _Patch.GOING else fate for d, fate in progress.patches.items()}
    left = {digest: fate for digest, fate in known.items() if fate not in {_Patch.WAITING, _Patch.GOING}}
    was_cut = bool(progress.working) or len(left) < len(progress.patches)
    verdict = RunStatus.CANCELLED if was_cut else progress.verdict
    return replace(progress, working=frozenset(), pending={}, patches=left, verdict=verdict)


_CHANGES: Final[Mapping[str, Callable[[Progress, Happening], Progress]]] = {
    "triage_queued": _begin("triage"),
    "triage_started": _begin("triage"),
    "stage": lambda progress, _row: progress,
    "triage_skipped": _skip,
    "triage_ended": _end_triage,
    "model_queued": _begin("model"),
    "model_ended": _end_model,
    "revert_asked": _begin("revert"),
    "revert_ended": _end_revert,
    "step.model": _call,
    "step.tool": _answer,
    "patch_ready": _propose,
    "rollback_ready": _propose,
    "withdrawn": _withdraw,
    "approved": _approve,
    "break_glass": _mark(_Patch.GOING),
    "rejected": _mark(_Patch.REJECTED),
    "expired": _mark(_Patch.EXPIRED),
    "renewed": _mark(_Patch.WAITING),
    "push_refused": _refuse,
    "rollback_refused": _refuse,
    "rolled_back": _mark(_Patch.DONE),
    "ci_passed": _conclude(_Patch.DONE),
    "ci_failed": _conclude(_Patch.FAILED),
    "ci_cancelled": _conclude(_Patch.FAILED),
    "ci_rerun": _run_again,
    "ci_order_failed": _refuse_order,
    "superseded": _withdraw,
    "resolved": _close,
}
