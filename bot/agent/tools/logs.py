"""What the service logged: around the alert, and in any other time."""

import asyncio
from datetime import timedelta
from typing import Final

from bot.agent.arguments import Param, ToolSpec
from bot.agent.logs import MAX_LINES, Logs
from bot.agent.tools.patterns import compile_pattern
from bot.agent.tools.times import SINCE, UNTIL, read_span, say_span
from bot.agent.tools.tool import Call, Tool, ToolResult
from bot.domain.runs.tool_name import ToolName
from bot.errors import Reason, Refused

MAX_SPAN: Final = timedelta(hours=24)

LOOK: Final = (
    Param(name="pattern", about="Lines as they are that match this regular expression (RE2)."),
    Param(
        name="page",
        about=f"Which page of lines as they are, at most {MAX_LINES}; 1 is the newest.",
        kind="integer",
        most=10_000,
    ),
    Param(name="at", about='Lines as they are around one, by its place, such as "app.log:120".'),
)
"""One way to look at every log: reduced first, then the lines themselves by pattern, page or place."""


async def look_at(logs: Logs, call: Call) -> ToolResult:
    """Return what a call asks to see of a log."""
    pattern = compile_pattern(call.given["pattern"]) if call.given.get("pattern") else None
    if call.given.get("at"):
        if pattern is not None or call.given.get("page"):
            raise Refused("give at alone, or pattern and page: at shows all lines around one", Reason.BAD_INPUT)
        return ToolResult(text=logs.around(call.text("at")))
    if pattern is None and not call.given.get("page"):
        return ToolResult(text=await asyncio.to_thread(logs.reduced))
    return ToolResult(text=await asyncio.to_thread(logs.find, pattern, page=call.number("page", 1)))


async def _read_log(call: Call) -> ToolResult:
    return await look_at(await call.hands.logs(), call)


async def _query_logs(call: Call) -> ToolResult:
    since, until = read_span(call, most=MAX_SPAN)
    places = ", ".join(place.label for place in call.hands.job.service.logs) or "no place: none is configured"
    logs = await call.hands.query_logs(since, until)
    if not logs.size:
        told = f"No line between {say_span(since, until)}, looked for in {places}."
        return ToolResult(text="\n".join((*logs.faults, told)))
    shown = await look_at(logs, call)
    return ToolResult(text=f"Between {say_span(since, until)}, {logs.size:,} lines:\n{shown.text}")


QUERY_LOGS: Final = Tool(
    spec=ToolSpec(
        name=ToolName.QUERY_LOGS,
        about="Read what the service logged in another time than around the alert, such as the day before. Looked at "
        "like read_log: without pattern, page and at, what matters in it.",
        params=(SINCE, UNTIL, *LOOK),
    ),
    do=_query_logs,
)
READ_LOG: Final = Tool(
    spec=ToolSpec(
        name=ToolName.READ_LOG,
        about="Read what the service logged around the alert. Without parameters: what matters in it, that is errors, "
        "and kinds of lines that are new, more frequent or gone since it began, each with its place.",
        params=LOOK,
    ),
    do=_read_log,
)
