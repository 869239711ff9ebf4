"""What the investigation does and what it found: one message edited in place, then the findings."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from bot.domain.chat import Block, Bullets, Code, Message, Paragraph, Tone
from bot.domain.checks.reproduction import Reproduce, word
from bot.domain.conclusion import CONFIRMED, INCONCLUSIVE, LIKELY, find_result, name_commit, top_record
from bot.domain.evidence import Check, CheckRun, Evidence, Finding
from bot.domain.incident import Incident
from bot.domain.investigation import Collected, Confirmed, Drafted, Stage, StageResult, Suspected, Verified
from bot.domain.suspects.happened import ASIDE_FROM_CODE
from bot.render.incident import name_slot
from bot.render.words import write_clock, write_count, write_line, write_list, write_sentence

DONE, GOING, MISSING = "✓", "→", "–"
_RUNNING: Final[Mapping[str, str]] = {
    Stage.COLLECT: "reading the logs around the alert",
    Stage.SUSPECT: "looking for the change behind it",
    Stage.DRAFT: "drafting a patch",
    Stage.VERIFY: "testing the patch in the sandbox",
}
_CONFIDENCE: Final[Mapping[str, str]] = {
    CONFIRMED: "Confirmed",
    LIKELY: "Likely",
    INCONCLUSIVE: "Not certain",
}
_TRACE_LINES: Final = 12
MAX_CHANGED: Final = 3


def render_status(
    incident: Incident,
    results: Sequence[StageResult],
    *,
    running: str | None,
    failed: str | None,
    now: datetime,
    notes: Sequence[str] = (),
) -> Message:
    """Return the progress so far. `running` is a stage's name or what is being done in words, None at the end;
    `failed` says why it stopped, `notes` what else there is to say."""
    points = [point for result in results for point in _tell(result, results)]
    doing = _name_work(running, results) if running else ""
    if failed:
        headline, tone = f"Investigation stopped: {write_line(failed)}", Tone.WARN
    elif doing:
        headline, tone = f"Investigating: {write_line(doing)}", Tone.CALM
        points.append(f"{GOING} {doing}")
    else:
        headline, tone = "Investigation finished", Tone.CALM
    points += [write_line(note, 900) for note in notes]
    blocks: list[Block] = [Bullets(items=tuple(points))] if points else []
    if failed:
        blocks.append(Paragraph(text="What was found before stays. A person has to go on from here."))
    blocks.append(Paragraph(text=f"As of {write_clock(now, now)}."))
    return Message(
        incident=incident.id, slot=name_slot("status", incident), headline=headline, tone=tone, blocks=tuple(blocks)
    )


def render_findings(
    incident: Incident, findings: Sequence[Finding], evidence: Sequence[Evidence], *, alike: Sequence[str] = ()
) -> Message:
    """Return the findings with their citations; evidence that nothing cites is only counted."""
    cited = {piece for finding in findings for piece in finding.evidence}
    shown = [piece for piece in evidence if piece.id in cited]
    blocks: list[Block] = (
        [Bullets(items=tuple(_say_finding(finding) for finding in findings[1:]))] if findings[1:] else []
    )
    if findings:
        doubt = f" Would be refuted by: {findings[0].refuted_by}." if findings[0].refuted_by else ""
        after = f" Look next at {findings[0].next}." if findings[0].next else ""
        blocks.insert(0, Paragraph(text=f"{_weigh(findings[0])} [{', '.join(findings[0].evidence)}].{doubt}{after}"))
    if alike:
        blocks.append(Bullets(items=tuple(write_line(text, 300) for text in alike)))
    if shown:
        blocks.append(Paragraph(text="Evidence:"))
        blocks.append(Bullets(items=tuple(_say_evidence(piece) for piece in shown)))
    blocks.extend(_show_trace(shown))
    if len(shown) < len(evidence):
        more = write_count(len(evidence) - len(shown), "more piece", "more pieces")
        blocks.append(Paragraph(text=f"{more} of evidence, on which nothing here rests."))
    return Message(
        incident=incident.id,
        slot=name_slot("findings", incident),
        headline=write_line(findings[0].claim, 200) if findings else "Nothing was found that explains it",
        tone=Tone.CALM,
        blocks=tuple(blocks),
    )


def _name_work(running: str, results: Sequence[StageResult]) -> str:
    if running == Stage.CONFIRM:
        collected = find_result(results, Collected)
        return f"{word(collected.reproduce if collected else Reproduce.REQUEST).running} at the suspects"
    return _RUNNING.get(running, running)


def _tell(result: StageResult, results: Sequence[StageResult]) -> Iterator[str]:
    if isinstance(result, Collected):
        yield from _tell_collected(result)
    elif isinstance(result, Suspected):
        yield from _tell_suspected(result)
    elif isinstance(result, Confirmed):
        yield _tell_confirmed(result, results)
    elif isinstance(result, Drafted):
        yield f"{DONE} drafted: {result.title}" if result.patch else f"{MISSING} no patch drafted"
    else:
        yield from _tell_verified(result)
    if not isinstance(result, Confirmed):
        yield from (f"{MISSING} {note}" for note in result.notes)


def _tell_collected(result: Collected) -> Iterator[str]:
    told = next((piece.text.splitlines()[0] for piece in result.evidence if piece.kind == "ci"), "")
    if told:
        yield f"{DONE} read CI's log: {write_line(told, 160)}"
    yield from (f"{DONE} {write_line(metric.claim, 200)}" for metric in result.metrics)
    if result.reproduce is Reproduce.CHECK and not result.lines_read:
        return
    read = f"read {write_count(result.lines_read, 'log line')}"
    record, is_slow = top_record(result), result.reproduce is Reproduce.SLOW
    marks = [piece for piece in result.evidence if piece.kind in {"exit", "slow"}][:1]
    if record is None:
        yield f"{DONE if result.lines_read else MISSING} {read}{'' if is_slow else ', no error among them'}"
    yield from (
        f"{DONE} {'' if is_slow else 'the service '}{write_line(each.text.splitlines()[0], 160)}" for each in marks
    )
    if record is None:
        return
    total, kinds = sum(record.count for record in result.records), len(result.records)
    amount = write_count(total, "error")
    spread = "" if total == 1 else " of one kind" if kinds == 1 else f" of {kinds} kinds"
    yield f"{DONE} {read}: {amount}{spread}"
    yield f"{DONE} {'' if kinds == 1 else 'mostly '}{write_line(record.headline, 100)} ({record.cite})"


def _tell_suspected(result: Suspected) -> Iterator[str]:
    if not result.suspects:
        yield f"{MISSING} no recent change looks suspicious"
        return
    first = result.suspects[0]
    others = f", {write_count(len(result.suspects) - 1, 'other')} after it" if len(result.suspects) > 1 else ""
    yield f"{DONE} first suspect: {name_commit(first.commit, result.suspects)}{others}"
    aside = [each for each in result.changed if each.kind in ASIDE_FROM_CODE][:MAX_CHANGED]
    if aside:
        told = write_list([f"{each.kind.value} “{write_line(each.what, 60)}” ({each.source[:12]})" for each in aside])
        yield f"{DONE} changed besides code: {told}"


def _tell_confirmed(result: Confirmed, results: Sequence[StageResult]) -> str:
    if result.culprit is None:
        return f"{MISSING} no suspect confirmed: {result.how}"
    suspects = [suspect for other in results if isinstance(other, Suspected) for suspect in other.suspects]
    return f"{DONE} confirmed: {name_commit(result.culprit, suspects)}; {result.how}"


def _tell_verified(result: Verified) -> Iterator[str]:
    if result.is_verified:
        yield f"{DONE} patch tested: {say_change(result)}, {say_checks(result)}"
    else:
        yield f"{MISSING} patch not verified: {say_change(result)}, {say_checks(result)}"


def say_change(result: Verified) -> str:
    """Return "failing request red → green": the reproduction without and with the patch."""
    words = {Check.GREEN: "green", Check.RED: "red", Check.UNKNOWN: "unknown"}
    return f"{word(result.reproduce).trial} {words[result.before]} → {words[result.after]}"


def say_checks(result: Verified) -> str:
    """Return "3 checks green", naming the ones that are not."""
    if result.broken:
        return "; ".join(_say_broken(run) for run in result.broken)
    green = [run for run in result.runs if run.verdict is Check.GREEN]
    return f"{write_count(len(green), 'check')} green" if green else "no check was run"


def _say_broken(run: CheckRun) -> str:
    return f"{run.name} red" if run.verdict is Check.RED else f"{run.name} could not be judged"


def _weigh(finding: Finding) -> str:
    return _CONFIDENCE.get(finding.confidence, finding.confidence)


def _say_finding(finding: Finding) -> str:
    doubt = f" Would be refuted by: {finding.refuted_by}." if finding.refuted_by else ""
    return f"{_weigh(finding)}: {write_sentence(finding.claim)}{doubt} [{', '.join(finding.evidence)}]"


def _say_evidence(piece: Evidence) -> str:
    """Say the line that counts: of code the one that the frame names, of CI's log what failed, else the last."""
    lines = [line for line in piece.text.splitlines() if line.strip()]
    if piece.kind == "ci":
        lines = lines[:1]
    if piece.kind == "code":
        lines += [line[1:].strip().partition(" ")[2] for line in lines if line.startswith(">")]
    return f"{piece.id} {piece.cite}: {write_line(lines[-1] if lines else '', 160)}"


def _show_trace(shown: Sequence[Evidence]) -> Iterator[Block]:
    """Show the first piece that has several lines: most often the stack trace. A metric's last line tells it all."""
    piece = next((piece for piece in shown if piece.kind != "metric" and len(piece.text.splitlines()) > 1), None)
    if piece is None:
        return
    lines = piece.text.splitlines()
    left = len(lines) - _TRACE_LINES
    shortened = [f"… {write_count(left, 'line')} before", *lines[-_TRACE_LINES:]] if left > 0 else lines
    yield Code(text="\n".join(shortened))
