"""The tick that looks whether a freeze has begun or ended. It may be lost: the next one finds the same border."""

from bot.engine.tools import in_unit
from bot.ports.work import Store
from bot.services.freezing import show_borders
from bot.services.rulebook import Rulebook


class FreezeWatch:
    def __init__(self, store: Store, rules: Rulebook) -> None:
        self._store = store
        self._rules = rules

    async def look(self) -> None:
        if self._rules.policy.freezes:
            await in_unit(self._store, lambda work: show_borders(work, self._rules))
