"""Keywords instead of commands: what people type on a phone, as the commands of every other channel. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from bot.domain.watch import is_span

COMMANDS: Final[Mapping[str, str]] = {
    "incident": "declare, list, status, why, ack, escalate, silence, resolve, triage, watch",
    "oncall": "who is on call, test your contacts",
    "patch": "show, approve, reject, changes, revert",
    "ci": "status, logs, rerun, cancel",
    "link": "your accounts in other chats",
    "help": "all commands",
}
_INCIDENT: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,15}-[0-9]{1,10}")
_ABOUT_ONE: Final = frozenset({"status", "why", "ack", "escalate", "silence", "resolve", "triage", "think"})
_ALONE: Final[Mapping[str, str]] = {
    "list": "/incident list",
    "help": "/help",
    "who": "/oncall who",
    "link": "/link",
}
_GROUPS: Final = frozenset({"oncall", "patch", "ci", "incident", "link"})
_DECLARE: Final = "declare"
_WATCH: Final = "watch"
_MAX_WORDS: Final = 3


def read_command(text: str, incident: str | None) -> str:
    """Return the command that a keyword stands for, about the chat's incident where none is named; else the text."""
    words = text.split()
    if len(words) > 1 and words[0].lower() == _DECLARE:
        return " ".join(["/incident", _DECLARE, *words[1:]])
    if words and words[0].lower() == _WATCH:
        return _read_watch(words[1:], text.strip(), incident)
    is_keyword = 0 < len(words) <= _MAX_WORDS and not text.startswith("/")
    return _read_keyword(words, text.strip(), incident) if is_keyword else text.strip()


def _read_keyword(words: Sequence[str], text: str, incident: str | None) -> str:
    first = words[0].lower()
    if len(words) == 1 and first in _ALONE:
        return _ALONE[first]
    if first in _GROUPS and len(words) > 1 and (first != "link" or len(words) == 2):
        return f"/{' '.join([first, *words[1:]])}"
    if first not in _ABOUT_ONE:
        return text
    named = [word for word in words[1:] if _INCIDENT.fullmatch(word)]
    others = [word for word in words[1:] if word not in named]
    if others and first != "silence":
        return text
    about = named or ([incident] if incident else [])
    return " ".join(["/incident", first, *others, *about])


def _read_watch(words: Sequence[str], text: str, incident: str | None) -> str:
    """Return the command where what follows the keyword says that it is one: "watch out" is for colleagues."""
    order = [word for word in words[:1] if word.lower() == "stop"]
    rest = list(words[len(order) :])
    named = [rest.pop(0)] if rest and _INCIDENT.fullmatch(rest[0]) else []
    if not (order or named) and rest and rest[0].lower() not in {"every", "for"} and not is_span(rest[0]):
        return text
    about = named or ([incident] if incident else [])
    return " ".join(["/incident", _WATCH, *order, *about, *rest])


def asks_to_show(text: str) -> str | None:
    """Return the incident that somebody wants to see whole, None for other words."""
    words = text.split()
    if len(words) == 2 and words[0].lower() == "show" and _INCIDENT.fullmatch(words[1]):
        return words[1].upper()
    return None
