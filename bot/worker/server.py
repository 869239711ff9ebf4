"""The worker's side of the socket: runs jobs side by side, and reports each stage and each row as it is done."""

import asyncio
import socket
from dataclasses import dataclass
from itertools import count

import structlog

from bot.domain.investigation import Collected, Confirmed, Drafted, StageResult, Suspected
from bot.domain.runs.transcript import Step
from bot.errors import NightshiftError, Reason, Unavailable
from bot.ports.desk import Question, Told
from bot.ports.drafter import Drafter
from bot.ports.faults import reach
from bot.ports.investigator import CIReader, Investigator, Plotter
from bot.ports.model import ModelTry
from bot.worker.messages import (
    ANSWERS,
    ORDERS,
    Answer,
    AnswerFrame,
    AskFront,
    Cancel,
    CIRead,
    Draft,
    Ended,
    FrontTold,
    Investigate,
    ModelAsked,
    Order,
    Plot,
    Plotted,
    ReadCI,
    StageDone,
    StepStored,
    StepTaken,
    read_frame,
    write_frame,
)

log = structlog.get_logger(__name__)
ASK_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Able:
    """Who does what a worker is asked for."""

    investigator: Investigator
    drafter: Drafter
    ci_reader: CIReader
    plotter: Plotter


async def serve_worker(channel: socket.socket, able: Able) -> None:
    """Serve until the front process is gone; then everything that still runs is stopped."""
    reader, writer = await asyncio.open_connection(sock=channel)
    desk = _Desk(writer, able)
    while (frame := await read_frame(reader)) is not None:
        desk.take(ORDERS.validate_json(frame).order)
    await desk.close()
    writer.close()


class _Desk:
    """The orders at hand, each a task of its own."""

    def __init__(self, writer: asyncio.StreamWriter, able: Able) -> None:
        self._writer = writer
        self._able = able
        self._lock = asyncio.Lock()
        self._jobs: dict[int, asyncio.Task[None]] = {}
        self._unstored: dict[int, asyncio.Future[Step]] = {}
        self._numbers = count(1)
        self._unanswered: dict[int, asyncio.Future[Told]] = {}
        self._tries: dict[int, list[ModelTry]] = {}

    def take(self, order: Order) -> None:
        if isinstance(order, Cancel):
            if order.call in self._jobs:
                self._jobs[order.call].cancel()
        elif isinstance(order, StepStored):
            waiting = self._unstored.pop(order.call, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(order.step)
        elif isinstance(order, FrontTold):
            asking = self._unanswered.get(order.number)
            if asking is not None and not asking.done():
                asking.set_result(order.told)
        else:
            self._jobs[order.call] = asyncio.create_task(self._work(order), name=f"{type(order).__name__} {order.call}")

    async def close(self) -> None:
        jobs = list(self._jobs.values())
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    async def _work(self, order: Investigate | Draft | ReadCI | Plot) -> None:
        try:
            if isinstance(order, Draft):
                tries = self._tries.setdefault(order.call, [])
                await self._able.drafter.draft(
                    order.job,
                    lambda step: self._store(order.call, step),
                    ask=lambda asked: self._ask(order.call, asked),
                    on_try=tries.append,
                )
            elif isinstance(order, ReadCI):
                failure = await self._able.ci_reader.read_ci(order.log, workflow=order.workflow)
                await self._send(CIRead(call=order.call, failure=failure))
            elif isinstance(order, Plot):
                pictures = await self._able.plotter.plot(order.metrics, order.changed)
                await self._send(Plotted(call=order.call, pictures=tuple(pictures)))
            else:
                async for result in self._able.investigator.investigate(order.job):
                    reach("worker.stage")
                    await self._send(_report(order.call, result))
            await self._end(Ended(call=order.call))
        except NightshiftError as error:
            await self._end(_say_why(order.call, error))
        except Exception as error:
            log.exception("job_crashed", call=order.call)
            await self._end(Ended(call=order.call, reason=Reason.SERVER_ERROR, text=type(error).__name__))
        finally:
            self._jobs.pop(order.call, None)
            self._unstored.pop(order.call, None)
            self._tries.pop(order.call, None)

    async def _end(self, ended: Ended) -> None:
        await self._tell_tries(ended.call)
        await self._send(ended)

    async def _store(self, call: int, step: Step) -> Step:
        """Hand a row to the front process and wait until it says how it is stored."""
        reach("worker.step")
        self._unstored[call] = asyncio.get_running_loop().create_future()
        await self._tell_tries(call)
        await self._send(StepTaken(call=call, step=step))
        return await self._unstored[call]

    async def _ask(self, call: int, question: Question) -> Told:
        """Ask the front process, which answers within its own time."""
        number = next(self._numbers)
        self._unanswered[number] = asyncio.get_running_loop().create_future()
        try:
            await self._send(AskFront(call=call, number=number, question=question))
            async with asyncio.timeout(ASK_SECONDS):
                return await self._unanswered[number]
        except TimeoutError:
            return Told(fault=f"the bot did not answer within {ASK_SECONDS:g} s")
        finally:
            del self._unanswered[number]

    async def _tell_tries(self, call: int) -> None:
        """Say how the model servers did since the last time: it goes with the next thing that is said of the run."""
        tries = self._tries.get(call, [])
        while tries:
            await self._send(ModelAsked(call=call, tried=tries.pop(0)))

    async def _send(self, answer: Answer) -> None:
        async with self._lock:
            await write_frame(self._writer, ANSWERS.dump_json(AnswerFrame(answer=answer)))


def _say_why(call: int, error: NightshiftError) -> Ended:
    may_retry = isinstance(error, Unavailable)
    wait = error.retry_after if isinstance(error, Unavailable) else None
    return Ended(call=call, reason=error.reason, text=str(error), may_retry=may_retry, retry_after=wait)


def _report(call: int, result: StageResult) -> StageDone:
    if isinstance(result, Collected):
        return StageDone(call=call, collected=result)
    if isinstance(result, Suspected):
        return StageDone(call=call, suspected=result)
    if isinstance(result, Confirmed):
        return StageDone(call=call, confirmed=result)
    if isinstance(result, Drafted):
        return StageDone(call=call, drafted=result)
    return StageDone(call=call, verified=result)
