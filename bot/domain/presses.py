"""What stands in a button's id: `<verb>:<incident>[:<digest12>][:<arg>]`, at most 64 bytes of ASCII.

An id comes back from a chat service, so it is hostile input: `parse_press` accepts exactly what `encode_press`
writes. It says what was pressed, never that it is allowed.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bot.domain.oncall import Role
from bot.errors import Reason, Refused

MAX_BYTES: Final = 64
UNTIL_RESOLVED: Final = "until-resolved"
SILENCE_CHOICES: Final = ("1h", "4h", UNTIL_RESOLVED)

_INCIDENT: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,15}-[0-9]{1,10}")
_DIGEST: Final = re.compile(r"[0-9a-f]{12}")
_LEVEL: Final = re.compile(r"[0-9]{1,3}")
_ANSWER: Final = re.compile(r"[1-9][0-9]{0,3}\.[1-4]")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,3}")
_ORDER: Final = re.compile(r"(ci|deploy|rollback)[1-9][0-9]{0,2}")


class Verb(StrEnum):
    ACK = "ack"
    ESCALATE = "escalate"
    SILENCE = "silence"
    RESOLVE = "resolve"
    APPROVE = "approve"
    REJECT = "reject"
    RENEW = "renew"
    AGAIN = "again"
    LOOK = "look"
    MERGE = "merge"
    CHANGES = "changes"
    REVERT = "revert"
    BREAK = "break"
    ROLLBACK = "rollback"
    ANSWER = "answer"
    THINK = "think"
    UNWATCH = "unwatch"

    @property
    def needs_digest(self) -> bool:
        """Return whether the press is about one exact patch."""
        return self in _ABOUT_A_PATCH

    @property
    def role(self) -> Role:
        """Return the role that a press needs; a rule may ask for more."""
        return Role.APPROVER if self in _FOR_APPROVERS else Role.RESPONDER


_ABOUT_A_PATCH: Final = frozenset(
    {Verb.APPROVE, Verb.REJECT, Verb.RENEW, Verb.CHANGES, Verb.AGAIN, Verb.LOOK, Verb.MERGE, Verb.BREAK}
)
_FOR_APPROVERS: Final = _ABOUT_A_PATCH - {Verb.CHANGES}


@dataclass(frozen=True, kw_only=True)
class ButtonPress:
    """A button's meaning. `digest` holds 12 hex characters for verbs about a patch, else "".

    `arg` is how long to silence ("1h", "4h", "until-resolved"), or the page level that an escalation leaves
    behind ("0"; "" where the button did not say), so that two people who press it at once escalate once; of an order
    to CI that got no answer it says which one ("ci1", "deploy2", "rollback1"); of a question of the model's
    which question and which of its answers ("2.1"); of a watch which one.
    """

    verb: Verb
    incident: str
    digest: str = ""
    arg: str = ""


def encode_press(verb: Verb, incident: str, *, digest: str = "", arg: str = "") -> str:
    """Return the button id; `digest` may be a full sha256. Raises `Refused` where it could not be read back."""
    parts = [verb.value, incident, digest[:12], arg]
    text = ":".join(part for part in parts if part)
    parse_press(text)
    return text


def parse_press(text: str) -> ButtonPress:
    """Read a button id. Raises `Refused` on anything that `encode_press` does not write."""
    if len(text) > MAX_BYTES or not text.isascii():
        raise _refusal()
    verb_text, *rest = text.split(":")
    verb = next((verb for verb in Verb if verb.value == verb_text), None)
    if verb is None or not rest or _INCIDENT.fullmatch(rest[0]) is None:
        raise _refusal()
    incident, *rest = rest
    digest = ""
    if verb.needs_digest:
        if not rest or _DIGEST.fullmatch(rest[0]) is None:
            raise _refusal()
        digest, *rest = rest
    if not _takes(verb, rest):
        raise _refusal()
    return ButtonPress(verb=verb, incident=incident, digest=digest, arg=rest[0] if rest else "")


def _takes(verb: Verb, args: list[str]) -> bool:
    if verb is Verb.SILENCE:
        return len(args) == 1 and args[0] in SILENCE_CHOICES
    if verb is Verb.ESCALATE:
        return not args or (len(args) == 1 and _LEVEL.fullmatch(args[0]) is not None)
    if verb in {Verb.AGAIN, Verb.LOOK}:
        return len(args) == 1 and _ORDER.fullmatch(args[0]) is not None
    if verb is Verb.ANSWER:
        return len(args) == 1 and _ANSWER.fullmatch(args[0]) is not None
    if verb is Verb.UNWATCH:
        return len(args) == 1 and _NUMBER.fullmatch(args[0]) is not None
    return not args


def _refusal() -> Refused:
    return Refused("Nightshift did not make this button. Nothing was done.", Reason.BAD_INPUT)
