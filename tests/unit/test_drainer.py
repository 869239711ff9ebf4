"""From the inbox into incidents: in order, many in one transaction, nothing lost, nothing that stops the rest."""

import asyncio
import json
import sqlite3
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import event

from bot.domain.alert import AlertGroup
from bot.domain.incident import IncidentState
from bot.engine.compose import Composer
from bot.engine.drainer import PACE, TOGETHER, Drainer
from bot.render.links import Links
from bot.store.inbox import Inbox
from connectors.alerts.alertmanager import Settings, Source
from tests.worldkit import World, alert, body, make_world, quiet  # noqa: F401 -- `quiet` is a fixture

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "samples" / "alertmanager"
SOURCES = {"alertmanager": Source(Settings(token=SecretStr("secret")))}


@pytest.fixture
def world(tmp_path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def inbox(tmp_path, world):
    box = Inbox(tmp_path / "inbox.db", world.clock, max_pending=20_000)
    yield box
    box.close()


@pytest.fixture
async def drainer(world, inbox) -> Drainer:
    return Drainer(inbox, world.store, SOURCES, world.rules, sweep=60)


async def drain(drainer: Drainer) -> None:
    while await drainer.drain():
        pass


async def keep(inbox: Inbox, *deliveries: bytes, source: str = "alertmanager") -> list[int]:
    return list(await asyncio.gather(*(inbox.keep(source, item) for item in deliveries)))


async def test_a_delivery_becomes_an_incident_and_leaves_the_queue(world, inbox, drainer):
    await keep(inbox, body(alert()))
    await drain(drainer)
    assert world.incident().state is IncidentState.TRIGGERED
    assert (await inbox.depth()).pending == 0
    assert await drainer.drain() == 0


async def test_firing_and_resolved_are_taken_in_the_order_in_which_they_came(world, inbox, drainer):
    await inbox.keep("alertmanager", body(alert()))
    await inbox.keep("alertmanager", body(alert(firing=False)))
    await drain(drainer)
    assert world.incident().state is IncidentState.RESOLVED


async def test_ten_thousand_identical_alerts_are_one_incident(world, inbox, drainer):
    row = ("alertmanager", 0.0, body(alert()))
    insert = "INSERT INTO delivery (source, received_at, body) VALUES (?, ?, ?)"
    await inbox._do(lambda connection: connection.executemany(insert, [row] * 10_000))
    began = time.process_time()
    await drain(drainer)
    assert time.process_time() - began < 5
    assert [(item.id, item.alerts_seen) for item in world.incidents()] == [("INC-1", 10_000)]
    assert len(world.pages()) == 1
    assert (await inbox.depth()).pending == 0


async def test_the_official_sample_is_one_incident_with_two_alerts(world, inbox, drainer):
    sample = SAMPLES / "webhook_payload_oncall_sample.json"
    if not sample.is_file():
        pytest.skip("the samples lie beside the checkout only where Nightshift is developed")
    payload = json.loads(sample.read_text())["payload"]
    await keep(inbox, json.dumps(payload).encode())
    await drain(drainer)
    (incident,) = world.incidents()
    assert (incident.title, incident.service) == ("Instance 10.0.0.11:9100 down", "node")
    assert (incident.firing, incident.runbook_url) == (2, "https://runbooks.example/InstanceDown")


async def test_a_crash_before_they_are_marked_counts_them_again_and_pages_nobody_again(world, inbox, drainer):
    await keep(inbox, body(alert()))
    waiting = await inbox.next()
    await drain(drainer)

    class SameAgain:
        async def next(self, limit=512):
            return waiting

        async def settle(self, numbers):
            return None

    await Drainer(SameAgain(), world.store, SOURCES, world.rules, sweep=60).drain()
    assert [item.alerts_seen for item in world.incidents()] == [2]
    assert len(world.pages()) == 1
    assert world.phases.keys("triage") == ["INC-1:1"]


class TestWhatCannotBeRead:
    async def test_is_kept_and_paged_once_and_holds_nothing_up(self, world, inbox, drainer):
        junk = [b"junk %d" % n for n in range(3)]
        await keep(inbox, junk[0], body(alert()), junk[1], junk[2])
        await drain(drainer)
        assert sorted(item.title for item in world.incidents()) == [
            "Nightshift could not read an alert from alertmanager",
            "checkout answers 38 % of requests with 500",
        ]
        assert sorted(letter.body for letter in await inbox.dead_letters()) == junk
        assert all("not JSON" in letter.error for letter in await inbox.dead_letters())
        letters = next(item.id for item in world.incidents() if "could not read" in item.title)
        assert len(world.texts("paged", letters)) == 1

    async def test_of_a_sender_that_left_the_configuration(self, world, inbox, drainer):
        await keep(inbox, body(alert()), source="pagerduty")
        await drain(drainer)
        (letter,) = await inbox.dead_letters()
        assert letter.error == "pagerduty is no longer a configured sender"

    async def test_can_be_replayed_once_it_can_be_read(self, world, inbox, drainer):
        (number,) = await keep(inbox, body(alert()), source="grafana")
        await drain(drainer)
        await inbox.revive(number)
        await Drainer(inbox, world.store, {"grafana": SOURCES["alertmanager"]}, world.rules, sweep=60).drain()
        assert not await inbox.dead_letters()
        assert "checkout answers 38 % of requests with 500" in [item.title for item in world.incidents()]

    async def test_a_crash_before_it_is_buried_pages_once(self, world, inbox, drainer):
        await keep(inbox, b"junk")
        waiting = await inbox.next()
        await drain(drainer)
        await drainer._bury(waiting[0], "not JSON")
        assert len(world.texts("paged")) == 1


async def test_a_mistake_of_ours_buries_that_delivery_alone(world, inbox, drainer):
    class Crashing:
        def verify(self, request):
            return None

        def parse(self, raw):
            if raw == b"crash":
                raise ZeroDivisionError
            group = SOURCES["alertmanager"].parse(body(alert(raw.decode())))
            return replace(group, alerts=(replace(group.alerts[0], labels={1: 2}),)) if raw == b"poison" else group

    await keep(inbox, b"Before", b"crash", b"poison", b"After", source="odd")
    await Drainer(inbox, world.store, {"odd": Crashing()}, world.rules, sweep=60).drain()
    assert {letter.body for letter in await inbox.dead_letters()} == {b"crash", b"poison"}
    assert {"Before", "After"} <= {item.labels.get("alertname") for item in world.incidents()}
    assert (await inbox.depth()).pending == 0


def changed(**fields: object) -> bytes:
    delivery = json.loads(body(alert()))
    delivery["alerts"][0].update(fields)
    return json.dumps(delivery).encode()


HOSTILE = (
    changed(labels={"alertname": "half \ud800 a pair"}),
    changed(labels={"\udfff": "x"}),
    changed(annotations={"summary": "\udead"}),
    changed(labels={"\ud800": 5}),
    changed(labels={"alertname": "a\x00b", "service": "\x00"}, fingerprint="\x00"),
    changed(labels={"alertname": "x" * 200_000, "service": "checkout"}, fingerprint=""),
    changed(labels={}, annotations={}, fingerprint=""),
    changed(labels={"alertname": "<!channel> @everyone \u202e\x1b[2J"}),
    changed(annotations={"summary": "{{ 7*7 }} {% raw %}", "runbook_url": "javascript:alert(1)"}),
    changed(startsAt="0001-01-01T00:00:00Z"),
    changed(startsAt="0001-01-01T00:00:00+23:59"),
    changed(startsAt="9999-12-31T23:59:59.999999Z"),
    changed(startsAt="9999-12-31T23:59:59-23:59"),
    changed(startsAt="2026-03-04T03:10:05", endsAt="9999-12-31T23:59:59-12:00", status="resolved"),
    changed(startsAt=-62135596800),
    changed(generatorURL="http://[::1"),
    body(alert(), truncatedAlerts=10**4000),
    body(alert(), key="k" * 100_000),
    body(alert(), key="\ud800"),
    body(alert(), externalURL="\ud800"),
)


async def test_hostile_content_is_read_or_refused_but_never_stops_the_drainer(world, inbox, drainer):
    composer = Composer(world.store, world.rules, Links(base="https://nightshift.example"))
    seen: set[str] = set()
    for number, delivery in enumerate(HOSTILE):
        await keep(inbox, delivery, body(alert(f"Next{number}")))
        await drain(drainer)
        assert (await inbox.depth()).pending == 0
        assert any(item.labels.get("alertname") == f"Next{number}" for item in world.incidents())
        for what in ("card", "page", "status", "closed"):
            for effect in world.promised(what):
                if effect.key not in seen:
                    seen.add(effect.key)
                    composer.compose(effect, "web")


@asynccontextmanager
async def running(drainer: Drainer):
    """Run a drainer for the length of a block; one that ends by itself fails the test."""
    task = asyncio.create_task(drainer.run())
    yield
    assert not task.done(), task
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


class TestTheLoop:
    async def test_is_woken_by_a_delivery(self, world, inbox, drainer):
        inbox.on_delivery(drainer.wake)
        async with running(drainer), asyncio.timeout(5):
            await inbox.keep("alertmanager", body(alert()))
            while not world.incidents():
                await asyncio.sleep(0.005)

    async def test_a_steady_stream_is_taken_in_together(self, world, inbox, drainer, monkeypatch):
        batches, settle = [], inbox.settle

        async def count(numbers):
            batches.append(len(numbers))
            await settle(numbers)

        monkeypatch.setattr(inbox, "settle", count)
        inbox.on_delivery(drainer.wake)
        began = time.monotonic()
        async with running(drainer), asyncio.timeout(10):
            for _ in range(40):
                await inbox.keep("alertmanager", body(alert()))
                await asyncio.sleep(0.005)
            while sum(batches) < 40:
                await asyncio.sleep(0.005)
        assert batches[0] < 10, "the first alert waits for nobody"
        assert len(batches) <= (time.monotonic() - began) / PACE + 2

    async def test_waits_for_a_store_that_does_not_answer_and_skips_nothing(self, world, inbox):
        drainer = Drainer(inbox, world.store, SOURCES, world.rules, sweep=0.01)
        await keep(inbox, body(alert()))
        broken = [True]

        @event.listens_for(world.store.engine, "before_cursor_execute")
        def fail(_connection, _cursor, _statement, *_rest):
            if broken:
                raise sqlite3.OperationalError("database or disk is full")

        async with running(drainer), asyncio.timeout(5):
            await asyncio.sleep(0.05)
            assert len(await inbox.next()) == 1
            broken.clear()
            while not await asyncio.to_thread(world.incidents):
                await asyncio.sleep(0.005)


async def test_commits_that_a_delivery_names_are_told_once_it_is_taken_in(world, inbox):
    class Hook:
        def verify(self, request):
            raise AssertionError("not asked here")

        def parse(self, body):
            return AlertGroup(source="forge", group_key="", alerts=(), commits=(body.decode(),))

    told: list[str] = []
    drainer = Drainer(inbox, world.store, {"forge": Hook()}, world.rules, sweep=60, on_commits=told.extend)
    await keep(inbox, b"a" * 40, b"b" * 40, source="forge")
    await drain(drainer)
    assert told == ["a" * 40, "b" * 40]
    assert (await inbox.depth()).pending == 0
    assert world.incidents() == []


async def test_different_deliveries_share_few_transactions_and_the_same_words_one(world, inbox, drainer):
    units = []
    receive = drainer._receive
    drainer._receive = lambda read: units.append(len(read)) or receive(read)
    await keep(inbox, *(body(alert(f"Alert{number}"), key=str(number)) for number in range(TOGETHER + 8)))
    await keep(inbox, *[body(alert("Alert0"), key="0")] * 50)
    await drain(drainer)
    assert units[0] == TOGETHER, "a press waits for that many at most"
    assert len(units) <= 3
    assert sum(units) == TOGETHER + 58
    assert (await inbox.depth()).pending == 0
    assert len(world.incidents()) == TOGETHER + 8


async def test_deliveries_that_join_one_incident_share_one_transaction(world, inbox, drainer):
    units = []
    receive = drainer._receive
    drainer._receive = lambda read: units.append(len(read)) or receive(read)
    await keep(inbox, *(body(alert("Alert", instance=str(number)), key="one") for number in range(3 * TOGETHER)))
    await drain(drainer)
    assert units == [3 * TOGETHER]
    assert len(world.incidents()) == 1
