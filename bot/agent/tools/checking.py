"""The service's own checks, run in the sandbox."""

from typing import Final

from bot.agent.arguments import Param, ToolSpec
from bot.agent.tools.tool import Call, Tool, ToolResult
from bot.domain.evidence import Check, CheckRun
from bot.domain.runs.tool_name import ToolName
from bot.errors import Reason, Refused


def tell_run(run: CheckRun) -> str:
    """Say how a check ended, with its output."""
    words = {Check.GREEN: "passes", Check.RED: "FAILS", Check.UNKNOWN: "could not be run to its end"}
    return f"{run.name} {words[run.verdict]} at {run.at} ({run.seconds:.1f} s)\n{run.output}"


async def _run_check(call: Call) -> ToolResult:
    name, checks = call.text("check"), call.hands.checks
    if name not in checks:
        raise Refused(f"there is no check {name[:60]!r}; there is: {', '.join(checks)}", Reason.NOT_FOUND)
    return ToolResult(text=tell_run(await call.hands.run_check(name)))


RUN_CHECK: Final = Tool(
    spec=ToolSpec(
        name=ToolName.RUN_CHECK,
        about="Run one of the service's checks, or `reproduction` (what fails), at head in the sandbox.",
        params=(Param(name="check", about="The check's name.", is_required=True),),
    ),
    do=_run_check,
)
