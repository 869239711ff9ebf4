"""What the card of a patch says of the changes that somebody asked for."""

from datetime import datetime

from bot.domain.approvals.feedback import MAX_WISH
from bot.domain.chat import Button, Form, FormField, Paragraph
from bot.domain.presses import Verb, encode_press
from bot.render.words import write_clock, write_line, write_sentence

_UNDER_WAY = "Another patch is being drafted; until it is ready this one can still be decided."


def render_wish(*, who: str, at: datetime, wish: str, ended: str, now: datetime) -> Paragraph:
    """Return who asked for what, and what became of it; `ended` is "" while the new draft is being made."""
    asked = f"{who} asked for changes at {write_clock(at, now)}: {write_line(wish, MAX_WISH)}"
    return Paragraph(
        text=f"{write_sentence(asked)} {write_sentence(write_line(ended, MAX_WISH)) if ended else _UNDER_WAY}"
    )


def changes_button(incident: str, digest: str) -> Button:
    """Return the button whose form asks what should change."""
    field = FormField(name="wish", label=f"What should change? At most {MAX_WISH} characters.")
    form = Form(title="Ask for changes", fields=(field,))
    return Button(id=encode_press(Verb.CHANGES, incident, digest=digest), label="Ask for changes", key="c", form=form)


def think_button(incident: str) -> Button:
    """Return the button that lets the model work once more at the next effort."""
    return Button(id=encode_press(Verb.THINK, incident), label="Think harder", key="h")


def revert_button(incident: str) -> Button:
    """Return the button that drafts the revert of the culprit in place of this patch."""
    return Button(id=encode_press(Verb.REVERT, incident), label="Revert instead", key="z")
