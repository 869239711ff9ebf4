"""Stages four and five without a model: draft the revert of a commit, and let the sandbox judge it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from bot.domain.checks.reproduction import REPRODUCTION, Reproduce
from bot.domain.draft import Patch
from bot.domain.evidence import Check, CheckRun, Suspect
from bot.domain.investigation import Confirmed, Drafted, Verified
from bot.domain.patches.patch import PatchLimits, parse_patch, read_patch, render_file
from bot.domain.text.documents import is_document
from bot.domain.text.file_names import is_test_file
from bot.errors import Refused, Rejected, Unavailable
from bot.ports.workspace import Commit
from bot.worker.reproduce import Bench
from bot.worker.trial import Trial

CLEAR_SCORE = 0.25
CLEAR_LEAD = 1.5
MAX_NAMED = 10
FITTED = "later commits changed lines around it, so it was fitted in hunk by hunk"
#: How often a test that fails anew is run once more: a flaky one is nobody's fault.
AGAIN = 2
_GONE = ("→ 404", "→ 405", "→ 501")


@dataclass(frozen=True, kw_only=True)
class Target:
    """What to revert, and what must be said about it; no `commit` = nothing, and `notes` say why."""

    commit: str
    subject: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A draft, and the verdict where one was needed to choose it."""

    drafted: Drafted
    verified: Verified | None = None


def choose_target(
    confirmed: Confirmed,
    suspects: Sequence[Suspect],
    commits: Sequence[Commit],
    *,
    kind: Reproduce = Reproduce.REQUEST,
) -> Target:
    """Return the commit to revert: the culprit, or a suspect far ahead of the others where nothing could be run.

    A check that is not red, or not always, is never reason enough to revert a commit on suspicion, nor is an alert that
    no playbook knows and whose log shows nothing to run.
    """
    subjects = {commit.sha: commit.subject for commit in commits}
    if confirmed.culprit:
        return Target(commit=confirmed.culprit, subject=subjects.get(confirmed.culprit, confirmed.culprit[:12]))
    judged = kind in {Reproduce.CHECK, Reproduce.LOG} or any(
        run.verdict is Check.RED or (run.verdict is Check.GREEN and run.name == REPRODUCTION) for run in confirmed.runs
    )
    first = suspects[0] if suspects else None
    second = suspects[1].score if len(suspects) > 1 else 0.0
    if not judged and first is not None and first.score >= max(CLEAR_SCORE, CLEAR_LEAD * second):
        note = f"{first.commit[:12]} is the first suspect and was not confirmed by a run: {confirmed.how}"
        return Target(commit=first.commit, subject=first.subject, notes=(note,))
    return Target(commit="", subject="", notes=(f"no revert was drafted: {confirmed.how}",))


async def draft_revert(bench: Bench, target: Target, *, head: str, trial: Trial | None) -> Judged:
    """Draft the revert on the head, of whole hunks; where that does not hold, of what lies apart in them too.

    Hunks are cut only where a run tells whether what is left makes sense.
    """
    judged = await _draft(bench, target, head=head, trial=trial)
    drafted = judged.drafted
    holds = judged.verified is not None and judged.verified.is_verified
    if trial is None or not target.commit or holds or drafted.scope not in {"none", "part"}:
        return judged
    finer = await _draft(bench, target, head=head, trial=trial, is_finer=True)
    return finer if finer.verified is not None and finer.verified.is_verified else judged


