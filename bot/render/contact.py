"""Pages for telephones: what is wrong in the first words, short enough for one SMS, and nothing that anything obeys."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from bot.domain.incident import Incident, IncidentState
from bot.ports.pager import PageText
from bot.render.incident import name_problem
from bot.render.links import Links
from bot.render.words import write_clock

SMS: Final = 160
_JOINED: Final = 2
"""Characters between title and body where a service has no titles."""
_LEAST: Final = 40
"""Characters of the problem that are always told, however long the rest is."""
_DOTS: Final = "..."
_LINK: Final = re.compile(r"(?<=[A-Za-z0-9])://")
_PLAIN: Final = str.maketrans(
    {
        **dict.fromkeys("<[{", "("),
        **dict.fromkeys(">]}", ")"),
        **dict.fromkeys("*`~|\\^", " "),
        **dict.fromkeys("“”„", '"'),
        **dict.fromkeys("‘’‚", "'"),
        **dict.fromkeys("–—−", "-"),
        "…": _DOTS,
        "@": "(at)",
        "_": "-",
    }
)


def render_contact_page(
    incident: Incident, person: str, *, now: datetime, names: Mapping[str, str], links: Links
) -> PageText:
    """Return the page of one person. Title and body together fit an SMS, unless the link alone is too long for that."""
    said = f"{_plain(names.get(person, person), 30)}, since {write_clock(incident.alert_started_at, now)}."
    link = links.to_incident(incident.id)
    if incident.state is not IncidentState.TRIGGERED and incident.owner:
        wanted = f"{said} {_plain(names.get(incident.owner, incident.owner), 30)} has it, help is wanted"
        body = f"{wanted}: {link.url}" if link else f"{wanted}."
    else:
        body = f"{said} Acknowledge: {link.url}" if link else f"{said} Acknowledge {incident.id} in chat."
    head = f"{incident.id} {incident.severity.value}: "
    room = max(_LEAST, SMS - _JOINED - len(head) - len(body))
    return PageText(title=head + _plain(name_problem(incident), room), body=body)


def render_test_page(person: str, contact: str) -> PageText:
    """Return a page that nobody can take for a real one."""
    body = f"{_plain(person, 40)}, this tests your contact {_plain(contact, 40)}. Nothing is wrong, nothing is to do."
    return PageText(title="TEST page from Nightshift", body=body)


def _plain(text: str, limit: int) -> str:
    """Return one short line in which no service finds a mention, markup or a link, and most letters cost one of 160."""
    seen = "".join(sign if sign.isprintable() else " " for sign in text)
    line = " ".join(_LINK.sub(": //", seen.translate(_PLAIN)).split())
    return line if len(line) <= limit else line[: limit - len(_DOTS)].rstrip() + _DOTS
