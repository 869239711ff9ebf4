"""From the results of an investigation to findings: what is claimed, what it rests on, what would refute it."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC
from typing import Final, TypeVar

from bot.domain.checks.reproduction import REPRODUCTION, Reproduce, Wording, word
from bot.domain.evidence import Check, CheckRun, ErrorRecord, Evidence, Finding, Suspect
from bot.domain.investigation import UNREAD, Collected, Confirmed, Drafted, StageResult, Suspected, Verified
from bot.domain.metrics.metric import Turn
from bot.domain.suspects.drift import INSTALLED, WAS_INSTALLED

CONFIRMED: Final = "confirmed"
LIKELY: Final = "likely"
INCONCLUSIVE: Final = "inconclusive"

_TAIL: Final = 20
_WHY: Final = 160
_NAMED: Final = 3
_SMALLER: Final = "which part of the commit causes it, and whether what fails without the rest is still wanted"
_ERROR: Final = re.compile(r"(?:E\s+)?((?:\w+\.)*\w*(?:Error|Exception)\b.*)")
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
    """Return the findings, cause and what mends it first, and all evidence; the newest result of a stage counts."""
    collected = find_result(results, Collected)
    ledger = _Ledger(collected.evidence if collected else ())
    cause, patch = list(_blame(results, ledger)), list(_judge_patch(results, ledger))
    is_mended = any(finding.confidence == CONFIRMED for finding in patch)
    findings = [
        *cause,
        *(patch if is_mended else ()),
        *_read_drift(results, ledger),
        *_read_marks(collected),
        *_read_metrics_and_errors(collected, ledger, find_result(results, Suspected)),
        *(() if is_mended else patch),
        *_read_gaps(collected, ledger),
    ]
    return tuple(findings), tuple(ledger.pieces)


def find_result(results: Sequence[StageResult], kind: type[_Result]) -> _Result | None:
    """Return the newest result of one stage, None where the stage did not run."""
    return next((result for result in reversed(results) if isinstance(result, kind)), None)


def top_record(collected: Collected) -> ErrorRecord | None:
    """Return the error that happened most often, the first of equals; of a service that ended, what it died of."""
    if collected.reproduce is Reproduce.START:
        return next(iter(collected.records), None)
    return max(collected.records, key=lambda record: record.count, default=None)


def name_commit(commit: str, suspects: Sequence[Suspect]) -> str:
    """Return `a1b2c3d4e5f6 "Cache totals" by Bo`, or the bare commit where nothing is known of it."""
    known = next((suspect for suspect in suspects if suspect.commit == commit), None)
    return f'{commit[:12]} "{known.subject}" by {known.author}' if known else commit[:12]


def _blame(results: Sequence[StageResult], ledger: _Ledger) -> Iterator[Finding]:
    suspected, confirmed = find_result(results, Suspected), find_result(results, Confirmed)
    suspects = suspected.suspects if suspected else ()
    kind = confirmed.reproduce if confirmed else Reproduce.REQUEST
    runs = _add_runs(confirmed.runs, ledger, kind) if confirmed else ()
    if confirmed and confirmed.culprit:
        evidence = (*runs, *_add_commit(confirmed.culprit, suspects, ledger, kind))
        yield Finding(
            claim=f"{name_commit(confirmed.culprit, suspects)} broke it: {confirmed.how}",
            evidence=evidence,
            confidence=CONFIRMED if runs else LIKELY,
            refuted_by=f"{word(kind).relapse} at the commit before it",
        )
    elif confirmed and (kind is Reproduce.CHECK or _is_flaky(confirmed)):
        is_flaky = _is_flaky(confirmed)
        yield Finding(
            claim=confirmed.how[:1].upper() + confirmed.how[1:],
            evidence=runs or (ledger.add("check", "checks", confirmed.how),),
            confidence=CONFIRMED if is_flaky else INCONCLUSIVE,
            refuted_by=_refute_unconfirmed(confirmed, is_flaky=is_flaky),
            next="" if is_flaky else _look_next(confirmed, suspects),
        )
    elif suspects:
        first = suspects[0]
        why = f": {'; '.join(first.reasons)}" if first.reasons else ""
        yield Finding(
            claim=f"{name_commit(first.commit, suspects)} is the first suspect{why}",
            evidence=(*_add_commit(first.commit, suspects, ledger, kind), *runs),
            confidence=INCONCLUSIVE if runs or not first.reasons or kind is Reproduce.LOG else LIKELY,
            refuted_by="the failure going on with that commit reverted",
            next=_look_next(confirmed, suspects),
        )


def _read_drift(results: Sequence[StageResult], ledger: _Ledger) -> Iterator[Finding]:
    """Say that a package may have become another one, where the runs blame no commit for it."""
    suspected, confirmed = find_result(results, Suspected), find_result(results, Confirmed)
    drift = suspected.drift if suspected else None
    if drift is None or confirmed is None or confirmed.culprit or _is_flaky(confirmed):
        return
    name = f"{drift.package} {drift.version}".rstrip()
    is_other = bool(drift.before and drift.version and drift.before != drift.version)
    asked = f"{drift.manifest} asks for {drift.asked}" if drift.asked else "no file of the repository names it"
    became = (
        f"{drift.before} was installed when the job was green last"
        if is_other
        else "another version may be installed than when it was green last"
    )
    told = [piece.id for piece in ledger.pieces if piece.kind in {INSTALLED, WAS_INSTALLED}]
    here = ledger.add("package", drift.manifest or "the repository", f"{drift.package}: {asked}")
    yield Finding(
        claim=f"The error comes out of {name}, which is installed and not in the repository, and no commit that was "
        f"looked at changed it. Nothing pins it ({asked}): {became}",
        evidence=(*ledger.find([drift.cite]), here, *told),
        confidence=LIKELY if is_other else INCONCLUSIVE,
        refuted_by=f"the same error with the version of {drift.package} that was installed before",
        next=f"which version of {drift.package} was installed when it was green last, and whether the failure ends "
        "with that; then pin it" + (f" in {drift.manifest}" if drift.manifest else ""),
    )


def _is_flaky(confirmed: Confirmed) -> bool:
    """Say whether runs at one commit disagreed: of a check it is noted, of anything else it shows."""
    noted = confirmed.reproduce is Reproduce.CHECK
    return any(run.verdict is Check.UNKNOWN and (run.note if noted else run.is_flaky) for run in confirmed.runs)


def _refute_unconfirmed(confirmed: Confirmed, *, is_flaky: bool) -> str:
    if is_flaky:
        return "the same verdict in every run of it"
    is_red = any(run.verdict is Check.RED for run in confirmed.runs)
    return "a commit at which it passes" if is_red else "a red run of a check in the sandbox"


def _look_next(confirmed: Confirmed | None, suspects: Sequence[Suspect]) -> str:
    """Say what a person should look at where no run could name the culprit."""
    if confirmed is not None and confirmed.left:
        return f"why nothing can be judged there (the runs say it), and what {_list_short(confirmed.left)} changed"
    first = [suspect.commit for suspect in suspects[:3] if suspect.reasons]
    read = f"what {_list_short(first)} changed" if first else "the newest changes"
    if confirmed is None:
        return f"{read}, and whether it fails at the commit before"
    if any(run.verdict is Check.RED for run in confirmed.runs):
        return f"{read}, and whether an older commit than those looked at fails too"
    if any(run.verdict is Check.GREEN for run in confirmed.runs):
        return f"what differs from the sandbox (data, configuration, load, another service); then {read}"
    if not confirmed.runs:
        return f"which check or request is red, so that it can be run; then {read}"
    return f"why it could not be run in the sandbox; then {read}"


def _list_short(commits: Sequence[str]) -> str:
    return ", ".join(commit[:12] for commit in commits[:3])


def _read_marks(collected: Collected | None) -> Iterator[Finding]:
    """Say what failed in CI, that the service ended, or what became slow: the first piece of each tells most."""
    for kind, who, refuted_by in (
        ("ci", "In CI, ", "the same lines in the log of a green run"),
        ("exit", "The service ", "as many ends of the service before the alert"),
        ("slow", "", "the same times before the alert"),
    ):
        piece = next((each for each in collected.evidence if each.kind == kind), None) if collected else None
        if piece is not None:
            claim = who + piece.text.splitlines()[0]
            yield Finding(claim=claim, evidence=(piece.id,), confidence=CONFIRMED, refuted_by=refuted_by)


def _read_metrics_and_errors(
    collected: Collected | None, ledger: _Ledger, suspected: Suspected | None
) -> Iterator[Finding]:
    """Say what the errors tell, then what the metrics do; the other way round where no log has an error."""
    errors, metrics = list(_read_errors(collected, ledger, suspected)), list(_read_metrics(collected))
    has_error = collected is not None and top_record(collected) is not None
    yield from (*errors, *metrics) if has_error else (*metrics, *errors)


def _read_metrics(collected: Collected | None) -> Iterator[Finding]:
    """Say which metrics crossed their threshold, or changed; what stayed as it was explains nothing."""
    for metric in collected.metrics if collected else ():
        if metric.turn is not Turn.STAYED:
            yield Finding(
                claim=metric.claim,
                evidence=(metric.evidence,),
                confidence=CONFIRMED if metric.turn is Turn.CROSSED else LIKELY,
                refuted_by="the same values at the same time of other days",
            )


def _read_errors(collected: Collected | None, ledger: _Ledger, suspected: Suspected | None) -> Iterator[Finding]:
    if collected is None:
        return
    record = top_record(collected)
    if record is None and collected.reproduce in {Reproduce.SLOW, Reproduce.CHECK}:
        return
    if record is None:
        text = "; ".join(collected.notes) or "no error among them"
        cite = f"{collected.lines_read:,} log lines"
        is_blind = bool(collected.missing) and not collected.lines_read
        yield Finding(
            claim="No log could be read" if is_blind else "The logs show no error in the time around the alert",
            evidence=(ledger.add("logs", cite, text),),
            confidence=INCONCLUSIVE,
            refuted_by="an error in a log that was not read",
            next="the logs of the services it calls, and a longer time before the alert",
        )
        return
    times = "once" if record.count == 1 else f"{record.count:,} times"
    where = f" at {record.frames[-1].path}:{record.frames[-1].line}" if record.frames else ""
    cited = ledger.find([line.cite for line in record.lines])
    shown = tuple(ledger.add(piece.kind, piece.cite, piece.text) for piece in (suspected.code if suspected else ()))
    yield Finding(
        claim=f"{record.kind or 'An error'}{where}, {times}: {_tell_headline(record)}",
        evidence=tuple(dict.fromkeys((*(cited or (ledger.add("log", record.cite, record.headline),)), *shown))),
        confidence=CONFIRMED,
        refuted_by="as many of the same error before the alert",
    )


def _tell_headline(record: ErrorRecord) -> str:
    """Return an error's first line, without its kind, which is said before it."""
    first = (record.headline.splitlines() or [""])[0]
    return first.removeprefix(f"{record.kind}: ") if record.kind else first


