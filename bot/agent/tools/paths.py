"""Paths as models write them: "./src", "/src/", "src//app". One rule for every tool that takes one."""

import posixpath
from typing import Final

from bot.agent.tools.tool import Call
from bot.errors import Reason, Refused

ROOT: Final = "."


def read_path(call: Call, name: str = "path") -> str:
    """Return a path from the repository's root, "" for the root itself. Raises `Refused` where it leads out."""
    return clean_path(call.text(name))


def clean_path(text: str) -> str:
    path = posixpath.normpath(text.lstrip("/") or ROOT)
    if path == ".." or path.startswith("../"):
        raise Refused(f"{text[:120]!r} leaves the repository; paths begin at its root", Reason.BAD_INPUT)
    return "" if path == ROOT else path
