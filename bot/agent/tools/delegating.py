"""A helper: a small agent that only reads, in a transcript of its own within the run's."""

from typing import Final

from bot.agent.arguments import Param, ToolSpec
from bot.agent.tools.tool import Call, Tool, ToolResult
from bot.domain.runs.tool_name import ToolName
from bot.domain.runs.transcript import HELPER_STEPS, MAX_HELPERS
from bot.errors import Reason, Refused

MAX_TASK: Final = 2_000


async def _sub_agent(call: Call) -> ToolResult:
    task = call.hands.clean(call.text("task")).strip()
    if not 0 < len(task) <= MAX_TASK:
        raise Refused(f"task must have 1 to {MAX_TASK:,} characters", Reason.BAD_INPUT)
    return ToolResult(text="", task=task)


SUB_AGENT: Final = Tool(
    spec=ToolSpec(
        name=ToolName.SUB_AGENT,
        about="Let a helper read much and tell you little: it has the reading tools, begins with nothing but your "
        f"task, and answers in words. It uses your budget, {HELPER_STEPS} answers at most; {MAX_HELPERS} in a run.",
        params=(
            Param(
                name="task",
                about="All that it has to know, and what it has to find out.",
                is_required=True,
            ),
        ),
    ),
    do=_sub_agent,
    reads=False,
)
