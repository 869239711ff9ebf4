"""A send under way is finished and written down, but nobody waits for ever."""

import asyncio

import pytest

from bot.engine.finishing import finish
from bot.errors import Reason, Unavailable


async def start(work, seconds: float = 5) -> asyncio.Task:
    task = asyncio.create_task(finish(work, seconds=seconds))
    for _ in range(3):
        await asyncio.sleep(0)
    return task


async def test_work_ends_although_its_caller_leaves():
    answer, done = asyncio.Event(), []

    async def send() -> None:
        await answer.wait()
        done.append("written down")

    task = await start(send())
    task.cancel()
    asyncio.get_running_loop().call_soon(answer.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["written down"]


async def test_work_that_does_not_end_is_stopped():
    stopped = asyncio.Event()

    async def send() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    task = await start(send(), seconds=0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(1):
        await stopped.wait()


async def test_a_fault_comes_through_unless_the_caller_has_left():
    async def fail() -> None:
        await asyncio.sleep(0)
        raise Unavailable("no", Reason.UNREACHABLE)

    with pytest.raises(Unavailable):
        await finish(fail())
    task = asyncio.create_task(finish(fail()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
