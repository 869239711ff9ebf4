"""What people ask about an incident in its thread, for the model to look up and answer in words."""

from dataclasses import dataclass
from typing import Final

from bot.errors import Reason, Refused

MAX_QUESTION: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class Question:
    """One person's question. `answer` is "" while there is none."""

    person: str
    text: str
    answer: str = ""


def read_question(text: str) -> str:
    """Return a question as one line. Raises `Refused` where it is missing or too long."""
    question = " ".join(text.split())
    if not question:
        raise Refused("Ask something, for example: /incident ask INC-7 when did it begin?", Reason.BAD_INPUT)
    if len(question) > MAX_QUESTION:
        raise Refused(f"That has {len(question)} characters; ask in at most {MAX_QUESTION}.", Reason.TOO_LARGE)
    return question
