"""The repository's files at head."""

from typing import Final

from bot.agent.arguments import Param, ToolSpec
from bot.agent.sources import Entry
from bot.agent.tools.paging import PAGE_PARAM, count_fitting, show_page
from bot.agent.tools.patterns import compile_pattern
from bot.agent.tools.tool import Call, Tool, ToolResult
from bot.domain.runs.tool_name import ToolName
from bot.errors import Reason, Refused

MAX_LINES: Final = 400


async def _read_file(call: Call) -> ToolResult:
    path = call.text("path").removeprefix("./")
    sources = await call.hands.sources()
    if sources.raw(path) is None and sources.list_folder(path):
        raise Refused(f"{path} is a folder; list shows what it holds", Reason.BAD_INPUT)
    lines = sources.lines(path)
    first = min(call.number("first", 1), len(lines))
    last = min(call.number("last", first + MAX_LINES - 1), first + MAX_LINES - 1, len(lines))
    if last < first:
        raise Refused(f"last ({last}) lies before first ({first})", Reason.BAD_INPUT)
    shown = lines[first - 1 : last]
    shown = shown[: count_fitting(shown)]
    last = first + len(shown) - 1
    more = f"\n… first={last + 1} goes on" if last < len(lines) else ""
    return ToolResult(text=f"{path}, lines {first} to {last} of {len(lines)}:\n" + "\n".join(shown) + more)


async def _list(call: Call) -> ToolResult:
    path = call.text("path").removeprefix("./") or "."
    sources = await call.hands.sources()
    inside = sources.list_folder(path)
    if not inside and sources.raw(path) is not None:
        raise Refused(f"{path} is a file; read_file shows it", Reason.BAD_INPUT)
    if not inside:
        raise Refused(f"there is no folder {path[:120]!r}; list without a path shows the root", Reason.NOT_FOUND)
    told = (f"{each.name}  {_tell_size(each)}" for each in inside)
    text = "\n".join((f"{path} holds {len(inside)}:", *told))
    return ToolResult(text=show_page(text, call.number("page", 1), call.hands.clean))


def _tell_size(entry: Entry) -> str:
    size = f"{entry.size:,} bytes"
    return f"{entry.files:,} files, {size}" if entry.name.endswith("/") else size


async def _grep(call: Call) -> ToolResult:
    pattern = compile_pattern(call.given["pattern"])
    found = list((await call.hands.sources()).grep(pattern, call.text("path")))
    return ToolResult(text="\n".join(found) or "No line matches.")


GREP: Final = Tool(
    spec=ToolSpec(
        name=ToolName.GREP,
        about="Search the repository at head with a regular expression (RE2), line by line.",
        params=(
            Param(name="pattern", about="The expression.", is_required=True),
            Param(name="path", about="Only this file or folder."),
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
            Param(name="last", about=f"The last line; at most {MAX_LINES} lines at once.", kind="integer"),
        ),
    ),
    do=_read_file,
)
