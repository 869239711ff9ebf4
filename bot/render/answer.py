"""The answer to a question that somebody asked in an incident's thread."""

from bot.domain.chat import Message, Paragraph
from bot.render.words import write_line

_MAX_QUESTION = 160
FROM_MODEL = "From the model: check what it cites before you rely on it."


def render_answer(*, incident: str, number: str, who: str, person: str, question: str, answer: str) -> Message:
    """Return the answer, one paragraph after another. It rings nobody, and goes to who asked."""
    told = [part.strip() for part in answer.split("\n\n") if part.strip()]
    return Message(
        incident=incident,
        slot=f"answer:{number}",
        headline=f"{who} asked: {write_line(question, _MAX_QUESTION)}",
        blocks=tuple(Paragraph(text=part) for part in (*told, FROM_MODEL)),
        tells=(person,),
    )
