"""Access: who is behind an account, what a role is needed for, and who can help somebody who lacks it."""

from collections.abc import Mapping
from typing import Final

from bot.domain.linking import LinkedAccount
from bot.domain.oncall import Person, Role
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services.rulebook import Rulebook

_NAMED: Final = 3
"""How many people a refusal names."""


def find_person(work: UnitOfWork, channel: str, account: str, rules: Rulebook) -> Person | None:
    """Return the person behind an account, None for a stranger. What the configuration says wins."""
    known = rules.roster.find(channel, account)
    if known is not None:
        return known
    link = work.account_links.find(channel, account)
    return rules.roster.people[link.person] if link is not None and counts(link, rules) else None


def account_of(work: UnitOfWork, person: Person, channel: str, rules: Rulebook) -> str:
    """Return a person's account in a channel, "" where there is none."""
    if channel in person.accounts:
        return person.accounts[channel]
    linked = (link for link in work.account_links.of(person.id) if link.channel == channel)
    return next((link.account for link in linked if counts(link, rules)), "")


def counts(link: LinkedAccount, rules: Rulebook) -> bool:
    """Return whether a link is used: what the configuration gives, to its person or to somebody else, wins."""
    person = rules.roster.people.get(link.person)
    is_free = rules.roster.find(link.channel, link.account) is None
    return person is not None and is_free and link.channel not in person.accounts


def linked_accounts(work: UnitOfWork, rules: Rulebook) -> Mapping[str, Mapping[str, str]]:
    """Return by channel and person the linked accounts that count."""
    found: dict[str, dict[str, str]] = {}
    for link in work.account_links.all():
        if counts(link, rules):
            found.setdefault(link.channel, {})[link.person] = link.account
    return found


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
        return Refused(f"{lack} Nobody has it; whoever runs Nightshift gives roles, in [people].", lack.reason)
    if len(names) > _NAMED + 1:
        names = [*names[:_NAMED], f"one of {len(names) - _NAMED} others"]
    said = " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
    return Refused(f"{lack} Ask {said}.", lack.reason)
