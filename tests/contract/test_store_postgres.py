"""The store, the inbox and the leases on PostgreSQL."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlmodel import SQLModel

from bot.bootstrap.doctor.state import check_store
from bot.bootstrap.state import read_store
from bot.domain.chat import ChatLimits, Message
from bot.domain.oncall import Contact, Roster
from bot.domain.timeline import verify_chain
from bot.engine.contacts import ContactDispatcher
from bot.engine.dispatcher import Channel, Dispatcher
from bot.engine.drainer import Drainer
from bot.errors import ConfigError, Reason, Refused, Unavailable
from bot.ports.pager import PageText
from bot.ports.work import Effect, EffectState
from bot.render.links import Links
from bot.services.contacts import CONTACT
from bot.services.intake import receive_alerts
from bot.settings import Settings
from bot.store.board import SqlBoard
from bot.store.database import SqlStore, migrate, open_engine
from bot.store.inbox_postgres import PostgresInbox
from bot.store.leases import Leases
from bot.store.notices import Notices, publish_change
from bot.store.postgres import REAPER_LOCK, UNIT_IDLE_MS, UNIT_LOCK, Member, driver_url, libpq_url, open_postgres
from bot.store.sessions import SqlSessions
from connectors.alerts import alertmanager
from tests.contract.store_suite import (
    AlertMemoryContract,
    IncidentContract,
    KeepsakeContract,
    OutboxContract,
    PatchContract,
    StoreContract,
    StoreRig,
    TrailContract,
    incident,
)
from tests.postgres import PostgresServer, serve_postgres
from tests.worldkit import NOW, PEOPLE, FixedClock, PhaseLog, alert, body, group, make_rules

LEASE = 30.0
OURS = ("delivery", "front_lease", "sender")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with serve_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def migrated(server) -> str:
    url = server.new_database()
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()
    return url


@pytest.fixture
def url(migrated) -> str:
    """An empty database; tables are emptied, not made again, because that is faster."""
    with psycopg.connect(libpq_url(migrated), autocommit=True) as connection:
        names = [name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        names.remove("nightshift_version")
        quoted = ", ".join(f'"{name}"' for name in names)
        connection.execute(f"TRUNCATE {quoted} RESTART IDENTITY".encode())
    return migrated


@pytest.fixture
def engines() -> Iterator[list]:
    engines: list = []
    yield engines
    for engine in engines:
        engine.dispose()


@pytest.fixture
def make_store(url, engines):
    clock = FixedClock()
    phases = PhaseLog(clock)

    def make(executor: str = "a") -> SqlStore:
        engines.append(open_engine(url))
        return SqlStore(engines[-1], clock, phases.of_session, Member(executor=executor, lease_seconds=LEASE))

    make.clock, make.phases = clock, phases
    return make


@pytest.fixture
def make_leases(url, engines):
    def make(executor: str = "a", *, seconds: float = LEASE) -> Leases:
        engines.append(open_postgres(url, serialised=False))
        return Leases(engines[-1], Member(executor=executor, lease_seconds=seconds))

    return make


@pytest.fixture
def rig(make_store) -> StoreRig:
    return StoreRig(
        store=make_store(), clock=make_store.clock, phases=make_store.phases, another=lambda: make_store("b")
    )


def end_sessions(url: str) -> None:
    """End every session on the database but our own, as a restart of the server does."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid != pg_backend_pid()"
    with psycopg.connect(libpq_url(url), autocommit=True) as killer:
        killer.execute(f"SELECT pg_terminate_backend(pid) {others}".encode())


class TestStore(StoreContract):
    """Units of work."""


class TestIncidents(IncidentContract):
    """Incidents."""


class TestAlerts(AlertMemoryContract):
    """What is known of each alert."""


class TestPatches(PatchContract):
    """Stages, drafts, approvals, CI runs."""


class TestOutbox(OutboxContract):
    """Effects, postings, chat events, phases."""


class TestKeepsakes(KeepsakeContract):
    """Past incidents and told changes."""


class TestTrail(TrailContract):
    """The timeline."""


def test_the_migrations_make_the_tables_that_the_code_expects(rig):
    with rig.store.engine.connect() as connection:
        options = {
            "version_table": "nightshift_version",
            "include_object": lambda _object, name, kind, *_rest: (
                name != "past_text" if kind == "index" else kind != "table" or name not in OURS
            ),
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, SQLModel.metadata) == []


