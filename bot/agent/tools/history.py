"""The repository's history up to head."""

from string import hexdigits
from typing import Final

from bot.agent.arguments import Param, ToolSpec
from bot.agent.tools.paging import PAGE_PARAM, show_page
from bot.agent.tools.tool import Call, Hands, Tool, ToolResult
from bot.domain.runs.tool_name import ToolName
from bot.errors import Reason, Refused

MAX_COMMITS: Final = 20
HISTORY: Final = 100
MAX_BLAMED: Final = 200
MIN_ID: Final = 7


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
    sha = await find_commit(call.hands, name)
    found = await call.hands.checkout.log(sha, 1)
    if not found:
        raise Refused(f"there is no commit {name[:40]!r}; git_log lists them", Reason.NOT_FOUND)
    commit = found[0]
    head = f"{commit.sha}\n{commit.author}, {commit.committed_at.isoformat()}\n{commit.subject}"
    return ToolResult(text=show_page(f"{head}\n\n{commit.diff}", call.number("page", 1), call.hands.clean))


async def _git_diff(call: Call) -> ToolResult:
    hands, path = call.hands, call.text("path").removeprefix("./").rstrip("/")
    old = await find_commit(hands, call.text("old"))
    new = await find_commit(hands, call.text("new")) if call.text("new") else hands.head
    diff = await hands.checkout.compare(old, new, "" if path == "." else path)
    where = f" of {path}" if path not in {"", "."} else ""
    if not diff.strip():
        return ToolResult(text=f"No difference{where} between {old[:12]} and {new[:12]}.")
    text = f"From {old[:12]} to {new[:12]}{where}; lines added, removed, file:\n{diff}"
    return ToolResult(text=show_page(text, call.number("page", 1), hands.clean))


async def _git_blame(call: Call) -> ToolResult:
    path = call.text("path").removeprefix("./")
    lines = (await call.hands.sources()).lines(path)
    first = call.number("first", 1)
    last = min(call.number("last", first + MAX_BLAMED - 1), first + MAX_BLAMED - 1, len(lines))
    if last < first:
        raise Refused(f"{path} has lines 1 to {len(lines)}, not {first} to {last}", Reason.BAD_INPUT)
    blamed = await call.hands.checkout.blame(call.hands.head, path, first, last)
    subjects = {line.sha: line.subject for line in blamed}
    told = [f"{line.number} {line.sha[:12]} {line.at:%Y-%m-%d} {line.author[:20]} | " for line in blamed]
    shown = [about + lines[line.number - 1] for about, line in zip(told, blamed, strict=True)]
    text = "\n".join((f"{path}, lines {first} to {last} of {len(lines)}:", *shown, "", "Commits:"))
    text += "".join(f"\n{sha[:12]} {subject[:100]}" for sha, subject in subjects.items())
    return ToolResult(text=show_page(text, call.number("page", 1), call.hands.clean))


async def find_commit(hands: Hands, name: str) -> str:
    """Return the whole id of a commit, branch or tag. Raises `Refused` where an id is too short to name one."""
    if len(name) < MIN_ID and not set(name) - set(hexdigits):
        raise Refused(f"a commit's id has at least {MIN_ID} characters; git_log lists them", Reason.BAD_INPUT)
    return await hands.checkout.resolve(name)


GIT_BLAME: Final = Tool(
    spec=ToolSpec(
        name=ToolName.GIT_BLAME,
        about="Show which commit, of whom and when, last changed each line of a file at head.",
        params=(
            Param(name="path", about="The file, from the root.", is_required=True),
            Param(name="first", about="The first line, from 1.", kind="integer", most=10_000_000),
            Param(name="last", about=f"The last line; at most {MAX_BLAMED} lines at once.", kind="integer"),
            PAGE_PARAM,
        ),
    ),
    do=_git_blame,
)
GIT_DIFF: Final = Tool(
    spec=ToolSpec(
        name=ToolName.GIT_DIFF,
        about="Show what changed from one commit to another.",
        params=(
            Param(name="old", about="The older commit's id, at least 7 characters, or a tag.", is_required=True),
            Param(name="new", about="The newer one's; head where it is not given."),
            Param(name="path", about="Only this file or folder."),
            PAGE_PARAM,
        ),
    ),
    do=_git_diff,
)
GIT_LOG: Final = Tool(
    spec=ToolSpec(
        name=ToolName.GIT_LOG,
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
        name=ToolName.GIT_SHOW,
        about="Show one commit with its diff.",
        params=(
            Param(name="commit", about="The commit's id, at least 7 characters.", is_required=True),
            PAGE_PARAM,
        ),
    ),
    do=_git_show,
)
