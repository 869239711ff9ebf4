"""Which WhatsApp messages one message of ours is: for each person those they got. Pure."""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Final

from bot.errors import Reason, Rejected

_REF: Final = re.compile(r"w(?P<digest>[0-9a-f]{8})(?P<sent>(?: [0-9]{1,20}:[!-+\--~]{1,200}(?:,[!-+\--~]{1,200})*)*)")


@dataclass(kw_only=True)
class Reference:
    """`digest` stands for the headline that was told; `sent` holds the messages of each number, in order.

    Nobody in `sent` = the message is held until somebody asks.
    """

    digest: str
    sent: dict[str, list[str]] = field(default_factory=dict)

    def head(self, number: str) -> str | None:
        """Return the message to answer to in the chat with a number."""
        return self.sent[number][0] if self.sent.get(number) else None

    def write(self) -> str:
        return f"w{self.digest}" + "".join(f" {number}:{','.join(ids)}" for number, ids in self.sent.items() if ids)


def read_reference(text: str) -> Reference:
    """Raises `Rejected` where it is not one that `write` made."""
    match = _REF.fullmatch(text)
    if match is None:
        raise Rejected("This is no reference to a WhatsApp message.", Reason.BAD_INPUT)
    sent = dict(part.split(":", maxsplit=1) for part in match["sent"].split())
    return Reference(digest=match["digest"], sent={number: ids.split(",") for number, ids in sent.items()})


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:8]
