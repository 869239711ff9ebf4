"""The calls of a self-test: each asks a tool for what is really there, found out from what the tools stand on."""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count, cycle
from pathlib import PurePosixPath
from typing import Final

from bot.agent.sources import Sources
from bot.agent.tools.tool import Hands
from bot.domain.checks.reproduction import REPRODUCTION
from bot.domain.metrics.plan import plan_metrics
from bot.errors import Refused
from bot.ports.desk import PlaybookWanted, RunsWanted

LIVE: Final = frozenset({"ci_log", "ci_status", "deploys", "metrics", "query_logs", "read_log", "similar_incidents"})
"""Tools whose sources may change while they are asked."""
COMMENTS: Final = {
    ".py": "# {}", ".rb": "# {}", ".sh": "# {}", ".toml": "# {}", ".js": "// {}", ".ts": "// {}", ".go": "// {}",
    ".java": "// {}", ".rs": "// {}", ".php": "// {}", ".cs": "// {}", ".c": "// {}", ".md": "<!-- {} -->",
}  # fmt: skip
"""How a line of a kind of file is written that changes nothing."""
MOST_FILES: Final = 4
MOST_COMMITS: Final = 4
MOST_CHECKS: Final = 2
MAX_EDITED: Final = 64 * 1024
MAX_TAIL: Final = 20
_WORD: Final = re.compile(r"[A-Za-z_]{5,40}")


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One call. Its answer has to hold `holds`; with `may_refuse` there may rightly be nothing. One that is `once`
    costs much, and its answer tells times: it is made once and compared with nothing."""

    tool: str
    arguments: str
    holds: str = ""
    may_refuse: bool = False
    once: bool = False


async def plan_calls(hands: Hands, *, has_metrics: bool) -> Sequence[Planned]:
    """Return the calls, those of one tool in the order in which they are made. Raises what the repository raises."""
    sources = await hands.sources()
    files = _choose_files(sources, hands.clean)
    return [
        *_plan_files(sources, files),
        *[each async for each in _plan_history(hands, files)],
        *_plan_telling(hands, has_metrics=has_metrics),
        *[each async for each in _plan_ci(hands)],
        *[each async for each in _plan_playbooks(hands)],
        *_plan_sandbox(hands, sources),
    ]


def _plan(
    tool: str,
    *,
    holds: str = "",
    may_refuse: bool = False,
    once: bool = False,
    given: Mapping[str, object] | None = None,
) -> Planned:
    arguments = json.dumps(given or {}, ensure_ascii=False)
    return Planned(tool=tool, arguments=arguments, holds=holds, may_refuse=may_refuse, once=once)


def _choose_files(sources: Sources, clean: Callable[[str], str]) -> Sequence[str]:
    """Return some files with text in them, from all over the repository, whose names are shown as they are."""
    names = [name for name in sorted(sources.names) if clean(name) == name]
    step = max(1, len(names) // (4 * MOST_FILES))
    return [name for name in names[::step] if _read_lines(sources, name)][:MOST_FILES]


def _find_word(sources: Sources, name: str) -> str:
    """Return a word that stands in a file, also once secrets were taken out of it; "" where there is none."""
    text = (sources.raw(name) or b"").decode("utf-8", "replace")
    words = (match[0] for line in sources.lines(name) if (match := _WORD.search(line)))
    return next((word for word in words if word in text), "")


def _read_lines(sources: Sources, name: str) -> Sequence[str]:
    try:
        lines = sources.lines(name)
    except Refused:
        return ()
    return lines if any(lines) else ()


def _plan_files(sources: Sources, files: Sequence[str]) -> Iterator[Planned]:
    yield _plan("list", holds=". holds ")
    folders = dict.fromkeys(str(PurePosixPath(name).parent) for name in files)
    yield from (_plan("list", given={"path": folder}, holds=f"{folder} holds ") for folder in folders if folder != ".")
    for name in files:
        yield _plan("read_file", given={"path": name}, holds=f"{name}, lines 1 to ")
        word = _find_word(sources, name)
        if word:
            yield _plan("grep", given={"pattern": word, "path": name}, holds=f"{name}:")
    if not files:
        yield _plan("read_file", given={"path": "README.md"}, may_refuse=True)
        yield _plan("grep", given={"pattern": "error"})


async def _plan_history(hands: Hands, files: Sequence[str]) -> AsyncIterator[Planned]:
    commits = await hands.checkout.log(hands.head, MOST_COMMITS)
    yield _plan("git_log", holds=commits[0].sha[:12] if commits else "")
    touched = commits[0].files[0] if commits and commits[0].files else ""
    if touched:
        yield _plan("git_log", given={"path": touched}, holds=commits[0].sha[:12])
    for commit in commits:
        yield _plan("git_show", given={"commit": commit.sha}, holds=commit.sha)
    for commit in commits[1:] or commits:  # the only one against itself: the tool is called all the same
        yield _plan("git_diff", given={"old": commit.sha}, holds=commit.sha[:12])
    for name in files:
        yield _plan("git_blame", given={"path": name, "last": 40}, holds=f"{name}, lines 1 to ")


def _plan_telling(hands: Hands, *, has_metrics: bool) -> Iterator[Planned]:
    has_logs = bool(hands.job.service.logs)
    since, until = hands.job.log_span
    yield _plan("read_log", may_refuse=not has_logs)
    yield _plan("read_log", given={"page": 1}, may_refuse=True)
    for days in range(2):
        begin = since - timedelta(days=days)
        span = {"since": begin.isoformat(), "until": (begin + (until - since)).isoformat()}
        yield _plan("query_logs", given=span, may_refuse=not has_logs)
    yield _plan("metrics")
    named, _ = plan_metrics(hands.job)
    span = {"since": since.isoformat(), "until": until.isoformat()}
    for query in ("vector(1)", *(each.name for each in named[:MOST_COMMITS])):
        yield _plan("metrics", given={"query": query, **span}, may_refuse=not has_metrics)
    yield from (_plan("deploys", given={"order": order}, holds="Changes between ") for order in ("suspicion", "time"))
    yield _plan("similar_incidents")
    yield _plan("similar_incidents", given={"text": f"{hands.job.service.name} error timeout"})


async def _plan_ci(hands: Hands) -> AsyncIterator[Planned]:
    """Ask for the log of a commit whose run has ended; where there is none, CI may say so."""
    commits = await hands.checkout.log(hands.head, MOST_COMMITS)
    yield _plan("ci_status", holds="Runs of CI")
    for commit in commits[:2]:
        yield _plan("ci_status", given={"commit": commit.sha}, holds=commit.sha[:12])
    told = await hands.ask(RunsWanted(shas=tuple(commit.sha for commit in commits)))
    ended = [run.sha for run in told.runs if run.finished_at]
    for sha in ended:
        yield _plan("ci_log", given={"commit": sha}, holds=f"CI's log of {sha[:12]}")
    if not ended:
        yield _plan("ci_log", may_refuse=True)


async def _plan_playbooks(hands: Hands) -> AsyncIterator[Planned]:
    yield _plan("load_playbook")
    told = await hands.ask(PlaybookWanted(name=""))
    for playbook in told.playbooks:
        yield _plan("load_playbook", given={"name": playbook.name}, holds=playbook.title)


def _plan_sandbox(hands: Hands, sources: Sources) -> Iterator[Planned]:
    for name in [name for name in hands.checks if name != REPRODUCTION][:MOST_CHECKS]:
        yield _plan("run_check", given={"check": name}, holds=name, once=True)
    edit = find_harmless_edit(sources, hands.job.service.paths)
    if edit:
        yield _plan(
            "propose_patch", given={"title": "Nothing: a self-test", "edits": [edit]}, holds="VERIFIED", once=True
        )


def find_harmless_edit(sources: Sources, paths: Sequence[str]) -> dict[str, str]:
    """Return an edit that adds a comment to the end of the smallest program that can have one, else of
    a document; empty where none can."""
    sizes = [(name.endswith(".md"), len(sources.raw(name) or b""), name) for name in sources.names]
    for _, size, name in sorted(sizes):
        comment = COMMENTS.get(PurePosixPath(name).suffix)
        allowed = not paths or any(name == path or name.startswith(f"{path.rstrip('/')}/") for path in paths)
        if comment and allowed and 0 < size <= MAX_EDITED:
            old = _find_tail(sources.raw(name) or b"")
            if old:
                return {"path": name, "old": old, "new": f"{old}{comment.format('nightshift selftest')}\n"}
    return {}


def _find_tail(raw: bytes) -> str:
    """Return the last lines of a text that stand in it only once; "" where there are none."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    if not text.endswith("\n") or "\r" in text:
        return ""
    lines = text.splitlines(keepends=True)
    for start in range(1, min(MAX_TAIL, len(lines)) + 1):
        tail = "".join(lines[-start:])
        if tail.strip() and text.count(tail) == 1:
            return tail
    return ""


def take_turns(plan: Sequence[Planned]) -> Iterator[tuple[int, Planned]]:
    """Yield calls without end with the turn that each is of: one of each tool a turn, and each call again in the next
    turn. Those that are made once are made once."""
    tools = dict.fromkeys(each.tool for each in plan)
    queues = [_repeat([each for each in plan if each.tool == tool]) for tool in tools]
    for turn in count():
        drawn = [(queue, next(queue, None)) for queue in queues]
        yield from ((turn, planned) for _, planned in drawn if planned is not None)
        queues = [queue for queue, planned in drawn if planned is not None]
        if not queues:
            return


def _repeat(calls: Sequence[Planned]) -> Iterator[Planned]:
    twice = [each for each in calls if not each.once for _ in range(2)]
    return cycle(twice) if twice else iter(calls)
