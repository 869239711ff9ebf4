"""The section [approval] of `nightshift.toml`: rules, freezes, what is wrong with them, and the policy they make."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field

from bot.domain.approvals.freeze import Freeze, Weekday
from bot.domain.approvals.policy import ApprovalPolicy, ApprovalRule
from bot.domain.oncall import Role
from bot.domain.patches.risk_kind import RiskKind
from bot.errors import Problem
from bot.settings_sections import LONGEST, PersonSettings, Section

MIDNIGHT: Final = time(0)
_ROLE: Final = "role:"
_BREAKERS: Final = (Role.APPROVER, Role.ADMIN)
_LAST: Final = datetime(2999, 1, 1, tzinfo=UTC)


class RuleSettings(Section):
    """What is asked of some patches beyond what is asked of all. Nothing named under approvers = as for all."""

    services: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    risks: tuple[RiskKind, ...] = ()
    approvers: tuple[str, ...] | None = None
    quorum: int = Field(default=1, ge=1)
    self_approval: bool = True
    expiry_minutes: float | None = Field(default=None, gt=0, le=LONGEST / 60)

    def build(self) -> ApprovalRule:
        return ApprovalRule(
            services=self.services,
            paths=self.paths,
            risks=self.risks,
            approvers=self.approvers,
            quorum=self.quorum,
            self_approval=self.self_approval,
            expiry=None if self.expiry_minutes is None else timedelta(minutes=self.expiry_minutes),
        )


class FreezeSettings(Section):
    """When nothing is approved and pushed: every week, or once."""

    reason: str = Field(min_length=1, max_length=200)
    services: tuple[str, ...] = ()
    weekdays: tuple[Weekday, ...] = ()
    start: time | None = None
    end: time | None = None
    zone: str = "UTC"
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None

    def build(self) -> Freeze:
        return Freeze(
            reason=self.reason,
            services=self.services,
            weekdays=self.weekdays,
            start=self.start or MIDNIGHT,
            end=self.end or MIDNIGHT,
            zone=self.zone,
            since=self.since,
            until=self.until,
        )


class ApprovalSettings(Section):
    """Who may approve patches. No approvers named = nobody can."""

    approvers: tuple[str, ...] = ()
    quorum: int = Field(default=1, ge=1)
    risky_quorum: int = Field(default=2, ge=2)
    self_approval: bool = True
    expiry_minutes: float = Field(default=60, gt=0, le=LONGEST / 60)
    auth_paths: tuple[str, ...] = ()
    break_glass: tuple[str, ...] = ()
    rules: tuple[RuleSettings, ...] = ()
    freezes: tuple[FreezeSettings, ...] = ()


def build_policy(
    approval: ApprovalSettings,
    people: Mapping[str, PersonSettings],
    follows: Mapping[str, Sequence[str]],
    *,
    binaries: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> ApprovalPolicy:
    """Return the policy with a version that changes whenever a rule, a freeze or a role does.

    `follows` is what a push sets going for each service, beyond CI, `binaries` where its patches may hold what nobody
    can read: both are part of what people say yes to.
    """
    rules = approval.model_dump(mode="json") | {
        "roles": {key: person.role.value for key, person in sorted(people.items())}
    }
    rules |= {"follows": dict(follows)} if follows else {}
    rules |= {"binaries": dict(binaries)} if binaries else {}
    return ApprovalPolicy(
        version=hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()[:16],
        approvers=approval.approvers,
        quorum=approval.quorum,
        risky_quorum=approval.risky_quorum,
        expiry=timedelta(minutes=approval.expiry_minutes),
        self_approval=approval.self_approval,
        rules=tuple(rule.build() for rule in approval.rules),
        freezes=tuple(freeze.build() for freeze in approval.freezes),
        break_glass=_name_breakers(approval, people),
    )


def _name_breakers(approval: ApprovalSettings, people: Mapping[str, PersonSettings]) -> tuple[str, ...]:
    """Return the people that `break_glass` names; "role:admin" stands for the approvers who have that role at least."""
    named: dict[str, None] = {}
    for entry in approval.break_glass:
        named |= dict.fromkeys(_people_of(entry, approval, people) if entry.startswith(_ROLE) else (entry,))
    return tuple(named)


def _people_of(entry: str, approval: ApprovalSettings, people: Mapping[str, PersonSettings]) -> tuple[str, ...]:
    known = {f"{_ROLE}{role.value}": role for role in _BREAKERS}
    if entry not in known:
        return ()
    able = _BREAKERS[_BREAKERS.index(known[entry]) :]
    return tuple(person for person in approval.approvers if person in people and people[person].role in able)


def check_approval(
    approval: ApprovalSettings, people: Mapping[str, PersonSettings], services: Mapping[str, object]
) -> Iterator[Problem]:
    """Return everything that is wrong with the policy."""
    for person in approval.approvers:
        if person not in people:
            yield Problem(where="approval.approvers", what=f'no person "{person}"; add [people.{person}]')
        elif people[person].role not in {Role.APPROVER, Role.ADMIN}:
            yield Problem(where="approval.approvers", what=f'give {person} the role "approver" or "admin"')
    yield from _check_breakers("approval.break_glass", approval, people)
    for number, rule in enumerate(approval.rules):
        where = f"approval.rules.{number}"
        yield from _check_services(where, rule.services, services)
        yield from _check_rule(where, rule, approval)
    for number, freeze in enumerate(approval.freezes):
        where = f"approval.freezes.{number}"
        yield from _check_services(where, freeze.services, services)
        yield from _check_freeze(where, freeze)


def _check_named(where: str, named: tuple[str, ...], approval: ApprovalSettings) -> Iterator[Problem]:
    for person in named:
        if person not in approval.approvers:
            yield Problem(where=where, what=f'add "{person}" to approval.approvers too: others can approve nothing')


def _check_breakers(where: str, approval: ApprovalSettings, people: Mapping[str, PersonSettings]) -> Iterator[Problem]:
    yield from _check_named(where, tuple(e for e in approval.break_glass if not e.startswith(_ROLE)), approval)
    for entry in approval.break_glass:
        if entry.startswith(_ROLE) and entry.removeprefix(_ROLE) not in _BREAKERS:
            yield Problem(where=where, what=f'"{entry}" is no role that approves; use "role:approver" or "role:admin"')
        elif entry.startswith(_ROLE) and not _people_of(entry, approval, people):
            yield Problem(where=where, what=f'"{entry}" names nobody: no person in approval.approvers has that role')


def _check_services(where: str, named: tuple[str, ...], services: Mapping[str, object]) -> Iterator[Problem]:
    for name in named:
        if name not in services:
            yield Problem(where=f"{where}.services", what=f'no service "{name}"; add [services.{name}]')


def _check_rule(where: str, rule: RuleSettings, approval: ApprovalSettings) -> Iterator[Problem]:
    yield from _check_named(f"{where}.approvers", rule.approvers or (), approval)
    able = approval.approvers if rule.approvers is None else rule.approvers
    if able and len(set(able)) < rule.quorum:
        yield Problem(where=f"{where}.quorum", what=f"asks for {rule.quorum} people where {len(set(able))} may approve")
    if any(not path.strip() for path in rule.paths):
        yield Problem(where=f"{where}.paths", what="holds an empty path")
    if rule.model_copy(update={"services": (), "paths": (), "risks": ()}) == RuleSettings():
        yield Problem(where=where, what="asks for nothing: add approvers, quorum, self_approval or expiry_minutes")


def _check_freeze(where: str, freeze: FreezeSettings) -> Iterator[Problem]:
    is_once = freeze.since is not None or freeze.until is not None
    if is_once == bool(freeze.weekdays):
        yield Problem(where=where, what="needs either weekdays, or since and until")
    elif is_once and (freeze.since is None or freeze.until is None or freeze.until <= freeze.since):
        yield Problem(where=where, what="needs since, and an until that is later")
    if is_once and (freeze.start is not None or freeze.end is not None):
        yield Problem(where=where, what="start and end go with weekdays; since and until hold the time themselves")
    if any(at is not None and at > _LAST for at in (freeze.since, freeze.until)):
        yield Problem(where=where, what="is too far away; no date after the year 2998")
    if any(clock is not None and clock.tzinfo is not None for clock in (freeze.start, freeze.end)):
        yield Problem(where=where, what="start and end are local times; name the zone in zone")
    if not _is_zone(freeze.zone):
        yield Problem(where=f"{where}.zone", what='is no time zone; write it as in "Europe/Berlin"')


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return False
    return True
