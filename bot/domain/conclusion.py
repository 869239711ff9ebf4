"""From the results of an investigation to findings: what is claimed, what it rests on, what would refute it."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC
from typing import Final, TypeVar

from bot.domain.evidence import Check, CheckRun, ErrorRecord, Evidence, Finding, Suspect
from bot.domain.investigation import Collected, Confirmed, Drafted, StageResult, Suspected, Verified

CONFIRMED: Final = "confirmed"
LIKELY: Final = "likely"
INCONCLUSIVE: Final = "inconclusive"

_ID: Final = re.compile(r"E([0-9]{1,6})")
_Result = TypeVar("_Result", bound=StageResult)


class _Ledger:
    """Evidence in order, numbered on from what the stages numbered themselves; the same piece is kept once."""

    def __init__(self, given: Sequence[Evidence]) -> None:
        self.pieces = list(given)
        self._by_cite = {(piece.kind, piece.cite): piece.id for piece in given}
        numbers = [int(match[1]) for piece in given if (match := _ID.fullmatch(piece.id))]
        self._next = max(numbers, default=0) + 1

    def add(self, kind: str, cite: str, text: str) -> str:
        key = (kind, cite)
        if key not in self._by_cite:
            self._by_cite[key] = f"E{self._next}"
            self.pieces.append(Evidence(id=f"E{self._next}", kind=kind, cite=cite, text=text))
            self._next += 1
        return self._by_cite[key]

    def find(self, cites: Sequence[str]) -> tuple[str, ...]:
        return tuple(piece.id for piece in self.pieces if piece.cite in cites)


def conclude(results: Sequence[StageResult]) -> tuple[tuple[Finding, ...], tuple[Evidence, ...]]:
    """Return the findings, cause first, and all evidence; the newest result of a stage counts."""
    collected = find_result(results, Collected)
    ledger = _Ledger(collected.evidence if collected else ())
    findings = [*_blame(results, ledger), *_read_errors(collected, ledger), *_judge_patch(results, ledger)]
    return tuple(findings), tuple(ledger.pieces)


def find_result(results: Sequence[StageResult], kind: type[_Result]) -> _Result | None:
    """Return the newest result of one stage, None where the stage did not run."""
    return next((result for result in reversed(results) if isinstance(result, kind)), None)


def top_record(records: Sequence[ErrorRecord]) -> ErrorRecord | None:
    """Return the record that happened most often, the first of equals."""
    return max(records, key=lambda record: record.count, default=None)


def name_commit(commit: str, suspects: Sequence[Suspect]) -> str:
    """Return `a1b2c3d4e5f6 "Cache totals" by Bo`, or the bare commit where nothing is known of it."""
    known = next((suspect for suspect in suspects if suspect.commit == commit), None)
    return f'{commit[:12]} "{known.subject}" by {known.author}' if known else commit[:12]


def _blame(results: Sequence[StageResult], ledger: _Ledger) -> Iterator[Finding]:
    suspected, confirmed = find_result(results, Suspected), find_result(results, Confirmed)
    suspects = suspected.suspects if suspected else ()
    runs = _add_runs(confirmed.runs, ledger) if confirmed else ()
    if confirmed and confirmed.culprit:
        evidence = (*runs, *_add_commit(confirmed.culprit, suspects, ledger))
        yield Finding(
            claim=f"{name_commit(confirmed.culprit, suspects)} broke it: {confirmed.how}",
            evidence=evidence,
            confidence=CONFIRMED if runs else LIKELY,
            refuted_by="the same request failing at the commit before it",
        )
    elif suspects:
        first = suspects[0]
        why = f": {'; '.join(first.reasons)}" if first.reasons else ""
        yield Finding(
            claim=f"{name_commit(first.commit, suspects)} is the first suspect{why}",
            evidence=(*_add_commit(first.commit, suspects, ledger), *runs),
            confidence=INCONCLUSIVE if runs or not first.reasons else LIKELY,
            refuted_by="the failure going on with that commit reverted",
        )


def _read_errors(collected: Collected | None, ledger: _Ledger) -> Iterator[Finding]:
    if collected is None:
        return
    record = top_record(collected.records)
    if record is None:
        text = "; ".join(collected.notes) or "no error among them"
        cite = f"{collected.lines_read:,} log lines"
        yield Finding(
            claim="The logs show no error in the time around the alert",
            evidence=(ledger.add("logs", cite, text),),
            confidence=INCONCLUSIVE,
            refuted_by="an error in a log that was not read",
        )
        return
    times = "once" if record.count == 1 else f"{record.count:,} times"
    where = f" at {record.frames[-1].path}:{record.frames[-1].line}" if record.frames else ""
    cited = ledger.find([line.cite for line in record.lines])
    yield Finding(
        claim=f"{record.kind or 'An error'}{where}, {times}: {record.headline}",
        evidence=cited or (ledger.add("log", record.cite, record.headline),),
        confidence=CONFIRMED,
        refuted_by="as many of the same error before the alert",
    )


def _judge_patch(results: Sequence[StageResult], ledger: _Ledger) -> Iterator[Finding]:
    drafted, verified = find_result(results, Drafted), find_result(results, Verified)
    if drafted is None or not drafted.patch or verified is None:
        return
    runs = _add_runs(verified.runs, ledger)
    if verified.is_verified:
        yield Finding(
            claim=f"{drafted.title} mends it: the failing request succeeds with it, and no check turns red",
            evidence=runs,
            confidence=CONFIRMED,
            refuted_by="the request failing with the patch, or a check that it turns red",
        )
        return
    reasons = "; ".join(verified.notes) or f"before {verified.before.value}, after {verified.after.value}"
    yield Finding(
        claim=f"It is not known whether {drafted.title} mends it: {reasons}",
        evidence=runs or (ledger.add("check", verified.rung or "no sandbox", reasons),),
        confidence=INCONCLUSIVE,
        refuted_by="a run of the failing request with the patch",
    )


def _add_commit(commit: str, suspects: Sequence[Suspect], ledger: _Ledger) -> tuple[str, ...]:
    known = next((suspect for suspect in suspects if suspect.commit == commit), None)
    if known is None:
        return (ledger.add("commit", commit[:12], "found by running the failing request at older commits"),)
    at = known.committed_at.astimezone(UTC)
    day = f"{at.day} {at:%b %H:%M} UTC"
    text = f'"{known.subject}" by {known.author}, {day}' + "".join(f"; {reason}" for reason in known.reasons)
    return (ledger.add("commit", commit[:12], text),)


def _add_runs(runs: Sequence[CheckRun], ledger: _Ledger) -> tuple[str, ...]:
    words = {Check.GREEN: "passed", Check.RED: "failed", Check.UNKNOWN: "could not be judged"}
    return tuple(
        ledger.add("run", f"{run.name} at {run.at[:12]}", f"{words[run.verdict]} after {run.seconds:.1f} s")
        for run in runs
    )