def _read_gaps(collected: Collected | None, ledger: _Ledger) -> Iterator[Finding]:
    """Name what is not in the findings: sources that did not answer, or said nothing that can be read."""
    gaps = [text.partition(UNREAD) for text in collected.missing] if collected else []
    if gaps:
        yield Finding(
            claim=f"Not all of the evidence is in, without {', '.join(source for source, *_ in gaps)}",
            evidence=tuple(ledger.add("gap", source, f"{UNREAD.strip()}{why}") for source, _, why in gaps),
            confidence=INCONCLUSIVE,
            next=f"what {'that source has' if len(gaps) == 1 else 'those sources have'} of this time",
        )


def _judge_patch(results: Sequence[StageResult], ledger: _Ledger) -> Iterator[Finding]:
    drafted, verified = find_result(results, Drafted), find_result(results, Verified)
    if drafted is None or not drafted.patch or verified is None:
        return
    runs, words = _add_runs(verified.runs, ledger, verified.reproduce), word(verified.reproduce)
    if verified.is_verified:
        yield Finding(
            claim=f"{drafted.title} mends it: the {words.trial} {words.succeeds} with it, "
            f"and no {verified.counted} turns red",
            evidence=runs,
            confidence=CONFIRMED,
            refuted_by=f"{words.relapse} with the patch, or a check that it turns red",
        )
        return
    if runs and verified.before is Check.RED and (claim := _tell_known(verified, words)):
        yield Finding(
            claim=f"{drafted.title} {claim}",
            evidence=runs,
            confidence=CONFIRMED,
            refuted_by=f"another end of {words.running}, then every check, with the patch",
            next=_SMALLER if verified.after is Check.GREEN else "what else changed meanwhile",
        )
        return
    reasons = "; ".join(verified.notes) or f"before {verified.before.value}, after {verified.after.value}"
    yield Finding(
        claim=f"It is not known whether {drafted.title} mends it: {reasons}",
        evidence=runs or (ledger.add("check", verified.rung or "no sandbox", reasons),),
        confidence=INCONCLUSIVE,
        refuted_by=f"{words.running} with the patch",
        next=f"{words.running} with the patch where all that it needs is there",
    )


