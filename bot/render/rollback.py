"""The card of a rollback: what goes back from which release to which, and who decides. Never a diff."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from bot.domain.approval import Approval, ApprovalState, expire
from bot.domain.approvals.rollback import Rollback
from bot.domain.chat import Block, Bullets, Button, Fields, File, Form, FormField, Message, Paragraph, Style, Tone
from bot.domain.incident import Incident
from bot.domain.presses import Verb, encode_press
from bot.domain.service import Service
from bot.render.patch import REJECT_REASONS
from bot.render.rollout import YES
from bot.render.words import write_clock, write_count, write_line, write_list, write_people, write_sentence

_SHORT: Final = 12
_HEADLINES: Final[Mapping[ApprovalState, str]] = {
    ApprovalState.PENDING: "Rollback ready",
    ApprovalState.APPROVED: "Rollback approved",
    ApprovalState.REJECTED: "Rollback rejected",
    ApprovalState.EXPIRED: "Approval expired",
    ApprovalState.SUPERSEDED: "Rollback withdrawn",
    ApprovalState.EXECUTED: "Rollback ordered",
    ApprovalState.FAILED: "Not rolled back",
}
_TONES: Final[Mapping[ApprovalState, Tone]] = {
    ApprovalState.PENDING: Tone.WARN,
    ApprovalState.APPROVED: Tone.GOOD,
    ApprovalState.EXPIRED: Tone.WARN,
    ApprovalState.EXECUTED: Tone.GOOD,
    ApprovalState.FAILED: Tone.BAD,
}


def render_rollback(
    rollback: Rollback,
    approval: Approval,
    commits: Sequence[str],
    *,
    now: datetime,
    names: Mapping[str, str],
    ring: tuple[str, ...] = (),
) -> Message:
    """Return the approval card. While it is pending it asks, and rings `ring`; decided, it says who decided."""
    standing = expire(approval, now=now).state if approval.state is ApprovalState.PENDING else approval.state
    way = f"From {rollback.present} back to {rollback.previous}, by {rollback.job}."
    blocks: list[Block] = [Paragraph(text=_say_standing(rollback, approval, standing, now, names))]
    blocks.append(Paragraph(text=way))
    blocks.append(Paragraph(text=f"Risky: {write_list(approval.risk)}."))
    if commits:
        blocks.append(Paragraph(text="What goes back, newest first:"))
        blocks.append(Bullets(items=tuple(write_line(commit, 140) for commit in commits)))
    blocks.append(Fields(items=_seal(rollback, approval)))
    is_asked = standing is ApprovalState.PENDING
    name = f"{rollback.incident}-{rollback.digest[:_SHORT]}.rollback"
    return Message(
        incident=rollback.incident,
        slot=f"rollback:{rollback.digest[:_SHORT]}",
        headline=f"{_HEADLINES[standing]}: {write_line(rollback.title)}",
        tone=_TONES.get(standing, Tone.CALM),
        blocks=tuple(blocks),
        buttons=tuple(_buttons(rollback, standing)),
        files=(File(name=name, media_type="text/plain", text=rollback.document.decode()),),
        rings=ring if is_asked else (),
    )


class Ending(StrEnum):
    """How the job of a rollback ended, as its card says it first."""

    PASSED = "Rolled back"
    FAILED = "Rollback failed"
    UNKNOWN = "Rollback ordered"


_ENDING_TONES: Final[Mapping[Ending, Tone]] = {Ending.PASSED: Tone.GOOD, Ending.FAILED: Tone.BAD}


def add_end(message: Message, rollback: Rollback, text: str, ending: Ending) -> Message:
    """Let the card of a rollback that was carried out say how it ended."""
    return replace(
        message,
        headline=f"{ending}: {write_line(rollback.title)}",
        tone=_ENDING_TONES.get(ending, Tone.WARN),
        blocks=(message.blocks[0], Paragraph(text=write_sentence(text)), *message.blocks[1:]),
    )


def list_commits(commits: Sequence[str], left: int) -> tuple[str, ...]:
    """Return the lines of what goes back; `left` is how many are not named."""
    return (*commits, f"and {write_count(left, 'commit')} before them") if left else tuple(commits)


def add_rollback(message: Message, incident: Incident, service: Service | None) -> Message:
    """Add the button that asks for a rollback, where there is a job for it. It only asks."""
    if service is None or not service.rollback_job or not incident.is_open:
        return message
    press = encode_press(Verb.ROLLBACK, incident.id)
    button = Button(id=press, label="Roll back", key="o", style=Style.PLAIN)
    return replace(message, buttons=(*message.buttons, button))


def render_unproposed(incident: str, request: str, text: str, *, ring: tuple[str, ...]) -> Message:
    """Return why there is no rollback to decide about."""
    advice = Paragraph(text="Nothing was rolled back. Mend that and ask again, or roll back by hand.")
    return Message(
        incident=incident,
        slot=f"notice:release:{request}",
        headline=text,
        tone=Tone.WARN,
        blocks=(advice,),
        rings=ring,
    )


def _say_standing(
    rollback: Rollback, approval: Approval, standing: ApprovalState, now: datetime, names: Mapping[str, str]
) -> str:
    approved = " ".join(_say_votes(approval, now, names, approve=True)) or "Approved."
    if standing is ApprovalState.PENDING:
        return _say_asked(rollback, approval, now, names)
    if standing is ApprovalState.REJECTED:
        return " ".join(_say_votes(approval, now, names, approve=False)) or "Rejected."
    if standing is ApprovalState.EXPIRED and approval.approved_by and not approval.missing:
        return f"{approved} It was not carried out; renewed, it can be approved again."
    return {
        ApprovalState.EXPIRED: "Nobody decided in time. Nothing was rolled back.",
        ApprovalState.SUPERSEDED: "It is out of date, and was withdrawn. Nothing was rolled back.",
        ApprovalState.EXECUTED: f"{approved} {rollback.job} has the order.",
        ApprovalState.FAILED: f"{approved} It was not carried out.",
    }.get(standing, f"{approved} The order follows.")


def _say_asked(rollback: Rollback, approval: Approval, now: datetime, names: Mapping[str, str]) -> str:
    votes = list(_say_votes(approval, now, names, approve=True))
    people = "1 more person" if approval.missing == 1 else f"{approval.missing} people"
    without = f" {write_people(approval.excluded, names)} cannot approve this one." if approval.excluded else ""
    asked = f"{people} must approve; then {rollback.job} is ordered at once."
    if approval.requester is not None:
        asked = f"{write_people([approval.requester], names)} asks for it. {asked}"
    return " ".join([*votes, f"{asked} Expires at {write_clock(approval.expires_at, now)}.{without}"])


def _say_votes(approval: Approval, now: datetime, names: Mapping[str, str], *, approve: bool) -> Iterator[str]:
    for vote in approval.votes:
        if vote.approve is approve:
            verb = "approved" if approve else "rejected it"
            why = f": {write_line(vote.reason)}" if vote.reason else ""
            yield write_sentence(f"{write_people([vote.person], names)} {verb} at {write_clock(vote.at, now)}{why}")


def _seal(rollback: Rollback, approval: Approval) -> tuple[tuple[str, str], ...]:
    return (
        ("Rollback", rollback.digest[:_SHORT]),
        ("Repository", rollback.repository),
        ("Audit", approval.audit_head[:_SHORT]),
    )


def _buttons(rollback: Rollback, standing: ApprovalState) -> Iterator[Button]:
    def press(verb: Verb) -> str:
        return encode_press(verb, rollback.incident, digest=rollback.digest)

    if standing is ApprovalState.PENDING:
        label = f"{rollback.job} takes {rollback.service} back to {rollback.previous.tag} at once."
        form = Form(title="Approve and roll back", fields=(FormField(name="confirm", label=label, choices=(YES,)),))
        yield Button(id=press(Verb.APPROVE), label="Approve rollback", key="y", style=Style.PRIMARY, form=form)
        why = FormField(name="reason", label="Why?", choices=REJECT_REASONS)
        form = Form(title="Reject this rollback", fields=(why,))
        yield Button(id=press(Verb.REJECT), label="Reject rollback", key="n", style=Style.DANGER, form=form)
    elif standing is ApprovalState.EXPIRED:
        yield Button(id=press(Verb.RENEW), label="Renew", key="w", style=Style.PRIMARY)
