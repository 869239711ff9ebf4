"""The address of the database: read or refused, and never repeated."""

import pytest

from bot.errors import ConfigError
from bot.settings import Settings, load_settings

URL = "NIGHTSHIFT_DATABASE_URL"


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def load(monkeypatch, url: str) -> Settings:
    monkeypatch.setenv(URL, url)
    return load_settings(None)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://night:pa%2Fss%40word@db.example.org:5432/nightshift",
        "postgresql://night:pa%2Fss%40word@[::1]/nightshift?sslmode=require",
    ],
)
def test_its_password_is_a_secret_in_both_spellings(monkeypatch, url):
    settings = load(monkeypatch, url)
    assert {"pa%2Fss%40word", "pa/ss@word"} <= set(settings.secrets())
    assert "pa%2F" not in repr(settings)


def test_a_socket_needs_no_password(monkeypatch):
    assert load(monkeypatch, "postgresql:///nightshift?host=/run/postgresql").secrets() == ()


@pytest.mark.parametrize(
    "url",
    [
        "mysql://night:hidden-word@db/nightshift",
        "sqlite:///hidden-word.db",
        "hidden-word",
        "",
        "postgresql://night:hidden-word@db",
        "postgresql://night:hidden-word@db/",
        "postgresql://night:hidden-word/x@db/nightshift",
        "postgresql://night:1/hidden-word@db/nightshift",
        "postgresql://night:1?hidden-word@db/nightshift",
        "postgresql://night:1#hidden-word@db/nightshift",
        "postgresql://night:hidden-word@db:port/nightshift",
        "postgresql://night:hidden-word@[db/nightshift",
        "postgresql://night:hidden-word@db:99999999/nightshift",
    ],
)
def test_one_that_cannot_be_used_is_refused_without_a_word_of_it(monkeypatch, url):
    with pytest.raises(ConfigError) as refusal:
        load(monkeypatch, url)
    assert "hidden-word" not in str(refusal.value)
    assert "database_url" in str(refusal.value)


@pytest.mark.parametrize(("lease", "beat", "fine"), [("15", "7.5", True), ("15", "8", False), ("3", "5", False)])
def test_a_lease_outlives_one_late_beat(monkeypatch, lease, beat, fine):
    monkeypatch.setenv("NIGHTSHIFT_LIMITS__LEASE_SECONDS", lease)
    monkeypatch.setenv("NIGHTSHIFT_LIMITS__BEAT_SECONDS", beat)
    if fine:
        assert load_settings(None).limits.beat_seconds == float(beat)
        return
    with pytest.raises(ConfigError, match="beat_seconds"):
        load_settings(None)
