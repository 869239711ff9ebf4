"""Which Telegram messages one message of ours is: itself, its continuations and its files. Pure."""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Final

from bot.domain.chat import File, Picture
from bot.errors import Reason, Rejected

_REF: Final = re.compile(
    r"t(?P<topic>[0-9]{1,18})(?P<parts>(?:m[0-9]{1,18})*)(?P<files>(?:f[0-9]{1,18}-[0-9a-f]{8})*)", re.ASCII
)


@dataclass(kw_only=True)
class Reference:
    """`topic` is the forum topic, 0 without one; `parts` begins with the message that holds the buttons."""

    topic: int = 0
    parts: list[int] = field(default_factory=list)
    files: list[tuple[int, str]] = field(default_factory=list)

    @property
    def head(self) -> int | None:
        return self.parts[0] if self.parts else None

    def write(self) -> str:
        parts = "".join(f"m{number}" for number in self.parts)
        return f"t{self.topic}{parts}" + "".join(f"f{number}-{digest}" for number, digest in self.files)


def read_reference(text: str) -> Reference:
    """Raises `Rejected` where it is not one that `write` made."""
    match = _REF.fullmatch(text)
    if match is None:
        raise Rejected("This is no reference to a Telegram message.", Reason.BAD_INPUT)
    files = re.findall(r"f([0-9]+)-([0-9a-f]{8})", match["files"])
    return Reference(
        topic=int(match["topic"]),
        parts=[int(number) for number in match["parts"].split("m")[1:]],
        files=[(int(number), digest) for number, digest in files],
    )


def digest_of(file: File | Picture) -> str:
    if isinstance(file, Picture):
        return file.sha256[:8]
    content = f"{file.name}\x00{file.text}"
    return hashlib.sha256(content.encode(errors="replace")).hexdigest()[:8]
