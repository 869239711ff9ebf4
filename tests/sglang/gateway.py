"""What can happen to the workers behind a gateway."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.sglang.servers import Live
from tests.sglang.shapes import Talk


@asynccontextmanager
async def lose_worker(talks: Sequence[Talk], workers: Sequence[Live]) -> AsyncIterator[None]:
    """Kill the worker that is at work, once one is."""

    async def kill() -> None:
        while True:
            for server, worker in zip(talks, workers, strict=True):
                if worker.process.poll() is None and (await server.load())[0]:
                    await asyncio.sleep(1.0)
                    worker.kill()
                    return
            await asyncio.sleep(0.05)

    task = asyncio.create_task(kill())
    try:
        yield
        await task
    finally:
        task.cancel()