async def _draft(bench: Bench, target: Target, *, head: str, trial: Trial | None, is_finer: bool = False) -> Judged:
    """Draft the revert. Where it takes tests along and does not hold, try its source files alone."""
    subject = bench.tools.clean(target.subject, 120).replace("\n", " ")
    empty = Drafted(base=head, patch=b"", title="", culprit=target.commit or None, notes=target.notes)
    if not target.commit:
        return Judged(drafted=empty)
    try:
        paths = bench.service.binary_paths
        revert = await bench.checkout.revert(target.commit, head, binary_paths=paths, is_finer=is_finer)
        if revert is None:
            return _give_up(empty, f"{target.commit[:12]} cannot be reverted: later commits changed the same lines")
        found = frozenset(revert.existing)
        whole = parse_patch(
            revert.diff,
            PatchLimits(binary_paths=paths),
            allowed_existing=lambda path, character: (path, ord(character)) in found,
        )
    except (Refused, Rejected, Unavailable) as error:
        return _give_up(
            empty, f"no revert of {target.commit[:12]} could be drafted: {bench.tools.clean(str(error), 300)}"
        )
    partial = tuple(f"not taken back: {hunk}" for hunk in revert.partial)
    fitted = () if revert.is_clean or partial else (FITTED,)
    scope = _name_scope(revert.partial)
    drafted = Drafted(
        base=head,
        patch=whole.text,
        title=f'Revert part of "{subject}"' if scope == "part" else f'Revert "{subject}"',
        culprit=target.commit,
        notes=(*target.notes, *fitted, *(bench.tools.clean(note, 300) for note in partial)),
        existing=revert.existing,
        scope=scope,
    )
    sources = _sources_only(whole)
    if trial is None or (sources is None and not partial):
        return Judged(drafted=drafted)
    judged = await _choose(bench, drafted, sources, trial)
    if partial and judged.verified is not None and judged.verified.after is Check.RED:
        left = f"only part of {target.commit[:12]} can be reverted, and {trial.subject} still {trial.words.fails} then"
        return _give_up(empty, f"{left}: later commits changed the same lines")
    return judged


def _name_scope(left_out: Sequence[str]) -> str:
    """Return how much a revert takes back where these files or hunks ("path: why") had to stay."""
    paths = [note.partition(": ")[0] for note in left_out]
    aside = all(is_test_file(path) or is_document(path) for path in paths)
    return ("sources" if aside else "part") if paths else "whole"


def _give_up(empty: Drafted, note: str) -> Judged:
    return Judged(
        drafted=Drafted(
            base=empty.base, patch=b"", title="", culprit=empty.culprit, notes=(*empty.notes, note), scope="none"
        )
    )


async def _choose(bench: Bench, drafted: Drafted, sources: bytes | None, trial: Trial) -> Judged:
    verified = await verify_patch(bench, drafted, trial)
    if verified.is_verified or sources is None:
        return Judged(drafted=drafted, verified=verified)
    note = "only the source files are reverted: with its tests and documents the revert does not hold"
    smaller = Drafted(
        base=drafted.base,
        patch=sources,
        title=drafted.title,
        culprit=drafted.culprit,
        notes=(*drafted.notes, note),
        existing=drafted.existing,
        scope="sources" if drafted.scope == "whole" else drafted.scope,
    )
    second = await verify_patch(bench, smaller, trial)
    if second.is_verified or _rank(second) > _rank(verified):
        return Judged(drafted=smaller, verified=second)
    return Judged(drafted=drafted, verified=verified)


def _rank(verified: Verified) -> tuple[bool, int]:
    """Order verdicts that both fall short: one that mends what failed comes first, then the one that breaks less."""
    return verified.after is Check.GREEN, -len(verified.broken) - len(verified.newly_failing)


def _sources_only(patch: Patch) -> bytes | None:
    """Return the patch without tests and documents; None where that is nothing or all of it."""
    files = read_patch(patch)
    kept = [file for file in files if not is_test_file(file.change.path) and not is_document(file.change.path)]
    return b"".join(render_file(file) for file in kept) if 0 < len(kept) < len(files) else None


