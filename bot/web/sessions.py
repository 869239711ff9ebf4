"""Signing in to the pages: a one-time link becomes a session; only digests of their tokens are stored."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from bot.ports.clock import Clock
from bot.ports.sessions import SessionStore

LINK_LIFE: Final = timedelta(minutes=15)
SESSION_LIFE: Final = timedelta(hours=12)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, kw_only=True)
class SignedIn:
    """A live session: whose it is, and the token that each of its forms must carry."""

    person: str
    csrf: str


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """Makes links, turns them into sessions, and finds sessions again. Synchronous, like its store."""

    store: SessionStore
    clock: Clock
    link_life: timedelta = LINK_LIFE
    session_life: timedelta = SESSION_LIFE

    def make_link(self, person_id: str) -> str:
        """Return the path of a new one-time sign-in link for a person of the roster."""
        token = secrets.token_urlsafe(32)
        self.store.create_link(person_id, _hash_token(token), self.clock.now() + self.link_life)
        return f"/signin/{token}"

    def person_of_link(self, token: str) -> str | None:
        """Return whom a link would sign in, without using it up; None when it no longer counts."""
        if _TOKEN.fullmatch(token) is None:
            return None
        return self.store.find_link(_hash_token(token), self.clock.now())

    def redeem(self, token: str) -> str | None:
        """Use a link up and return the token of a new session; None when the link does not count."""
        if _TOKEN.fullmatch(token) is None:
            return None
        now = self.clock.now()
        person = self.store.consume_link(_hash_token(token), now)
        if person is None:
            return None
        session = secrets.token_urlsafe(32)
        self.store.create_session(person, _hash_token(session), now + self.session_life)
        return session

    def find(self, session: str) -> SignedIn | None:
        """Return the live session that a cookie names."""
        if _TOKEN.fullmatch(session) is None:
            return None
        person = self.store.find_session(_hash_token(session), self.clock.now())
        return None if person is None else SignedIn(person=person, csrf=_csrf_token(session))

    def end(self, session: str) -> None:
        """Sign out; a session that is gone already is no error."""
        if _TOKEN.fullmatch(session) is not None:
            self.store.end_session(_hash_token(session))


def _hash_token(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _csrf_token(session: str) -> str:
    """Derive the form token from the session's secret: nothing more to store, and gone with the session."""
    return hmac.new(session.encode(), b"nightshift form", hashlib.sha256).hexdigest()