def test_processes_that_start_together_migrate_once(server):
    code = "import sys; from bot.store.database import migrate, open_engine; migrate(open_engine(sys.argv[1]))"
    argv = [sys.executable, "-c", code, server.new_database()]
    processes = [subprocess.Popen(argv, stderr=subprocess.PIPE) for _ in range(3)]
    errors = [process.communicate(timeout=60)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors


async def test_a_database_without_tables_is_a_store_that_is_not_there_yet(server):
    settings = Settings(database_url=server.new_database())
    with pytest.raises(Refused, match="no store in this database yet") as refusal, read_store(settings):
        pass
    assert refusal.value.reason is Reason.NOT_FOUND
    (found,) = await check_store(settings)
    assert (found.is_ok, found.text) == (True, "no tables yet; the first start makes them")


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+asyncpg"])
def test_addresses_are_read_for_the_driver_we_have(scheme):
    assert driver_url(f"{scheme}://u:p%40ss@h/d") == "postgresql+psycopg://u:p%40ss@h/d"


def test_an_address_that_is_none_is_not_repeated():
    with pytest.raises(ConfigError) as refusal:
        driver_url("my secret")
    assert "my secret" not in str(refusal.value)


@pytest.mark.parametrize("text", ["nul \x00", "half a pair \ud800"])
def test_what_a_service_answered_can_be_written_down(rig, text):
    with rig.store.begin() as work:
        work.effects.intend("k", "t", {"a": text})
        work.effects.defer("k", NOW, text)
        work.effects.settle("k", EffectState.FAILED, text)
        work.timeline.append("INC-1", "not_posted", "nightshift", text, {"why": text})
    with rig.another().begin() as work:
        (event,) = work.timeline.all()
        assert event.text == text[:-1] + "\ufffd" * (3 if "pair" in text else 1)
        assert verify_chain([event]) is None


class TestSeveralProcesses:
    def test_the_same_alert_at_once_opens_one_incident(self, make_store):
        def receive(store: SqlStore) -> tuple[str, ...]:
            with store.begin() as work:
                return receive_alerts(work, [group(alert())], make_rules())

        stores = [make_store("a"), make_store("b")]
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(receive, stores * 4)) == {("INC-1",)}
        with stores[0].begin() as work:
            assert [item.alerts_seen for item in work.incidents.recent()] == [8]
            assert verify_chain(work.timeline.all()) is None

    def test_one_sends_to_a_target_until_nothing_is_left(self, make_store, make_leases):
        ours, other = make_store("a"), make_store("b")
        make_leases("a").begin()
        with ours.begin() as work:
            assert work.effects.hold("chat:web")
            assert work.effects.hold("chat:web")
        with other.begin() as work:
            assert not work.effects.hold("chat:web")
            assert work.effects.hold("chat:slack")
            work.effects.release("chat:web")
            assert not work.effects.hold("chat:web"), "only the holder lets go"
        with ours.begin() as work:
            work.effects.release("chat:web")
        with other.begin() as work:
            assert work.effects.hold("chat:web")

    def test_a_dead_sender_s_target_is_taken_over(self, make_store, make_leases):
        make_leases("a").begin()
        with make_store("a").begin() as work:
            assert work.effects.hold("chat:web")
        make_leases("a").end()
        with make_store("b").begin() as work:
            assert work.effects.hold("chat:web")

    def test_a_promise_is_settled_once(self, make_store):
        with make_store("a").begin() as work:
            work.effects.intend("k", "chat:web", {})
        with make_store("b").begin() as work:
            assert work.effects.settle("k", EffectState.DONE)
        with make_store("a").begin() as work:
            assert not work.effects.settle("k", EffectState.FAILED, "late")
            assert work.effects.get("k").state is EffectState.DONE

    def test_a_sign_in_link_is_used_once(self, make_store):
        sessions = [SqlSessions(make_store(name)) for name in ("a", "b")]
        sessions[0].create_link("ana", "0" * 64, NOW.replace(year=2030))
        with ThreadPoolExecutor(4) as pool:
            people = list(pool.map(lambda s: s.consume_link("0" * 64, NOW), sessions * 4))
        assert sorted(people, key=str) == [None] * 7 + ["ana"]

    async def test_a_page_changes_in_every_process(self, make_store, url):
        boards = [SqlBoard(make_store(name), make_store.clock, publish_change) for name in ("a", "b")]
        notices = [Notices(url, board.wake) for board in boards]
        watching = [asyncio.ensure_future(anext(board.watch())) for board in boards]
        try:
            async with asyncio.timeout(20):
                while not all(task.done() for task in watching):
                    message = Message(incident="INC-1", slot="card", headline="x")
                    await asyncio.to_thread(boards[0].put, "m1", message)
                    await asyncio.sleep(0.1)
            assert [task.result() for task in watching] == ["INC-1", "INC-1"]
        finally:
            for notice in notices:
                await asyncio.to_thread(notice.close)


