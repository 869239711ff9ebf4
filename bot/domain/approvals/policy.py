"""The approval policy: who may approve which patch, how many must, for how long, and when nothing is pushed at all.

A patch is judged by [approval] and by every rule that it touches, together: only people whom all of them name may
approve, the largest quorum counts, the shortest expiry, and one "no" to self-approval is enough. So one more rule
can only make it harder.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from bot.domain.approvals.freeze import Freeze, Frozen, find_freeze
from bot.domain.oncall import Role, Roster
from bot.domain.patches.names import covers_path
from bot.domain.patches.risk_kind import RiskKind

NOBODY: Final = "Nobody may approve patches: the policy names no approvers. Add them to [approval] approvers."
NOBODY_HERE: Final = "Nobody may approve this patch: no person is named by [approval] and by every rule it touches."


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a policy looks at in a patch. Without a service nothing is known of it, and every rule applies.

    `only` are the people that the profile of the agent leaves to approve it; () = all of the policy's.
    """

    service: str = ""
    paths: tuple[str, ...] = ()
    kinds: tuple[RiskKind, ...] = ()
    author: str = ""
    only: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ApprovalRule:
    """What one rule asks of the patches it is about; what is left out (None) it leaves as it is.

    It is about a patch of one of `services` that touches one of `paths` and has one of `risks`; an empty one of
    the three matches every patch.
    """

    services: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    risks: tuple[RiskKind, ...] = ()
    approvers: tuple[str, ...] | None = None
    quorum: int = 1
    self_approval: bool = True
    expiry: timedelta | None = None

    def applies_to(self, scope: Scope) -> bool:
        if not scope.service:
            return True
        return (
            (not self.services or scope.service in self.services)
            and (not self.paths or any(covers_path(pattern, path) for pattern in self.paths for path in scope.paths))
            and (not self.risks or any(kind in self.risks for kind in scope.kinds))
        )


@dataclass(frozen=True, kw_only=True)
class ApprovalPolicy:
    """Who may approve. `version` is a digest of the policy as configured; it is part of the statement.

    Only people named in `approvers` who also hold the role may vote: nobody named = nobody can. `self_approval`:
    who asked for an ordinary patch may approve it. `break_glass` may, alone or in a freeze, push at once.
    """

    version: str
    approvers: tuple[str, ...] = ()
    quorum: int = 1
    risky_quorum: int = 2
    expiry: timedelta = timedelta(minutes=60)
    self_approval: bool = True
    rules: tuple[ApprovalRule, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    break_glass: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lengths = [self.expiry, *(rule.expiry for rule in self.rules if rule.expiry is not None)]
        quorums = [self.quorum, *(rule.quorum for rule in self.rules)]
        if not self.version or min(quorums) < 1 or self.risky_quorum < 2 or min(lengths) <= timedelta():
            raise ValueError(f"this policy would let patches through: {self!r}")

    def narrow(self, scope: Scope) -> "ApprovalPolicy":
        """Return the policy as it stands for one patch, with the rules it touches applied. Twice is once."""
        mine = [rule for rule in self.rules if rule.applies_to(scope)]
        named = [rule.approvers for rule in mine if rule.approvers is not None]
        named += [scope.only] if scope.only else []
        lengths = [rule.expiry for rule in mine if rule.expiry is not None]
        return replace(
            self,
            approvers=tuple(person for person in self.approvers if all(person in names for names in named)),
            quorum=max([self.quorum, *(rule.quorum for rule in mine)]),
            expiry=min([self.expiry, *lengths]),
            self_approval=self.self_approval and all(rule.self_approval for rule in mine),
        )

    def quorum_for(self, risk: tuple[str, ...]) -> int:
        return max(self.quorum, self.risky_quorum) if risk else self.quorum

    def exclude(self, *people: str | None, is_risky: bool) -> tuple[str, ...]:
        """Return who of a patch's author and requester may not approve it."""
        if not is_risky and self.self_approval:
            return ()
        return tuple(dict.fromkeys(person for person in people if person))

    def find_freeze(self, scope: Scope, now: datetime) -> Frozen | None:
        return find_freeze(self.freezes, service=scope.service, now=now)


NO_APPROVALS: Final = ApprovalPolicy(version="no-approvals")
"""What stands in for a policy that is missing or cannot be read: it refuses everybody."""


def why_no_standing(person: str, roster: Roster, policy: ApprovalPolicy) -> str | None:
    """Return why a person may not vote under a (narrowed) policy; None = may."""
    found = roster.people.get(person)
    if not policy.approvers:
        return NOBODY_HERE if policy.rules else NOBODY
    if found is None:
        return f"{person} is not on the roster; an administrator can add people."
    if not found.may(Role.APPROVER):
        return f"{found.name} has the role {found.role}; approving and rejecting take the role approver."
    if person not in policy.approvers:
        return f"{found.name} is not among the approvers that the policy names{' for this patch' * bool(policy.rules)}."
    return None


def who_has_standing(people: Sequence[str], roster: Roster, policy: ApprovalPolicy) -> tuple[str, ...]:
    """Return those who may vote under a (narrowed) policy."""
    return tuple(person for person in people if why_no_standing(person, roster, policy) is None)
