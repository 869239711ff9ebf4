"""What people send on the pages, as the events that the rest of Nightshift acts on."""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from bot.domain.chat import Press
from bot.domain.oncall import Person

MAX_TEXT: Final = 4000
_MAX_BUTTON_BYTES: Final = 64
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")
_FIELD_PREFIX: Final = "field."


def name_event(channel: str, person: Person, form: Mapping[str, str], picture: str = "") -> str | None:
    """Name the event: the same form sent twice is one event; another button, sentence, picture or person is another."""
    nonce = form.get("event", "")
    if _NONCE.fullmatch(nonce) is None:
        return None
    words = f"{form.get('button', '')}\n{form.get('text', '')}" + (f"\n{picture}" if picture else "")
    what = hashlib.sha256(words.encode(errors="replace")).hexdigest()[:12]
    return f"{channel}:{person.id}:{nonce}:{what}"


def read_press(
    form: Mapping[str, str], *, event: str | None, channel: str, account: str, pressed_at: datetime
) -> Press | None:
    """Return the press that a form is, None where it is none of our buttons."""
    button = form.get("button", "")
    values = {name.removeprefix(_FIELD_PREFIX): value for name, value in form.items() if name.startswith(_FIELD_PREFIX)}
    too_long = any(len(value) > MAX_TEXT for value in values.values())
    if event is None or not button.isascii() or not 0 < len(button) <= _MAX_BUTTON_BYTES or too_long:
        return None
    return Press(event=event, channel=channel, account=account, button=button, values=values, pressed_at=pressed_at)
