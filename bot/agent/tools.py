"""What the model may do: read, run the service's own checks in the sandbox, and propose a patch. Nothing else exists.

Every answer is redacted and bounded before the model sees it, and says what would have been right where a call was
wrong. Nothing here posts, approves, pages or pushes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

import re2

from bot.agent.arguments import Param, ToolSpec, read_arguments
from bot.agent.edits import Edit
from bot.agent.guard import defuse
from bot.agent.logs import MAX_LINES as LOG_LINES
from bot.agent.logs import Logs
from bot.agent.patching import build_patch
from bot.agent.sources import Pattern, Sources
from bot.domain.draft import Patch
from bot.domain.evidence import Check, CheckRun
from bot.domain.investigation import Verified
from bot.domain.reproduction import word
from bot.domain.transcript import MAX_REPAIRS, Proposal
from bot.errors import LimitReached, Reason, Refused, Rejected, Unavailable
from bot.ports.workspace import Checkout

MAX_ANSWER: Final = 14_000
MAX_LINES: Final = 400
MAX_PATTERN: Final = 500
MAX_COMMITS: Final = 20
MAX_PROPOSALS: Final = 1 + MAX_REPAIRS
HISTORY: Final = 100

_EDIT = (
    Param(name="path", about="The file, from the repository's root.", is_required=True),
    Param(
        name="old",
        about="The exact text to replace, whole lines, found only once in the file as it is at head; "
        "empty only to make a new file.",
        is_required=True,
    ),
    Param(name="new", about="The text that takes its place; empty to delete.", is_required=True),
)
SPECS: Final[tuple[ToolSpec, ...]] = (
    ToolSpec(
        name="git_log",
        about="List commits, newest first, with their files.",
        params=(
            Param(name="path", about="Only commits that touch this file or folder."),
            Param(name="limit", about="How many.", kind="integer", most=MAX_COMMITS),
        ),
    ),
    ToolSpec(
        name="git_show",
        about="Show one commit with its diff.",
        params=(Param(name="commit", about="The commit's id, at least 7 characters.", is_required=True),),
    ),
    ToolSpec(
        name="grep",
        about="Search the repository at head with a regular expression (RE2), line by line.",
        params=(
            Param(name="pattern", about="The expression.", is_required=True),
            Param(name="path", about="Only this file or folder."),
        ),
    ),
    ToolSpec(
        name="propose_patch",
        about="Propose a fix. It is built from exact edits, applied to head, and tried in the sandbox: the failing "
        "request and every check. The answer is the verdict. People decide about it later.",
        params=(
            Param(name="title", about="What the change does, at most 70 characters.", is_required=True),
            Param(name="edits", about="The edits.", kind="array", is_required=True, items=_EDIT),
        ),
    ),
    ToolSpec(
        name="read_file",
        about="Read a file of the repository at head, or list a folder.",
        params=(
            Param(name="path", about='The file or folder; "." is the root.', is_required=True),
            Param(name="first", about="The first line, from 1.", kind="integer", most=10_000_000),
            Param(name="last", about=f"The last line; at most {MAX_LINES} lines at once.", kind="integer"),
        ),
    ),
    ToolSpec(
        name="read_log",
        about="Read what the service logged around the alert. Without parameters: what matters in it, that is errors, "
        "and kinds of lines that are new, more frequent or gone since it began, each with its place.",
        params=(
            Param(name="pattern", about="Lines as they are that match this regular expression (RE2)."),
            Param(
                name="page",
                about=f"Which {LOG_LINES} lines as they are, from 1, the newest.",
                kind="integer",
                most=10_000,
            ),
            Param(name="at", about='Lines as they are around one, by its place, such as "app.log:120".'),
        ),
    ),
    ToolSpec(
        name="run_check",
        about="Run one of the service's checks, or `reproduction` (what fails), at head in the sandbox.",
        params=(Param(name="check", about="The check's name.", is_required=True),),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Hands:
    """What the tools stand on. `clean` takes control characters and secrets out of a text and keeps its lines."""

    head: str
    checkout: Checkout
    checks: Sequence[str]
    clean: Callable[[str], str]
    sources: Callable[[], Awaitable[Sources]]
    logs: Callable[[], Awaitable[Logs]]
    run_check: Callable[[str], Awaitable[CheckRun]]
    judge: Callable[[Patch, str], Awaitable[Verified]]


@dataclass(frozen=True, kw_only=True)
class ToolResult:
    """A tool's answer for the model; `proposal` is a patch that was proposed with it."""

    text: str
    proposal: Proposal | None = None


