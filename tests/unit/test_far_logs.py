"""Logs that must be asked for: read in the front process, all at once, and handed to the worker with the reasons."""

import importlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest
from pydantic import SecretStr

from bot.bootstrap.log_sources import make_opener, read_stores
from bot.bootstrap.places import open_file
from bot.bootstrap.platforms import make_platforms
from bot.domain.evidence import LogLine
from bot.domain.investigation import Job, LogRead
from bot.domain.service import LogPlace, Service
from bot.engine import far_logs
from bot.engine.far_logs import fetch_far_logs
from bot.engine.handlers import Handlers
from bot.engine.tools import Tools as EngineTools
from bot.errors import ConfigError, Reason, Rejected, Unavailable
from bot.ports.logs import LogQuery
from bot.settings import load_settings
from bot.settings_connections import LOG_STORES
from bot.settings_sections import SECRET_NAME
from bot.worker.collect import collect
from bot.worker.messages import ORDERS, Investigate, OrderFrame
from bot.worker.tools import Tools
from tests.worldkit import NOW, PLAYBOOK, make_world, quiet  # noqa: F401 -- `quiet` is a fixture

LOKI = LogPlace(kind="loki", query='{app="shop"}')
JOURNAL = LogPlace(kind="journald", query="_SYSTEMD_UNIT=shop.service")
FILE = LogPlace(kind="file", path="/var/log/shop.log")
TOOLS = Tools(
    log_source=lambda place: Given(place, [line("in a file")]),
    workspaces=None, sandbox=None, prepare_toolchain=None,
    redact=lambda text: text.replace("hunter2", "[redacted]"),
    redact_lines=lambda lines: [text.replace("hunter2", "[redacted]") for text in lines],
)  # fmt: skip


def line(text: str) -> LogLine:
    return LogLine(source="loki", number=1, text=text, at=NOW)


class Given:
    """A source with these lines, or this error."""

    def __init__(self, place: LogPlace, lines, *, notes=()) -> None:
        self._lines, self.notes, self.name = lines, list(notes), place.kind

    def read(self, query: LogQuery) -> Iterator[LogLine]:
        if isinstance(self._lines, Exception):
            raise self._lines
        return iter(self._lines)


def make_job(*places: LogPlace) -> Job:
    service = Service(name="shop", repository="/shop", logs=places)
    return Job(
        run="INC-1:1", incident="INC-1", service=service, playbook=PLAYBOOK, title="T", alert_started_at=NOW, now=NOW,
        folder="/nowhere",
    )  # fmt: skip


async def test_far_places_are_read_and_files_are_left_to_the_worker():
    opened = []

    def open_log(place: LogPlace) -> Given:
        opened.append(place)
        return Given(place, [line(f"ERROR: {place.kind} hunter2")], notes=["only the newest"])

    job = await fetch_far_logs(make_job(LOKI, FILE, JOURNAL), open_log)
    assert opened == [LOKI, JOURNAL]
    order = ORDERS.validate_json(ORDERS.dump_json(OrderFrame(order=Investigate(call=1, job=job)))).order
    collected = collect(order.job, TOOLS)
    assert collected.lines_read == 3
    assert "hunter2" not in str(collected)
    assert collected.notes.count("only the newest") == 2


async def test_one_that_is_dead_is_a_note_that_names_it_and_the_others_count():
    def open_log(place: LogPlace) -> Given:
        dead = Unavailable("Loki failed (503), asked for the log of shop", Reason.SERVER_ERROR)
        return Given(place, dead if place is LOKI else [line("ERROR: journal")])

    collected = collect(await fetch_far_logs(make_job(LOKI, JOURNAL), open_log), TOOLS)
    assert collected.lines_read == 1
    assert any('loki log {app="shop"} could not be read' in note and "503" in note for note in collected.notes)


async def test_no_data_says_which_place_and_range():
    collected = collect(await fetch_far_logs(make_job(LOKI), lambda place: Given(place, [])), TOOLS)
    assert any(note.startswith('no log line in {app="shop"} between ') for note in collected.notes)


async def test_a_slow_one_is_not_waited_for_and_all_are_read_at_once(monkeypatch):
    monkeypatch.setattr(far_logs, "SECONDS", 0.05)
    monkeypatch.setattr(far_logs, "SLACK", 0.05)
    free = threading.Event()

    class Slow(Given):
        def read(self, query: LogQuery) -> Iterator[LogLine]:
            free.wait(5)
            return iter(())

    began = time.monotonic()
    job = await fetch_far_logs(make_job(LOKI, JOURNAL, LOKI), lambda place: Slow(place, []))
    assert time.monotonic() - began < 3
    free.set()
    assert [read.fault for read in job.far_logs] == ["no answer within 0.05 s"] * 3


