"""What has left the house is written down: a send under way when the process stops gets a moment to end."""

import asyncio
from collections.abc import Coroutine
from typing import Final

SECONDS: Final = 3.0


async def finish(work: Coroutine[None, None, None], *, seconds: float = SECONDS) -> None:
    """Do some work; cancelled meanwhile, give it up to `seconds` to end before the cancellation goes on."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            task.cancel()
        elif not task.cancelled():
            task.exception()  # seen: the caller is leaving
        raise
