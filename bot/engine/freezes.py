"""The tick that looks whether a freeze has begun or ended. It may be lost: the next one finds the same border."""

from bot.engine.tools import UnitWork
from bot.services.freezing import show_borders


class FreezeWatch(UnitWork):
    async def look(self) -> None:
        if self._rules.policy.freezes:
            await self._in_unit(lambda work: show_borders(work, self._rules))
