"""What stands between a patch card's Approve and its push: a freeze, and the glass to break."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from bot.domain.approval import Approval, ApprovalState, BreakGlass
from bot.domain.approvals.freeze import Frozen
from bot.domain.chat import Button, Form, FormField, Message, Paragraph, Style, Tone
from bot.domain.presses import Verb, encode_press
from bot.render.words import write_clock, write_line, write_people

_SHORT: Final = 12


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What holds a patch at this moment. `breakers` are the people who could break the glass for it; `thawed` is when
    the freeze ended that held it before."""

    frozen: Frozen | None = None
    thawed: datetime | None = None
    breakers: tuple[str, ...] = ()


def add_gate(message: Message, approval: Approval, gate: Gate, *, now: datetime, names: Mapping[str, str]) -> Message:
    """Return the patch card with what holds it, and with the buttons that this leaves."""
    if approval.glass is not None:
        note = Paragraph(text=say_broken(approval.glass, now, names))
        return replace(message, blocks=(message.blocks[0], note, *message.blocks[1:]))
    if approval.state is not ApprovalState.PENDING or approval.has_expired(now):
        return message
    blocks = message.blocks
    if gate.frozen is not None:
        possible = " Break-glass is possible." if gate.breakers else ""
        blocks = (Paragraph(text=gate.frozen.say(now) + possible), *blocks)
    elif gate.thawed is not None:
        blocks = (Paragraph(text=f"The freeze ended at {write_clock(gate.thawed, now)}; Approve works now."), *blocks)
    buttons = message.buttons
    if gate.breakers and (gate.frozen is not None or approval.needs > 1):
        buttons = (*buttons, _break_button(approval, gate.breakers, names))
    return replace(message, blocks=blocks, buttons=buttons)


def say_broken(glass: BreakGlass, now: datetime, names: Mapping[str, str]) -> str:
    who = write_people([glass.person], names)
    return f"{who} broke the glass at {write_clock(glass.at, now)}: {write_line(glass.reason)}. To be reviewed."


def render_broken(approval: Approval, *, now: datetime, names: Mapping[str, str]) -> Message | None:
    """Return the announcement of a broken glass; it goes to two channels at least."""
    glass = approval.glass
    if glass is None:
        return None
    people = write_people(list(approval.approved_by), names)
    name = f"{approval.subject.value.capitalize()} {approval.digest[:_SHORT]}"
    what = f"{name} of {approval.incident} goes to {approval.target}; no freeze holds it."
    lacks = f" Approved by {people}; the policy asks for {approval.needs}."
    is_enough = len(approval.approved_by) >= approval.needs
    return Message(
        incident=approval.incident,
        slot=f"glass:{approval.digest[:_SHORT]}:{approval.renewals}",
        headline=f"Break-glass: {write_line(glass.reason)}",
        tone=Tone.WARN,
        blocks=(
            Paragraph(text=say_broken(glass, now, names)),
            Paragraph(text=what if is_enough else what + lacks),
        ),
    )


def _break_button(approval: Approval, breakers: Iterable[str], names: Mapping[str, str]) -> Button:
    field = FormField(name="reason", label="Why now, and why alone? Everybody is told.")
    form = Form(title=f"Break-glass (only {write_people(list(breakers), names)})", fields=(field,))
    press = encode_press(Verb.BREAK, approval.incident, digest=approval.digest)
    return Button(id=press, label="Break glass", key="x", style=Style.DANGER, form=form)