async def verify_patch(bench: Bench, drafted: Drafted, trial: Trial | None) -> Verified:
    """Run the reproduction without and with the patch, then every check with it; a red one also without it."""
    rung = bench.tools.sandbox.rung
    if bench.fault:
        return _unverified(f"not verified: {bench.fault}", bench)
    try:
        tree = await bench.checkout.patched_tree(drafted.base, drafted.patch)
        await bench.archive(tree, keep=True)
    except (Rejected, Unavailable) as error:
        return _unverified(f"not verified: {bench.tools.clean(str(error), 300)}", bench)
    fault = await bench.read_checks(drafted.base)
    trials = [Trial(check=name) for name in bench.checks]
    if trial is not None:
        trials = [trial, *(each for each in trials if each.key != trial.key)]
    runs = await asyncio.gather(*(_run(bench, each, tree) for each in trials))
    red = [each for each, run in zip(trials, runs, strict=True) if each.check and run.verdict is Check.RED]
    without = await asyncio.gather(*(_run(bench, each, drafted.base) for each in red))
    newly = await _find_newly_failing(bench, red, tree, drafted.base)
    already = tuple(
        run.name
        for run in without
        if run.verdict is Check.RED and (trial is None or run.name != trial.check) and not newly.get(run.name)
    )
    failing = [await bench.run(trial, drafted.base)] if trial else []
    base_runs = {run.name: run for run in (*without, *failing)}
    before = failing[0].verdict if failing else Check.UNKNOWN
    after = runs[0].verdict if trial else Check.UNKNOWN
    return Verified(
        before=before,
        after=after,
        runs=tuple(runs),
        already_red=already,
        notes=(
            *_notes(runs, already, trial, [test for tests in newly.values() for test in tests]),
            *([fault] if fault else []),
        ),
        rung=rung,
        base_runs=tuple(base_runs.values()),
        newly_failing=tuple(dict.fromkeys(test for tests in newly.values() for test in tests)),
        reproduce=trial.kind if trial else bench.playbook.reproduce,
    )


async def _find_newly_failing(bench: Bench, red: Sequence[Trial], tree: str, base: str) -> dict[str, tuple[str, ...]]:
    """Return, by check, the tests that fail with the patch and not without it, and fail again when asked again."""
    found: dict[str, tuple[str, ...]] = {}
    for trial in red:
        newly = _list_failing(bench, trial, tree) - _list_failing(bench, trial, base)
        for _ in range(AGAIN if newly and _list_failing(bench, trial, base) else 0):
            newly &= frozenset((await bench.again(trial, tree)).failing) if newly else newly
        found[trial.check] = tuple(sorted(newly)) if _list_failing(bench, trial, base) else ()
    return found


def _list_failing(bench: Bench, trial: Trial, at: str) -> frozenset[str]:
    run = bench.find_run(trial, at)
    return frozenset(run.failing) if run is not None else frozenset()


async def _run(bench: Bench, trial: Trial, at: str) -> CheckRun:
    return await (bench.check(trial.check, at) if trial.check else bench.run(trial, at))


def _notes(
    runs: Sequence[CheckRun], already: Sequence[str], trial: Trial | None, newly: Sequence[str]
) -> tuple[str, ...]:
    notes = [f"{name} is red without the patch too" for name in already]
    unsure = [run for run in runs if run.verdict is Check.UNKNOWN and run.required]
    notes += [f"not verified: {_say_unsure(run)}" for run in unsure]
    tried = trial.name if trial else ""
    red = [run.name for run in runs if run.verdict is Check.RED and run.required and run.name not in already]
    notes += [f"{test} fails with the patch and not without it" for test in newly[:MAX_NAMED]]
    notes += [f"{trial.subject} still {trial.words.fails} with the patch" for name in red if trial and name == tried]
    notes += [f"the patch turns {name} red" for name in red if name != tried]
    if trial is None:
        notes.append("not verified: there is no reproduction to hold the patch against")
    elif trial.request is not None and any(answer in runs[0].output for answer in _GONE):
        notes.append(f"with the patch {trial.subject} is no longer served: it answers that there is no such route")
    return tuple(notes)


def _say_unsure(run: CheckRun) -> str:
    return f"{run.name} is flaky, it {run.note}" if run.is_flaky else f"{run.name} could not be run to its end"


def _unverified(note: str, bench: Bench) -> Verified:
    return Verified(
        before=Check.UNKNOWN,
        after=Check.UNKNOWN,
        runs=(),
        notes=(note,),
        rung=bench.tools.sandbox.rung,
        reproduce=bench.playbook.reproduce,
    )