class Recorder:
    """A chat service that remembers what it was sent, slowly."""

    limits = ChatLimits(
        text=1000,
        buttons=1,
        can_edit=False,
        can_thread=False,
        can_answer_privately=False,
        has_forms=False,
        files=False,
    )

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def post(self, channel: str, message: Message, key: str, thread: str | None) -> str:
        await asyncio.sleep(0.01)
        self.keys.append(key)
        return key


class TestDispatchers:
    """Two dispatchers of one channel, in two processes."""

    @pytest.fixture
    def recorder(self) -> Recorder:
        return Recorder()

    @pytest.fixture
    async def start(self, make_store, recorder):
        tasks: dict[str, asyncio.Task[None]] = {}

        def compose(effect: Effect, _channel: str) -> Message:
            return Message(incident="INC-1", slot=effect.key, headline="x")

        def start(name: str) -> SqlStore:
            store = make_store(name)
            channels = [Channel(name="web", connector=recorder)]
            dispatcher = Dispatcher(store, make_store.clock, channels, compose, sweep_seconds=0.02)
            store.on_commit(dispatcher.wake)
            tasks[name] = asyncio.create_task(dispatcher.run())
            return store

        start.tasks = tasks
        yield start
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)

    @staticmethod
    def promise(store: SqlStore, number: int) -> str:
        key = f"k{number:03}"
        with store.begin() as work:
            work.effects.intend(key, "chat:web", {"what": "card", "incident": "INC-1", "arg": key})
        return key

    async def test_send_everything_once_and_in_order(self, start, make_leases, recorder):
        stores = [start(name) for name in ("a", "b")]
        for name in ("a", "b"):
            make_leases(name).begin()
        promised = [await asyncio.to_thread(self.promise, stores[number % 2], number) for number in range(40)]
        async with asyncio.timeout(20):
            while len(recorder.keys) < len(promised):
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        assert recorder.keys == promised

    async def test_take_over_from_the_dead_and_not_before(self, start, make_store, make_leases, recorder):
        dead = make_leases("dead")
        dead.begin()
        with make_store("dead").begin() as work:
            assert work.effects.hold("chat:web")
        key = await asyncio.to_thread(self.promise, start("a"), 1)
        await asyncio.sleep(0.2)
        assert recorder.keys == []
        dead.end()
        async with asyncio.timeout(20):
            while recorder.keys != [key]:
                await asyncio.sleep(0.02)


class Phone:
    """A contact's service that takes its time, and keeps what it rang for."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    async def send(self, page: PageText) -> None:
        await asyncio.sleep(0.05)
        self.rung.append(page.title)


class TestContacts:
    """Two processes that both look after everybody's contacts."""

    ROSTER = Roster(people={**PEOPLE, "ada": replace(PEOPLE["ada"], contacts=(Contact(name="push"),))})

    @pytest.fixture
    async def start(self, make_store):
        rules, phone, tasks = make_rules(roster=self.ROSTER), Phone(), []

        def start(name: str) -> SqlStore:
            store = make_store(name)
            phones = {("ada", "push"): phone}
            dispatcher = ContactDispatcher(store, rules, phones, links=Links(), sweep=0.02)
            store.on_commit(dispatcher.wake)
            tasks.append(asyncio.create_task(dispatcher.run()))
            return store

        start.rules, start.phone = rules, phone
        yield start
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def page(self, store: SqlStore, start, number: int) -> None:
        with store.begin() as work:
            receive_alerts(work, [group(alert(f"A{number}", service=f"s{number}"), key=str(number))], start.rules)

    @staticmethod
    async def all_rung(store: SqlStore, count: int) -> list[str]:
        """Return on whose timelines it stands that somebody was paged by a contact, once nothing waits any more."""

        def told() -> list[str]:
            with store.begin() as work:
                waits = work.effects.targets(CONTACT)
                return [] if waits else [e.incident for e in work.timeline.all() if e.kind == "contacted"]

        async with asyncio.timeout(20):
            while len(told_now := await asyncio.to_thread(told)) < count:
                await asyncio.sleep(0.02)
        return told_now

    async def test_a_page_goes_out_once(self, start, make_leases):
        for name in ("a", "b"):
            make_leases(name).begin()
        stores = [start(name) for name in ("a", "b")]
        for number in range(6):
            await asyncio.to_thread(self.page, stores[number % 2], start, number)
        told = await self.all_rung(stores[0], 6)
        assert sorted(told) == [f"INC-{number}" for number in range(1, 7)]
        assert len(start.phone.rung) == len(set(start.phone.rung)) == 6

    async def test_a_dead_process_s_page_is_taken_over_and_not_before(self, start, make_store, make_leases):
        dead = make_leases("dead")
        dead.begin()
        await asyncio.to_thread(self.page, make_store("dead"), start, 1)
        with make_store("dead").begin() as work:
            assert [work.effects.hold(target) for target in work.effects.targets(CONTACT)] == [True]
        make_leases("a").begin()
        store = start("a")
        await asyncio.sleep(0.1)
        assert start.phone.rung == []
        dead.end()
        assert await self.all_rung(store, 1) == ["INC-1"]
        assert len(start.phone.rung) == 1


