"""What a tool is: how the model is told of it, and what it does on what a run's workshop holds."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.agent.arguments import ToolSpec
from bot.agent.inspecting import Edited, Inspection, Linted
from bot.agent.logs import Logs
from bot.agent.sources import Sources
from bot.domain.ask import Inquiry
from bot.domain.draft import Patch
from bot.domain.evidence import CheckRun
from bot.domain.investigation import Job, Verified
from bot.domain.runs.todo import TodoItem
from bot.domain.runs.transcript import Proposal
from bot.errors import Reason, Refused
from bot.ports.desk import Ask, Question, Told
from bot.ports.workspace import Checkout


@dataclass(frozen=True, kw_only=True)
class Hands:
    """What the tools stand on. `clean` takes control characters and secrets out of a text and keeps its lines.

    `inspect` parses edited files, `lint` runs the repository's linters on a patch. `has_people` says that somebody can
    be asked.
    `query_logs` reads what the service logged in a time of its own, `ci_log` what CI wrote of a commit; `ask` asks the
    front process, and says in its answer what it could not say.
    """

    head: str
    checkout: Checkout
    checks: Sequence[str]
    clean: Callable[[str], str]
    sources: Callable[[], Awaitable[Sources]]
    logs: Callable[[], Awaitable[Logs]]
    run_check: Callable[[str], Awaitable[CheckRun]]
    inspect: Callable[[Edited], Awaitable[Inspection]]
    lint: Callable[[Patch], Awaitable[Linted]]
    judge: Callable[[Patch, str], Awaitable[Verified]]
    job: Job
    ask: Ask
    query_logs: Callable[[datetime, datetime], Awaitable[Logs]]
    ci_log: Callable[[str], Awaitable[Logs]]
    has_people: bool = False


async def ask_front(hands: Hands, question: Question) -> Told:
    """Ask the front process. Raises `Refused` that says why it has no answer."""
    told = await hands.ask(question)
    if told.fault:
        raise Refused(told.fault, Reason.NOT_FOUND)
    return told


@dataclass(frozen=True, kw_only=True)
class ToolResult:
    """A tool's answer for the model; `proposal` is a patch that was proposed with it, `todo` a list that was written.

    Instead of an answer it may have a question to people (`ask`) or a `task` for a helper: the loop sees to them. It
    `is_full` where there was no room for an answer any more.
    """

    text: str
    proposal: Proposal | None = None
    todo: tuple[TodoItem, ...] = ()
    ask: Inquiry | None = None
    task: str = ""
    is_full: bool = False


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call with checked arguments; `known` are the patches that this run proposed before."""

    hands: Hands
    given: dict[str, Any]
    known: Sequence[Proposal] = ()

    def text(self, name: str) -> str:
        """Return a text argument without the space around it, empty where it was not given."""
        return str(self.given.get(name) or "").strip()

    def number(self, name: str, otherwise: int) -> int:
        return int(self.given.get(name) or otherwise)


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool. `do` may raise any of the bot's errors: the model is told it. One that only `reads` counts as reading,
    and helpers have no others; one that `proposes` is for runs that may."""

    spec: ToolSpec
    do: Callable[[Call], Awaitable[ToolResult]]
    proposes: bool = False
    reads: bool = True

    @property
    def name(self) -> str:
        return self.spec.name
