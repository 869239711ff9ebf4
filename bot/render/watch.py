"""A watch over an incident: one message for all its looks, and one for each change."""

from collections.abc import Sequence
from datetime import datetime

from bot.domain.chat import Block, Button, Message, Paragraph, Tone
from bot.domain.presses import Verb, encode_press
from bot.domain.watch import Looked, Verdict, Watch, write_length
from bot.render.answer import FROM_MODEL
from bot.render.words import write_clock, write_line, write_sentence

_MAX_QUESTION = 160
_MAX_WORDS = 600
_CAME = {
    Verdict.CHANGED: "something changed",
    Verdict.SAME: "nothing changed",
    Verdict.UNCLEAR: "unclear whether anything changed",
    Verdict.MISSED: "the model gave no answer",
}


def render_watch(
    incident: str, watch: Watch, looks: Sequence[Looked], *, who: str, ended: str, now: datetime
) -> Message:
    """Return how things stand: the newest look, the change before it, and how to end it. It rings nobody."""
    newest = looks[-1] if looks else None
    blocks: list[Block] = [Paragraph(text=write_line(newest.words, _MAX_WORDS))] if newest and newest.words else []
    changed = next((look for look in reversed(looks[:-1]) if look.verdict is Verdict.CHANGED), None)
    if changed is not None:
        said = f"Last change, look {changed.number} at {write_clock(changed.at, now)}: {changed.words}"
        blocks.append(Paragraph(text=write_line(said, _MAX_WORDS)))
    blocks.append(Paragraph(text=f"{who} asked: {write_line(watch.question, _MAX_QUESTION)}"))
    schedule = f"Looked at every {write_length(watch.every)} until {write_clock(watch.until, now)}."
    blocks.append(Paragraph(text=write_sentence(ended) if ended else schedule))
    blocks += [Paragraph(text=FROM_MODEL)] if newest else []
    stop = Button(id=encode_press(Verb.UNWATCH, incident, arg=str(watch.number)), label="Stop watching", key="t")
    return Message(
        incident=incident,
        slot=f"watch:{watch.number}",
        headline=_tell_newest(looks, now, is_over=bool(ended)),
        tone=Tone.WARN if newest and newest.verdict is Verdict.CHANGED else Tone.CALM,
        blocks=tuple(blocks),
        buttons=() if ended else (stop,),
    )


def _tell_newest(looks: Sequence[Looked], now: datetime, *, is_over: bool) -> str:
    watch = "Watch over" if is_over else "Watch"
    if not looks:
        return f"{watch}: no look is finished{'' if is_over else ' yet'}"
    *before, newest = looks
    came = _CAME[newest.verdict]
    if newest.verdict is Verdict.UNCLEAR and all(look.verdict is Verdict.MISSED for look in before):
        came = "this is how it stands"
    return f"{watch}: {came}, {write_clock(newest.at, now)} (look {newest.number})"


def render_change(incident: str, number: str, look: Looked, *, person: str, question: str, now: datetime) -> Message:
    """Return what a look saw, in a message of its own. It rings nobody, and goes to who began the watch."""
    told = [part.strip() for part in look.words.split("\n\n") if part.strip()]
    asked = f"Watched for: {write_line(question, _MAX_QUESTION)}"
    return Message(
        incident=incident,
        slot=f"answer:{number}",
        headline=f"{incident} changed at {write_clock(look.at, now)} (look {look.number} of the watch)",
        tone=Tone.WARN,
        blocks=tuple(Paragraph(text=part) for part in (*told, asked, FROM_MODEL)),
        tells=(person,),
    )
