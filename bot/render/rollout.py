"""What is asked and told between a push and the end of a deployment: orders without an answer, the watched alert."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bot.domain.approvals.order import Order, Ordered
from bot.domain.change import Change, ChangeState, MergeRule
from bot.domain.chat import Block, Button, Form, FormField, Message, Paragraph, Style, Tone
from bot.domain.draft import Draft
from bot.domain.presses import Verb, encode_press
from bot.domain.service import Service
from bot.render.links import link_to
from bot.render.words import write_line

YES: Final = "Yes"
_SHORT: Final = 12


@dataclass(frozen=True, kw_only=True)
class Question:
    """An order without an answer. `settled` says how it ended, "" while it is open."""

    order: Order
    text: str
    url: str = ""
    settled: str = ""


def render_question(question: Question, *, ring: Sequence[str]) -> Message:
    """Return the question to the approvers: nobody but a person may decide to send the order a second time."""
    order = question.order
    slot = f"notice:{order.arg}:{order.digest[:_SHORT]}"
    link = link_to("Look there first", question.url)
    if question.settled:
        blocks: tuple[Block, ...] = (Paragraph(text=f"{write_line(question.settled, 300)}."),)
        return Message(incident=order.incident, slot=slot, headline=question.text, tone=Tone.CALM, blocks=blocks)
    is_ci = order.what is Ordered.CI
    look = "It runs: look again" if is_ci else "It runs"
    asked = f"Look at CI for {order.key}: does it run?"
    buttons = (
        Button(id=_press(Verb.LOOK, order), label=look, key="k", style=Style.PRIMARY),
        Button(id=_press(Verb.AGAIN, order), label="Start it again", key="g", style=Style.DANGER),
    )
    return Message(
        incident=order.incident,
        slot=slot,
        headline=question.text,
        tone=Tone.WARN,
        blocks=(Paragraph(text=asked), *([link] if link else [])),
        buttons=buttons,
        rings=tuple(ring),
    )


def _press(verb: Verb, order: Order) -> str:
    return encode_press(verb, order.incident, digest=order.digest, arg=order.arg)


def render_watched(incident: str, digest: str, text: str, *, offers_revert: bool, ring: Sequence[str]) -> Message:
    """Return whether the alert has cleared since the deployment; where it has not, a revert is one tap away."""
    revert = Button(id=encode_press(Verb.REVERT, incident), label="Revert it", key="z", style=Style.PRIMARY)
    asked = Paragraph(text="Reverting drafts a new patch, which needs its own approval.")
    return Message(
        incident=incident,
        slot=f"notice:watch:{digest[:_SHORT]}",
        headline=text,
        tone=Tone.WARN if ring else Tone.GOOD,
        blocks=(asked,) if offers_revert else (),
        buttons=(revert,) if offers_revert else (),
        rings=tuple(ring),
    )


def add_consequence(message: Message, service: Service) -> Message:
    """Say on a patch card what follows CI by itself, and let Approve ask once more: that is no try."""
    text, title = _say_consequence(service)
    if not text or not any(_is(button, Verb.APPROVE) for button in message.buttons):
        return message
    form = Form(title=title, fields=(FormField(name="confirm", label=text, choices=(YES,)),))
    buttons = tuple(replace(b, form=form) if _is(b, Verb.APPROVE) else b for b in message.buttons)
    first, *rest = message.blocks
    return replace(message, blocks=(first, Paragraph(text=text), *rest), buttons=buttons)


def _say_consequence(service: Service) -> tuple[str, str]:
    """Return what an approval sets going beyond CI, and what the form is called; both "" where that is nothing."""
    if service.merge is MergeRule.GREEN:
        deploys = f", and {service.deploy_job} deploys it" if service.deploy_job else ""
        return f"Once CI is green, it is merged into {service.branch}{deploys}.", "Approve and merge"
    if service.deploy:
        return "Once CI is green, it is deployed.", "Approve and deploy"
    return "", ""


def _is(button: Button, verb: Verb) -> bool:
    return button.id.startswith(f"{verb.value}:")


def render_ended(incident: str, digest: str, text: str, about: str) -> Message:
    """Return that people merged or closed a change themselves, and what that means. Nobody is called for it."""
    slot = f"notice:hand.{digest[:_SHORT]}"
    return Message(incident=incident, slot=slot, headline=text, tone=Tone.CALM, blocks=(Paragraph(text=about),))


def add_change(message: Message, draft: Draft, change: Change | None, *, may_merge: bool, ended: str = "") -> Message:
    """Add the link to the change, how it stands, and the button that merges it where a person may.

    `ended` says how people ended it themselves.
    """
    if change is None:
        return message
    name = f"Change {change.number}"
    link = link_to(name, change.url)
    states = {
        ChangeState.OPEN: f"{name} is open.",
        ChangeState.MERGED: f"{name} is merged into {draft.branch}.",
        ChangeState.CLOSED: f"{name} was closed without a merge.",
    }
    blocks = (*message.blocks, Paragraph(text=ended or states[change.state]), *([link] if link else []))
    return replace(
        message, blocks=blocks, buttons=(*message.buttons, *(_merge_button(draft, change) if may_merge else ()))
    )


def _merge_button(draft: Draft, change: Change) -> Iterator[Button]:
    label = f"Merge change {change.number} into {draft.branch}?"
    form = Form(title="Merge", fields=(FormField(name="confirm", label=label, choices=(YES,)),))
    press = encode_press(Verb.MERGE, draft.incident, digest=draft.digest)
    yield Button(id=press, label="Merge", key="m", style=Style.PRIMARY, form=form)
