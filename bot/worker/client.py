"""The front's side of the socket: starts the worker, restarts it when it dies, and hands jobs over."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from itertools import count

import structlog
from pydantic import ValidationError

from bot.domain.ci_logs.log import CIFailure, CILog
from bot.domain.investigation import Job, StageResult
from bot.domain.metrics.metric import Metric
from bot.domain.suspects.happened import Happened
from bot.errors import LimitReached, Reason, Refused, Rejected, Unavailable
from bot.ports import faults
from bot.ports.desk import Ask, Told
from bot.ports.drafter import ModelJob, StoreStep
from bot.ports.faults import reach
from bot.ports.model import OnTry
from bot.worker.messages import (
    ANSWERS,
    ORDERS,
    Answer,
    AskFront,
    Cancel,
    CIRead,
    Draft,
    Ended,
    FrontTold,
    Investigate,
    ModelAsked,
    Order,
    OrderFrame,
    Plot,
    Plotted,
    ReadCI,
    StageDone,
    StepStored,
    StepTaken,
    read_frame,
    write_frame,
)
from bot.worker.words import open_words

log = structlog.get_logger(__name__)
CLOSE_SECONDS = 3.0
LAST_SECONDS = 1.0
MAX_ASKED = 200
"""Questions of one run: no honest one comes near it."""
TOO_MUCH_ASKED = "this run asked too much already"
FAULT_VARIABLES = ("NIGHTSHIFT_FAULT_POINT", "NIGHTSHIFT_ALLOW_FAULTS")


class WorkerClient:
    """`bot.ports.investigator.Investigator` in a child process with an empty environment and a memory limit.

    The child gets no credential and no store: what it needs comes in each job, and every text that it sends back
    goes through `redact` with the secrets that only this process knows.
    """

    def __init__(self, argv: Sequence[str], *, memory_bytes: int, redact: Callable[[Answer], Answer]) -> None:
        self._argv = argv
        self._memory_bytes = memory_bytes
        self._redact = redact
        self._calls = count(1)
        self._answers: dict[int, asyncio.Queue[Answer | None]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._alive: set[asyncio.subprocess.Process] = set()
        self._reading: asyncio.Task[None] | None = None
        self._words: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def investigate(self, job: Job) -> AsyncGenerator[StageResult]:
        call = next(self._calls)
        async with contextlib.aclosing(self._ask(Investigate(call=call, job=job))) as answers:
            async for answer in answers:
                yield _result_of(answer)

    async def draft(self, job: ModelJob, store: StoreStep, *, ask: Ask, on_try: OnTry) -> None:
        """`bot.ports.drafter.Drafter` over the socket: stores each row, then lets the worker go on."""
        call, asked = next(self._calls), 0
        async with contextlib.aclosing(self._ask(Draft(call=call, job=job))) as answers:
            async for answer in answers:
                if isinstance(answer, ModelAsked):
                    on_try(answer.tried)
                    continue
                if isinstance(answer, AskFront):
                    asked += 1
                    told = await ask(answer.question) if asked <= MAX_ASKED else Told(fault=TOO_MUCH_ASKED)
                    await self._send(FrontTold(call=call, number=answer.number, told=told), start=False)
                    continue
                if not isinstance(answer, StepTaken) or answer.step.run != job.job.run:
                    raise Rejected("The worker sent something other than a row of its run.", Reason.SERVER_ERROR)
                stored = await store(answer.step)
                reach("model.stored")
                await self._send(StepStored(call=call, step=stored), start=False)

    async def read_ci(self, log: CILog, *, workflow: str = "") -> CIFailure | None:
        """`bot.ports.investigator.CIReader` over the socket."""
        order = ReadCI(call=next(self._calls), log=log, workflow=workflow)
        async with contextlib.aclosing(self._ask(order)) as answers:
            async for answer in answers:
                if not isinstance(answer, CIRead):
                    break
                return answer.failure
        raise Rejected("The worker sent an answer to another question.", Reason.SERVER_ERROR)

    async def plot(self, metrics: Sequence[Metric], changed: Sequence[Happened]) -> Sequence[bytes]:
        """`bot.ports.investigator.Plotter` over the socket."""
        order = Plot(call=next(self._calls), metrics=tuple(metrics), changed=tuple(changed))
        async with contextlib.aclosing(self._ask(order)) as answers:
            async for answer in answers:
                if not isinstance(answer, Plotted):
                    break
                return answer.pictures
        raise Rejected("The worker sent an answer to another question.", Reason.SERVER_ERROR)

    async def _ask(self, order: Investigate | Draft | ReadCI | Plot) -> AsyncGenerator[Answer, None]:
        """Give an order and yield what comes back until it is over; leaving early cancels it."""
        call = order.call
        answers: asyncio.Queue[Answer | None] = asyncio.Queue()
        self._answers[call] = answers
        try:
            await self._send(order)
            while True:
                answer = await answers.get()
                if answer is None:
                    raise Unavailable("The worker died; it is started again.", Reason.UNREACHABLE, 0.2)
                if isinstance(answer, Ended):
                    _raise_failure(answer)
                    return
                yield answer
        finally:
            del self._answers[call]
            with contextlib.suppress(Unavailable):
                await self._send(Cancel(call=call), start=False)

    async def close(self) -> None:
        """Stop the worker and everything it started."""
        if self._reading is not None:
            self._reading.cancel()
        if not self._alive:
            return
        if self._writer is not None:
            self._writer.close()
        await asyncio.gather(*(_end(process, CLOSE_SECONDS) for process in self._alive))
        if self._words is not None:
            await asyncio.wait({self._words}, timeout=1)
            self._words.cancel()

    async def _send(self, order: Order, *, start: bool = True) -> None:
        async with self._starting:
            if self._writer is None:
                if not start:
                    return
                await self._start()
            assert self._writer is not None
            try:
                await write_frame(self._writer, ORDERS.dump_json(OrderFrame(order=order)))
            except ConnectionError as error:
                self._writer = None
                raise Unavailable("The worker died; it is started again.", Reason.UNREACHABLE, 0.2) from error

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        words, self._words = await open_words()
        with theirs, os.fdopen(words, "wb") as theirs_to_say:
            self._process = await asyncio.create_subprocess_exec(
                "prlimit",
                f"--as={self._memory_bytes}",
                *self._argv,
                str(theirs.fileno()),
                env=_environment(),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=theirs_to_say,
                stderr=theirs_to_say,
                start_new_session=True,
            )
        self._alive.add(self._process)
        reader, self._writer = await asyncio.open_connection(sock=ours)
        reading = self._read(reader, self._writer, self._process)
        self._reading = asyncio.create_task(reading, name="worker answers")
        log.info("worker_started", pid=self._process.pid)

    async def _read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, process: asyncio.subprocess.Process
    ) -> None:
        """Hand answers to those who asked, until the worker is gone or says what no worker of ours would say."""
        try:
            while (frame := await read_frame(reader)) is not None:
                answer = self._redact(ANSWERS.validate_json(frame).answer)
                if answer.call in self._answers:
                    self._answers[answer.call].put_nowait(answer)
        except ValidationError:
            log.exception("worker_spoke_nonsense")
        finally:
            if self._writer is writer:
                self._writer = None
            writer.close()
            for answers in self._answers.values():
                answers.put_nowait(None)
        await _end(process, LAST_SECONDS)
        self._alive.discard(process)


async def _end(process: asyncio.subprocess.Process, seconds: float) -> None:
    """Wait for a worker without a socket to end by itself, then end it and everything it started."""
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _environment() -> Mapping[str, str]:
    """Return the worker's whole environment: a path, a language, and the fault plan of a test."""
    kept = {name: os.environ[name] for name in FAULT_VARIABLES if faults.PLANNED and name in os.environ}
    return {"PATH": os.defpath + ":/usr/local/bin", "LANG": "C.UTF-8", "PYTHONPATH": os.pathsep.join(sys.path), **kept}


def _raise_failure(answer: Ended) -> None:
    if answer.reason is None:
        return
    if answer.may_retry:
        raise Unavailable(answer.text, answer.reason, answer.retry_after)
    if answer.reason in {Reason.BUDGET, Reason.TIMEOUT, Reason.TOO_LARGE}:
        raise LimitReached(answer.text, answer.reason)
    if answer.reason is Reason.SERVER_ERROR:
        raise Rejected(f"The worker made a mistake ({answer.text}); its log says more.", answer.reason)
    raise Refused(answer.text, answer.reason)


def _result_of(answer: Answer) -> StageResult:
    if not isinstance(answer, StageDone):
        raise Rejected("The worker sent an answer to another question.", Reason.SERVER_ERROR)
    results = (answer.collected, answer.suspected, answer.confirmed, answer.drafted, answer.verified)
    found = [result for result in results if result is not None]
    if len(found) != 1:
        raise Rejected("The worker sent an answer that holds no single result.", Reason.SERVER_ERROR)
    return found[0]
