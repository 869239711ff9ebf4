"""The patch card and CI's verdict: what a person must know to say yes or no, on a phone."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from bot.domain.approval import Approval, ApprovalState
from bot.domain.chat import Block, Bullets, Button, Code, Fields, File, Form, FormField, Message, Paragraph, Style, Tone
from bot.domain.ci import CIRun, CIState
from bot.domain.draft import ChangeKind, Draft, FileChange
from bot.domain.incident import Incident
from bot.domain.presses import Verb, encode_press
from bot.render.excerpt import cut_excerpt
from bot.render.links import link_to
from bot.render.progress import say_change, say_checks
from bot.render.record import record_file, say_proof
from bot.render.words import write_clock, write_count, write_line, write_list, write_people, write_sentence, write_span

REJECT_REASONS: Final = ("Wrong cause", "Too risky now", "I mend it by hand", "No longer needed")
_SHORT: Final = 12
_TAIL_LINES: Final = 20
_MINUS: Final = "\N{MINUS SIGN}"


def render_patch(
    draft: Draft,
    approval: Approval,
    *,
    now: datetime,
    names: Mapping[str, str],
    ring: tuple[str, ...] = (),
    run: CIRun | None = None,
) -> Message:
    """Return the approval card. While it is pending it asks, and rings `ring`; decided, it says who decided.

    `run` is the newest CI run of the patch: there is one as soon as it is pushed.
    """
    pending = _is_pending(approval, now)
    text = draft.patch.text.decode(errors="backslashreplace")
    name = f"{draft.incident}-{draft.digest[:_SHORT]}.diff"
    blocks: list[Block] = [Paragraph(text=_say_standing(draft, approval, now, names, run))]
    blocks.append(Paragraph(text=say_tested(draft)))
    if draft.risk.is_risky:
        blocks.append(Paragraph(text=f"Risky: {write_list(draft.risk.reasons)}."))
    blocks.append(Bullets(items=tuple(_say_file(change) for change in draft.patch.files)))
    if pending:  # once it is decided the diff was seen, and stays in the file
        blocks.append(Code(text=cut_excerpt(text, name), language="diff"))
    blocks.extend(Paragraph(text=write_sentence(note)) for note in draft.notes)
    blocks.append(Fields(items=_seal(draft, approval)))
    return Message(
        incident=draft.incident,
        slot=f"patch:{draft.digest[:_SHORT]}",
        headline=f"{_head(approval, now, run)}: {write_line(draft.title)}",
        tone=_tone(approval, now, run),
        blocks=tuple(blocks),
        buttons=tuple(_buttons(draft, approval, now)),
        files=(File(name=name, media_type="text/x-diff", text=text), *record_file(draft)),
        rings=ring if pending else (),
    )


def render_verdict(
    incident: Incident,
    draft: Draft,
    run: CIRun,
    *,
    approvers: Sequence[str],
    names: Mapping[str, str],
    now: datetime,
) -> Message:
    """Return CI's word on the pushed patch; it rings the approvers once it is final."""
    blocks: list[Block] = []
    if run.state.is_final:
        blocks.append(Paragraph(text=f"{write_people(approvers, names)}, {_say_next(incident, draft, run)}"))
    if run.failed_step:
        blocks.append(Paragraph(text=f"First failing step: {write_line(run.failed_step)}."))
    if (run.failure or run.log_tail) and run.state is not CIState.PASSED:
        blocks.append(Code(text=run.failure or _cut_tail(run.log_tail)))
    blocks.append(Fields(items=tuple(_ci_facts(draft, run, now))))
    link = link_to("CI run", run.url)
    return Message(
        incident=incident.id,
        slot=f"verdict:{draft.digest[:_SHORT]}",
        headline=f"{_CI_WORDS[run.state]}: {write_line(draft.title)}",
        tone=_CI_TONES.get(run.state, Tone.CALM),
        blocks=(*blocks, *([link] if link else [])),
        rings=tuple(dict.fromkeys(approvers)) if run.state.is_final else (),
    )