class TestUnits:
    def test_follow_one_another_over_all_processes(self, make_store):
        order: list[str] = []

        def write(name: str) -> None:
            with make_store(name).begin() as work:
                order.append("begin")
                work.switches.set("x", name)
                time.sleep(0.05)
                order.append("end")

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(write, "abc"))
        assert order == ["begin", "end"] * 3

    def test_of_a_process_that_stands_still_are_ended(self, make_store, url):
        """The lock of a stopped process would else stop all others."""
        stopped = psycopg.connect(libpq_url(url), options="-c idle_in_transaction_session_timeout=500")
        stopped.execute(f"SELECT pg_advisory_xact_lock({UNIT_LOCK})".encode())
        began = time.monotonic()
        with make_store().begin() as work:
            assert work.switches.get("x") == ""
        assert 0.3 < time.monotonic() - began < 5
        stopped.close()
        with make_store().engine.connect() as connection:
            ours = connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar()
        assert ours == f"{UNIT_IDLE_MS // 1000}s"

    def test_whose_session_is_gone_are_unavailable(self, make_store, url):
        store = make_store()
        with pytest.raises(Unavailable) as trouble, store.begin() as work:  # noqa: PT012 -- it fails on the way
            end_sessions(url)
            work.switches.set("x", "y")
        assert trouble.value.retry_after
        with store.begin() as work:
            work.incidents.add(incident())


class TestLeases:
    def test_the_living_are_known(self, make_leases):
        ours, other = make_leases("a"), make_leases("b")
        for leases in (ours, other):
            leases.begin()
            assert leases.beat()
        assert ours.reap() == {"a", "b"}
        other.end()
        assert ours.reap() == {"a"}

    def test_who_did_not_beat_is_dead_and_learns_it(self, make_leases):
        zombie = make_leases("z")
        zombie.begin()
        time.sleep(0.3)
        ours = make_leases("a", seconds=0.2)
        ours.begin()
        assert ours.reap() == {"a"}
        assert not zombie.beat()
        assert ours.beat()

    def test_one_reaps_at_a_time(self, make_leases, url):
        leases = make_leases("a")
        assert leases.reap() == frozenset()
        with psycopg.connect(libpq_url(url)) as other:
            other.execute(f"SELECT pg_advisory_xact_lock({REAPER_LOCK})".encode())
            assert leases.reap() is None

    def test_beat_while_a_unit_waits(self, make_leases, make_store):
        ours = make_leases("a")
        ours.begin()
        with make_store().begin():
            assert ours.beat()


