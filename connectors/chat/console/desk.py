"""What lies on the desk: the messages with live buttons, the incident in focus, and what a key means now.

Pure: keys go in, actions come out; `at` is any steady clock in seconds.
"""

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bot.domain.chat import Button, File, FormField, Message

ESCAPE, TAB, VIEW = "\x1b", "\t", "v"
ENTER: Final = ("\r", "\n")
BACKSPACE: Final = ("\x7f", "\b")
#: A key pressed this soon after the focus moved by itself was meant for what stood there before.
GUARD_SECONDS: Final = 1.0
_LETTERS: Final = [letter for letter in string.ascii_letters if letter != VIEW]
_KEPT: Final = 500
HELP: Final = """A letter presses the button beside it, on the incident named in front.
1-9 and Tab choose the incident, v shows the diff.
: or / begins a command or a message, Enter sends it, Esc leaves it. Try /incident help."""


@dataclass(frozen=True, kw_only=True)
class Pressed:
    button: Button
    incident: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Spoke:
    text: str
    incident: str | None


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Show these files."""

    files: tuple[File, ...]


@dataclass(frozen=True, kw_only=True)
class Noticed:
    """Say this to the person; nothing else happened."""

    text: str


Action = Pressed | Spoke | Shown | Noticed


@dataclass(kw_only=True)
class Question:
    """A form that is being filled in, field by field."""

    button: Button
    incident: str
    fields: tuple[FormField, ...]
    values: dict[str, str] = field(default_factory=dict)

    @property
    def asks(self) -> FormField:
        return self.fields[len(self.values)]


class Desk:
    """The state between two keys."""

    def __init__(self) -> None:
        self._messages: dict[str, Message] = {}
        self.focus: str | None = None
        self._chosen = False
        self._moved_at = float("-inf")
        self.typed: str | None = None
        self.question: Question | None = None

    # what lies there

    def put(self, ref: str, message: Message, at: float) -> None:
        """Take a posted or edited message; a new one with buttons takes the focus unless a person chose it."""
        is_new = ref not in self._messages
        self._messages[ref] = message
        live = self.incidents()
        if self.focus not in live:
            self._moved_at = at if self.focus is not None else self._moved_at
            self.focus, self._chosen = (live[-1] if live else None), False
        if is_new and message.buttons and message.incident != self.focus and not self._is_busy():
            self.focus, self._moved_at = message.incident, at
        self._forget()

    def get(self, ref: str) -> Message | None:
        return self._messages.get(ref)

    def incidents(self) -> list[str]:
        """Return the incidents with something to press, oldest first."""
        return list(dict.fromkeys(message.incident for message in self._messages.values() if message.buttons))

    def headline(self, incident: str) -> str:
        """Return the incident's first headline on the desk."""
        return next((m.headline for m in self._messages.values() if m.incident == incident), incident)

    def keys(self) -> dict[str, Button]:
        """Return what each key presses on the incident in focus; one button stands there once."""
        buttons = [
            button
            for message in reversed(self._messages.values())
            if message.incident == self.focus
            for button in message.buttons
        ]
        keys: dict[str, Button] = {}
        seen: set[str] = set()
        for button in buttons:
            if button.id not in seen and (key := _find_key(button, keys)):
                keys[key] = button
            seen.add(button.id)
        return keys

    def files(self) -> tuple[File, ...]:
        """Return the newest files of the incident in focus, else the newest files of all."""
        with_files = [message for message in self._messages.values() if message.files]
        mine = [message for message in with_files if message.incident == self.focus]
        return (mine or with_files)[-1].files if with_files else ()

    def _is_busy(self) -> bool:
        return self._chosen or self.question is not None or self.typed is not None

    def _forget(self) -> None:
        if len(self._messages) > _KEPT:
            idle = next((ref for ref, message in self._messages.items() if not message.buttons), None)
            self._messages.pop(idle if idle is not None else next(iter(self._messages)))

    # what a key does

    def feed(self, text: str, at: float) -> Action | None:
        """Take one key, a pasted text, or a whole line that ends with a line break."""
        if len(text) == 1:
            return self._take_key(text, at)
        body, ends = text.rstrip("\r\n"), text.endswith(ENTER)
        if self.question is None and self.typed is None:
            if len(body) == 1:
                return self._take_key(body, at)
            if not ends and not body.startswith((":", "/")):
                return Noticed(text="Pasted text presses nothing. Type : to send it as a message.")
            self.typed = body.removeprefix(":")
        elif self.question and self.question.asks.choices:
            return self._take_key(body[:1] or ENTER[0], at)
        else:
            self.typed = (self.typed or "") + body
        return self._finish() if ends else None

    def _take_key(self, key: str, at: float) -> Action | None:
        if self.question is not None and self.question.asks.choices:
            return self._pick(key)
        if self.typed is not None:
            return self._type(key)
        if key in {":", "/"}:
            self.typed = "" if key == ":" else "/"
            return None
        return self._take_command(key) or (self._press(key, at) if key.isprintable() else None)

    def _take_command(self, key: str) -> Action | None:
        if key == TAB or key in "123456789":
            return self._choose(key)
        if key == VIEW:
            files = self.files()
            return Shown(files=files) if files else Noticed(text="There is no file to show.")
        return Noticed(text=HELP) if key == "?" else None

    def _choose(self, key: str) -> Noticed:
        live = self.incidents()
        if not live:
            return Noticed(text="No incident waits for anybody.")
        here = live.index(self.focus) if self.focus in live else -1
        place = (here + 1) % len(live) if key == TAB else int(key) - 1
        if place >= len(live):
            return Noticed(text=f"There is no incident number {key}.")
        self.focus, self._chosen = live[place], True
        return Noticed(text=f"Keys act on {self.focus} now.")

    def _press(self, key: str, at: float) -> Action | None:
        button = self.keys().get(key)
        if button is None or self.focus is None:
            return Noticed(text=f"[{key}] does nothing here. [?] helps.")
        if at - self._moved_at < GUARD_SECONDS:
            return Noticed(
                text=f"Keys just moved to {self.focus}: nothing was pressed. Press [{key}] again to mean it."
            )
        if button.form is None or not button.form.fields:
            return Pressed(button=button, incident=self.focus)
        self.question = Question(button=button, incident=self.focus, fields=button.form.fields)
        self._ask()
        return None

    def _ask(self) -> None:
        self.typed = None if self.question is None or self.question.asks.choices else ""

    def _pick(self, key: str) -> Action | None:
        question = self.question
        if question is None or key == ESCAPE:
            return self._cancel()
        choices = question.asks.choices
        if not question.asks.required and key in ENTER:
            return self._answer(question, "")
        if key not in "123456789" or int(key) > len(choices):
            return Noticed(text=f"Press 1 to {len(choices)}, or Esc to leave it.")
        return self._answer(question, choices[int(key) - 1])

    def _type(self, key: str) -> Action | None:
        if key == ESCAPE:
            return self._cancel()
        if key in ENTER:
            return self._finish()
        if key in BACKSPACE:
            self.typed = (self.typed or "")[:-1]
        elif key.isprintable():
            self.typed = (self.typed or "") + key
        return None

    def _finish(self) -> Action | None:
        text = (self.typed or "").strip()
        if self.question is not None:
            if not text and self.question.asks.required:
                return Noticed(text="This cannot stay empty. Esc leaves it.")
            return self._answer(self.question, text)
        self.typed = None
        return Spoke(text=text, incident=self.focus) if text else None

    def _answer(self, question: Question, value: str) -> Action | None:
        question.values[question.asks.name] = value
        if len(question.values) < len(question.fields):
            self._ask()
            return None
        self.question = self.typed = None
        return Pressed(button=question.button, incident=question.incident, values=question.values)

    def _cancel(self) -> Noticed:
        self.question = self.typed = None
        return Noticed(text="Left. Nothing was sent.")


def _find_key(button: Button, taken: Mapping[str, Button]) -> str | None:
    """Return the button's own key, else a free capital: a habit of the fingers must not press an older button."""
    wanted = [button.key, button.key.upper(), *string.ascii_uppercase, *_LETTERS]
    return next((key for key in wanted if key in _LETTERS and key not in taken), None)
