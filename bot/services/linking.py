"""Linking an account by a code: asked for where a person is known, typed where they are not known yet."""

import secrets
from datetime import UTC
from typing import Final

from bot.domain.chat import NOBODY, Reply, Said
from bot.domain.linking import (
    MAX_WRONG,
    WRONG_WINDOW,
    CodeOffer,
    LinkedAccount,
    digest_code,
    read_code,
    write_code,
)
from bot.domain.oncall import Person, Role
from bot.domain.text.wellformed import fault_of_account
from bot.domain.timeline import TimelineEvent
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services.access import account_of, counts, find_person, require_role
from bot.services.announce import BOT, CHAT
from bot.services.rulebook import Rulebook

COMMAND: Final = "link"
LINKED: Final = "linked"
UNLINKED: Final = "unlinked"
EVERYWHERE: Final = ""
"""What the audit trail calls what is about no incident."""
HOW: Final = (
    "Nightshift does not know you here. If it does in another chat, write /link there, "
    "and here /link with the code that you get."
)
_VERBS: Final = frozenset({"list", "remove"})


def is_link(text: str) -> bool:
    """Return whether words are this command. Without its slash it has to look like it: people talk about links."""
    first, *rest = text.split() or [""]
    if first.lower() == f"/{COMMAND}":
        return True
    looks_like_it = not rest or rest[0].lower() in _VERBS or read_code("".join(rest)) is not None
    return first.lower() == COMMAND and looks_like_it


def answer_link(work: UnitOfWork, said: Said, rules: Rulebook) -> Reply:
    """Give a code, take one, list or remove accounts. Raises `Refused`."""
    words = said.text.split()[1:]
    person = find_person(work, said.channel, said.account, rules)
    if person is None:
        return _take_code(work, said, "".join(words), rules)
    verb = words[0].lower() if words else ""
    if verb == "list":
        return Reply(text=_list(work, _whose(person, words[1:], rules), rules))
    if verb == "remove":
        return Reply(text=_remove(work, person, words[1:], rules))
    if verb:
        raise Refused(
            f"You are known here already, as {person.name}. A code is typed where you are not. "
            "Say /link, /link list, or /link remove CHANNEL.",
            Reason.BAD_INPUT,
        )
    return _offer_code(work, said, person, rules)


def _offer_code(work: UnitOfWork, said: Said, person: Person, rules: Rulebook) -> Reply:
    code = write_code(secrets.choice)
    offer = CodeOffer(
        person=person.id,
        channel=said.channel,
        digest=digest_code(code.replace("-", "")),
        expires_at=work.now + rules.link_life,
    )
    work.link_codes.offer(offer)
    text = f"{person.name} asked in {said.channel} for a code to link an account"
    work.timeline.append(EVERYWHERE, "link_offered", person.id, text)
    until = f"{offer.expires_at.astimezone(UTC):%H:%M} UTC"
    return Reply(
        text=f"Write this before {until} where Nightshift does not know you yet:\n"
        f"/link {code}\nIt works once. Show it to nobody: whoever writes it is taken for you.",
        is_secret=True,
    )


def _take_code(work: UnitOfWork, said: Said, words: str, rules: Rulebook) -> Reply:
    """Link the account of somebody unknown to the person whose code they typed; a wrong one counts against it."""
    if not words:
        return Reply(text=HOW, ok=False)
    if said.account == NOBODY or fault_of_account(said.account):
        raise Refused("This account cannot be linked: it has no name that Nightshift can keep.", Reason.BAD_INPUT)
    wrong = work.link_codes.count_wrong(said.channel, said.account, since=work.now - WRONG_WINDOW)
    if wrong >= MAX_WRONG:
        return Reply(text="Too many wrong codes came from this account. Try again in an hour.", ok=False)
    signs = read_code(words)
    offer = work.link_codes.take(digest_code(signs)) if signs is not None else None
    person = rules.roster.people.get(offer.person) if offer is not None else None
    if offer is None or person is None:
        work.link_codes.note_wrong(said.channel, said.account)
        return Reply(text=_say_wrong(MAX_WRONG - wrong - 1), ok=False)
    return _link(work, said, offer, person, rules)


def _say_wrong(left: int) -> str:
    more = f"{left} more {'try' if left == 1 else 'tries'}" if left else "No more tries for an hour"
    return f"This code is wrong, used already, or too old. /link gives a new one where you are known. {more}."


