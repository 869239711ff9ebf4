"""What an investigation works with, as ports; the worker's start puts real ones in."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bot.domain.service import LogPlace, Service
from bot.domain.text.unseen import remove_unseen
from bot.ports.logs import LogSource
from bot.ports.sandbox import Sandbox
from bot.ports.workspace import Workspaces


@dataclass(frozen=True, kw_only=True)
class Tools:
    """`redact`, or `redact_lines`, must see every text from outside before anything else does.

    `prepare_toolchain` runs the operator's setup command, or returns None where there is none. `readable` are folders
    of this machine that every job in the sandbox may read, `laid_over` goes over each tree and `files` lie beside it.
    """

    log_source: Callable[[LogPlace], LogSource]
    workspaces: Workspaces
    sandbox: Sandbox
    redact: Callable[[str], str]
    redact_lines: Callable[[Sequence[str]], list[str]]
    prepare_toolchain: Callable[[Service, Path], Awaitable[Path | None]]
    readable: tuple[Path, ...] = ()
    laid_over: Mapping[str, bytes] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)

    def sanitize(self, text: str) -> str:
        """Return hostile text without colours, control and direction characters, then redacted: in that order, so
        that no secret hides behind a character nobody sees."""
        return self.redact(remove_unseen(text))

    def sanitize_lines(self, lines: Sequence[str]) -> list[str]:
        """Do the same to the lines of one source, together: a private key runs over many of them."""
        return self.redact_lines([remove_unseen(line) for line in lines])

    def clean(self, text: str, limit: int) -> str:
        """Return sanitized text, its end kept within `limit`."""
        safe = self.sanitize(text)
        return safe if len(safe) <= limit else "…" + safe[-(limit - 1) :]
