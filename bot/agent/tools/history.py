"""The repository's history up to head."""

from string import hexdigits
from typing import Final

from bot.agent.arguments import Param, ToolSpec
from bot.agent.tools.files import read_lines
from bot.agent.tools.paging import PAGE_PARAM, show_page
from bot.agent.tools.paths import read_path
from bot.agent.tools.tool import Call, Hands, Tool, ToolResult
from bot.domain.runs.tool_name import ToolName
from bot.errors import Reason, Refused, Rejected
from bot.ports.workspace import Commit

MAX_COMMITS: Final = 20
MAX_FILES: Final = 12
HEAD: Final = "HEAD"
MAX_BLAMED: Final = 200
MIN_ID: Final = 7


async def _git_log(call: Call) -> ToolResult:
    path, limit, page = read_path(call), call.number("limit", 10), call.number("page", 1)
    commits = await call.hands.checkout.history(call.hands.head, path, page * limit + 1)
    shown = commits[(page - 1) * limit : page * limit]
    what = f"touches {path!r}" if path else "is there"
    if not shown:
        return ToolResult(text=f"No {'further ' * (page > 1)}commit {what}.")
    more = f"\n… page={page + 1} goes on" if len(commits) > page * limit else "\n(no older one)"
    return ToolResult(text="\n".join(map(_tell_commit, shown)) + more)


def _tell_commit(commit: Commit) -> str:
    names = ", ".join(commit.files[:MAX_FILES]) or "no file"
    more = f" and {len(commit.files) - MAX_FILES:,} more" if len(commit.files) > MAX_FILES else ""
    about = f"{commit.sha[:12]} {commit.committed_at:%Y-%m-%d %H:%M} {commit.author[:40]}: {commit.subject[:100]}"
    return f"{about}\n    {names}{more}"


async def _git_show(call: Call) -> ToolResult:
    hands, path = call.hands, read_path(call)
    found = await hands.checkout.history(await find_commit(hands, call.text("commit")), "", 1)
    if not found:
        raise Refused(f"there is no commit {call.text('commit')[:40]!r}; git_log lists them", Reason.NOT_FOUND)
    commit = found[0]
    diff = await hands.checkout.compare(commit.parents[0] if commit.parents else "", commit.sha, path)
    merge = "A merge; this is what it changed of its first parent.\n" if len(commit.parents) > 1 else ""
    head = f"{commit.sha}\n{commit.author}, {commit.committed_at.isoformat()}\n{commit.subject}\n{merge}"
    if not diff.strip():
        return ToolResult(text=f"{head}\nIt changes {path or 'no file'}{' not' * bool(path)}.")
    text = f"{head}\nLines added, removed, file:\n{diff}"
    return ToolResult(text=show_page(text, call.number("page", 1), hands.clean))


async def _git_diff(call: Call) -> ToolResult:
    hands, path = call.hands, read_path(call)
    old = await find_commit(hands, call.text("old"))
    new = await find_commit(hands, call.text("new")) if call.text("new") else hands.head
    diff = await hands.checkout.compare(old, new, path)
    where = f" of {path}" if path else ""
    if not diff.strip():
        is_there = not path or (await hands.sources()).has(path)
        hint = "" if is_there else " Head has no such file or folder."
        return ToolResult(text=f"No difference{where} between {old[:12]} and {new[:12]}.{hint}")
    text = f"From {old[:12]} to {new[:12]}{where}; lines added, removed, file:\n{diff}"
    return ToolResult(text=show_page(text, call.number("page", 1), hands.clean))


async def _git_blame(call: Call) -> ToolResult:
    path = read_path(call)
    lines = await (await call.hands.sources()).read(path)
    first, last = read_lines(call, path, len(lines), most=MAX_BLAMED)
    if not lines:
        return ToolResult(text=f"{path} is empty.")
    blamed = await call.hands.checkout.blame(call.hands.head, path, first, last)
    subjects = {line.sha: line.subject for line in blamed}
    told = [f"{line.number} {line.sha[:12]} {line.at:%Y-%m-%d} {line.author[:20]} | " for line in blamed]
    shown = [about + lines[line.number - 1] for about, line in zip(told, blamed, strict=True)]
    more = [f"… first={last + 1} goes on"] if last < len(lines) else []
    text = "\n".join((f"{path}, lines {first} to {last} of {len(lines)}:", *shown, *more, "", "Commits:"))
    text += "".join(f"\n{sha[:12]} {subject[:100]}" for sha, subject in subjects.items())
    return ToolResult(text=show_page(text, call.number("page", 1), call.hands.clean))


async def find_commit(hands: Hands, name: str) -> str:
    """Return the whole id of a commit, branch or tag. Raises `Refused` that says what names one."""
    if name.upper() == HEAD:
        return hands.head
    if len(name) < MIN_ID and not set(name) - set(hexdigits):
        raise Refused(f"a commit's id has at least {MIN_ID} characters; git_log lists them", Reason.BAD_INPUT)
    try:
        return await hands.checkout.resolve(name)
    except Rejected as error:
        raise Refused(f"{error}; git_log lists commits by their ids", error.reason) from error


GIT_BLAME: Final = Tool(
    spec=ToolSpec(
        name=ToolName.GIT_BLAME,
        about="Show which commit, of whom and when, last changed each line of a file at head.",
        params=(
            Param(name="path", about="The file, from the root.", is_required=True),
            Param(name="first", about="The first line, from 1.", kind="integer", most=10_000_000),
            Param(
                name="last",
                about=f"The last line; at most {MAX_BLAMED} lines at once.",
                kind="integer",
                most=10_000_000,
            ),
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
            Param(name="limit", about="How many on a page.", kind="integer", most=MAX_COMMITS),
            Param(name="page", about="Which page, from 1: older ones.", kind="integer", most=500),
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
            Param(name="path", about="Only this file or folder."),
            PAGE_PARAM,
        ),
    ),
    do=_git_show,
)
