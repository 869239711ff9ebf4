"""Which buttons a page offers to whom: those that their role may press. A press on others is refused all the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.domain.chat import Button
from bot.domain.oncall import Person, Role
from bot.domain.presses import parse_press
from bot.errors import Refused


@dataclass(frozen=True, kw_only=True)
class Offer:
    """`kept` says which buttons are for others, "" where none is."""

    buttons: tuple[Button, ...]
    kept: str


def offer(buttons: Sequence[Button], person: Person) -> Offer:
    """Return what stands under a message for this person."""
    lacking = {button: role for button in buttons if not person.may(role := _role_of(button))}
    parts = []
    for role in Role:
        labels = [button.label for button, needed in lacking.items() if needed is role]
        parts += [f"{' · '.join(labels)}: for {role.value}s."] if labels else []
    kept = f"{' '.join(parts)} Your role is {person.role.value}." if parts else ""
    return Offer(buttons=tuple(button for button in buttons if button not in lacking), kept=kept)


def _role_of(button: Button) -> Role:
    try:
        return parse_press(button.id).verb.role
    except Refused:
        return Role.VIEWER
