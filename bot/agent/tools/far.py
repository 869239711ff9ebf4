"""Tools of other servers (MCP). The front process calls them; what they answer is as hostile as any log."""

import json
from typing import Final

from bot.agent.arguments import ToolSpec
from bot.agent.far_schema import PAGE
from bot.agent.tools.paging import show_page
from bot.agent.tools.tool import Call, Tool, ToolResult, ask_front
from bot.domain.runs.far_tool import FarTool
from bot.ports.desk import MCPWanted
from bot.ports.tool_server import FarAnswer

MAX_KEPT: Final = 2
"""Answers of one tool that are kept to show their other pages."""


def make_far_tool(far: FarTool) -> Tool:
    """Return the tool of one run. Raises `ValueError` where what was kept of it cannot be read."""
    kept: dict[str, str] = {}

    async def ask(call: Call) -> ToolResult:
        given = {name: value for name, value in call.given.items() if name != PAGE}
        arguments = json.dumps(given, sort_keys=True)
        if arguments not in kept or call.number(PAGE, 1) == 1:
            told = await ask_front(call.hands, MCPWanted(server=far.server, tool=far.tool, arguments=arguments))
            while len(kept) >= MAX_KEPT:
                del kept[next(iter(kept))]
            kept[arguments] = _write(told.far or FarAnswer(text=""))
        return ToolResult(text=show_page(kept[arguments], call.number(PAGE, 1), call.hands.clean, by=PAGE))

    return Tool(spec=ToolSpec(name=far.name, about=far.about, far=json.loads(far.schema)), do=ask)


def _write(answer: FarAnswer) -> str:
    lines = ["The tool failed:"] if answer.is_fault else []
    lines += [answer.text] if answer.text.strip() else ["It answered with no text."]
    lines += [f"Left out: {', '.join(answer.left_out)}."] if answer.left_out else []
    return "\n".join(lines)
