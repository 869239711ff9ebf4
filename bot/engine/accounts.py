"""Who has which account, kept up to date for the connectors: they name people, and some write to them."""

import asyncio
from collections.abc import Mapping

from bot.ports.work import Store
from bot.services.access import linked_accounts
from bot.services.linking import forget_the_gone
from bot.services.rulebook import Rulebook


class AccountBook:
    """Gives each channel its accounts, and writes into them what people link while Nightshift runs."""

    def __init__(self, store: Store, rules: Rulebook) -> None:
        self._store = store
        self._rules = rules
        self._books: dict[str, dict[str, str]] = {}

    def open(self, channel: str) -> Mapping[str, str]:
        """Return the accounts of a channel by person; what is returned changes with each `refresh`."""
        return self._books.setdefault(channel, self._configured(channel))

    async def begin(self) -> None:
        """Let go of the links of people who left the configuration, and read the others. Raises `Unavailable`."""
        await asyncio.to_thread(self._forget)
        await self.refresh()

    async def refresh(self) -> None:
        """Read what was linked, here or by another process. Raises `Unavailable`."""
        linked = await asyncio.to_thread(self._read)
        for channel, book in self._books.items():
            now = {**self._configured(channel), **linked.get(channel, {})}
            if book != now:
                book.clear()
                book.update(now)

    def _configured(self, channel: str) -> dict[str, str]:
        people = self._rules.roster.people.items()
        return {key: person.accounts[channel] for key, person in people if channel in person.accounts}

    def _forget(self) -> None:
        with self._store.begin() as work:
            forget_the_gone(work, self._rules)

    def _read(self) -> Mapping[str, Mapping[str, str]]:
        with self._store.begin() as work:
            return linked_accounts(work, self._rules)
