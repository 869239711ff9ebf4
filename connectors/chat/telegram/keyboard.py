"""Buttons, and the questions that stand in for forms: what Telegram sends back with a press. Pure.

A button's callback data is its id; one that asks first has "?" before it (answers to choose from, or to type) or "!"
(yes or no). An answer to choose is ">", its number, the field's name, and the id; a question that is answered by typing
carries `<field>|<id>|<seal>` as its last line; the seal shows that we wrote it, whatever other text of ours says. All
of it comes back from Telegram, so nothing is lost by a restart but the words of the form, which the store tells again.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.domain.chat import Button, Form
from bot.domain.text.unseen import make_harmless
from connectors.chat.telegram.markup import units

MAX_BYTES: Final = 64
MAX_LABEL: Final = 64
ANSWER: Final = "answer"
_CHOICE: Final = re.compile(r">(?P<number>[0-9]{1,2})(?P<field>[A-Za-z_]*)\|(?P<button>.+)", re.DOTALL)
_TYPED: Final = re.compile(r"(?P<field>[A-Za-z_]{1,20})\|(?P<button>[!-{}~]{1,64})\|(?P<seal>[0-9a-f]{16})")
_PLAIN: Final = re.compile(r"[A-Za-z_]{1,20}")
_ID: Final = re.compile(r"[!-~]{1,64}")
_ASKS, _CONFIRMS, _CHOOSES = "?", "!", ">"


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key of an inline keyboard."""

    label: str
    data: str


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked before a press counts. `keys` empty = the answer is typed in reply, `note` says to what."""

    title: str
    label: str
    note: str
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A press that counts."""

    button: str
    values: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Asks:
    """A press that asks first."""

    button: str
    confirms: bool


def build_keys(buttons: Sequence[Button]) -> list[Key]:
    """Return the keys of a message. An id too long for its sign goes without: such a press counts at once."""
    return [Key(label=fit_label(button.label), data=_data_of(button)) for button in buttons]


def read_data(data: str, keys: Mapping[str, str]) -> Answered | Asks | None:
    """Return what pressing a key means; `keys` are the labels of the message's keyboard. None = not ours."""
    choice = _CHOICE.fullmatch(data)
    if choice is not None and _ID.fullmatch(choice["button"]):
        value = keys.get(data, "")
        return Answered(button=choice["button"], values={choice["field"] or ANSWER: value}) if value else None
    if data[:1] in {_ASKS, _CONFIRMS} and _ID.fullmatch(data[1:]):
        return Asks(button=data[1:], confirms=data[0] == _CONFIRMS)
    return Answered(button=data, values={}) if _ID.fullmatch(data) else None


def ask(button: str, label: str, form: Form | None, *, confirms: bool) -> Question:
    """Return the question of a form; None = nobody knows its words any more, the button's label has to do."""
    field = form.fields[0] if form else None
    name = field.name if field and _PLAIN.fullmatch(field.name) else ANSWER
    title = form.title if form else label
    if confirms:
        choices: tuple[str, ...] = field.choices if field else ("Yes",)
    else:
        choices = field.choices if field and form and len(form.fields) == 1 else ()
    keys = [Key(label=choice, data=_choice(number, name, button)) for number, choice in enumerate(choices)]
    if keys and all(len(key.data.encode()) <= MAX_BYTES and key.label == fit_label(key.label) for key in keys):
        asked = field.label if field else "Are you sure?"
        return Question(title=title, label=asked, note="", keys=tuple(keys))
    asked = " ".join(field.label for field in form.fields) if form else "What should it say?"
    return Question(title=title, label=asked, note=f"{name}|{button}")


def write_note(note: str, secret: bytes) -> str:
    return f"{note}|{_seal(note, secret)}"


def read_note(text: str, secret: bytes) -> tuple[str, str] | None:
    """Return (field, button id) of a question of ours that was answered by typing."""
    match = _TYPED.fullmatch(text.rsplit("\n", 1)[-1])
    if match is None:
        return None
    field, button = match["field"], match["button"]
    return (field, button) if hmac.compare_digest(match["seal"], _seal(f"{field}|{button}", secret)) else None


def _seal(note: str, secret: bytes) -> str:
    return hmac.new(secret, note.encode(), hashlib.sha256).hexdigest()[:16]


def fit_label(label: str) -> str:
    """Return a label of one line that Telegram takes."""
    line = " ".join(make_harmless(label).split()) or "–"
    while units(line) > MAX_LABEL:
        line = line[:-2] + "…"
    return line


def _data_of(button: Button) -> str:
    if button.form is None or len(button.id) >= MAX_BYTES:
        return button.id
    fields = button.form.fields
    confirms = len(fields) == 1 and len(fields[0].choices) == 1
    return f"{_CONFIRMS if confirms else _ASKS}{button.id}"


def _choice(number: int, field: str, button: str) -> str:
    data = f"{_CHOOSES}{number}{field}|{button}"
    return data if len(data.encode()) <= MAX_BYTES else f"{_CHOOSES}{number}|{button}"
