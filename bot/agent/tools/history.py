"""The repository's history up to head."""

from typing import Final

from bot.agent.arguments import Param, ToolSpec
from bot.agent.tools.tool import Call, Tool, ToolResult
from bot.errors import Reason, Refused

MAX_COMMITS: Final = 20
HISTORY: Final = 100


async def _git_log(call: Call) -> ToolResult:
    path, limit = call.text("path").rstrip("/"), call.number("limit", 10)
    commits = await call.hands.checkout.log(call.hands.head, HISTORY)
    wanted = [
        commit
        for commit in commits
        if path in {"", "."} or any(name == path or name.startswith(f"{path}/") for name in commit.files)
    ]
    lines = [
        f"{commit.sha[:12]} {commit.committed_at:%Y-%m-%d %H:%M} {commit.author[:40]}: {commit.subject[:100]}\n"
        f"    {', '.join(commit.files[:12])}"
        for commit in wanted[:limit]
    ]
    return ToolResult(text="\n".join(lines) or f"No commit of the last {HISTORY} touches {path!r}.")


async def _git_show(call: Call) -> ToolResult:
    name = call.text("commit")
    if len(name) < 7:
        raise Refused("a commit's id has at least 7 characters; git_log lists them", Reason.BAD_INPUT)
    sha = await call.hands.checkout.resolve(name)
    found = await call.hands.checkout.log(sha, 1)
    if not found:
        raise Refused(f"there is no commit {name[:40]!r}; git_log lists them", Reason.NOT_FOUND)
    commit = found[0]
    head = f"{commit.sha}\n{commit.author}, {commit.committed_at.isoformat()}\n{commit.subject}"
    return ToolResult(text=f"{head}\n\n{commit.diff}")


GIT_LOG: Final = Tool(
    spec=ToolSpec(
        name="git_log",
        about="List commits, newest first, with their files.",
        params=(
            Param(name="path", about="Only commits that touch this file or folder."),
            Param(name="limit", about="How many.", kind="integer", most=MAX_COMMITS),
        ),
    ),
    do=_git_log,
)
GIT_SHOW: Final = Tool(
    spec=ToolSpec(
        name="git_show",
        about="Show one commit with its diff.",
        params=(Param(name="commit", about="The commit's id, at least 7 characters.", is_required=True),),
    ),
    do=_git_show,
)
