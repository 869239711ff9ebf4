"""One-time links and the sessions they become."""

from datetime import timedelta

import pytest

from bot.web.sessions import Sessions
from tests.web_world import FixedClock, MemorySessions


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def store() -> MemorySessions:
    return MemorySessions()


@pytest.fixture
def sessions(store: MemorySessions, clock: FixedClock) -> Sessions:
    return Sessions(store=store, clock=clock)


def token_of(sessions: Sessions, person: str = "ada") -> str:
    return sessions.make_link(person).removeprefix("/signin/")


def test_a_link_becomes_a_session_once(sessions: Sessions) -> None:
    token = token_of(sessions)
    session = sessions.redeem(token)
    assert session is not None
    found = sessions.find(session)
    assert found is not None
    assert found.person == "ada"
    assert sessions.redeem(token) is None


def test_looking_at_a_link_does_not_use_it_up(sessions: Sessions) -> None:
    token = token_of(sessions)
    assert [sessions.person_of_link(token) for _ in range(3)] == ["ada"] * 3
    assert sessions.redeem(token) is not None
    assert sessions.person_of_link(token) is None


def test_a_link_ends_after_fifteen_minutes(sessions: Sessions, clock: FixedClock) -> None:
    token = token_of(sessions)
    clock.time += timedelta(minutes=15)
    assert sessions.person_of_link(token) is None
    assert sessions.redeem(token) is None


def test_a_session_ends_after_twelve_hours(sessions: Sessions, clock: FixedClock) -> None:
    session = sessions.redeem(token_of(sessions))
    assert session is not None
    clock.time += timedelta(hours=12) - timedelta(seconds=1)
    assert sessions.find(session) is not None
    clock.time += timedelta(seconds=1)
    assert sessions.find(session) is None


def test_signing_out_ends_it_at_once(sessions: Sessions) -> None:
    session = sessions.redeem(token_of(sessions))
    assert session is not None
    sessions.end(session)
    sessions.end(session)
    assert sessions.find(session) is None


def test_the_store_never_sees_a_token(sessions: Sessions, store: MemorySessions) -> None:
    link = token_of(sessions)
    kept = repr(store.links)
    session = sessions.redeem(link)
    assert session is not None
    kept += repr(store.sessions)
    assert link not in kept
    assert session not in kept


def test_what_is_stored_signs_nobody_in(sessions: Sessions, store: MemorySessions) -> None:
    token_of(sessions)
    (stored,) = store.links
    assert sessions.redeem(stored) is None
    assert sessions.redeem(stored[:43]) is None


def test_each_session_has_its_own_form_token(sessions: Sessions) -> None:
    tokens = set()
    for _ in range(2):
        session = sessions.redeem(token_of(sessions))
        assert session is not None
        found = sessions.find(session)
        assert found is not None
        assert session not in found.csrf
        tokens.add(found.csrf)
    assert len(tokens) == 2


@pytest.mark.parametrize("token", ["", "x", "é" * 43, "a" * 44, "../../etc", "a" * 42 + "\n"])
def test_what_cannot_be_a_token_is_nobody(sessions: Sessions, token: str) -> None:
    assert sessions.person_of_link(token) is None
    assert sessions.redeem(token) is None
    assert sessions.find(token) is None
