"""What a command hears that reads the store of a Nightshift which need not be running."""

import pytest
from sqlalchemy import text

from bot.bootstrap.state import STORE_FILE, open_empty_store, read_store
from bot.errors import Reason, Refused
from bot.settings import Settings
from bot.store.database import VERSION_TABLE


@pytest.fixture
def settings(tmp_path):
    return Settings(server={"state_dir": tmp_path})


def test_a_store_of_this_version_is_read(settings, tmp_path):
    with open_empty_store(tmp_path), read_store(settings) as store, store.begin() as work:
        assert work.timeline.all() == []


@pytest.mark.parametrize(
    ("revision", "says"),
    [
        ("0001", r"older \(0001\) than this Nightshift \(\d+\): start it"),
        ("9999", r"newer \(9999\) than this Nightshift \(\d+\): use the newer one"),
    ],
)
def test_a_store_of_another_version_is_named_with_what_to_do(settings, tmp_path, revision, says):
    with open_empty_store(tmp_path) as store, store.engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'"))
    with pytest.raises(Refused, match=says) as refusal, read_store(settings):
        pass
    assert refusal.value.reason is Reason.CONFLICT


def test_a_file_without_tables_is_a_store_that_was_lost(settings, tmp_path):
    (tmp_path / STORE_FILE).touch()
    says = f"No tables are in .*{STORE_FILE}: restore a backup"
    with pytest.raises(Refused, match=says) as refusal, read_store(settings):
        pass
    assert refusal.value.reason is Reason.BAD_INPUT