def _tell_known(verified: Verified, words: Wording) -> str:
    """Say what a patch does that was run to its end and is not good enough; "" where not all of it was judged."""
    if verified.after is Check.RED:
        return f"does not mend it ({words.relapse} with it too)"
    if verified.after is not Check.GREEN or any(run.verdict is not Check.RED for run in verified.broken):
        return ""
    broken = verified.newly_failing or tuple(f"the check {run.name}" for run in verified.broken)
    more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
    named = f"{', '.join(broken[:_NAMED])}{more}"
    return f"mends what failed and breaks something else: the {words.trial} {words.succeeds} with it, and {named} " + (
        "fails that passed without it" if len(broken) == 1 else "fail that passed without it"
    )


def _add_commit(commit: str, suspects: Sequence[Suspect], ledger: _Ledger, kind: Reproduce) -> tuple[str, ...]:
    known = next((suspect for suspect in suspects if suspect.commit == commit), None)
    if known is None:
        return (ledger.add("commit", commit[:12], f"found by {word(kind).running} at older commits"),)
    at = known.committed_at.astimezone(UTC)
    day = f"{at.day} {at:%b %H:%M} UTC"
    text = f'"{known.subject}" by {known.author}, {day}' + "".join(f"; {reason}" for reason in known.reasons)
    return (ledger.add("commit", commit[:12], text),)


