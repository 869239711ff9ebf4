"""The verification record: what was run without and with the patch, in one line on the card and in full as a file."""

from collections.abc import Iterator

from bot.domain.chat import File
from bot.domain.checks.reproduction import REPRODUCTION
from bot.domain.draft import Draft
from bot.domain.evidence import Check, CheckRun
from bot.domain.investigation import Verified
from bot.render.words import write_list, write_seconds

_SHORT = 12
_WORDS = {Check.GREEN: "green", Check.RED: "red", Check.UNKNOWN: "not judged"}


def say_proof(result: Verified) -> str:
    """Return "tests, lint and types green (23 s)", then what is red and does not count, by name."""
    checks = [run for run in result.runs if run.name != REPRODUCTION]
    green = [run.name for run in checks if run.verdict is Check.GREEN]
    seconds = sum(run.seconds for run in checks)
    proof = f"{write_list(green)} green ({write_seconds(seconds)})" if green else "there is no check to run"
    optional = [run.name for run in checks if run.verdict is not Check.GREEN and not run.required]
    more = [f"red without the patch too: {write_list(result.already_red)}"] if result.already_red else []
    more += [f"not required and not green: {write_list(optional)}"] if optional else []
    return "; ".join([proof, *more])


def record_file(draft: Draft) -> tuple[File, ...]:
    """Return the record as a text file; none where nothing was ever run."""
    if draft.verified is None:
        return ()
    name = f"{draft.incident}-{draft.digest[:_SHORT]}-verification.txt"
    return (File(name=name, media_type="text/plain", text="\n".join(_write(draft, draft.verified)) + "\n"),)


def _write(draft: Draft, result: Verified) -> Iterator[str]:
    yield f"Patch {draft.digest} on {draft.base}"
    yield f"{'Verified' if result.is_verified else 'Not verified'}; sandbox: {result.rung or 'none'}"
    yield from (f"- {note}" for note in result.notes)
    for where, runs in (("Without the patch", result.base_runs), ("With the patch", result.runs)):
        yield ""
        yield f"{where}:" if runs else f"{where}: nothing was run"
        for run in runs:
            yield from _write_run(run)


def _write_run(run: CheckRun) -> Iterator[str]:
    facts = [_WORDS[run.verdict], f"{run.seconds:.1f} s"]
    facts += [f"exit {run.exit_code}"] if run.exit_code is not None else []
    facts += [f"green in {run.greens} of {run.attempts} runs"] if run.attempts > 1 else []
    facts += [] if run.required else ["not required"]
    kind = f" ({run.kind})" if run.kind and run.kind != run.name else ""
    yield f"* {run.name}{kind}: {', '.join(facts)}"
    yield from (f"    {line}" for line in run.output.splitlines())
