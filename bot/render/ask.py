"""The model's question to the people of an incident: one message, its answers as buttons until one is given."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from bot.domain.ask import Inquiry
from bot.domain.chat import Block, Bullets, Button, Message, Paragraph, Tone
from bot.domain.presses import Verb, encode_press
from bot.render.words import write_line, write_people, write_span

_KEYS: Final = "bdfh"
"""Letters that no other button has; in a terminal digits choose an incident."""
_FROM: Final = "From the model. What you answer tells it something, and approves nothing."


def render_ask(
    incident: str, number: str, ask: Inquiry, *, people: Sequence[str], names: Mapping[str, str], wait: timedelta
) -> Message:
    """Return the question while it waits. It rings those whom it names."""
    offered = [f"{place}. {write_line(answer, 60)}" for place, answer in enumerate(ask.answers, start=1)]
    how = f"Press one, or answer in this thread. After {write_span(wait)} the model goes on without."
    blocks: list[Block] = [Bullets(items=tuple(offered)), Paragraph(text=how), Paragraph(text=_FROM)]
    called = f"{write_people(people, names)}: " if people else ""
    return Message(
        incident=incident,
        slot=f"question:{number}",
        headline=f"{called}the model asks: {write_line(ask.question, 300)}",
        tone=Tone.WARN,
        blocks=tuple(blocks),
        buttons=tuple(
            Button(
                id=encode_press(Verb.ANSWER, incident, arg=f"{number}.{place}"),
                label=write_line(answer, 60),
                key=key,
            )
            for place, (key, answer) in enumerate(zip(_KEYS, ask.answers, strict=False), start=1)
        ),
        rings=tuple(people),
    )


def render_asked(incident: str, number: str, ask: Inquiry, *, came: str) -> Message:
    """Return the question once it is over: what came of it, and nothing to press."""
    return Message(
        incident=incident,
        slot=f"question:{number}",
        headline=write_line(f"{came}.", 400),
        blocks=(Paragraph(text=f"The model asked: {write_line(ask.question, 300)}"),),
    )
