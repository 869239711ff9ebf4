"""The doctor's look at contacts: whom they wake and when, and which cannot be used. Nothing is sent."""

import asyncio
from collections.abc import Sequence

from bot.bootstrap.contacts import make_contacts
from bot.bootstrap.doctor.checks import Found, mend, ok
from bot.domain.oncall import Contact
from bot.errors import ConfigError
from bot.render.words import write_span
from bot.settings import Settings


async def check_contacts(settings: Settings) -> Sequence[Found]:
    try:
        await asyncio.to_thread(make_contacts, settings)
    except ConfigError as error:
        how = "mend its address, see docs/paging.md; until then Nightshift does not start"
        return [mend("contacts", str(problem), how) for problem in error.problems]
    people = settings.roster().people.values()
    return [ok("contacts", f"{one.id}: {_tell(one.contacts)}") for one in people if one.contacts] or [
        ok("contacts", "nobody has any; people are paged in chat alone")
    ]


def _tell(contacts: Sequence[Contact]) -> str:
    return ", ".join(f"{one.name} {_tell_delay(one)}" for one in contacts)


def _tell_delay(contact: Contact) -> str:
    return f"after {write_span(contact.after)}" if contact.after else "at once"
