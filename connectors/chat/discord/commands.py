"""The commands of Discord's menu, what they suggest while somebody types, and what they say. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from connectors.chat.discord.components import fit_line

VERBS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "incident": (
        "See and handle incidents",
        (
            "list",
            "declare",
            "status",
            "why",
            "ack",
            "escalate",
            "silence 1h",
            "silence 4h",
            "resolve",
            "triage",
            "think",
            "watch",
            "watch stop",
            "pause",
            "continue",
            "cancel",
            "agent off",
            "agent on",
        ),
    ),
    "oncall": ("See who is on call, test your contacts", ("who", "test")),
    "patch": (
        "See and decide patches",
        ("show", "approve", "reject", "changes", "merge", "revert", "rollback", "break-glass"),
    ),
    "ci": ("See and steer CI", ("status", "logs", "rerun", "cancel")),
}
LINK: Final = "link"
ID: Final = "id"
ASK: Final = "ask"
_TEXT: Final = 3
INCIDENT: Final = "incident"
_ACTION, _WORDS = "action", "words"
_SHOWN: Final = 25
_MAX_NAME: Final = 100
_KEPT: Final = ("name", "description", "type", "required", "autocomplete", "max_length")


def build_commands() -> list[dict[str, Any]]:
    """Return what is registered with Discord."""
    commands = [
        _command(
            name,
            description,
            _option(_ACTION, "What to do", required=True, suggests=True),
            _option(INCIDENT, "The incident, where this is not its thread", suggests=True),
            _option(_WORDS, "A reason or a wish, which patch, or what to declare: SERVICE WHAT"),
        )
        for name, (description, _verbs) in VERBS.items()
    ]
    ask = _command(ASK, "Ask about this thread's incident", _option(_WORDS, "The question", required=True))
    code = _option(_WORDS, "The code you got in another chat, list, or remove and a chat")
    link = _command(LINK, "Your accounts in other chats", code)
    return [*commands, ask, link, _command(ID, "Your account and this channel, for the configuration")]


def are_same(there: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether Discord has these commands already, whatever else it tells of them."""
    return sorted(_essence(one) for one in there) == sorted(_essence(one) for one in wanted)


def suggest(name: str, option: str, begun: str, incidents: Mapping[str, str]) -> list[dict[str, str]]:
    """Return what may come where somebody has typed `begun`; `incidents` are told by what they are about."""
    actions = VERBS[name][1] if option == _ACTION and name in VERBS else ()
    known = incidents if option == INCIDENT else {word: word for word in actions}
    begun = begun.lower().strip()
    found = [(word, told) for word, told in known.items() if begun in told.lower()]
    return [{"name": fit_line(told, _MAX_NAME), "value": word} for word, told in found[:_SHOWN]]


def write_text(name: str, options: Mapping[str, str]) -> str:
    """Return the command as it is typed elsewhere."""
    words = [" ".join(options.get(option, "").split()) for option in (_ACTION, INCIDENT, _WORDS)]
    lead = [] if name == ASK else [f"/{name}"]
    return " ".join([*lead, *(word for word in words if word)])


def _command(name: str, description: str, *options: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "type": 1, "description": description, "options": [*options]}


def _option(name: str, description: str, *, required: bool = False, suggests: bool = False) -> dict[str, Any]:
    given: dict[str, Any] = {"type": _TEXT, "name": name, "description": description, "required": required}
    return given | {"autocomplete": suggests, "max_length": 1000}


def _essence(command: Mapping[str, Any]) -> str:
    options = [[option.get(key) or None for key in _KEPT] for option in command.get("options") or ()]
    return repr([command.get("name"), command.get("description"), command.get("type", 1), options])
