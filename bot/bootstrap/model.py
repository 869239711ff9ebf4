"""The model's phase, where a model is configured."""

from bot.agent.redaction import Redactor
from bot.engine.handlers import Handlers
from bot.engine.model_phase import ModelPhase, ModelTools
from bot.engine.phases import Phase
from bot.ports.drafter import Drafter
from bot.ports.work import Store
from bot.services.rulebook import Rulebook
from bot.settings import Settings


def make_model_phases(
    settings: Settings, *, store: Store, rules: Rulebook, redactor: Redactor, drafter: object, handlers: Handlers
) -> tuple[Phase, ...]:
    """Return the phase; none where no model is configured, or whoever investigates cannot run one."""
    place = settings.model_place()
    if place is None or not isinstance(drafter, Drafter):
        return ()
    tools = ModelTools(
        drafter=drafter,
        place=place,
        budget=settings.model_budget(),
        folder=settings.server.state_dir.absolute(),
        redact=redactor.redact,
        localize=handlers.equip,
        desk=handlers.desk,
        patience=settings.model.patience,
        together=settings.model.together,
    )
    return (ModelPhase(store, rules, tools).phase(),)