def _add_runs(runs: Sequence[CheckRun], ledger: _Ledger, kind: Reproduce) -> tuple[str, ...]:
    """Cite the runs. What the first red one wrote stands with it where no log says as much."""
    shown = next((run for run in runs if run.verdict is Check.RED), None)
    if kind not in {Reproduce.START, Reproduce.CHECK}:
        shown = None
    return tuple(ledger.add("run", f"{run.name} at {run.at[:12]}", _tell_run(run, kind, run is shown)) for run in runs)


def _tell_run(run: CheckRun, kind: Reproduce, is_shown: bool) -> str:
    words = word(kind if run.name == REPRODUCTION else Reproduce.CHECK)
    said = {Check.GREEN: words.green, Check.RED: words.red, Check.UNKNOWN: "could not be judged"}[run.verdict]
    if run.verdict is Check.UNKNOWN and (run.is_flaky or (run.note and kind is Reproduce.CHECK)):
        said = "contradicted itself"
    why = run.note or (_tell_why(run.output) if run.verdict is Check.UNKNOWN else "")
    note = f" ({why})" if why else ""
    text = f"{said} after {run.seconds:.1f} s{note}"
    return "\n".join((text, *run.output.strip().splitlines()[-_TAIL:])) if is_shown else text


def _tell_why(output: str) -> str:
    """Return what kept a run from being judged: the last error that it names, else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    named = next((found[1] for line in reversed(lines) if (found := _ERROR.match(line))), "")
    return (named or "".join(lines[-1:]))[:_WHY]
