"""The worker's side of the socket: runs jobs side by side and reports each stage as it is done."""

import asyncio
import socket

import structlog

from bot.domain.investigation import Collected, Confirmed, Drafted, StageResult, Suspected
from bot.errors import NightshiftError, Reason
from bot.ports.faults import reach
from bot.ports.investigator import Investigator
from bot.worker.messages import (
    ANSWERS,
    ORDERS,
    Answer,
    AnswerFrame,
    Cancel,
    Ended,
    Investigate,
    StageDone,
    read_frame,
    write_frame,
)

log = structlog.get_logger(__name__)


async def serve_worker(channel: socket.socket, investigator: Investigator) -> None:
    """Serve until the front process is gone; then everything that still runs is stopped."""
    reader, writer = await asyncio.open_connection(sock=channel)
    jobs: dict[int, asyncio.Task[None]] = {}
    lock = asyncio.Lock()

    async def send(answer: Answer) -> None:
        async with lock:
            await write_frame(writer, ANSWERS.dump_json(AnswerFrame(answer=answer)))

    async def work(order: Investigate) -> None:
        try:
            async for result in investigator.investigate(order.job):
                reach("worker.stage")
                await send(_report(order.call, result))
            await send(Ended(call=order.call))
        except NightshiftError as error:
            await send(Ended(call=order.call, reason=error.reason, text=str(error)))
        except Exception as error:
            log.exception("job_crashed", incident=order.job.incident)
            await send(Ended(call=order.call, reason=Reason.SERVER_ERROR, text=type(error).__name__))
        finally:
            jobs.pop(order.call, None)

    while (frame := await read_frame(reader)) is not None:
        order = ORDERS.validate_json(frame).order
        if isinstance(order, Cancel):
            if order.call in jobs:
                jobs[order.call].cancel()
        else:
            jobs[order.call] = asyncio.create_task(work(order), name=f"investigate {order.job.incident}")
    for job in list(jobs.values()):
        job.cancel()
    await asyncio.gather(*jobs.values(), return_exceptions=True)


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
