"""What the service logged around the alert."""

import asyncio
from typing import Final

from bot.agent.arguments import Param, ToolSpec
from bot.agent.logs import MAX_LINES
from bot.agent.tools.patterns import compile_pattern
from bot.agent.tools.tool import Call, Tool, ToolResult


async def _read_log(call: Call) -> ToolResult:
    pattern = compile_pattern(call.given["pattern"]) if call.given.get("pattern") else None
    logs = await call.hands.logs()
    if call.given.get("at"):
        return ToolResult(text=logs.around(call.text("at")))
    if pattern is None and not call.given.get("page"):
        return ToolResult(text=await asyncio.to_thread(logs.reduced))
    return ToolResult(text=logs.find(pattern, page=call.number("page", 1)))


READ_LOG: Final = Tool(
    spec=ToolSpec(
        name="read_log",
        about="Read what the service logged around the alert. Without parameters: what matters in it, that is errors, "
        "and kinds of lines that are new, more frequent or gone since it began, each with its place.",
        params=(
            Param(name="pattern", about="Lines as they are that match this regular expression (RE2)."),
            Param(
                name="page",
                about=f"Which {MAX_LINES} lines as they are, from 1, the newest.",
                kind="integer",
                most=10_000,
            ),
            Param(name="at", about='Lines as they are around one, by its place, such as "app.log:120".'),
        ),
    ),
    do=_read_log,
)
