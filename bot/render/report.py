"""A whole investigation as one report: for the terminal as text, for programs as JSON (docs/triage.md)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from bot.domain.conclusion import conclude, find_result, name_commit
from bot.domain.evidence import Check, CheckRun, Evidence, Finding, Suspect
from bot.domain.investigation import Collected, Confirmed, Drafted, StageResult, Suspected, Verified
from bot.domain.suspects.happened import ASIDE_FROM_CODE, Happened
from bot.render.words import write_line

VERSION: Final = 1
SHOWN_SUSPECTS: Final = 5
SHOWN_EVIDENCE: Final = 40
_Json = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class ModelAnswer:
    """What a model said and drafted where nothing else held; `fault` says why its run was cut short, or never was."""

    text: str = ""
    fault: str = ""
    repairs: int = 0
    drafted: Drafted | None = None
    verified: Verified | None = None


def is_mended(results: Sequence[StageResult]) -> bool:
    """Say whether the stages ended with a patch that holds."""
    drafted, verified = find_result(results, Drafted), find_result(results, Verified)
    return bool(drafted and drafted.patch and verified and verified.is_verified)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was looked into, and what each stage yielded; `seconds` is how long it took until each was there. `model`
    is None where none was asked."""

    title: str
    service: str
    repository: str
    began_at: datetime
    results: Sequence[StageResult]
    seconds: Mapping[str, float]
    model: ModelAnswer | None = None
    notes: Sequence[str] = ()

    @property
    def whole(self) -> Sequence[StageResult]:
        """Return the results, with the model's patch in the place of none, or of one that does not hold."""
        model = self.model
        if model is None or model.drafted is None or model.verified is None:
            return self.results
        drafted = find_result(self.results, Drafted)
        is_better = model.verified.is_verified or drafted is None or not drafted.patch
        return (*self.results, model.drafted, model.verified) if is_better else self.results

    @property
    def is_confirmed(self) -> bool:
        confirmed = find_result(self.results, Confirmed)
        return confirmed is not None and confirmed.culprit is not None

    @property
    def is_mended(self) -> bool:
        return is_mended(self.whole)

    @property
    def has_suspects(self) -> bool:
        suspected = find_result(self.results, Suspected)
        return suspected is not None and bool(suspected.suspects)


# JSON ---------------------------------------------------------------------------------------------------------------
def list_report(report: Report) -> _Json:
    """Return the report as `docs/triage.md` describes it."""
    findings, evidence = conclude(report.whole)
    suspected, confirmed = find_result(report.results, Suspected), find_result(report.results, Confirmed)
    return {
        "version": VERSION,
        "title": report.title,
        "service": report.service,
        "repository": report.repository,
        "began_at": _say_time(report.began_at),
        "head": suspected.head if suspected else "",
        "findings": [_list_finding(finding) for finding in findings],
        "evidence": [_list_evidence(piece) for piece in evidence],
        "suspects": [_list_suspect(rank, each) for rank, each in enumerate(suspected.suspects if suspected else (), 1)],
        "changes": [_list_change(change) for change in (suspected.changed if suspected else ())],
        "culprit": _list_culprit(confirmed, suspected.suspects if suspected else ()),
        "revert": _list_revert(report.results),
        "patch": _list_patch(report.whole),
        "model": _list_model(report),
        "notes": list(_notes(report)),
        "seconds": {stage: round(seconds, 3) for stage, seconds in report.seconds.items()},
    }


def list_suspects(report: Report) -> _Json:
    """Return what `suspects` prints: the ranking and what it rests on, nothing that was run."""
    whole = list_report(report)
    kept = ("version", "repository", "began_at", "head", "suspects", "changes", "evidence", "notes", "seconds")
    return {key: whole[key] for key in kept}


def _say_time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")


def _list_finding(finding: Finding) -> _Json:
    return {
        "claim": finding.claim,
        "confidence": finding.confidence,
        "evidence": list(finding.evidence),
        "refuted_by": finding.refuted_by,
        "next": finding.next,
    }


def _list_evidence(piece: Evidence) -> _Json:
    return {"id": piece.id, "kind": piece.kind, "cite": piece.cite, "text": piece.text}


