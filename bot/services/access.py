"""Access: what a role is needed for, and who can help somebody who lacks it."""

from typing import Final

from bot.domain.oncall import Person, Role
from bot.errors import Reason, Refused
from bot.services.rulebook import Rulebook

_NAMED: Final = 3
"""How many people a refusal names."""


class LacksRoleError(Refused):
    """A person asked for what their role does not allow."""

    def __init__(self, person: Person, role: Role) -> None:
        self.role = role
        text = f'This needs the role "{role.value}"; yours is "{person.role.value}".'
        super().__init__(text, Reason.NOT_ALLOWED)


def require_role(person: Person, role: Role) -> None:
    """Raises `LacksRoleError`, to which `explain` adds who can help."""
    if not person.may(role):
        raise LacksRoleError(person, role)


def explain(lack: LacksRoleError, rules: Rulebook) -> Refused:
    """Return the refusal as its person reads it: who can do it instead."""
    able = [person for person in rules.roster.people.values() if person.may(lack.role)]
    if lack.role is Role.APPROVER:
        able = [person for person in able if person.id in rules.policy.approvers] or able
    names = [person.name for person in able]
    if not names:
        return Refused(f"{lack} Nobody has it: it stands in [people].", lack.reason)
    if len(names) > _NAMED + 1:
        names = [*names[:_NAMED], f"one of {len(names) - _NAMED} others"]
    said = " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
    return Refused(f"{lack} Ask {said}.", lack.reason)
