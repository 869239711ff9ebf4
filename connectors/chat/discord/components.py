"""Buttons and modals: what is sent, and what comes back with a press. Pure.

A button's custom id is its own id; one that asks first has "?" before it, or "!" where it only wants to be sure. A
modal's custom id is ">" and the button's id. All of it comes back from Discord, so a restart loses nothing but the
words of a form, which the store tells again; where it cannot the answer is typed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bot.domain.chat import Button, Form, FormField, Style
from bot.domain.text.unseen import make_harmless

ANSWER: Final = "answer"
MAX_BUTTONS: Final = 25
_PER_ROW: Final = 5
_ROW, _BUTTON, _SELECT, _INPUT, _LABEL = 1, 2, 3, 4, 18
_MAX_LABEL, _MAX_TITLE, _MAX_FIELDS, _MAX_CHOICES, _MAX_TEXT, _MAX_CHOICE = 80, 45, 5, 25, 4000, 100
_PARAGRAPH: Final = 2
_STYLES: Final = {Style.PLAIN: 2, Style.PRIMARY: 1, Style.DANGER: 4}
_ID: Final = re.compile(r"[!-~]{1,64}")
_NAME: Final = re.compile(r"[A-Za-z_]{1,40}")
_ASKS, _CONFIRMS, _FILLED = "?", "!", ">"


def build_rows(buttons: Sequence[Button]) -> list[dict[str, Any]]:
    """Return a message's rows of buttons."""
    made = [
        {
            "type": _BUTTON,
            "style": _STYLES[button.style],
            "label": fit_line(button.label, _MAX_LABEL),
            "custom_id": _id_of(button),
        }
        for button in buttons[:MAX_BUTTONS]
    ]
    return [{"type": _ROW, "components": made[at : at + _PER_ROW]} for at in range(0, len(made), _PER_ROW)]


def read_button(custom_id: str) -> tuple[str, str] | None:
    """Return (sign, button id) of a press; the sign is "" where the press counts at once. None = not ours."""
    sign = custom_id[:1] if custom_id[:1] in {_ASKS, _CONFIRMS} else ""
    button = custom_id.removeprefix(sign)
    return (sign, button) if _ID.fullmatch(button) and not button.startswith(_FILLED) else None


def read_modal(custom_id: str) -> str | None:
    """Return the button whose form was filled in."""
    button = custom_id.removeprefix(_FILLED)
    return button if custom_id.startswith(_FILLED) and _ID.fullmatch(button) else None


def read_values(components: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the answers of a modal that was filled in; raises ValueError or KeyError for what is none."""
    return dict(_read_values(components))


def build_modal(sign: str, button: str, label: str, form: Form | None) -> dict[str, Any]:
    """Return the modal of a button; no form = nobody knows its words any more, the button's label has to do."""
    if form is None:
        choices = ("Yes",) if sign == _CONFIRMS else ()
        asked = "Are you sure?" if choices else "What should it say?"
        form = Form(title=label or "Nightshift", fields=(FormField(name=ANSWER, label=asked, choices=choices),))
    return {
        "custom_id": f"{_FILLED}{button}",
        "title": fit_line(form.title, _MAX_TITLE),
        "components": [_field(field) for field in form.fields[:_MAX_FIELDS]],
    }


def fit_line(text: str, limit: int) -> str:
    """Return text of one line that Discord takes as a label; labels know no markup."""
    line = " ".join(make_harmless(text).split()) or "–"
    line = line[: limit + 1]
    while len(line.encode("utf-16-le")) // 2 > limit:
        line = line[:-2] + "…"
    return line


def _id_of(button: Button) -> str:
    if button.form is None:
        return button.id
    fields = button.form.fields
    return f"{_CONFIRMS if len(fields) == 1 and len(fields[0].choices) == 1 else _ASKS}{button.id}"


def _field(field: FormField) -> dict[str, Any]:
    name = field.name if _NAME.fullmatch(field.name) else ANSWER
    inner: dict[str, Any] = {"type": _INPUT, "style": _PARAGRAPH, "max_length": _MAX_TEXT}
    if field.choices and len(field.choices) <= _MAX_CHOICES:
        sure = len(field.choices) == 1
        options = [
            {"label": fit_line(choice, _MAX_CHOICE), "value": choice[:_MAX_CHOICE], "default": sure}
            for choice in field.choices
        ]
        inner = {"type": _SELECT, "options": options, "min_values": 1 if field.required else 0, "max_values": 1}
    inner |= {"custom_id": name, "required": field.required}
    return {"type": _LABEL, "label": fit_line(field.label, _MAX_TITLE), "component": inner}


def _read_values(components: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for outer in components:
        inner = outer.get("component")
        if not isinstance(inner, dict):
            continue
        name = str(inner["custom_id"])
        if not _NAME.fullmatch(name):
            raise ValueError("This is no field of ours.")
        values = inner.get("values")
        value = values[0] if isinstance(values, list) and values else inner.get("value", "")
        yield name, str(value)[:_MAX_TEXT]
