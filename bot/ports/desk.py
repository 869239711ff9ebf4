"""What a run's tools may ask of the front process: the worker has no credentials, no store and no other rules.

These questions and no others. Nothing that is asked changes anything.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from bot.domain.ci import CIRun
from bot.domain.ci_logs.log import CILog
from bot.domain.investigation import Job, LogRead
from bot.domain.metrics.metric import MetricRead
from bot.domain.past import Alike
from bot.domain.suspects.happened import Happened
from bot.ports.tool_server import FarAnswer


@dataclass(frozen=True, kw_only=True)
class LogsWanted:
    """Lines of the service's logs that are not files, in [since, until)."""

    kind: Literal["logs"] = "logs"
    since: datetime
    until: datetime


@dataclass(frozen=True, kw_only=True)
class MetricsWanted:
    """Answers to queries, each in a time of its own: what is to be read, with nothing read yet."""

    kind: Literal["metrics"] = "metrics"
    unread: tuple[MetricRead, ...]


@dataclass(frozen=True, kw_only=True)
class RunsWanted:
    """The CI runs of some commits."""

    kind: Literal["runs"] = "runs"
    shas: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CILogWanted:
    """What CI wrote of a commit, and what its jobs wrote when they were last green."""

    kind: Literal["ci_log"] = "ci_log"
    sha: str


@dataclass(frozen=True, kw_only=True)
class ChangesWanted:
    """Changes of the service that others told of or the bot made, in [since, until)."""

    kind: Literal["changes"] = "changes"
    since: datetime
    until: datetime


@dataclass(frozen=True, kw_only=True)
class AlikeWanted:
    """Past incidents that share words with a text, or with this incident where it is empty."""

    kind: Literal["alike"] = "alike"
    text: str


@dataclass(frozen=True, kw_only=True)
class PlaybookWanted:
    """The playbook of a name, rendered for this incident; the names of all where it is empty."""

    kind: Literal["playbook"] = "playbook"
    name: str


@dataclass(frozen=True, kw_only=True)
class ImageWanted:
    """The bytes of an image that people posted about the run's incident."""

    kind: Literal["image"] = "image"
    sha256: str


@dataclass(frozen=True, kw_only=True)
class MCPWanted:
    """What a tool of another server answers, which this run was told of. `arguments` are a JSON object."""

    kind: Literal["mcp"] = "mcp"
    server: str
    tool: str
    arguments: str


Question = (
    LogsWanted
    | MetricsWanted
    | RunsWanted
    | CILogWanted
    | ChangesWanted
    | AlikeWanted
    | PlaybookWanted
    | ImageWanted
    | MCPWanted
)


@dataclass(frozen=True, kw_only=True)
class PlaybookText:
    """One playbook; `text` is empty in a list of all."""

    name: str
    title: str
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Told:
    """The answer: what was asked for, bounded and redacted, or with `fault` why nothing can be said, in words.

    `image` is in base64.
    """

    logs: tuple[LogRead, ...] = ()
    metrics: tuple[MetricRead, ...] = ()
    runs: tuple[CIRun, ...] = ()
    ci_log: CILog | None = None
    changes: tuple[Happened, ...] = ()
    alike: tuple[Alike, ...] = ()
    playbooks: tuple[PlaybookText, ...] = ()
    image: str = ""
    far: FarAnswer | None = None
    fault: str = ""


Ask = Callable[[Question], Awaitable[Told]]
"""Asks for the run that is at work. Never raises what an outside service may do: that is a `fault`."""


class Desk(Protocol):
    async def answer(self, job: Job, question: Question) -> Told:
        """Answer a question of the run that a job is of, within bounds of time and size. May be repeated."""
        ...
