"""How people are woken outside of chat: contacts, the variables of their addresses, and what of them is secret."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from bot.domain.oncall import Contact
from bot.domain.text.wellformed import fault_of_name
from bot.errors import Problem
from bot.settings_sections import ContactSettings, PersonSettings

_NO_VARIABLE: Final = re.compile(r"[^A-Z0-9]")
_TOKEN: Final = re.compile(r"\+?[0-9]{9,}|(?=[^0-9]*[0-9])(?:[A-Za-z0-9_]{16,}|[A-Za-z0-9_-]{24,})")
"""A part of an address that no other text holds by chance: a key, an account, a telephone number."""


def name_variable(person: str, contact: str) -> str:
    """Return the variable that holds a contact's address: NIGHTSHIFT_ANA_SMS_URL."""
    return f"NIGHTSHIFT_{_NO_VARIABLE.sub('_', f'{person}_{contact}'.upper())}_URL"


def add_contact_variables(people: object, variables: Mapping[str, str]) -> Iterator[str]:
    """Put the addresses of contacts into a file's `people`, and yield the variables that were used."""
    spelt = {variable.upper(): variable for variable in variables}
    for person, contact, table in _find_tables(people):
        variable = spelt.get(name_variable(person, contact))
        if variable is not None:
            table["url"] = variables[variable]
            yield variable


def _find_tables(people: object) -> Iterator[tuple[str, str, dict[str, object]]]:
    for person, values in people.items() if isinstance(people, dict) else ():
        contacts = values.get("contacts") if isinstance(values, dict) else None
        for contact, table in contacts.items() if isinstance(contacts, dict) else ():
            if isinstance(table, dict):
                yield str(person), str(contact), table


def build_contacts(contacts: Mapping[str, ContactSettings]) -> tuple[Contact, ...]:
    """Return contacts in the order in which they are used; equal delays stay in the order of the file."""
    built = [Contact(name=name, after=timedelta(seconds=contact.after)) for name, contact in contacts.items()]
    return tuple(sorted(built, key=lambda contact: contact.after))


def check_contacts(people: Mapping[str, PersonSettings]) -> Iterator[Problem]:
    """Yield what is wrong with anybody's contacts, as far as it can be told without what sends to them."""
    taken: dict[str, str] = {}
    for person, values in people.items():
        for name, contact in values.contacts.items():
            where, variable = f"people.{person}.contacts.{name}", name_variable(person, name)
            fault = fault_of_name(name)
            if fault:
                yield Problem(where=where, what=fault)
            other = taken.setdefault(variable, where)
            if other != where:
                yield Problem(where=where, what=f"shares the variable {variable} with {other}; give it another name")
            if contact.url is None or not contact.url.get_secret_value().strip():
                yield Problem(where=f"{where}.url", what=f"is missing; set {variable} to an address of apprise")


def list_secrets(contacts: Mapping[str, ContactSettings]) -> Iterator[str]:
    """Yield each address, and those of its parts that are keys, passwords or numbers of telephones."""
    for contact in contacts.values():
        url = contact.url.get_secret_value().strip() if contact.url else ""
        if url:
            yield url
            yield from _find_tokens(url)


def _find_tokens(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    yield from (text for text in (parts.password, unquote(parts.password or "")) if text)
    place, _, _ = parts.netloc.rpartition("@")
    written = [place.partition(":")[0], parts.netloc.rpartition("@")[2], *parts.path.split("/")]
    written += [value for _, value in parse_qsl(parts.query)]
    for text in (form for part in written for form in (part, unquote(part))):
        if _TOKEN.fullmatch(text):
            yield text
