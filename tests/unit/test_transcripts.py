"""Rows of model runs: in order, once, byte for byte; and old databases get their table."""

from sqlalchemy import inspect, text

from bot.domain.transcript import Step, StepKind
from bot.store.database import VERSION_TABLE, migrate, open_engine
from tests.worldkit import FixedClock, make_store


def row(seq: int, body: str = "{}", key: str = "") -> Step:
    return Step(run="INC-1:1", seq=seq, kind=StepKind.MODEL, key=key or f"model:{seq}", body=body)


def test_rows_come_back_in_order_and_byte_for_byte(tmp_path):
    store = make_store(tmp_path, FixedClock())
    bodies = ['{"a":"ä€\\u0000\\n"}', '{ "b" :1}', "{}"]
    with store.begin() as work:
        assert [work.transcripts.add(row(n, body)) for n, body in enumerate(bodies)] == [True] * 3
    with store.begin() as work:
        assert [step.body for step in work.transcripts.of("INC-1:1")] == bodies
        assert work.transcripts.of("INC-1:2") == ()


def test_a_place_is_taken_once_and_no_place_is_left_out(tmp_path):
    store = make_store(tmp_path, FixedClock())
    with store.begin() as work:
        assert work.transcripts.add(row(0))
        assert not work.transcripts.add(row(0, '{"other":1}', "other"))
        assert not work.transcripts.add(row(2))
        assert len(work.transcripts.of("INC-1:1")) == 1


def test_a_database_of_the_first_version_is_brought_up(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'old.db'}")
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE step"))
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0001'"))
    migrate(engine)
    with engine.connect() as connection:
        assert inspect(connection).has_table("step")
    engine.dispose()
