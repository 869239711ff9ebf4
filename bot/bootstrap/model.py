"""The model's phases, where a model is configured."""

from dataclasses import asdict

from bot.agent.redaction import Redactor
from bot.domain.models.spending import Budgets
from bot.engine.handlers import Handlers
from bot.engine.model_phase import ModelPhase, ModelTools
from bot.engine.phases import Phase
from bot.engine.suggest_phase import SuggestPhase
from bot.metrics import MODEL_BUDGET
from bot.ports.drafter import Drafter
from bot.ports.work import Store
from bot.services.rulebook import Rulebook
from bot.settings import Settings
from bot.settings_budgets import build_budgets


def make_model_phases(
    settings: Settings, *, store: Store, rules: Rulebook, redactor: Redactor, drafter: object, handlers: Handlers
) -> tuple[Phase, ...]:
    """Return its phases; none where no model is configured, or whoever investigates cannot run one."""
    place = settings.model_place()
    if place is None or not isinstance(drafter, Drafter):
        return ()
    budgets = build_budgets(settings.model.budgets)
    publish_budgets(budgets)
    tools = ModelTools(
        drafter=drafter,
        place=place,
        budget=settings.model_budget(),
        folder=settings.server.state_dir.absolute(),
        redact=redactor.redact,
        localize=handlers.equip,
        desk=handlers.desk,
        fetch_image=handlers.fetch_image,
        far_tools=handlers.far_tools,
        patience=settings.model.patience,
        together=settings.model.together,
        budgets=budgets,
    )
    return ModelPhase(store, rules, tools).phase(), SuggestPhase(store, rules, tools).phase()


def publish_budgets(budgets: Budgets) -> None:
    """Show the limits of a day beside what is used of them."""
    scopes = {"all services": budgets.day, **budgets.services}
    for name, limits in (*scopes.items(), *((team.name, team.limits) for team in budgets.teams)):
        for kind, limit in asdict(limits).items() if limits else ():
            if limit is not None:
                MODEL_BUDGET.labels(scope=name, kind=kind).set(limit)