async def test_each_place_has_its_share_of_the_bytes():
    asked = []

    class Asked(Given):
        def read(self, query: LogQuery) -> Iterator[LogLine]:
            asked.append(query)
            return iter(())

    job = make_job(LOKI, JOURNAL)
    await fetch_far_logs(job, lambda place: Asked(place, []))
    assert [query.max_bytes for query in asked] == [far_logs.MAX_BYTES // 2] * 2
    assert (asked[0].since, asked[0].until) == job.log_span
    assert asked[0].until <= NOW + timedelta(minutes=1)


async def test_a_mistake_of_a_source_is_a_reason_too():
    job = await fetch_far_logs(make_job(LOKI), lambda place: Given(place, OSError("disk")))
    assert job.far_logs == (LogRead(place=LOKI, fault="OSError while reading it"),)


async def test_what_was_not_read_is_said_by_the_worker():
    collected = collect(make_job(LOKI), TOOLS)
    assert any("was not read for this investigation" in note for note in collected.notes)


@pytest.mark.parametrize(
    "job", [make_job(FILE), replace(make_job(LOKI), playbook=replace(PLAYBOOK, evidence=("changes",)))]
)
async def test_nobody_is_asked_where_there_is_nothing_to_ask_for(job):
    assert await fetch_far_logs(job, lambda place: pytest.fail("asked")) is job


CONFIG = """
[services.shop]
repository = "/shop"
logs = [
  {{ kind = "loki", query = '{{app="shop"}}' }},
  {{ kind = "journald", query = "_SYSTEMD_UNIT=shop.service" }},
  {{ kind = "command", command = ["docker"], path = "shop-1", env = ["DOCKER_HOST"] }},
  {{ path = "/var/log/shop.log" }},
]
{more}
"""


def settings_of(folder: Path, more: str = '[connections.loki]\nurl = "http://loki:3100"\n'):
    file = folder / "nightshift.toml"
    file.write_text(CONFIG.format(more=more))
    return load_settings(file)


class TestConfiguration:
    def test_every_kind_is_opened_by_the_connector_of_its_name(self, tmp_path, monkeypatch):
        monkeypatch.setenv("NIGHTSHIFT_LOKI_TOKEN", "s3cr3t-loki")
        settings = settings_of(tmp_path)
        opener = make_opener(settings)
        places = settings.service_map()["shop"].logs
        modules = [type(opener(place)).__module__ for place in places]
        assert modules == [f"connectors.logs.{kind}" for kind in ("loki", "journald", "command", "file")]
        assert read_stores(settings)["loki"].token.get_secret_value() == "s3cr3t-loki"
        assert "s3cr3t-loki" in settings.secrets()
        assert set(make_platforms(settings).ci) == {"local"}, "a log store is no CI system"

    @pytest.mark.parametrize("name", LOG_STORES)
    def test_the_redactor_knows_every_secret_of_a_store_by_its_name(self, name):
        module = importlib.import_module(f"connectors.logs.{name}")
        for field, info in module.Settings.model_fields.items():
            is_secret = info.annotation is SecretStr or SecretStr in get_args(info.annotation)
            assert bool(SECRET_NAME.search(field)) is is_secret, field

    def test_the_worker_opens_files_alone(self):
        with pytest.raises(Rejected, match="is not read here"):
            open_file(LOKI)

    def test_a_store_without_an_address_or_with_unknown_settings_is_refused_at_the_start(self, tmp_path):
        for more in ("", '[connections.loki]\nurl = "loki"\n', '[connections.loki]\nurl = "http://l"\nextra = 1\n'):
            with pytest.raises(ConfigError, match=r"connections\.loki"):
                make_opener(settings_of(tmp_path, more))

    @pytest.mark.parametrize(
        ("place", "says"),
        [
            ('{ kind = "loki" }', "without a query"),
            ('{ kind = "elasticsearch", query = "x" }', "without a path"),
            ('{ kind = "command" }', "without a command"),
            ('{ kind = "file", path = " " }', "without a path"),
            ('{ kind = "os.path", path = "x" }', "no log connector"),
            ('{ path = "x", command = ["rm"] }', 'only the kind "command"'),
        ],
    )
    def test_a_place_that_cannot_be_one_is_refused(self, tmp_path, place, says):
        file = tmp_path / "nightshift.toml"
        file.write_text(f'[services.shop]\nrepository = "/shop"\nlogs = [{place}]\n')
        with pytest.raises(ConfigError, match=says):
            load_settings(file)


class TestThePhases:
    @pytest.mark.parametrize(("name", "asked"), [("equip", [LOKI]), ("localize", [])])
    async def test_who_reads_gets_logs_and_a_revert_does_not_wait_for_them(self, tmp_path, name, asked):
        opened = []
        world = make_world(tmp_path)
        tools = EngineTools(
            investigator=None, workspaces=None, ci={}, folder=tmp_path, redact=str,
            open_log=lambda place: opened.append(place) or Given(place, [line("x")]),
        )  # fmt: skip
        job = await getattr(Handlers(world.store, world.rules, tools), name)(make_job(LOKI))
        assert opened == asked
        assert len(job.far_logs) == len(asked)
