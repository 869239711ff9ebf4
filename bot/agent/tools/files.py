"""The repository's files at head."""

from typing import Final

from bot.agent.arguments import Param, ToolSpec
from bot.agent.tools.patterns import compile_pattern
from bot.agent.tools.tool import Call, Tool, ToolResult
from bot.errors import Reason, Refused

MAX_LINES: Final = 400


async def _read_file(call: Call) -> ToolResult:
    path = call.text("path").removeprefix("./")
    sources = await call.hands.sources()
    inside = sources.list_folder(path) if sources.raw(path) is None else ()
    if inside:
        return ToolResult(text=f"{path} is a folder:\n" + "\n".join(inside[:MAX_LINES]))
    lines = sources.lines(path)
    first = min(call.number("first", 1), len(lines))
    last = min(call.number("last", first + MAX_LINES - 1), first + MAX_LINES - 1, len(lines))
    if last < first:
        raise Refused(f"last ({last}) lies before first ({first})", Reason.BAD_INPUT)
    head = f"{path}, lines {first} to {last} of {len(lines)}:\n"
    return ToolResult(text=head + "\n".join(lines[first - 1 : last]))


async def _grep(call: Call) -> ToolResult:
    pattern = compile_pattern(call.given["pattern"])
    found = list((await call.hands.sources()).grep(pattern, call.text("path")))
    return ToolResult(text="\n".join(found) or "No line matches.")


GREP: Final = Tool(
    spec=ToolSpec(
        name="grep",
        about="Search the repository at head with a regular expression (RE2), line by line.",
        params=(
            Param(name="pattern", about="The expression.", is_required=True),
            Param(name="path", about="Only this file or folder."),
        ),
    ),
    do=_grep,
)
READ_FILE: Final = Tool(
    spec=ToolSpec(
        name="read_file",
        about="Read a file of the repository at head, or list a folder.",
        params=(
            Param(name="path", about='The file or folder; "." is the root.', is_required=True),
            Param(name="first", about="The first line, from 1.", kind="integer", most=10_000_000),
            Param(name="last", about=f"The last line; at most {MAX_LINES} lines at once.", kind="integer"),
        ),
    ),
    do=_read_file,
)
