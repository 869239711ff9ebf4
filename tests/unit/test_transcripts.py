"""Rows of model runs: in order, once, byte for byte; and old databases get their table."""

import json
import sqlite3
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import inspect, text

from bot.agent.redaction import load_redactor
from bot.agent.row_redaction import redact_step
from bot.agent.transcript import RunningDigest, build_request, digest_of, dump
from bot.domain.runs.transcript import Step, StepKind
from bot.errors import Unavailable
from bot.store.database import VERSION_TABLE, migrate, open_engine, open_session
from bot.store.transcripts import read_times
from tests.worldkit import NOW, FixedClock, make_store


def row(seq: int, body: str = "{}", key: str = "") -> Step:
    return Step(run="INC-1:1", seq=seq, kind=StepKind.MODEL, key=key or f"model:{seq}", body=body)


def test_rows_come_back_in_order_and_byte_for_byte(tmp_path):
    store = make_store(tmp_path, FixedClock())
    bodies = ['{"a":"ä€\\u0000\\n"}', '{ "b" :1}', "{}"]
    assert [store.append(row(n, body)) for n, body in enumerate(bodies)] == [True] * 3
    with store.begin() as work:
        assert [step.body for step in work.transcripts.of("INC-1:1")] == bodies
        assert work.transcripts.of("INC-1:2") == ()


def test_a_place_is_taken_once_and_no_place_is_left_out(tmp_path):
    store = make_store(tmp_path, FixedClock())
    assert store.append(row(0))
    assert not store.append(row(0, '{"other":1}', "other"))
    assert not store.append(row(2))
    with store.begin() as work:
        assert len(work.transcripts.of("INC-1:1")) == 1


LATER = (
    "step", "green_log", "told_change", "past_incident", "past_text", "account_link", "link_code", "wrong_code",
    "model_spend", "image",
)  # fmt: skip
"""Tables that the first version did not have."""


def test_a_database_of_the_first_version_is_brought_up(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'old.db'}")
    migrate(engine)
    with engine.begin() as connection:
        for later in LATER:
            connection.execute(text(f"DROP TABLE {later}"))
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0001'"))
    migrate(engine)
    with engine.connect() as connection:
        assert all(inspect(connection).has_table(name) for name in LATER)
    engine.dispose()


def test_a_row_carries_the_time_of_its_commit(tmp_path):
    clock = FixedClock()
    store = make_store(tmp_path, clock)
    store.append(row(0))
    clock.advance(seconds=5)
    store.append(row(1))
    with open_session(store.engine) as session:
        _, times = read_times(session, "INC-1:1")
    assert times == {0: NOW, 1: NOW + timedelta(seconds=5)}


def test_the_running_digest_is_that_of_the_whole_request():
    messages = [b'{"a":1}', b'{"b":"\xc3\xa4"}', b"{}"]
    digest = RunningDigest('{"head":1,"messages":[{}')
    for count in (1, 2, 2, 3):
        body = build_request(b'{"head":1,"messages":[{}', messages[:count])
        assert digest.of(messages[:count]) == digest_of(body)


def test_a_row_that_finds_the_database_locked_is_not_stored_and_can_be_stored_again(tmp_path, monkeypatch):
    monkeypatch.setattr("bot.store.database.BUSY_MS", 1)
    store = make_store(tmp_path, FixedClock())
    other = sqlite3.connect(store.engine.url.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        store.append(row(0))
    other.execute("ROLLBACK")
    other.close()
    assert store.append(row(0))


REDACTOR = load_redactor(["own-secret-of-the-bot"], b"k")
PIECES = (
    "own-secret-of-the-bot",
    "ghp_" + "aB3dE6gH9" * 4,
    "-----BEGIN RSA PRIVATE KEY-----",
    "MIIE" * 16,
    "password=",
)
PARTS = st.sampled_from(
    [*PIECES, "-----END RSA PRIVATE KEY-----", "\n", "\x1b[0m", " hunter2hunter2 ", "total", '": "']
)
TEXTS = st.lists(PARTS, max_size=4).map("".join)


@given(content=TEXTS, arguments=TEXTS, todo=st.lists(TEXTS, max_size=2))
def test_each_text_of_a_row_is_redacted_as_it_is_alone(content, arguments, todo):
    step = row(0, dump({"message": {"content": content, "name": arguments}, "todo": todo}))
    clean = REDACTOR.redact
    expected = {"message": {"content": clean(content), "name": clean(arguments)}, "todo": [clean(one) for one in todo]}
    assert json.loads(redact_step(step, clean).body) == expected
