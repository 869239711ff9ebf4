"""Buttons and lists, and the questions that stand in for forms: what comes back with a press. Pure.

An id is the button's own; with "?" before it the press asks first, with "!" it asks yes or no; ">" holds a field, the
answer and the id. "~show" asks for all there is about an incident, "~more" for the buttons that found no place.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bot.domain.chat import Button, Form, Message
from connectors.chat.whatsapp.markup import fit

BUTTONS: Final = 3
ROWS: Final = 10
ANSWER: Final = "answer"
_TITLE: Final = 20
_ROW_TITLE: Final = 24
_ROW_TEXT: Final = 72
_ID_LENGTH: Final = 200
_ID: Final = re.compile(r"[!-~]{1,64}")
_FIELD: Final = re.compile(r"[A-Za-z_]{1,20}")
_CHOSEN: Final = re.compile(r">(?P<field>[A-Za-z_]{1,20})\|(?P<button>[!-{}~]{1,64})\|(?P<value>.+)", re.DOTALL)
_SHOW: Final = re.compile(r"~show\|(?P<incident>[A-Za-z0-9-]{1,32})")
_MORE: Final = re.compile(r"~more\|(?P<incident>[A-Za-z0-9-]{1,32})\|(?P<slot>[!-~]{1,80})")


@dataclass(frozen=True, kw_only=True)
class Key:
    """One thing that can be tapped."""

    id: str
    label: str


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


@dataclass(frozen=True, kw_only=True)
class Shows:
    """A press that only shows: everything of an incident, or the further buttons of one `slot`."""

    incident: str
    slot: str = ""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked before a press counts. `keys` empty = the answer is typed, as `field` of `button`."""

    text: str
    button: str
    field: str
    keys: tuple[Key, ...] = ()


def build_keys(message: Message) -> list[Key]:
    """Return what stands under a message: all of its buttons, or the first two and a way to the rest."""
    if len(message.buttons) <= BUTTONS:
        return [_key_of(button) for button in message.buttons]
    more = Key(id=f"~more|{message.incident}|{message.slot}", label="More…")
    return [*(_key_of(button) for button in message.buttons[: BUTTONS - 1]), more]


def build_rest(message: Message) -> list[Key]:
    """Return the buttons that stand behind "More…"."""
    return [_key_of(button) for button in message.buttons[BUTTONS - 1 :]]


def read_id(text: str) -> Answered | Asks | Shows | None:
    """Return what a tapped id means; None = not ours."""
    chosen, show, more = _CHOSEN.fullmatch(text), _SHOW.fullmatch(text), _MORE.fullmatch(text)
    if chosen is not None:
        return Answered(button=chosen["button"], values={chosen["field"]: chosen["value"]})
    if show is not None:
        return Shows(incident=show["incident"])
    if more is not None:
        return Shows(incident=more["incident"], slot=more["slot"])
    if text[:1] in {"?", "!"} and _ID.fullmatch(text[1:]):
        return Asks(button=text[1:], confirms=text[0] == "!")
    return Answered(button=text, values={}) if _ID.fullmatch(text) and text[0] not in "?!>~" else None


def ask(asks: Asks, label: str, form: Form | None) -> Question:
    """Return the question of a form; None = nobody knows its words any more, the button's label has to do."""
    field = form.fields[0] if form else None
    name = field.name if field and _FIELD.fullmatch(field.name) else ANSWER
    choices: tuple[str, ...] = field.choices if field and form and len(form.fields) == 1 else ()
    if asks.confirms and not choices:
        choices = ("Yes",)
    keys = tuple(Key(id=f">{name}|{asks.button}|{choice}", label=choice) for choice in choices)
    told = " ".join(field.label for field in form.fields) if form else "What should it say?"
    text = f"{form.title if form else label}\n{told}"
    if keys and len(keys) <= ROWS and all(len(key.id) <= _ID_LENGTH and key.id.strip() == key.id for key in keys):
        return Question(text=text, button=asks.button, field=name, keys=keys)
    return Question(text=f"{text}\nWrite the answer as your next message.", button=asks.button, field=name)


def build_interactive(text: str, keys: Sequence[Key]) -> dict[str, Any]:
    """Return the interactive part of a message: up to three buttons, or a list of up to ten rows."""
    body = {"text": text}
    if len(keys) <= BUTTONS:
        titles = _unlike([fit(key.label, _TITLE) for key in keys], _TITLE)
        buttons = [
            {"type": "reply", "reply": {"id": key.id, "title": title}} for key, title in zip(keys, titles, strict=True)
        ]
        return {"type": "button", "body": body, "action": {"buttons": buttons}}
    titles = _unlike([fit(key.label, _ROW_TITLE) for key in keys], _ROW_TITLE)
    rows = []
    for key, title in zip(keys, titles, strict=True):
        whole = fit(key.label, _ROW_TEXT)
        rows.append({"id": key.id, "title": title} | ({"description": whole} if whole != title else {}))
    return {"type": "list", "body": body, "action": {"button": "Choose", "sections": [{"rows": rows}]}}


def _key_of(button: Button) -> Key:
    if button.form is None:
        return Key(id=button.id, label=button.label)
    fields = button.form.fields
    confirms = len(fields) == 1 and len(fields[0].choices) == 1
    return Key(id=f"{'!' if confirms else '?'}{button.id}", label=button.label)


def _unlike(titles: Sequence[str], limit: int) -> list[str]:
    """Return titles of which no two are alike: WhatsApp refuses those."""
    found: list[str] = []
    for title in titles:
        number, own = 2, title
        while own in found:
            own = f"{title[: limit - 3]} {number}"
            number += 1
        found.append(own)
    return found
