"""A question of the model's to the people of an incident, with the answers that it offers as buttons."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from bot.errors import Reason, Refused

LEAST_ANSWERS: Final = 2
MOST_ANSWERS: Final = 4
MAX_QUESTION: Final = 300
MAX_ANSWER: Final = 40
MAX_ASKS: Final = 3
"""Questions in one run: people answer pages, not interviews."""
MAX_WORDS: Final = 1_000
QUESTION_WAIT: Final = timedelta(minutes=15)


@dataclass(frozen=True, kw_only=True)
class Inquiry:
    """One question. `key` is the call that asks it."""

    key: str
    question: str
    answers: tuple[str, ...]


def read_ask(question: str, answers: Sequence[str], *, key: str = "") -> Inquiry:
    """Return a question as people see it, on lines of its own. Raises `Refused` that says what would be right."""
    asked, offered = _line(question), tuple(_line(answer) for answer in answers)
    if not 0 < len(asked) <= MAX_QUESTION:
        raise Refused(f"question must have 1 to {MAX_QUESTION} characters", Reason.BAD_INPUT)
    if not LEAST_ANSWERS <= len(offered) <= MOST_ANSWERS:
        raise Refused(f"answers must hold {LEAST_ANSWERS} to {MOST_ANSWERS} of them", Reason.BAD_INPUT)
    if any(not 0 < len(answer) <= MAX_ANSWER for answer in offered):
        raise Refused(f"each answer must have 1 to {MAX_ANSWER} characters", Reason.BAD_INPUT)
    if len({answer.casefold() for answer in offered}) < len(offered):
        raise Refused("two answers are the same", Reason.BAD_INPUT)
    return Inquiry(key=key, question=asked, answers=offered)


def bound_ask(ask: Inquiry) -> Inquiry:
    """Return a stored question within its bounds, whoever wrote the row; redaction may have made it longer too."""
    answers = tuple(_line(answer)[:MAX_ANSWER] for answer in ask.answers[:MOST_ANSWERS])
    return Inquiry(key=ask.key, question=_line(ask.question)[:MAX_QUESTION], answers=tuple(filter(None, answers)))


def choose_answer(answers: Sequence[str], said: str) -> str:
    """Return the offered answer that somebody typed, by its words or its number; else "" for words of their own."""
    text = _line(said).rstrip(".!").casefold()
    if text.isdecimal() and len(text) == 1 and 0 < int(text) <= len(answers):
        return answers[int(text) - 1]
    return next((answer for answer in answers if answer.rstrip(".!").casefold() == text), "")


def _line(text: str) -> str:
    return " ".join(text.split())
