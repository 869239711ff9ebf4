"""`replay` where the state is in PostgreSQL: the same bytes, while other processes hold the database."""

import json
from collections.abc import Iterator

import pytest

from bot.bootstrap.commands.replay import replay_stored
from bot.services.intake import receive_alerts
from bot.settings import Settings
from bot.store.database import SqlStore, migrate, open_engine
from tests.agent_world import AgentWorld, ScriptedModel, say
from tests.postgres import PostgresServer, serve_postgres
from tests.worldkit import FixedClock, PhaseLog, alert, group, make_rules

ODD = "Grüße \x00 \x1b[2J \u202e"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with serve_postgres() as server:
        yield server


async def test_a_run_is_replayed_byte_for_byte(server, tmp_path):
    url = server.new_database()
    engine = open_engine(url)
    migrate(engine)
    clock = FixedClock()
    store = SqlStore(engine, clock, PhaseLog(clock).of_session)
    shop = AgentWorld(model=ScriptedModel(script=[say(ODD, ("grep", {"pattern": "ä"})), say(ODD), say(ODD)]))
    await shop.run()
    with store.begin() as work:
        receive_alerts(work, [group(alert())], make_rules())
    assert all(store.append(row) for row in shop.rows)
    assert not store.append(shop.rows[-1]), "a place is taken once"
    settings = Settings(server={"state_dir": tmp_path}, database_url=url)
    told = json.loads(replay_stored(settings, "INC-1", as_json=True, with_requests=True).text)
    asked = [event for event in told["events"] if event["event"] == "asked"]
    assert [event["request"]["body"].encode() for event in asked] == shop.model.requests
    assert told["sound"]
    text = replay_stored(settings, "INC-1:1", as_json=False, with_requests=False).text
    assert all(character == "\n" or character.isprintable() for character in text)
    assert "3 of 3 requests made again byte for byte" in text
    engine.dispose()
