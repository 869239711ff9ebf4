"""Tools of other servers (MCP): what one says of itself, whether it may be offered, and how the model knows it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

PREFIX: Final = "mcp__"
MAX_NAME: Final = 64
"""Characters of a name that every model server takes."""
MAX_TOOLS: Final = 32
"""Tools of one server in a run: each costs prompt in every request."""
_SERVER: Final = re.compile(r"(?=.{1,24}\Z)[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*")
_TOOL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A tool as its server tells of it: all of it is hostile. `schema` is JSON.

    `reads_only` and `destroys` are its hints; None where it gives none.
    """

    name: str
    about: str = ""
    schema: str = "{}"
    reads_only: bool | None = None
    destroys: bool | None = None


@dataclass(frozen=True, kw_only=True)
class FarTool:
    """A tool as the model is told of it, cleaned. A run keeps those that it began with. `schema` is JSON."""

    server: str
    tool: str
    about: str
    schema: str

    @property
    def name(self) -> str:
        return name_far_tool(self.server, self.tool)


@dataclass(frozen=True, kw_only=True)
class FarTools:
    """What other servers have for a run; `missing` says in words what they should have and have not."""

    tools: tuple[FarTool, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ToolPolicy:
    """Which tools of a server may be used: `tools` where they say that they only read, `unmarked` also where they say
    nothing."""

    tools: tuple[str, ...] = ()
    unmarked: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({*self.tools, *self.unmarked}))

    def fault_of(self, listed: Listed) -> str:
        """Return why a tool may not be used, "" where it may."""
        if listed.name not in self.names:
            return "is not allowed by the configuration"
        if listed.reads_only is False or (listed.destroys and not listed.reads_only):
            return "says that it changes something"
        if listed.reads_only is None and listed.name not in self.unmarked:
            return "does not say that it only reads"
        return ""


def name_far_tool(server: str, tool: str) -> str:
    """Return the name that the model calls: letters, digits, "_" and "-" alone."""
    return f"{PREFIX}{server}__{tool.replace('.', '_')}"


def find_wrong_names(server: str, tools: Iterable[str]) -> Iterator[str]:
    """Yield what is wrong with the names of a server and the tools that are named of it."""
    if not _SERVER.fullmatch(server):
        yield "is no name for a server: small letters and digits, single - and _ between them, at most 24"
        return
    known = dict[str, str]()
    for tool in tools:
        name = name_far_tool(server, tool)
        if not _TOOL.fullmatch(tool):
            yield f'"{tool[:80]}" is no name of a tool that a model can call'
        elif len(name) > MAX_NAME:
            yield f'"{tool}" is too long: {name} has more than {MAX_NAME} characters'
        elif known.setdefault(name, tool) != tool:
            yield f'"{tool}" and "{known[name]}" would have one name, {name}'
    if len(known) > MAX_TOOLS:
        yield f"names more than {MAX_TOOLS} tools"
