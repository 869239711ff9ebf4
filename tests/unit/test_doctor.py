"""The doctor: each thing that can be wrong is one line that says how to mend it; nothing is changed by looking."""

import asyncio
import json
import os
import socket
import sqlite3
import subprocess
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.bootstrap.doctor import model as checks_model
from bot.bootstrap.doctor import outside as checks_outside
from bot.bootstrap.doctor import state as checks_state
from bot.bootstrap.doctor.checks import Found
from bot.bootstrap.doctor.examine import Report, _check_address, _check_people, _clean, examine
from bot.bootstrap.doctor.outside import check_chat
from bot.settings import Settings
from bot.store.database import lock_state
from bot.store.inbox import Inbox
from connectors.models import openai_facts
from tests.model_server import CONTRACT, stream_of
from tests.worldkit import FixedClock, alert, group, make_store, make_world

SECRET = "hunter2-hunter2-hunter2"


@pytest.fixture
def state(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("NIGHTSHIFT_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


def settings(state: Path, **values: object) -> Settings:
    return Settings(server={"state_dir": state, "port": 1}, **values)


def only(found) -> Found:
    (one,) = found
    return one


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


class TestTheConfiguration:
    def test_every_problem_is_a_line(self, tmp_path, state, monkeypatch):
        monkeypatch.setenv("NIGHTSHIFT_TYPO", "1")
        config = tmp_path / "nightshift.toml"
        config.write_text('public_url = "ftp://x"\n[[routes]]\nservice = "a"\n[approval]\napprovers = ["nobody"]\n')
        report = examine(config)
        assert not report.is_well
        assert {one.text for one in report.found} >= {"public_url", "routes.0.service", "approval.approvers"}
        assert "NIGHTSHIFT_TYPO" in {one.text for one in report.found}
        assert all(one.how for one in report.found)

    def test_no_file_at_all(self, tmp_path, state):
        assert "no such file" in examine(tmp_path / "none.toml").as_text()

    @pytest.mark.parametrize(
        ("values", "is_ok"),
        [
            ({}, True),
            ({"public_url": "https://night.example.org"}, True),
            ({"public_url": "http://localhost:8080"}, True),
            ({"public_url": "http://night.example.org"}, False),
        ],
    )
    def test_the_public_address(self, state, values, is_ok):
        assert only(_check_address(settings(state, **values))).is_ok is is_ok

    @pytest.mark.parametrize(("channels", "is_ok"), [(("console",), False), (("console", "web"), True)])
    def test_break_glass_needs_a_second_channel(self, state, channels, is_ok):
        approval = {"approvers": ["ada"], "break_glass": ["ada"]}
        told = settings(state, approval=approval, channels={name: {"kind": name} for name in channels})
        assert only(one for one in _check_people(told, 0) if one.name == "approval").is_ok is is_ok

    def test_all_addresses_without_a_name(self, state):
        told = Settings(server={"state_dir": state, "host": "0.0.0.0"})
        assert not only(_check_address(told)).is_ok


class TestChat:
    async def test_a_wrong_channel_is_told_before_the_first_start(self, state):
        channels = {"web": {"kind": "web"}, "teams": {"kind": "teams"}, "telegram": {"kind": "telegram", "chats": 1}}
        told = [one.text for one in await check_chat(settings(state, channels=channels))]
        assert told == [
            'channels.teams.kind: no chat connector "teams"; look into connectors/chat for those there are',
            "channels.telegram.token: is missing; add it",
            "channels.telegram.chat: is missing; add it",
            "channels.telegram.chats: is not a setting; check the spelling, or remove it",
        ]
        assert await check_chat(settings(state, channels={"web": {"kind": "web"}})) == []


class TestTheReport:
    def test_says_how_to_mend(self):
        found = (Found(name="disk", is_ok=False, text="full", how="make room"), Found(name="x", is_ok=True, text="y"))
        report = Report(found=found)
        assert report.as_text() == "mend  disk  full\n            → make room\nok    x     y\n1 to mend."
        assert report.as_json()["lines"][0] == {"name": "disk", "ok": False, "text": "full", "mend": "make room"}
        assert report.as_json()["ok"] is False
        json.dumps(report.as_json())

    def test_looking_changes_nothing_and_tells_no_secret(self, tmp_path, state):
        config = tmp_path / "nightshift.toml"
        config.write_text(f"""
alert_token = "{SECRET}"
[server]
state_dir = "{state}"
port = 1
[services.shop]
repository = "https://user:{SECRET}@127.0.0.1:1/shop.git"
""")
        before = tree(tmp_path)
        report = examine(config)
        assert tree(tmp_path) == before
        assert SECRET not in report.as_text()
        names = [one.name for one in report.found]
        assert names[:2] == ["configuration", "alerts"]
        assert {"store", "engine", "inbox", "sandbox", "git", "service shop", "model", "clock", "disk"} <= set(names)
        assert not report.is_well

    def test_what_others_say_stays_one_line_of_plain_text(self, tmp_path, state):
        config = tmp_path / "nightshift.toml"
        config.write_text('[services.x]\nrepository = "/none/\\u001b[31m\\n\\u202ex"\n["\\u001b[2J"]\n')
        report = examine(config)
        assert all(one.text.isprintable() and one.how.isprintable() for one in report.found)
        assert (
            _clean(Found(name="git", is_ok=False, text="fatal:\n \x1b[31mno\u202e")).text == "fatal: \ufffd[31mno\ufffd"
        )


class TestRunning:
    async def test_a_process_that_holds_the_state_and_does_not_answer(self, state):
        assert only(await checks_state.check_running(settings(state))).is_ok
        with lock_state(state):
            assert checks_state.find_holder(state / "lock") == os.getpid()
            found = only(await checks_state.check_running(settings(state)))
            assert (found.is_ok, str(os.getpid()) in found.how) == (False, True)
        lock_state(state).close()
        assert checks_state.find_holder(state / "lock") is None

    @pytest.mark.parametrize("status", [200, 503])
    async def test_the_running_process_is_asked(self, state, status):
        async def ready(_request):
            return web.Response(status=status, text="the store is on fire")

        app = web.Application()
        app.router.add_get("/readyz", ready)
        async with TestServer(app) as server:
            told = Settings(server={"state_dir": state, "port": server.port})
            found = only(await checks_state.check_running(told))
        assert found.is_ok is (status == 200)
        assert found.is_ok or "on fire" in found.text


class TestTheStore:
    async def test_sound(self, state):
        make_store(state, FixedClock())
        found = only(await checks_state.check_store(settings(state)))
        assert (found.is_ok, "writable" in found.text) == (True, True)

    async def test_a_folder_that_cannot_be_made(self, tmp_path, state):
        (tmp_path / "file").write_text("x")
        assert not only(await checks_state.check_store(settings(tmp_path / "file" / "state"))).is_ok

    @pytest.mark.parametrize("content", [b"not a database" * 100, b""])
    async def test_no_database(self, state, content):
        (state / "nightshift.db").write_bytes(content)
        assert not only(await checks_state.check_store(settings(state))).is_ok

    async def test_damaged(self, state):
        world = make_world(state)
        for number in range(50):
            world.receive(group(alert(), key=f"key {number}"))
        world.store.engine.dispose()
        path = state / "nightshift.db"
        content = bytearray(path.read_bytes())
        content[8192:40_000] = os.urandom(40_000 - 8192)
        path.write_bytes(content)
        assert not only(await checks_state.check_store(settings(state))).is_ok

    @pytest.mark.parametrize(("revision", "is_ok"), [("0001", True), ("9999", False)])
    async def test_other_revisions(self, state, revision, is_ok):
        store = make_store(state, FixedClock())
        with store.engine.begin() as connection:
            connection.exec_driver_sql(f"UPDATE nightshift_version SET version_num = '{revision}'")
        found = only(await checks_state.check_store(settings(state)))
        assert (found.is_ok, revision in found.text) == (is_ok, True)

    async def test_an_inbox_in_which_deliveries_wait_too_long(self, state):
        inbox = Inbox(state / "inbox.db", FixedClock(datetime.now(UTC) - timedelta(minutes=9)), max_pending=5)
        try:
            assert only(await checks_state.check_inbox(settings(state))).is_ok
            await inbox.keep("alertmanager", b"{}")
            assert "1 deliveries wait" in only(await checks_state.check_inbox(settings(state))).text
            assert not only(await checks_state.check_inbox(settings(state))).is_ok
        finally:
            inbox.close()
        (state / "inbox.db").write_bytes(b"rubbish" * 100)
        assert not only(await checks_state.check_inbox(settings(state))).is_ok

    async def test_the_engine_s_tables(self, state):
        assert only(await checks_state.check_engine(settings(state))).is_ok
        with sqlite3.connect(state / "nightshift.db") as connection:
            connection.execute("CREATE TABLE workflow_status (status TEXT)")
            connection.execute("INSERT INTO workflow_status VALUES ('DELAYED'), ('PENDING')")
        connection.close()
        assert "1 running, 0 next, 1 timers" in only(await checks_state.check_engine(settings(state))).text
        connection = sqlite3.connect(state / "nightshift.db")
        connection.execute("INSERT INTO workflow_status VALUES ('ERROR')")
        connection.commit()
        connection.close()
        assert not only(await checks_state.check_engine(settings(state))).is_ok


class TestTheMachine:
    async def test_permissions(self, state):
        assert only(await checks_state.check_permissions(settings(state))).is_ok
        (state / "admin.token").write_text("x")
        (state / "admin.token").chmod(0o644)
        assert "chmod 600" in only(await checks_state.check_permissions(settings(state))).how
        state.chmod(0o755)
        assert only(await checks_state.check_permissions(settings(state))).how == f"chmod 700 {state}"

    async def test_disk(self, state, monkeypatch):
        assert only(await checks_state.check_disk(settings(state / "none" / "yet"))).is_ok
        monkeypatch.setattr(checks_state, "MIN_FREE", 2**63)
        assert not only(await checks_state.check_disk(settings(state))).is_ok

    async def test_a_timeline_from_the_future(self, state):
        clock = FixedClock(datetime.now(UTC))
        world = make_store(state, clock)
        with world.begin() as work:
            work.timeline.append("INC-1", "note", "ada", "now")
        assert only(await checks_state.check_clock(settings(state))).is_ok
        clock.advance(hours=2)
        with world.begin() as work:
            work.timeline.append("INC-1", "note", "ada", "later")
        found = only(await checks_state.check_clock(settings(state)))
        assert (found.is_ok, "in the future" in found.text) == (False, True)

    async def test_a_clock_that_jumps(self, state, monkeypatch):
        times = iter([100.0, 400.0])
        monkeypatch.setattr(checks_state.time, "time", lambda: next(times))
        assert "jumped by" in only(await checks_state.check_clock(settings(state))).text


def serve(status: int = 200, body: str = '{"data": [{"id": "qwen"}]}', date: datetime | None = None, wait: float = 0):
    async def answer(request):
        await asyncio.sleep(wait)
        headers = {"Date": format_datetime(date, usegmt=True)} if date else {}
        text = body if "data" in body else f"{body} {request.headers.get('Authorization', '')}"
        return web.Response(status=status, text=text, headers=headers)

    async def call(request):
        assert '"report"' in await request.text()
        return web.Response(text="".join(stream_of(CONTRACT, 1, 9)), content_type="text/event-stream")

    app = web.Application()
    app.router.add_get("/v1/models", answer)
    app.router.add_get("/", answer)
    app.router.add_post("/v1/chat/completions", call)
    return TestServer(app)


class TestTheModel:
    async def test_none_is_well(self, state):
        found = only(await checks_model.check_model(settings(state)))
        assert (found.is_ok, "works without" in found.text) == (True, True)

    @pytest.mark.parametrize(
        ("server", "name", "is_ok"),
        [
            (serve(), "default", True),
            (serve(), "qwen", True),
            (serve(), "llama", False),
            (serve(401), "default", False),
            (serve(503), "default", False),
            (serve(302), "default", False),
        ],
    )
    async def test_what_it_answers(self, state, server, name, is_ok):
        async with server:
            told = settings(state, model={"url": str(server.make_url("/")), "name": name, "api_key": SECRET})
            found = only(await checks_model.check_model(told))
        assert found.is_ok is is_ok
        assert SECRET not in str(found)

    async def test_one_that_hangs_is_left_soon(self, state, monkeypatch):
        monkeypatch.setattr(openai_facts, "SECONDS", 0.05)
        async with serve(wait=0.3) as server:
            told = settings(state, model={"url": str(server.make_url("/v1"))})
            assert not only(await checks_model.check_model(told)).is_ok

    async def test_one_that_is_down(self, state):
        assert not only(await checks_model.check_model(settings(state, model={"url": "http://127.0.0.1:1"}))).is_ok

    @pytest.mark.parametrize(("minutes", "is_ok"), [(0, True), (5, False), (-5, False)])
    async def test_its_date_is_held_against_our_clock(self, state, minutes, is_ok):
        async with serve(date=datetime.now(UTC) + timedelta(minutes=minutes)) as server:
            told = settings(state, model={"url": str(server.make_url("/"))})
            found = await checks_outside.check_networks(told)
        assert [one.is_ok for one in found if one.name == "clock"] == [is_ok]


class TestTheNetwork:
    async def test_proxy_and_ca_file(self, state, tmp_path):
        (tmp_path / "ca.pem").write_text("rubbish")
        with socket.create_server(("127.0.0.1", 0)) as proxy:
            told = settings(
                state,
                git={"proxy": f"http://127.0.0.1:{proxy.getsockname()[1]}", "ca_file": str(tmp_path / "ca.pem")},
                model={"proxy": "127.0.0.1:1", "ca_file": "/none"},
            )
            found = await checks_outside.check_networks(told)
        assert [one.is_ok for one in found] == [False, False, True, False]


class TestServices:
    @pytest.fixture
    def repository(self, tmp_path) -> Path:
        folder = tmp_path / "shop"
        folder.mkdir()
        env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(tmp_path)}
        who = ("-c", "user.name=Ana", "-c", "user.email=ana@example.org")
        for words in (("init", "-q", "-b", "main"), (*who, "commit", "-q", "--allow-empty", "-m", "x")):
            subprocess.run(["git", *words], check=True, env=env, cwd=folder)
        return folder

    @pytest.mark.parametrize(
        ("values", "is_ok", "said"),
        [
            ({"run": ("serve", "{port}")}, True, "main is at"),
            ({}, False, "nothing can be tested"),
            ({"run": ("serve", "{port}"), "branch": "gone"}, False, 'no branch "gone"'),
            ({"repository": "/none/there"}, False, ""),
            ({"repository": "http://127.0.0.1:1/x.git"}, False, ""),
        ],
    )
    async def test_its_repository_and_branch(self, state, repository, values, is_ok, said):
        told = settings(state, services={"shop": {"repository": str(repository), **values}})
        found = only(await checks_outside.check_services(told))
        assert (found.is_ok, said in found.text) == (is_ok, True)
        assert found.is_ok or found.how

    async def test_its_logs(self, state, tmp_path):
        (tmp_path / "app.log").write_text(f"{datetime.now(UTC).isoformat()} ERROR no\n")
        logs = [{"path": str(tmp_path / "app.log")}, {"path": str(tmp_path / "none.log")}, {"kind": "x", "path": "y"}]
        told = settings(state, services={"shop": {"repository": "/x", "logs": logs}})
        found = await checks_outside.check_logs(told)
        assert [one.is_ok for one in found] == [True, False, False]
        assert "1 lines in the last hour" in found[0].text
