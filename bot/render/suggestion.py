"""What the model would call an incident, as people see it: marked as its opinion, under what the alert says."""

from dataclasses import replace

from bot.domain.chat import Message, Paragraph
from bot.domain.runs.suggestion import Suggestion


def add_suggestion(card: Message, suggestion: Suggestion | None) -> Message:
    """Return the card with the model's line right under the alert's title."""
    if suggestion is None:
        return card
    said = Paragraph(text=f"The model calls it: {suggestion.title} ({suggestion})")
    return replace(card, blocks=(said, *card.blocks))
