"""Phases at the end of the process: what can end does, the rest is left without an outcome."""

import asyncio

import pytest

from bot.engine.attempts import Attempts
from bot.errors import Reason, Refused


async def test_a_phase_runs_to_its_end_and_its_fault_comes_through():
    attempts, done = Attempts(), []

    async def work(fault: bool) -> None:
        if fault:
            raise Refused("no", Reason.NOT_FOUND)
        done.append(1)

    await attempts.run(work(False))
    with pytest.raises(Refused):
        await attempts.run(work(True))
    assert done == [1]
    assert await attempts.close(0) == 0


async def test_what_ends_in_time_is_done_and_what_does_not_never_returns():
    attempts, go, cancelled = Attempts(), asyncio.Event(), []

    async def short() -> None:
        await go.wait()

    async def long() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append("long")

    tasks = [asyncio.create_task(attempts.run(work())) for work in (short, long)]
    await asyncio.sleep(0)
    go.set()
    assert await attempts.close(0.05) == 1
    assert cancelled == ["long"]
    assert tasks[0].done()
    await asyncio.sleep(0)
    assert not tasks[1].done(), "an outcome would be written down"
    tasks[1].cancel()
    await asyncio.wait(tasks)


async def test_nothing_begins_any_more():
    attempts, begun = Attempts(), []

    async def work() -> None:
        begun.append(1)

    await attempts.close(1)
    task = asyncio.create_task(attempts.run(work()))
    await asyncio.sleep(0)
    assert (begun, task.done()) == ([], False)
    task.cancel()
    await asyncio.wait({task})
    attempts.open()
    await attempts.run(work())
    assert begun == [1]


async def test_a_phase_cancelled_from_outside_stops():
    attempts, stopped = Attempts(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    task = asyncio.create_task(attempts.run(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stopped.is_set()