class Toolbox:
    """Runs calls, one at a time. One that does not `propose` only reads: its run answers a question.

    The model is told of the same tools all the same, so that requests begin with the bytes that the server has cached.
    """

    def __init__(self, hands: Hands, *, proposes: bool = True) -> None:
        self.proposes = proposes
        self._hands = hands
        self._specs = {spec.name: spec for spec in SPECS}
        self._tools: Mapping[str, Callable[[dict[str, Any]], Awaitable[str]]] = {
            "git_log": self._git_log,
            "git_show": self._git_show,
            "grep": self._grep,
            "read_file": self._read_file,
            "read_log": self._read_log,
            "run_check": self._run_check,
        }

    async def call(self, name: str, arguments: str, known: Sequence[Proposal], *, room: int) -> ToolResult:
        """Do what a call asks. A call that is wrong gets an answer that says so; `room` bounds the answer's bytes."""
        spec = self._specs.get(name.strip())
        if spec is None:
            near = get_close_matches(name, self._specs, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            return ToolResult(text=f"There is no tool {name[:60]!r}.{hint} Tools: {', '.join(self._specs)}.")
        try:
            given = read_arguments(spec, arguments)
            if spec.name == "propose_patch" and not self.proposes:
                return ToolResult(text="Not done: this run answers a question. Say in words what you would change.")
            if spec.name == "propose_patch":
                return await self._propose(given, known)
            if room <= 0:
                return ToolResult(text="Nothing more may be read in this run. Propose a patch, or conclude.")
            text = await self._tools[spec.name](given)
        except (Refused, Rejected, Unavailable, LimitReached) as error:
            return ToolResult(text=self._show(f"Not done: {error}", MAX_ANSWER))
        return ToolResult(text=self._show(text, min(room, MAX_ANSWER)))

    def _show(self, text: str, limit: int) -> str:
        """Clean once more whatever a tool put together, and bound it."""
        safe = defuse(self._hands.clean(text))
        raw = safe.encode("utf-8", "replace")
        return safe if len(raw) <= limit else raw[:limit].decode("utf-8", "ignore") + "\n… cut here; ask for less"

    async def _read_file(self, given: dict[str, Any]) -> str:
        path = given["path"].strip().removeprefix("./")
        sources = await self._hands.sources()
        inside = sources.list_folder(path) if sources.raw(path) is None else ()
        if inside:
            return f"{path} is a folder:\n" + "\n".join(inside[:MAX_LINES])
        lines = sources.lines(path)
        first = min(given.get("first") or 1, len(lines))
        last = min(given.get("last") or first + MAX_LINES - 1, first + MAX_LINES - 1, len(lines))
        if last < first:
            raise Refused(f"last ({last}) lies before first ({first})", Reason.BAD_INPUT)
        return f"{path}, lines {first} to {last} of {len(lines)}:\n" + "\n".join(lines[first - 1 : last])

    async def _grep(self, given: dict[str, Any]) -> str:
        pattern = _compile(given["pattern"])
        found = list((await self._hands.sources()).grep(pattern, (given.get("path") or "").strip()))
        return "\n".join(found) or "No line matches."

    async def _read_log(self, given: dict[str, Any]) -> str:
        pattern = _compile(given["pattern"]) if given.get("pattern") else None
        logs = await self._hands.logs()
        if given.get("at"):
            return logs.around(given["at"].strip())
        if pattern is None and not given.get("page"):
            return await asyncio.to_thread(logs.reduced)
        return logs.find(pattern, page=given.get("page") or 1)

    async def _git_log(self, given: dict[str, Any]) -> str:
        path, limit = (given.get("path") or "").strip().rstrip("/"), given.get("limit") or 10
        commits = await self._hands.checkout.log(self._hands.head, HISTORY)
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
        return "\n".join(lines) or f"No commit of the last {HISTORY} touches {path!r}."

    async def _git_show(self, given: dict[str, Any]) -> str:
        name = given["commit"].strip()
        if len(name) < 7:
            raise Refused("a commit's id has at least 7 characters; git_log lists them", Reason.BAD_INPUT)
        sha = await self._hands.checkout.resolve(name)
        found = await self._hands.checkout.log(sha, 1)
        if not found:
            raise Refused(f"there is no commit {name[:40]!r}; git_log lists them", Reason.NOT_FOUND)
        commit = found[0]
        return f"{commit.sha}\n{commit.author}, {commit.committed_at.isoformat()}\n{commit.subject}\n\n{commit.diff}"

    async def _run_check(self, given: dict[str, Any]) -> str:
        name = given["check"].strip()
        if name not in self._hands.checks:
            raise Refused(
                f"there is no check {name[:60]!r}; there is: {', '.join(self._hands.checks)}", Reason.NOT_FOUND
            )
        return _tell(await self._hands.run_check(name))

    async def _propose(self, given: dict[str, Any], known: Sequence[Proposal]) -> ToolResult:
        if len(known) >= MAX_PROPOSALS:
            raise Refused(f"a patch and {MAX_REPAIRS} repairs of it were proposed; conclude now", Reason.BUDGET)
        title = " ".join(self._hands.clean(given["title"]).split())[:100]
        if not title:
            raise Refused("title is empty; say what the change does", Reason.BAD_INPUT)
        sources = await self._hands.sources()
        edits: dict[str, list[Edit]] = {}
        for edit in given["edits"]:
            edits.setdefault(edit["path"].strip(), []).append(Edit(old=edit["old"], new=edit["new"]))
        patch = build_patch({path: sources.raw(path) for path in edits}, edits)
        same = next((proposal for proposal in known if proposal.patch == patch.text), None)
        if same is not None:
            return ToolResult(text=self._show(_judge(same.verified), MAX_ANSWER))
        await self._hands.checkout.patched_tree(self._hands.head, patch.text)
        verified = await self._hands.judge(patch, title)
        proposal = Proposal(base=self._hands.head, patch=patch.text, title=title, verified=verified)
        return ToolResult(text=self._show(_judge(verified), MAX_ANSWER), proposal=proposal)


def _compile(pattern: str) -> Pattern:
    if len(pattern) > MAX_PATTERN:
        raise Refused(f"the pattern is longer than {MAX_PATTERN} characters", Reason.TOO_LARGE)
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 8 * 1024 * 1024
    try:
        compiled: Pattern = re2.compile(pattern, options)
    except re2.error as error:
        raise Refused(f"the pattern is not RE2: {str(error)[:120]}", Reason.BAD_INPUT) from error
    return compiled


def _tell(run: CheckRun) -> str:
    words = {Check.GREEN: "passes", Check.RED: "FAILS", Check.UNKNOWN: "could not be run to its end"}
    return f"{run.name} {words[run.verdict]} at {run.at} ({run.seconds:.1f} s)\n{run.output}"


def _judge(verified: Verified) -> str:
    """Say what the sandbox said, the output of what failed included."""
    words = word(verified.reproduce)
    head = f"VERIFIED: the {words.trial} {words.succeeds} with this patch and no check turns red. Conclude now."
    if not verified.is_verified:
        notes = [note.removeprefix("not verified: ") for note in verified.notes]
        head = "NOT VERIFIED: " + ("; ".join(notes) or f"not seen: the {words.trial} {words.succeeds}")
    failed = [run for run in verified.runs if run.verdict is not Check.GREEN]
    return "\n\n".join([head, *(_tell(run) for run in failed[:3])])
