"""What wakes people outside of chat: one way, short, and no answer comes back."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class PageText:
    """Plain text without anything that a service could obey. The title stands alone where there is no room for more."""

    title: str
    body: str


class Pager(Protocol):
    """One contact of one person."""

    async def send(self, page: PageText) -> None:
        """Hand the text to the contact's service. Each call rings again: the service cannot tell a repeated one.

        Tries once. Raises `Unavailable` (trying again may help) or `Rejected` (final); the text of neither holds
        anything of the address.
        """
        ...
