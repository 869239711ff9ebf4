"""The model's phase, where a model is configured."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from bot.agent.redaction import Redactor
from bot.bootstrap.model_profiles import find_reasoning
from bot.domain.agent_profile import AgentProfile
from bot.domain.reasoning import Reasoning
from bot.domain.spending import Budgets
from bot.engine.handlers import Handlers
from bot.engine.model_phase import ModelPhase, ModelTools
from bot.engine.phases import Phase
from bot.errors import ConfigError, Problem, Refused
from bot.metrics import MODEL_BUDGET
from bot.ports.drafter import Drafter
from bot.ports.work import Store
from bot.services.rulebook import Rulebook
from bot.settings import Settings
from bot.settings_budgets import build_budgets


def make_model_phases(
    settings: Settings, *, store: Store, rules: Rulebook, redactor: Redactor, drafter: object, handlers: Handlers
) -> tuple[Phase, ...]:
    """Return the phase; none where no model is configured, or whoever investigates cannot run one."""
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
        patience=settings.model.patience,
        together=settings.model.together,
        budgets=budgets,
        reasoning=find_efforts(settings.model.profile, place.name, rules.profiles.values()),
    )
    return (ModelPhase(store, rules, tools).phase(),)


def find_efforts(profile: str, name: str, profiles: Iterable[AgentProfile]) -> Mapping[str, Reasoning]:
    """Return by name how the models think that runs may ask. Raises `ConfigError` over an effort that one has not."""
    try:
        problems, found = list[Problem](), {name: find_reasoning(profile, name)}
    except Refused as error:
        raise ConfigError([Problem(where="model.profile", what=str(error))]) from None
    for each in profiles:
        model = each.model or name
        reasoning = found.setdefault(model, find_reasoning("", model))
        if each.effort and each.effort not in reasoning.efforts:
            known = ", ".join(reasoning.efforts) or "nothing; model.profile names the model's file"
            what = f'"{each.effort}" is not known of the model {model[:100]}: there is {known}'
            problems.append(Problem(where=f"profile {each.name}: effort", what=what))
    if problems:
        raise ConfigError(problems)
    return found


def publish_budgets(budgets: Budgets) -> None:
    """Show the limits of a day beside what is used of them."""
    scopes = {"all services": budgets.day, **budgets.services}
    for name, limits in (*scopes.items(), *((team.name, team.limits) for team in budgets.teams)):
        for kind, limit in asdict(limits).items() if limits else ():
            if limit is not None:
                MODEL_BUDGET.labels(scope=name, kind=kind).set(limit)