def _list_suspect(rank: int, suspect: Suspect) -> _Json:
    return {
        "rank": rank,
        "commit": suspect.commit,
        "author": suspect.author,
        "committed_at": _say_time(suspect.committed_at),
        "subject": suspect.subject,
        "score": suspect.score,
        "reasons": list(suspect.reasons),
    }


def _list_change(change: Happened) -> _Json:
    return {
        "kind": change.kind.value,
        "what": change.what,
        "who": change.who,
        "at": _say_time(change.at),
        "source": change.source,
        "score": change.score,
        "reasons": list(change.reasons),
    }


def _list_revert(results: Sequence[StageResult]) -> _Json | None:
    """Return the verdict on the culprit's revert, also where there is none that could be offered."""
    drafted, verified = find_result(results, Drafted), find_result(results, Verified)
    commit = _name_reverted(results, drafted)
    if drafted is None or not commit:
        return None
    others = [run for run in verified.runs if run.name != verified.runs[0].name] if verified else []
    return {
        "commit": commit,
        "scope": drafted.scope,
        "put_back": list(drafted.put_back),
        "is_clean": drafted.scope in {"whole", "sources", "settings", "pin"}
        and not any("later commits" in note for note in drafted.notes),
        "check": verified.after.value if verified else Check.UNKNOWN.value,
        "others": {run.name: run.verdict.value for run in others},
        "breaks": list(verified.newly_failing) if verified else [],
        "already_red": list(verified.already_red) if verified else [],
        "why": list(drafted.notes),
    }


def _name_reverted(results: Sequence[StageResult], drafted: Drafted | None) -> str | None:
    """Return the commit that a patch takes back, whole or in part."""
    confirmed = find_result(results, Confirmed)
    if drafted is None or not drafted.scope:
        return None
    return drafted.culprit or (confirmed.culprit if confirmed else None)


def _list_model(report: Report) -> _Json | None:
    if report.model is None:
        return None
    is_used = report.model.drafted is not None and report.model.drafted in report.whole
    return {
        "said": report.model.text,
        "fault": report.model.fault,
        "repairs": report.model.repairs,
        "is_patch": is_used,
    }


def _list_culprit(confirmed: Confirmed | None, suspects: Sequence[Suspect]) -> _Json | None:
    if confirmed is None or confirmed.culprit is None:
        return None
    rank = next((rank for rank, each in enumerate(suspects, 1) if each.commit == confirmed.culprit), 0)
    return {
        "commit": confirmed.culprit,
        "rank": rank,
        "how": confirmed.how,
        "test_runs": count_runs(confirmed),
        "runs": [_list_run(run) for run in confirmed.runs],
    }


def count_runs(confirmed: Confirmed) -> int:
    """Return how often something was run in the sandbox to find the culprit, repetitions included."""
    return sum(run.attempts for run in confirmed.runs)


def _list_run(run: CheckRun) -> _Json:
    return {
        "name": run.name,
        "at": run.at,
        "verdict": run.verdict.value,
        "seconds": run.seconds,
        "attempts": run.attempts,
        "failing": list(run.failing),
    }


def _list_patch(results: Sequence[StageResult]) -> _Json | None:
    drafted, verified = find_result(results, Drafted), find_result(results, Verified)
    if drafted is None or not drafted.patch:
        return None
    return {
        "title": drafted.title,
        "base": drafted.base,
        "culprit": drafted.culprit or _name_reverted(results, drafted),
        "diff": drafted.patch.decode("utf-8", "replace"),
        "notes": [*drafted.notes, *(verified.notes if verified else ())],
        "verified": verified is not None and verified.is_verified,
        "before": verified.before.value if verified else Check.UNKNOWN.value,
        "after": verified.after.value if verified else Check.UNKNOWN.value,
        "checks": [_list_run(run) for run in verified.runs] if verified else [],
        "already_red": list(verified.already_red) if verified else [],
        "breaks": list(verified.newly_failing) if verified else [],
        "sandbox": verified.rung if verified else "",
    }


