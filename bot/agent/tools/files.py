"""The repository's files at head."""

import asyncio
from typing import Final

from bot.agent.arguments import Param, ToolSpec
from bot.agent.sources import Entry
from bot.agent.tools.paging import PAGE_PARAM, count_fitting, cut_line, show_page
from bot.agent.tools.paths import ROOT, read_path
from bot.agent.tools.patterns import compile_pattern
from bot.agent.tools.tool import Call, Tool, ToolResult
from bot.domain.runs.tool_name import ToolName
from bot.errors import Reason, Refused

MAX_LINES: Final = 400
MAX_MATCHES: Final = 60
"""Of one page."""
MAX_UNREAD: Final = 3


async def _read_file(call: Call) -> ToolResult:
    path = read_path(call)
    lines = await (await call.hands.sources()).read(path)
    first, last = read_lines(call, path, len(lines), most=MAX_LINES)
    if not lines:
        return ToolResult(text=f"{path} is empty.")
    shown = [cut_line(line) for line in lines[first - 1 : last]]
    shown = shown[: count_fitting(shown)]
    last = first + len(shown) - 1
    more = f"\n… first={last + 1} goes on" if last < len(lines) else ""
    return ToolResult(text=f"{path}, lines {first} to {last} of {len(lines)}:\n" + "\n".join(shown) + more)


def read_lines(call: Call, path: str, count: int, *, most: int) -> tuple[int, int]:
    """Return the first and the last line that a call asks for, of a file with `count`. Raises `Refused`."""
    first = call.number("first", 1)
    last = call.number("last", first + most - 1)
    if last < first:
        raise Refused(f"last ({last}) lies before first ({first})", Reason.BAD_INPUT)
    if first > max(count, 1):
        raise Refused(f"{path} has lines 1 to {count:,}, none from {first:,} on", Reason.BAD_INPUT)
    return first, min(last, first + most - 1, count)


async def _list(call: Call) -> ToolResult:
    path = read_path(call)
    sources = await call.hands.sources()
    inside = sources.list_folder(path)
    if not inside and sources.raw(path) is not None:
        raise Refused(f"{path} is a file; read_file shows it", Reason.BAD_INPUT)
    if not inside:
        raise Refused(f"there is no folder {path[:120]!r}; list without a path shows the root", Reason.NOT_FOUND)
    told = (f"{each.name}  {_tell_size(each)}" for each in inside)
    text = "\n".join((f"{path or ROOT} holds {len(inside)}:", *told))
    return ToolResult(text=show_page(text, call.number("page", 1), call.hands.clean))


def _tell_size(entry: Entry) -> str:
    size = f"{entry.size:,} bytes"
    return f"{entry.files:,} files, {size}" if entry.name.endswith("/") else size


async def _grep(call: Call) -> ToolResult:
    pattern, path, page = compile_pattern(call.given["pattern"]), read_path(call), call.number("page", 1)
    found = await asyncio.to_thread((await call.hands.sources()).grep, pattern, path)
    pages = max(1, -(-len(found.lines) // MAX_MATCHES))
    if page > pages:
        raise Refused(f"there is no page {page}; pages: 1 to {pages}", Reason.NOT_FOUND)
    where = f" of {path}" if path else ""
    shown = list(found.lines[(page - 1) * MAX_MATCHES : page * MAX_MATCHES]) or [f"No line{where} matches."]
    if pages > 1:
        count = f"{'more than ' if found.has_more else ''}{len(found.lines):,} lines match"
        goes_on = f"; page={page + 1} goes on" if page < pages else ", the last"
        shown.append(f"… {count}: page {page} of {pages}{goes_on}. A narrower pattern or path shows fewer.")
    if found.unread and not found.lines:
        names = ", ".join(found.unread[:MAX_UNREAD])
        shown.append(f"({len(found.unread):,} not searched, no text or larger than 1 MiB: {names})")
    return ToolResult(text="\n".join(shown))


GREP: Final = Tool(
    spec=ToolSpec(
        name=ToolName.GREP,
        about="Search the repository at head with a regular expression (RE2), line by line.",
        params=(
            Param(name="pattern", about="The expression; (?i) at its beginning ignores case.", is_required=True),
            Param(name="path", about="Only this file or folder."),
            PAGE_PARAM,
        ),
    ),
    do=_grep,
)
LIST: Final = Tool(
    spec=ToolSpec(
        name=ToolName.LIST,
        about="List a folder of the repository at head, with sizes.",
        params=(Param(name="path", about="The folder; the root where it is not given."), PAGE_PARAM),
    ),
    do=_list,
)
READ_FILE: Final = Tool(
    spec=ToolSpec(
        name=ToolName.READ_FILE,
        about="Read a file of the repository at head.",
        params=(
            Param(name="path", about="The file, from the root.", is_required=True),
            Param(name="first", about="The first line, from 1.", kind="integer", most=10_000_000),
            Param(
                name="last", about=f"The last line; at most {MAX_LINES} lines at once.", kind="integer", most=10_000_000
            ),
        ),
    ),
    do=_read_file,
)
