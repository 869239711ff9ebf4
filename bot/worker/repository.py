"""The worker's own copy of a service's repository."""

import asyncio
import hashlib
from pathlib import Path

from bot.domain.investigation import Job
from bot.ports.workspace import Checkout
from bot.worker.tools import Tools


async def open_repository(job: Job, tools: Tools) -> Checkout:
    """Clone or refresh the repository in the job's folder. Raises `Unavailable` or `Rejected`."""
    url = job.service.repository
    folder = Path(job.folder) / "repositories" / hashlib.sha256(url.encode()).hexdigest()[:16]
    await asyncio.to_thread(folder.parent.mkdir, parents=True, exist_ok=True)
    return await tools.workspaces.open(url, folder)
