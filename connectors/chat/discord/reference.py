"""Which Discord messages one message of ours is: itself with its files, and its continuations. Pure."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bot.domain.chat import File, Picture
from bot.errors import Reason, Rejected

_REF: Final = re.compile(
    r"c(?P<channel>[0-9]{1,20})t(?P<thread>[0-9]{1,20})(?P<parts>(?:m[0-9]{1,20})*)f(?P<files>[0-9a-f]{16}|0)", re.ASCII
)


@dataclass(kw_only=True)
class Reference:
    """`channel` is the channel or thread it stands in, `thread` the incident's (0 without one); `parts` begins with the
    message that holds the buttons and the files, `files` says which files those are."""

    channel: int
    thread: int = 0
    parts: list[int] = field(default_factory=list)
    files: str = "0"

    def write(self) -> str:
        return f"c{self.channel}t{self.thread}" + "".join(f"m{part}" for part in self.parts) + f"f{self.files}"


def read_reference(text: str) -> Reference:
    """Raises `Rejected` where it is not one that `write` made."""
    match = _REF.fullmatch(text)
    if match is None:
        raise Rejected("This is no reference to a Discord message.", Reason.BAD_INPUT)
    parts = [int(part) for part in match["parts"].split("m")[1:]]
    return Reference(channel=int(match["channel"]), thread=int(match["thread"]), parts=parts, files=match["files"])


def digest_of(files: Sequence[File | Picture]) -> str:
    if not files:
        return "0"
    content = "\x00".join(f"{file.name}\x00{file.text if isinstance(file, File) else file.sha256}" for file in files)
    return hashlib.sha256(content.encode(errors="replace")).hexdigest()[:16]
