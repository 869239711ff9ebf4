"""Telling the core who was not reached."""

from collections.abc import Mapping

from bot.domain.chat import Undelivered
from bot.ports.chat import ChatInbox
from connectors.chat.whatsapp.memory import About


class Reporter:
    """Reports to the inbox that listens, once there is one. `accounts` are those of the configuration by number."""

    def __init__(self, channel: str, accounts: Mapping[str, str]) -> None:
        self._channel = channel
        self._accounts = accounts
        self.inbox: ChatInbox | None = None

    async def report(self, number: str, about: About, *, why: str, event: str) -> None:
        """Raises `Unavailable` where it could not be stored; the same event twice is one report."""
        if self.inbox is None:
            return
        missed = Undelivered(
            event=event,
            channel=self._channel,
            account=self._accounts.get(number, number),
            incident=about.incident,
            slot=about.slot,
            why=why,
        )
        await self.inbox.report(missed)
