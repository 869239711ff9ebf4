"""What front process and worker say to each other: one JSON object per frame, checked on both sides.

A frame is a 4-byte big-endian length and that many bytes. The worker is not trusted more than its input.
"""

import asyncio
from dataclasses import dataclass
from typing import ClassVar, Final

from pydantic import TypeAdapter

from bot.domain.ci_logs.log import CIFailure, CILog
from bot.domain.investigation import Collected, Confirmed, Drafted, Job, Suspected, Verified
from bot.domain.metrics.metric import Metric
from bot.domain.runs.transcript import Step
from bot.domain.suspects.happened import Happened
from bot.errors import Reason
from bot.ports.desk import Question, Told
from bot.ports.drafter import ModelJob
from bot.ports.model import ModelTry

MAX_FRAME: Final = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Investigate:
    """Front to worker: do this job. `call` names the answers that belong to it."""

    call: int
    job: Job


@dataclass(frozen=True, kw_only=True)
class Draft:
    """Front to worker: let the model work on this. The model's key travels here, and nowhere else."""

    call: int
    job: ModelJob


@dataclass(frozen=True, kw_only=True)
class ReadCI:
    """Front to worker: read a CI run's log, which is of `workflow` where that is known."""

    call: int
    log: CILog
    workflow: str


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Front to worker: draw these, with what changed meanwhile."""

    call: int
    metrics: tuple[Metric, ...]
    changed: tuple[Happened, ...]


@dataclass(frozen=True, kw_only=True)
class StepStored:
    """Front to worker: the row is stored, and this is how; the run goes on with it."""

    call: int
    step: Step


@dataclass(frozen=True, kw_only=True)
class FrontTold:
    """Front to worker: the answer to the question of that number."""

    call: int
    number: int
    told: Told


@dataclass(frozen=True, kw_only=True)
class Cancel:
    call: int


@dataclass(frozen=True, kw_only=True)
class StageDone:
    """Worker to front: exactly one of the results is set."""

    call: int
    collected: Collected | None = None
    suspected: Suspected | None = None
    confirmed: Confirmed | None = None
    drafted: Drafted | None = None
    verified: Verified | None = None


@dataclass(frozen=True, kw_only=True)
class StepTaken:
    """Worker to front: store this row; the run waits until it is."""

    call: int
    step: Step


@dataclass(frozen=True, kw_only=True)
class AskFront:
    """Worker to front: a tool of this run asks for what only the front process can have."""

    call: int
    number: int
    question: Question


@dataclass(frozen=True, kw_only=True)
class ModelAsked:
    """Worker to front: a request went to a model server, and ended like this."""

    call: int
    tried: ModelTry


@dataclass(frozen=True, kw_only=True)
class CIRead:
    """Worker to front: what the log shows failing."""

    call: int
    failure: CIFailure | None


@dataclass(frozen=True, kw_only=True)
class Plotted:
    """Worker to front: a PNG for each metric."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"ser_json_bytes": "base64", "val_json_bytes": "base64"}

    call: int
    pictures: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """Worker to front: the job is over; `reason` is set when it failed, `may_retry` when another try may help."""

    call: int
    reason: Reason | None = None
    text: str = ""
    may_retry: bool = False
    retry_after: float | None = None


Order = Investigate | Draft | ReadCI | Plot | StepStored | FrontTold | Cancel
Answer = StageDone | StepTaken | AskFront | ModelAsked | CIRead | Plotted | Ended


@dataclass(frozen=True, kw_only=True)
class OrderFrame:
    order: Order


@dataclass(frozen=True, kw_only=True)
class AnswerFrame:
    answer: Answer


ORDERS: Final = TypeAdapter(OrderFrame)
ANSWERS: Final = TypeAdapter(AnswerFrame)


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """Return the next frame, None when the other side is gone or sends more than it may."""
    try:
        size = int.from_bytes(await reader.readexactly(4), "big")
        return await reader.readexactly(size) if size <= MAX_FRAME else None
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


async def write_frame(writer: asyncio.StreamWriter, body: bytes) -> None:
    """Send one frame. Raises `ConnectionError` when the other side is gone."""
    writer.write(len(body).to_bytes(4, "big") + body)
    await writer.drain()
