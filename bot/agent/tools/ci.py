"""What CI says of commits."""

from typing import Final

from bot.agent.arguments import Param, ToolSpec
from bot.agent.tools.history import find_commit
from bot.agent.tools.logs import LOOK, look_at
from bot.agent.tools.times import say
from bot.agent.tools.tool import Call, Tool, ToolResult, ask_front
from bot.domain.ci import CIRun
from bot.domain.ci_logs.log import find_commit as find_alert_commit
from bot.domain.runs.tool_name import ToolName
from bot.errors import Reason, Refused
from bot.ports.desk import RunsWanted

MAX_COMMITS: Final = 5


async def _ci_status(call: Call) -> ToolResult:
    commit, branch = call.text("commit"), call.text("branch")
    if commit and branch:
        raise Refused("give commit or branch, not both", Reason.BAD_INPUT)
    checkout = call.hands.checkout
    if commit:
        found = await checkout.log(await find_commit(call.hands, commit), 1)
    else:
        found = await checkout.log(await checkout.resolve(branch) if branch else call.hands.head, MAX_COMMITS)
    told = await ask_front(call.hands, RunsWanted(shas=tuple(each.sha for each in found)))
    runs = {run.sha: run for run in told.runs}
    ci = call.hands.job.service.ci
    lines = (f"{each.sha[:12]} {each.subject[:80]}: {_tell(runs.get(each.sha))}" for each in found)
    where = commit or branch or "head"
    return ToolResult(text="\n".join((f"Runs of CI ({ci}) of {where[:80]}, newest commit first:", *lines)))


def _tell(run: CIRun | None) -> str:
    if run is None:
        return "no run"
    parts = [f"{run.state.value}{f' in attempt {run.attempt}' if run.attempt > 1 else ''}"]
    parts += [f"at {run.failed_step[:100]}"] if run.failed_step else []
    parts += [f"ended {say(run.finished_at)}"] if run.finished_at else []
    parts += [f"began {say(run.started_at)}"] if run.started_at and not run.finished_at else []
    return ", ".join(parts)


async def _ci_log(call: Call) -> ToolResult:
    named = call.text("commit")
    sha = await find_commit(call.hands, named) if named else find_alert_commit(call.hands.job.labels)
    sha = sha or call.hands.head
    try:
        log = await call.hands.ci_log(sha)
    except Refused as error:
        hint = "; ci_status shows which commits have a run" if error.reason is Reason.NOT_FOUND else ""
        raise Refused(f"{str(error).rstrip('.')}{hint}", error.reason) from error
    shown = await look_at(log, call)
    return ToolResult(text=f"CI's log of {sha[:12]}:\n{shown.text}")


CI_LOG: Final = Tool(
    spec=ToolSpec(
        name=ToolName.CI_LOG,
        about="Read what CI wrote of a commit. Without pattern, page and at: what shows the failure, beside what the "
        "last green run wrote.",
        params=(
            Param(name="commit", about="The commit's id, at least 7 characters; the alert's, else head, if not given."),
            *LOOK,
        ),
    ),
    do=_ci_log,
)
CI_STATUS: Final = Tool(
    spec=ToolSpec(
        name=ToolName.CI_STATUS,
        about=f"Say how CI's runs ended: of one commit, or of the newest {MAX_COMMITS} of a branch or of head.",
        params=(
            Param(name="commit", about="The commit's id, at least 7 characters."),
            Param(name="branch", about="A branch, in the place of a commit."),
        ),
    ),
    do=_ci_status,
)
