"""CI systems."""

from typing import Protocol

from bot.domain.ci import CIRequest, CIRun
from bot.ports.chat import Health


class CIProvider(Protocol):
    """One CI system. Raises `Unavailable` (retry may help) or `Rejected` (final)."""

    async def start(self, request: CIRequest) -> CIRun:
        """Start the one run of `request.sha`, or return the run that is already there. May be repeated."""
        ...

    async def status(self, sha: str) -> CIRun | None:
        """Return the run of a SHA, None where there is none."""
        ...

    async def log(self, sha: str) -> str:
        """Return the run's log as kept so far, newest attempt last."""
        ...

    async def cancel(self, sha: str) -> CIRun:
        """Stop the run. A finished run stays as it is."""
        ...

    async def rerun(self, sha: str) -> CIRun:
        """Run a finished SHA again as the next attempt of the same run."""
        ...

    async def check(self) -> Health:
        """Say whether the system can be used now."""
        ...
