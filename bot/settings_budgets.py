"""`[model.budgets]`: what all runs of a day may use together."""

from collections.abc import Collection, Iterator

from pydantic import BaseModel, ConfigDict, Field

from bot.domain.models.spending import Budgets, DayLimits, Scope
from bot.errors import Problem


class DaySettings(BaseModel):
    """Limits of one day (UTC); one that is not named there is none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    steps: int | None = Field(default=None, ge=0)
    prompt_tokens: int | None = Field(default=None, ge=0)
    cached_tokens: int | None = Field(default=None, ge=0)
    completion_tokens: int | None = Field(default=None, ge=0)
    reasoning_tokens: int | None = Field(default=None, ge=0)
    gpu_seconds: float | None = Field(default=None, ge=0)
    seconds: float | None = Field(default=None, ge=0)
    tool_bytes: int | None = Field(default=None, ge=0)


class TeamSettings(DaySettings):
    services: tuple[str, ...] = Field(min_length=1)


class BudgetSettings(BaseModel):
    """Limits of everything together, of services, and of teams: of some services together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    day: DaySettings | None = None
    services: dict[str, DaySettings] = {}
    teams: dict[str, TeamSettings] = {}


def check_budgets(budgets: BudgetSettings, services: Collection[str]) -> Iterator[Problem]:
    """Yield limits of services that there are not: found at the start, not when nothing is limited."""
    named: list[tuple[str, str]] = [(f"model.budgets.services.{name}", name) for name in budgets.services]
    for team, limits in budgets.teams.items():
        named += [(f"model.budgets.teams.{team}.services", name) for name in limits.services]
    for where, name in named:
        if name not in services:
            yield Problem(where=where, what=f'no service "{name}"; add [services.{name}]')


def build_budgets(budgets: BudgetSettings) -> Budgets:
    teams = [
        Scope(name=f"the team {name}", limits=_limits(team), services=frozenset(team.services))
        for name, team in budgets.teams.items()
    ]
    return Budgets(
        day=_limits(budgets.day) if budgets.day else None,
        services={name: _limits(limits) for name, limits in budgets.services.items()},
        teams=tuple(teams),
    )


def _limits(settings: DaySettings) -> DayLimits:
    return DayLimits(**settings.model_dump(exclude={"services"}))
