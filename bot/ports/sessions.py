"""Who is signed in to the web pages: one-time links and sessions, kept so that they survive a restart.

Only sha256 digests of tokens get here: whoever reads the store can sign in as nobody.
"""

from datetime import datetime
from typing import Protocol


class SessionStore(Protocol):
    """Synchronous, a few milliseconds each: call with `asyncio.to_thread`.

    `person` is a person's id in the roster, `token_hash` 64 hex characters, times are aware.
    Links and sessions have separate key spaces. Rows past their expiry may be deleted at any call.
    """

    def create_link(self, person: str, token_hash: str, expires: datetime) -> None:
        """Keep a one-time link. `token_hash` is new: never written before."""
        ...

    def find_link(self, token_hash: str, now: datetime) -> str | None:
        """Return the person of a link that is neither used nor expired (`now < expires`). Changes nothing."""
        ...

    def consume_link(self, token_hash: str, now: datetime) -> str | None:
        """Use the link up and return its person; None where it is unknown, used or expired.

        Of any number of concurrent calls exactly one gets the person.
        """
        ...

    def create_session(self, person: str, token_hash: str, expires: datetime) -> None:
        """Keep a session. `token_hash` is new: never written before."""
        ...

    def find_session(self, token_hash: str, now: datetime) -> str | None:
        """Return the person of a session that has neither ended nor expired (`now < expires`)."""
        ...

    def end_session(self, token_hash: str) -> None:
        """Forget a session. Unknown ones are no error; may be repeated."""
        ...
