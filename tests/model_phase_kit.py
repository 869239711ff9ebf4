"""The phase of the model over a world of tests, with a stand-in for the worker."""

from pathlib import Path

from bot.domain.investigation import Job
from bot.domain.runs.transcript import Budget
from bot.engine.model_phase import ModelPhase, ModelTools
from bot.ports.drafter import Drafter
from bot.ports.model import ModelPlace
from bot.services.rulebook import Rulebook
from tests.worldkit import World

PLACE = ModelPlace(url="http://gpu", name="m")


async def _leave(job: Job) -> Job:
    return job


def make_model_tools(drafter: Drafter, **changes: object) -> ModelTools:
    """Return tools that know one secret, "hunter2". `changes` are other ones than the usual."""
    usual: dict[str, object] = {
        "drafter": drafter,
        "place": PLACE,
        "budget": Budget(),
        "folder": Path("/nowhere"),
        "redact": lambda text: text.replace("hunter2", "[redacted]"),
        "localize": _leave,
    }
    return ModelTools(**usual | changes)  # type: ignore[arg-type] # as a test says


def make_model_phase(world: World, drafter: Drafter, *, rules: Rulebook | None = None, **changes: object) -> ModelPhase:
    """Return the phase. `changes` are other `ModelTools` than the usual ones."""
    return ModelPhase(world.store, rules or world.rules, make_model_tools(drafter, **changes))
