"""Forges: where a pushed branch becomes a proposed change that people can review and merge."""

from typing import Protocol

from bot.domain.change import BranchRules, Change, ChangeRequest
from bot.ports.chat import Health


class Forge(Protocol):
    """One forge. Raises `Unavailable` (retry may help) or `Rejected` (final). It tries once; nothing is ever forced."""

    async def rules(self, repository: str, branch: str) -> BranchRules:
        """Return what the forge says of a branch."""
        ...

    async def find(self, repository: str, branch: str) -> Change | None:
        """Return the newest change proposed from a branch, None where there is none. May be repeated."""
        ...

    async def propose(self, request: ChangeRequest) -> Change:
        """Propose a change, or return the one that is there already. May be repeated."""
        ...

    async def merge(self, repository: str, number: int, sha: str) -> Change:
        """Merge a change if its head still is `sha`. One that is merged already is returned. May be repeated.

        Raises `Rejected` where the head moved, a rule of the branch forbids it, or it conflicts.
        """
        ...

    async def check(self) -> Health:
        """Say whether the forge can be used now."""
        ...