_HEADLINES: Final[Mapping[ApprovalState, str]] = {
    ApprovalState.PENDING: "Patch ready",
    ApprovalState.APPROVED: "Patch approved",
    ApprovalState.REJECTED: "Patch rejected",
    ApprovalState.EXPIRED: "Approval expired",
    ApprovalState.SUPERSEDED: "Patch superseded",
    ApprovalState.EXECUTED: "Patch pushed",
    ApprovalState.FAILED: "Patch could not be pushed",
}
_CI_WORDS: Final[Mapping[CIState, str]] = {
    CIState.QUEUED: "CI is waiting",
    CIState.RUNNING: "CI is running",
    CIState.PASSED: "CI green",
    CIState.FAILED: "CI red",
    CIState.CANCELLED: "CI cancelled",
}

_CI_TONES: Final[Mapping[CIState, Tone]] = {
    CIState.PASSED: Tone.GOOD,
    CIState.FAILED: Tone.BAD,
    CIState.CANCELLED: Tone.WARN,
}


def _is_pending(approval: Approval, now: datetime) -> bool:
    return approval.state is ApprovalState.PENDING and now < approval.expires_at


def _standing(approval: Approval, now: datetime) -> ApprovalState:
    """Return the state as it is at `now`: a pending approval past its time has expired, whatever the timer did."""
    if approval.state is ApprovalState.PENDING and not _is_pending(approval, now):
        return ApprovalState.EXPIRED
    return approval.state


def _shown(approval: Approval, now: datetime, run: CIRun | None) -> ApprovalState:
    """Return the state that people are told: what is approved counts as pushed as soon as it is, whatever CI says."""
    standing = _standing(approval, now)
    return ApprovalState.EXECUTED if standing is ApprovalState.APPROVED and run is not None else standing


def _head(approval: Approval, now: datetime, run: CIRun | None) -> str:
    standing = _shown(approval, now, run)
    if standing is ApprovalState.FAILED and run is not None:
        return f"Patch pushed, {_CI_WORDS[run.state]}" if run.state.is_final else "Patch pushed"
    return _HEADLINES[standing]


def _tone(approval: Approval, now: datetime, run: CIRun | None) -> Tone:
    standing = _standing(approval, now)
    if standing in {ApprovalState.APPROVED, ApprovalState.EXECUTED}:
        return Tone.GOOD
    if standing is ApprovalState.FAILED:
        return Tone.BAD if run is None else _CI_TONES.get(run.state, Tone.WARN)
    return Tone.WARN if standing in {ApprovalState.PENDING, ApprovalState.EXPIRED} else Tone.CALM


def _say_standing(draft: Draft, approval: Approval, now: datetime, names: Mapping[str, str], run: CIRun | None) -> str:
    standing = _shown(approval, now, run)
    if standing is ApprovalState.PENDING:
        return _say_asked(approval, now, names)
    if standing is ApprovalState.REJECTED:
        return " ".join(_say_vote(approval, now, names, approve=False)) or "Rejected."
    approved = " ".join(_say_vote(approval, now, names, approve=True)) or "Approved."
    return {
        ApprovalState.EXPIRED: _say_expired(approval, approved, now),
        ApprovalState.SUPERSEDED: "Another patch takes its place. Nothing was pushed.",
        ApprovalState.EXECUTED: f"{approved} Pushed to {draft.push_branch}.",
        ApprovalState.FAILED: f"{approved} {_say_failed(draft, run)}",
    }.get(standing, f"{approved} The push follows.")


def _say_failed(draft: Draft, run: CIRun | None) -> str:
    if run is None:
        return f"The push failed; {draft.branch} is as it was."
    return f"Pushed to {draft.push_branch}" + (
        "." if run.state is CIState.PASSED else f"; {draft.branch} is as it was."
    )


def _say_expired(approval: Approval, approved: str, now: datetime) -> str:
    if approval.approved_by and (approval.glass is not None or not approval.missing):
        return f"{approved} It was not pushed; renewed, it can be approved again."
    return f"Nobody decided before {write_clock(approval.expires_at, now)}. Nothing was pushed."


def _say_asked(approval: Approval, now: datetime, names: Mapping[str, str]) -> str:
    votes = list(_say_vote(approval, now, names, approve=True))
    without = f" {write_people(approval.excluded, names)} cannot approve this one." if approval.excluded else ""
    asked = "Approving pushes exactly this diff and starts CI."
    if approval.needs > 1:
        more = max(1, approval.needs - len({vote.person for vote in approval.votes if vote.approve}))
        people = "1 more person" if votes and more == 1 else f"{more} people"
        asked = f"{people} must approve; then exactly this diff is pushed and CI starts."
    return " ".join([*votes, f"{asked} Expires at {write_clock(approval.expires_at, now)}.{without}"])


