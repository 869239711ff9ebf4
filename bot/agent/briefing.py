"""The facts of one incident as the model gets them: what was found without it, bounded, redacted, and defused."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.agent.guard import defuse
from bot.agent.prompts import render_task
from bot.domain.approvals.feedback import MAX_WISH, FeedbackKind
from bot.domain.checks.reproduction import word
from bot.domain.conclusion import conclude, find_result, name_commit
from bot.domain.evidence import Evidence
from bot.domain.investigation import Collected, Confirmed, Drafted, Job, Suspected, Verified

MAX_MISSING: Final = 20
MAX_TASK: Final = 24_000
MAX_PIECES: Final = 8
MAX_PIECE: Final = 1_800
MAX_CI_PIECE: Final = 8_000
MAX_SUSPECTS: Final = 5
MAX_FEEDBACK: Final = 3
MAX_PLAYBOOKS: Final = 20
MAX_OLD_PATCH: Final = 4_000


@dataclass(frozen=True, kw_only=True)
class _Piece:
    id: str
    kind: str
    cite: str
    text: str


@dataclass(frozen=True, kw_only=True)
class _Said:
    who: str
    did: str
    title: str
    text: str
    patch: str


_DID: Final[Mapping[FeedbackKind, str]] = {
    FeedbackKind.CHANGES: "wants this patch changed",
    FeedbackKind.REJECTED: "rejected this patch",
}


def write_task(job: Job, *, head: str, checks: Sequence[str], clean: Callable[[str], str]) -> str:
    """Return the first user message. Everything that came from outside passes `clean`."""
    findings, evidence = conclude(job.done)
    cited = {piece for finding in findings for piece in finding.evidence}
    ordered = sorted(evidence, key=lambda piece: piece.id not in cited)[:MAX_PIECES]
    facts = {
        "title": job.title[:200],
        "service": job.service.name,
        "since": job.alert_started_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "head": head,
        "checks": ", ".join(checks) or "none",
        "playbook": job.playbook.title,
        "playbooks": list(_list_playbooks(job)),
        "findings": [f"{each.claim} ({each.confidence}, {', '.join(each.evidence)})" for each in findings],
        "evidence": [_Piece(id=each.id, kind=each.kind, cite=each.cite, text=_shorten(each)) for each in ordered],
        "suspects": list(_name_suspects(job)),
        "tried": list(_tell_tried(job)),
        "feedback": list(_tell_feedback(job)),
        "questions": job.questions,
        "look": job.look,
    }
    text = defuse(clean(render_task(facts)))
    return text if len(text) <= MAX_TASK else text[:MAX_TASK] + "\n… cut here\n"


def tell_missing(missing: Sequence[str], clean: Callable[[str], str]) -> str:
    """Return what follows the task where tools of other servers are not there as they should be."""
    if not missing:
        return ""
    lines = (f"- {' '.join(text.split())[:400]}" for text in missing[:MAX_MISSING])
    return defuse(clean("\n".join(("\nNot there in this run; go on without:", *lines, ""))))


def _shorten(piece: Evidence) -> str:
    """Return a piece's text within its room. CI's log has more of it, and keeps both of its ends."""
    if piece.kind != "ci":
        return piece.text[:MAX_PIECE]
    half = MAX_CI_PIECE // 2
    return piece.text if len(piece.text) <= MAX_CI_PIECE else f"{piece.text[:half]}\n…\n{piece.text[-half:]}"


def _name_suspects(job: Job) -> Iterator[str]:
    suspected = find_result(job.done, Suspected)
    for suspect in suspected.suspects[:MAX_SUSPECTS] if suspected else ():
        why = f": {'; '.join(suspect.reasons)}" if suspect.reasons else ""
        yield f"{name_commit(suspect.commit, suspected.suspects if suspected else ())}{why}"[:400]


def _list_playbooks(job: Job) -> Iterator[str]:
    """Yield a line for each other playbook; one that fits better is read with load_playbook."""
    others = [f"{name}: {title}" for name, title in job.playbooks.items() if name != job.playbook.name]
    for each in others[:MAX_PLAYBOOKS]:
        yield " ".join(each.split())[:120]
    if len(others) > MAX_PLAYBOOKS:
        yield f"… {len(others) - MAX_PLAYBOOKS} more; load_playbook without a name lists them all"


def _tell_feedback(job: Job) -> Iterator[_Said]:
    for each in job.feedback[-MAX_FEEDBACK:]:
        yield _Said(
            who=each.person[:60],
            did=_DID[each.kind],
            title=each.title[:100],
            text=each.text[:MAX_WISH],
            patch=each.patch[:MAX_OLD_PATCH],
        )


def _tell_tried(job: Job) -> Iterator[str]:
    collected, confirmed = find_result(job.done, Collected), find_result(job.done, Confirmed)
    drafted, verified = find_result(job.done, Drafted), find_result(job.done, Verified)
    for note in collected.notes if collected else ():
        yield note[:300]
    if confirmed is not None:
        yield f"{word(confirmed.reproduce).running} at older commits: {confirmed.how}"[:400]
    if drafted is not None and drafted.patch:
        said = "verified in the sandbox" if verified and verified.is_verified else "not verified"
        notes = f" ({'; '.join(verified.notes)})" if verified and verified.notes else ""
        yield f"{drafted.title}: {said}{notes}"[:400]
    elif drafted is not None:
        yield f"no revert could be drafted: {'; '.join(drafted.notes)}"[:400]
