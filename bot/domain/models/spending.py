"""What models use: the measures that are counted, and the limits of a day that many runs share."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What was used; `prompt` counts tokens that the server had to read anew, `reasoning` is a part of `completion`.

    `gpu_seconds` are the seconds in which answers were made, on each of the server's GPUs.
    """

    steps: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0
    gpu_seconds: float = 0.0
    seconds: float = 0.0
    tool_bytes: int = 0

    def plus(self, other: "Spent") -> "Spent":
        return Spent(**{name: mine + getattr(other, name) for name, mine in self.measures()})

    def minus(self, other: "Spent") -> "Spent":
        """Return what came since `other`; nothing is ever less than nothing."""
        return Spent(**{name: max(0, mine - getattr(other, name)) for name, mine in self.measures()})

    def measures(self) -> Iterator[tuple[str, int | float]]:
        """Yield each measure's name and value."""
        return ((measure.name, getattr(self, measure.name)) for measure in fields(self))


def add_spent(parts: Iterable[Spent]) -> Spent:
    total = Spent()
    for part in parts:
        total = total.plus(part)
    return total


@dataclass(frozen=True, kw_only=True)
class DayLimits:
    """What may be used in one day (UTC); None = without a limit."""

    steps: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    gpu_seconds: float | None = None
    seconds: float | None = None
    tool_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Some services that share limits. `name` is how people know it; `services` None = all there are."""

    name: str
    limits: DayLimits
    services: frozenset[str] | None = None

    def holds(self, service: str) -> bool:
        return self.services is None or service in self.services

    def add_up(self, by_service: Mapping[str, Spent]) -> Spent:
        """Return what all services of the scope have used."""
        return add_spent(spent for service, spent in by_service.items() if self.holds(service))


@dataclass(frozen=True, kw_only=True)
class Budgets:
    """The limits of a day: of everything, of services, and of teams."""

    day: DayLimits | None = None
    services: Mapping[str, DayLimits] = field(default_factory=dict)
    teams: tuple[Scope, ...] = ()

    def scopes(self, service: str) -> tuple[Scope, ...]:
        """Return what limits a run for a service, the narrowest first."""
        own = self.services.get(service)
        found = [Scope(name=service, limits=own, services=frozenset({service}))] if own else []
        found += [team for team in self.teams if team.holds(service)]
        return (*found, *([Scope(name="all services", limits=self.day)] if self.day else []))
