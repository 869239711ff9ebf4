"""Chooses the strongest sandbox that really runs here."""

from collections.abc import Sequence

from bot.errors import NightshiftError
from bot.ports.sandbox import Sandbox, SandboxJob, SandboxLimits
from connectors.sandboxes.bubblewrap import Bubblewrap
from connectors.sandboxes.container import Container
from connectors.sandboxes.landlock import Landlock
from connectors.sandboxes.refuse import Refuse

_MARK = "nightshift"
_TRIAL = SandboxJob(argv=("python3", "-c", f"print({_MARK!r})"), limits=SandboxLimits(seconds=20))


async def choose_sandbox(rungs: Sequence[Sandbox] = ()) -> Sandbox:
    """Return the first rung in which a trivial job runs, or the one that refuses every job and says why."""
    reasons: list[str] = []
    for rung in rungs or (Bubblewrap(), Container(), Landlock()):
        problem = await _try(rung)
        if not problem:
            return rung
        reasons.append(f"{rung.rung}: {problem}")
    return Refuse(reasons)


async def _try(rung: Sandbox) -> str:
    try:
        result = await rung.run(_TRIAL)
    except NightshiftError as error:
        return str(error)
    if result.exit_code == 0 and result.output.decode(errors="replace").strip() == _MARK:
        return ""
    return f"a trivial job ended with {result.exit_code} {result.ended_by}".strip()
