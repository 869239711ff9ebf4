"""Messages that are about no single incident: the news of people's accounts."""

from collections.abc import Mapping

from bot.domain.chat import Message
from bot.ports.work import UnitOfWork
from bot.render.accounts import render_linked
from bot.render.links import Links
from bot.services.linking import LINKED
from bot.services.rulebook import Rulebook


class BoardComposer:
    """Renders effects that name no incident."""

    def __init__(self, rules: Rulebook, links: Links) -> None:
        self._rules = rules
        self._links = links

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
