"""People, and who is paged when."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum


class Role(StrEnum):
    """Each role may do what the ones before it may."""

    VIEWER = "viewer"
    RESPONDER = "responder"
    APPROVER = "approver"
    ADMIN = "admin"


_RANK = list(Role)


@dataclass(frozen=True, kw_only=True)
class Contact:
    """One way to wake a person outside of chat, used `after` so long without an acknowledgement of their page."""

    name: str
    after: timedelta = timedelta(0)


@dataclass(frozen=True, kw_only=True)
class Person:
    """One human. `accounts` maps a channel ("web", "console", "slack") to the account's id there:
    one person with two accounts counts once. `contacts` stand in the order in which they are used."""

    id: str
    name: str
    role: Role = Role.RESPONDER
    accounts: Mapping[str, str] = field(default_factory=dict)
    contacts: tuple[Contact, ...] = ()

    def may(self, role: Role) -> bool:
        return _RANK.index(self.role) >= _RANK.index(role)


@dataclass(frozen=True, kw_only=True)
class EscalationStep:
    """Who is paged, and how long after the step before it (the first: at once)."""

    people: tuple[str, ...]
    after: timedelta = timedelta(0)


@dataclass(frozen=True, kw_only=True)
class EscalationPolicy:
    name: str
    steps: tuple[EscalationStep, ...]


@dataclass(frozen=True, kw_only=True)
class Roster:
    """Everybody Nightshift knows. Unknown accounts map to nobody."""

    people: Mapping[str, Person]

    def find(self, channel: str, account: str) -> Person | None:
        """Return the person behind an account of a channel, None for a stranger."""
        for person in self.people.values():
            if person.accounts.get(channel) == account:
                return person
        return None


@dataclass(frozen=True, kw_only=True)
class PagePlan:
    """Whom to page at `level`, and when the next level follows (None: there is none)."""

    level: int
    people: tuple[str, ...]
    next_after: timedelta | None


def plan_page(policy: EscalationPolicy, level: int) -> PagePlan | None:
    """Return the plan of one level (from 0), None past the last."""
    if not 0 <= level < len(policy.steps):
        return None
    following = policy.steps[level + 1].after if level + 1 < len(policy.steps) else None
    return PagePlan(level=level, people=policy.steps[level].people, next_after=following)