class TestInbox:
    @pytest.fixture
    def boxes(self, url) -> Iterator[list[PostgresInbox]]:
        boxes = [PostgresInbox(url, FixedClock(), max_pending=3) for _ in range(2)]
        yield boxes
        for box in boxes:
            box.close()

    async def test_what_one_process_keeps_all_see(self, boxes):
        number = await boxes[0].keep("alertmanager", b"\x00\xff raw ? %s")
        (delivery,) = await boxes[1].next()
        assert (delivery.id, delivery.source, delivery.body) == (number, "alertmanager", b"\x00\xff raw ? %s")
        assert delivery.received_at == NOW
        await boxes[1].settle([number])
        assert not await boxes[0].next()

    async def test_the_limit_counts_all_processes(self, boxes, monkeypatch):
        monkeypatch.setattr("bot.store.inbox_postgres.RECOUNT_SECONDS", 0.0)
        for _ in range(3):
            await boxes[0].keep("a", b"x")
        await boxes[1].next()
        with pytest.raises(Unavailable) as refusal:
            await boxes[1].keep("a", b"x")
        assert refusal.value.reason is Reason.OVERLOADED
        assert (await boxes[1].depth()).pending == 3

    async def test_deliveries_that_arrive_together_share_one_commit(self, url):
        box = PostgresInbox(url, FixedClock(), max_pending=1000)
        woken: list[None] = []
        box.on_delivery(lambda: woken.append(None))
        try:
            numbers = await asyncio.gather(*(box.keep("a", b"%d" % n) for n in range(200)))
            assert len(set(numbers)) == 200
            assert len(woken) < 100
            assert [item.body for item in await box.next()] == [b"%d" % n for n in range(200)]
        finally:
            box.close()

    async def test_dead_letters_are_kept_and_revived_once(self, boxes):
        number = await boxes[0].keep("a", b"junk")
        await boxes[0].bury(number, "no JSON")
        assert [(item.id, item.error) for item in await boxes[1].dead_letters()] == [(number, "no JSON")]
        await boxes[1].revive(number)
        assert [item.id for item in await boxes[0].next()] == [number]
        with pytest.raises(Refused):
            await boxes[0].revive(number)
        assert [item.id for item in await boxes[0].tail(-5)] == [number]

    async def test_a_delivery_is_taken_in_with_the_commit_and_once(self, boxes, make_store):
        first, second = await boxes[0].keep("a", b"1"), await boxes[1].keep("a", b"2")
        with pytest.raises(RuntimeError), make_store("a").begin() as work:  # noqa: PT012 -- the unit fails as a whole
            assert work.deliveries.take([first, second]) == [first, second]
            raise RuntimeError
        with make_store("b").begin() as work:
            assert work.deliveries.take([first]) == [first]
            assert work.deliveries.take([second], error="junk") == [second]
        with make_store("a").begin() as work:
            assert work.deliveries.take([first, second]) == []
        assert not await boxes[0].next()
        assert [item.error for item in await boxes[0].dead_letters()] == ["junk"]

    async def test_a_lost_connection_is_unavailable_once_and_nothing_is_lost(self, boxes, url):
        kept = await boxes[0].keep("a", b"x")
        end_sessions(url)
        assert [item.id for item in await boxes[0].next()] == [kept]

    async def test_one_that_cannot_be_written_does_not_end_the_inbox(self, boxes):
        with pytest.raises(Unavailable):
            await boxes[0].keep("lone surrogate \ud800", b"x")
        await boxes[0].keep("a", b"y")
        assert [item.body for item in await boxes[0].next()] == [b"y"]

    async def test_a_character_that_postgresql_does_not_store_is_replaced(self, boxes, make_store):
        odd = alert(annotations={"summary": "checkout \x00 fails"}, instance="a\x00b")
        await boxes[0].keep("alertmanager", body(odd))
        sources = {"alertmanager": alertmanager.Source(alertmanager.Settings())}
        assert await Drainer(boxes[0], make_store(), sources, make_rules(), sweep=1).drain() == 1
        with make_store().begin() as work:
            assert [item.title for item in work.incidents.recent()] == ["checkout \ufffd fails"]
            assert verify_chain(work.timeline.all()) is None

    async def test_two_drainers_take_each_delivery_in_once(self, url, make_store):
        boxes = [PostgresInbox(url, FixedClock(), max_pending=1000) for _ in range(2)]
        sources = {"alertmanager": alertmanager.Source(alertmanager.Settings())}
        drainers = [
            Drainer(box, make_store(name), sources, make_rules(), sweep=1)
            for box, name in zip(boxes, "ab", strict=True)
        ]
        try:
            for number in range(40):
                await boxes[number % 2].keep("alertmanager", body(alert()))
            await asyncio.gather(*(drainer.drain() for drainer in drainers))
            with make_store().begin() as work:
                assert [item.alerts_seen for item in work.incidents.recent()] == [40]
            assert not await boxes[0].next()
        finally:
            for box in boxes:
                box.close()

    def test_a_server_that_is_not_there_is_said_without_the_password(self):
        with pytest.raises(Unavailable) as trouble:
            PostgresInbox("postgresql+psycopg://u:hidden-word@127.0.0.1:1/d", FixedClock(), max_pending=1)
        assert "hidden-word" not in str(trouble.value)