def _say_vote(approval: Approval, now: datetime, names: Mapping[str, str], *, approve: bool) -> Iterator[str]:
    for vote in approval.votes:
        if vote.approve is approve:
            verb = "approved" if approve else "rejected it"
            why = f": {write_line(vote.reason)}" if vote.reason else ""
            yield f"{write_people([vote.person], names)} {verb} at {write_clock(vote.at, now)}{why}."


def say_tested(draft: Draft) -> str:
    """Return what the sandbox said of a patch, in a sentence."""
    result = draft.verified
    if result is None:
        return "Not verified: it was never run."
    if not result.is_verified:
        reasons = (
            "; ".join(note.removeprefix("not verified: ") for note in result.notes)
            or f"{say_change(result)}, {say_checks(result)}"
        )
        return f"Not verified: {write_sentence(reasons)}"
    return f"Verified: {say_change(result)} · {say_proof(result)}."


def _say_file(change: FileChange) -> str:
    kind = {ChangeKind.ADDED: ", new file", ChangeKind.DELETED: ", deleted", ChangeKind.MODIFIED: ""}.get(
        change.kind, f", was {change.old_path}"
    )
    mode = f", mode {change.mode}" if change.mode else ""
    if change.binary is not None:
        return f"{change.path}: {change.binary}{kind}{mode}"
    return f"+{change.added} {_MINUS}{change.removed} {change.path}{kind}{mode}"


def _seal(draft: Draft, approval: Approval) -> tuple[tuple[str, str], ...]:
    return (
        ("Patch", draft.digest[:_SHORT]),
        ("Base", f"{draft.base[:_SHORT]} on {draft.branch}"),
        ("Target", approval.target),
        ("Audit", approval.audit_head[:_SHORT]),
    )


def _buttons(draft: Draft, approval: Approval, now: datetime) -> Iterator[Button]:
    standing = _standing(approval, now)
    if standing is ApprovalState.PENDING:
        press = encode_press(Verb.APPROVE, draft.incident, digest=draft.digest)
        yield Button(id=press, label="Approve", key="y", style=Style.PRIMARY)
        why = FormField(name="reason", label="Why?", choices=REJECT_REASONS)
        form = Form(title="Reject this patch", fields=(why,))
        press = encode_press(Verb.REJECT, draft.incident, digest=draft.digest)
        yield Button(id=press, label="Reject", key="n", style=Style.DANGER, form=form)
    elif standing is ApprovalState.EXPIRED:
        press = encode_press(Verb.RENEW, draft.incident, digest=draft.digest)
        yield Button(id=press, label="Renew", key="w", style=Style.PRIMARY)


def _say_next(incident: Incident, draft: Draft, run: CIRun) -> str:
    if run.state is CIState.PASSED:
        return f"every check passed on {draft.push_branch}. {_say_whether_over(incident)}"
    if run.state is CIState.CANCELLED:
        return f"the run was cancelled; nothing is known of {draft.push_branch}. /ci rerun starts it again."
    return f"{draft.push_branch} must not be merged as it is."


def _say_whether_over(incident: Incident) -> str:
    if incident.is_declared and incident.is_open:
        return "Resolve it when you see that it is over."
    return "The alert still fires." if incident.firing else "The alert has cleared."


def _cut_tail(tail: str) -> str:
    lines = tail.rstrip("\n").splitlines()
    left = len(lines) - _TAIL_LINES
    return "\n".join([f"… {write_count(left, 'line')} before", *lines[-_TAIL_LINES:]] if left > 0 else lines)


def _ci_facts(draft: Draft, run: CIRun, now: datetime) -> Iterator[tuple[str, str]]:
    yield "Commit", run.sha[:_SHORT]
    yield "Branch", draft.push_branch
    if run.started_at and run.finished_at:
        yield "Took", write_span(run.finished_at - run.started_at)
    elif run.started_at:
        yield "Running since", write_clock(run.started_at, now)
    if run.attempt > 1:
        yield "Attempt", str(run.attempt)
