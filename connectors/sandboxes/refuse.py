"""The last rung: runs nothing, and says so. A patch that could not be run is shown as not verified."""

from collections.abc import Sequence

from bot.errors import Reason, Unavailable
from bot.ports.sandbox import Probe, SandboxJob, SandboxResult


class Refuse:
    """Refuses every job. `reasons` are what the rungs above it said."""

    def __init__(self, reasons: Sequence[str] = ()) -> None:
        self._reasons = tuple(reasons)

    @property
    def rung(self) -> str:
        return "none"

    async def run(self, job: SandboxJob) -> SandboxResult:
        """Raise `Unavailable`, always."""
        why = "".join(f"\n  - {reason}" for reason in self._reasons)
        raise Unavailable(
            f"Not verified: there is no safe place here to run {job.argv[0]!r}. Install bubblewrap 0.8 or newer.{why}",
            Reason.UNSAFE,
        )

    async def probe(self) -> Sequence[Probe]:
        """Return nothing to try: nothing runs."""
        return ()