def _link(work: UnitOfWork, said: Said, offer: CodeOffer, person: Person, rules: Rulebook) -> Reply:
    other = account_of(work, person, said.channel, rules)
    if other:
        text = (
            f"{person.name} has another account in {said.channel}. Remove it first, where you are known: /link remove"
        )
        return Reply(text=f"{text} {said.channel}", ok=False)
    link = LinkedAccount(channel=said.channel, account=said.account, person=person.id, linked_at=work.now)
    work.account_links.add(link)
    text = f"{person.name} linked the {said.channel} account {said.account}, with a code from {offer.channel}"
    event = _record(work, LINKED, link, actor=person.id, text=text)
    _tell(work, event, in_channel=offer.channel, rules=rules)
    told = f'Linked. You are {person.name} here too, with the role "{person.role.value}".'
    return Reply(text=f"{told} /link list shows your accounts.")


def _record(work: UnitOfWork, kind: str, link: LinkedAccount, *, actor: str, text: str) -> TimelineEvent:
    """Write it on the audit trail."""
    data = {"channel": link.channel, "account": link.account, "person": link.person}
    return work.timeline.append(EVERYWHERE, kind, actor, text, data)


def _tell(work: UnitOfWork, event: TimelineEvent, *, in_channel: str, rules: Rulebook) -> None:
    """Promise the news to the other chat, where that is still one of ours."""
    if in_channel not in rules.channels:
        return
    payload = {"what": LINKED, "incident": EVERYWHERE, "arg": str(event.seq), "kind": event.kind, **event.data}
    work.effects.intend(f"{event.kind}:{event.seq}:{in_channel}", CHAT + in_channel, payload)


def forget_the_gone(work: UnitOfWork, rules: Rulebook) -> None:
    """Remove the links of people who left the configuration: who gets their name later is somebody else."""
    for link in work.account_links.all():
        if link.person not in rules.roster.people:
            work.account_links.remove(link.channel, link.account)
            text = f"The {link.channel} account {link.account} is linked no more: {link.person} left the configuration"
            _record(work, UNLINKED, link, actor=BOT, text=text)


def _whose(person: Person, words: list[str], rules: Rulebook) -> Person:
    """Return whose accounts a command is about: one's own; an admin may name somebody else."""
    if not words:
        return person
    named = " ".join(words).lower()
    found = next((one for one in rules.roster.people.values() if named in {one.id.lower(), one.name.lower()}), None)
    if found is not person:
        require_role(person, Role.ADMIN)
    if found is None:
        raise Refused(f'Nobody is called "{named[:60]}".', Reason.NOT_FOUND)
    return found


def _list(work: UnitOfWork, person: Person, rules: Rulebook) -> str:
    lines = [f"{channel}: {account}, in the configuration" for channel, account in sorted(person.accounts.items())]
    for link in work.account_links.of(person.id):
        rest = "" if counts(link, rules) else "; not used: the configuration says otherwise"
        lines.append(f"{link.channel}: {link.account}, linked {link.linked_at:%Y-%m-%d}{rest}")
    return "\n".join([f"Accounts of {person.name}:", *(lines or ["none"])])


def _remove(work: UnitOfWork, person: Person, words: list[str], rules: Rulebook) -> str:
    if not words:
        raise Refused("Which one? Say /link remove CHANNEL, for example /link remove telegram.", Reason.BAD_INPUT)
    channel, owner = words[0].lower(), _whose(person, words[1:], rules)
    link = next((one for one in work.account_links.of(owner.id) if one.channel.lower() == channel), None)
    if link is None:
        if channel in owner.accounts:
            text = f"The {channel} account of {owner.name} stands in the configuration; an admin removes it there."
            raise Refused(text, Reason.NOT_FOUND)
        raise Refused(f"{owner.name} has no linked account in {channel[:60]}. See /link list.", Reason.NOT_FOUND)
    work.account_links.remove(link.channel, link.account)
    text = f"{person.name} removed the {link.channel} account {link.account} of {owner.name}"
    event = _record(work, UNLINKED, link, actor=person.id, text=text)
    _tell(work, event, in_channel=link.channel, rules=rules)
    return f"Removed. {link.account} in {link.channel} is no account of {owner.name} any more."
