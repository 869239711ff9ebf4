"""Messages that are about no single incident: the summary of what is open, the news of people's accounts."""

from collections.abc import Mapping
from typing import Final

from bot.domain.chat import Message
from bot.ports.work import UnitOfWork
from bot.render.accounts import render_linked
from bot.render.links import Links
from bot.render.summary import render_summary
from bot.services.linking import LINKED
from bot.services.rulebook import Rulebook

_MOST: Final = 500


def compose_summary(work: UnitOfWork, rules: Rulebook, links: Links, channel: str = "") -> Message:
    """Return what is open, with `channel` of what is shown there alone."""
    shown = [one for one in work.incidents.recent(_MOST) if not channel or channel in one.channels]
    names = {key: person.name for key, person in rules.roster.people.items()}
    return render_summary(shown, now=work.now, names=names, links=links)


class BoardComposer:
    """Renders effects that name no incident."""

    def __init__(self, rules: Rulebook, links: Links) -> None:
        self._rules = rules
        self._links = links

    def summary(self, work: UnitOfWork, _payload: Mapping[str, str], channel: str) -> Message:
        return compose_summary(work, self._rules, self._links, channel)

    def linked(self, _work: UnitOfWork, payload: Mapping[str, str], _channel: str) -> Message:
        """Tell where somebody is known that an account of theirs came or went."""
        return render_linked(
            slot=f"{LINKED}:{payload['arg']}",
            person=payload["person"],
            name=self._rules.name_of(payload["person"]),
            channel=payload["channel"],
            account=payload["account"],
            is_there=payload["kind"] == LINKED,
        )