def _notes(report: Report) -> Iterator[str]:
    results = report.results
    yield from report.notes
    collected, suspected = find_result(results, Collected), find_result(results, Suspected)
    drafted = find_result(results, Drafted)
    yield from collected.notes if collected else ()
    yield from suspected.notes if suspected else ()
    yield from drafted.notes if drafted and not drafted.patch else ()
    confirmed = find_result(results, Confirmed)
    said = drafted.notes if drafted and not drafted.patch else ()
    if confirmed is not None and confirmed.culprit is None and not any(confirmed.how in note for note in said):
        yield confirmed.how


# Text ---------------------------------------------------------------------------------------------------------------
def tell_report(report: Report) -> str:
    """Return the report for people, the most important first."""
    findings, evidence = conclude(report.whole)
    cited = {piece for finding in findings for piece in finding.evidence}
    parts = [
        [report.title],
        *([_tell_finding(finding)] for finding in findings),
        list(_tell_suspects(report.results)),
        list(_tell_changes(report.results)),
        list(_tell_patch(report.whole)),
        list(_tell_model(report.model)),
        list(_tell_evidence([piece for piece in evidence if piece.id in cited])),
        [f"Note: {note}" for note in _notes(report)],
        [f"{report.seconds.get('whole', 0.0):.1f} s"],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def tell_suspects(report: Report) -> str:
    parts = [list(_tell_suspects(report.results, shown=10)), [f"Note: {note}" for note in _notes(report)]]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) or "No suspects."


def _tell_finding(finding: Finding) -> str:
    cites = ", ".join(finding.evidence)
    refuted = f"\n  refuted by: {finding.refuted_by}" if finding.refuted_by else ""
    after = f"\n  look at next: {finding.next}" if finding.next else ""
    return f"{finding.confidence.upper()}  {finding.claim} [{cites}]{refuted}{after}"


def _tell_suspects(results: Sequence[StageResult], *, shown: int = SHOWN_SUSPECTS) -> Iterator[str]:
    suspected = find_result(results, Suspected)
    if suspected is None or not suspected.suspects:
        return
    yield "Suspects"
    for rank, suspect in enumerate(suspected.suspects[:shown], 1):
        yield f"  {rank}. {name_commit(suspect.commit, suspected.suspects)} ({suspect.score:.2f})"
        yield from (f"       {reason}" for reason in suspect.reasons)


def _tell_changes(results: Sequence[StageResult]) -> Iterator[str]:
    """Tell what changed besides code: commits that change code stand among the suspects."""
    suspected = find_result(results, Suspected)
    others = [each for each in (suspected.changed if suspected else ()) if each.kind in ASIDE_FROM_CODE]
    if others:
        yield "Changed besides code"
    for each in others[:SHOWN_SUSPECTS]:
        yield f"  {each.kind.value}: {each.what} ({each.source[:12]}, {each.who}, {_say_time(each.at)})"


def _tell_patch(results: Sequence[StageResult]) -> Iterator[str]:
    drafted, verified = find_result(results, Drafted), find_result(results, Verified)
    if drafted is None or not drafted.patch:
        return
    yield f"Patch: {drafted.title}"
    if verified is not None:
        state = "verified" if verified.is_verified else "not verified"
        yield f"  {state}: {verified.before.value} without it, {verified.after.value} with it"
        yield from (f"  {run.name}: {run.verdict.value}" for run in verified.runs)
        yield from (f"  newly failing: {test}" for test in verified.newly_failing)
        yield from (f"  {note}" for note in verified.notes)
    yield from (f"  {note}" for note in drafted.notes)
    yield ""
    yield from drafted.patch.decode("utf-8", "replace").rstrip("\n").split("\n")


def _tell_model(model: ModelAnswer | None) -> Iterator[str]:
    if model is not None and (model.text or model.fault):
        yield f"Model: {'; '.join(filter(None, (model.fault, write_line(model.text, 600))))}"


def _tell_evidence(pieces: Sequence[Evidence]) -> Iterator[str]:
    if pieces:
        yield "Evidence"
    for piece in pieces[:SHOWN_EVIDENCE]:
        first, *rest = piece.text.splitlines() or [""]
        yield f"  [{piece.id}] {piece.cite}: {write_line(first, 200)}"
        yield from (f"        {line}" for line in rest[:12])
