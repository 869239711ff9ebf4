"""The self-test over a real repository, sandbox and desk, with a model server in this process; some of it faulty."""

import asyncio
import itertools
import os

import pytest

from bot.bootstrap.commands import selftest_tools
from bot.bootstrap.commands.selftest import Order, examine
from bot.bootstrap.commands.selftest_options import selftest_main
from bot.domain.models.selftest import Fault
from bot.errors import Refused
from bot.settings import Settings
from tests.model_server import Answer, Raw, Say, serve_model
from tests.unit.test_mend import Repository

SECRET = "hunter2-hunter2-hunter2"
LOOK = (
    Say(calls=(("list", "{}"),)),
    Say(calls=(("read_file", '{"path": "shop.py"}'),), cached=900),
    Say(text="It knows the rates.", cached=1_000),
)


@pytest.fixture
def shop(tmp_path, monkeypatch) -> Repository:
    for name in [name for name in os.environ if name.startswith("NIGHTSHIFT_")]:
        monkeypatch.delenv(name)
    made = Repository(tmp_path)
    for rate in (20, 25):
        made.commit(f"Rate {rate}", shop__py=f"RATES = {{'SE': {rate}}}\nTOKEN = '{SECRET}'\n")
    return made


def settings(shop: Repository, url: str = "", **more: object) -> Settings:
    service = {
        "repository": str(shop.folder),
        "checks": {"tests": ["python3", "-c", "import shop"]},
        "logs": [{"kind": "file", "path": str(shop.log)}],
    }
    state = shop.folder.parent / "state"
    return Settings(server={"state_dir": state}, services={"shop": service | more}, model_url=url, alert_token=SECRET)


def play(answers):
    """Answer by how far the conversation is: each run is given the same."""

    def script(request: dict, _number: int) -> Answer:
        return answers[sum(message["role"] == "assistant" for message in request["messages"]) % len(answers)]

    return script


async def test_good_tools_and_a_good_model_are_well_and_nothing_is_left(shop, tmp_path, monkeypatch):
    rooms = tmp_path / "rooms"
    rooms.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(rooms))
    async with serve_model(play(LOOK)) as server:
        test = await examine(settings(shop, server.url), Order(calls=50))
    assert test.failures == ()
    assert sum(line.calls for line in test.tools) == 50
    assert all(line.calls for line in test.tools), "every tool was called"
    assert all(line.p50 <= line.p95 for line in test.tools)
    model = test.model
    assert (model.runs, model.answers, model.calls, model.requests, model.same) == (2, 6, 4, 6, 6)
    assert model.cached == (0, 900, 1_000) * 2
    assert model.notes == ()
    assert SECRET.encode() not in b"".join(server.seen), "what the store's side knows is redacted"
    assert list(rooms.iterdir()) == []
    assert not (tmp_path / "state").exists()


async def test_a_model_that_fails_without_a_word_is_told_of(shop):
    script = (Say(calls=(("list", '{"folder": 1}'),)), Say(text="<tool_call>x</tool_call>", finish="length"), LOOK[2])
    async with serve_model(play(script)) as server:
        test = await examine(settings(shop, server.url), Order(calls=1))
    assert [failure.fault for failure in test.failures] == [Fault.BAD_CALL, Fault.LEAK, Fault.FINISH]
    assert {failure.tool for failure in test.failures} == {"model"}
    async with serve_model([Raw(status=401, body=b"{}")]) as server:
        test = await examine(settings(shop, server.url), Order(calls=1))
    assert [failure.fault for failure in test.failures] == [Fault.SILENT]


class FaultyToolbox(selftest_tools.Toolbox):
    """Some tools are broken, each in a way of its own."""

    numbers = itertools.count()

    async def call(self, name, arguments, known, *, room):
        result = await super().call(name, arguments, known, room=room)
        match name:
            case "list":
                return type(result)(text="")
            case "grep":
                raise KeyError("no such key")
            case "git_log" | "ci_status":
                return type(result)(text=f"{result.text}\n{next(self.numbers)}")
            case "deploys":
                raise TimeoutError
            case "read_log":
                return type(result)(text="Not done: the log cannot be opened")
        return result


async def test_tools_that_fail_without_a_word_are_told_of_with_the_call(shop, monkeypatch):
    monkeypatch.setattr(selftest_tools, "Toolbox", FaultyToolbox)
    gone = {"kind": "file", "path": str(shop.folder.parent / "gone.log")}
    test = await examine(settings(shop, logs=[gone]), Order(calls=34, use_model=False))
    found = {(failure.tool, failure.fault) for failure in test.failures}
    assert found >= {
        ("list", Fault.EMPTY),
        ("grep", Fault.ERROR),
        ("git_log", Fault.UNSTEADY),
        ("ci_status", Fault.UNSTEADY),
        ("deploys", Fault.TIME_OUT),
        ("read_log", Fault.ERROR),
        ("query_logs", Fault.ERROR),
    }
    assert {tool for tool, _ in found} == {
        "list", "grep", "git_log", "ci_status", "deploys", "read_log", "query_logs",
    }  # fmt: skip
    (grep, *_) = [failure for failure in test.failures if failure.tool == "grep"]
    assert '"path": "shop.py"' in grep.arguments
    assert SECRET not in str(test.failures)
    assert (test.model, test.has_model) == (None, False)


async def test_what_cannot_be_tested_is_said(shop, tmp_path, capsys, monkeypatch):
    test = await examine(settings(shop, repository=str(tmp_path / "gone")), Order(calls=5, use_model=False))
    assert [(failure.tool, failure.fault) for failure in test.failures] == [("repository", Fault.ERROR)]
    with pytest.raises(Refused, match="There is no service 'shed'; there is: shop"):
        await examine(settings(shop), Order(service="shed"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bot.bootstrap.commands.selftest_options._quiet_logs", lambda: None)
    assert await asyncio.to_thread(selftest_main, [], tmp_path / "none.toml") == 2
    assert "No service is configured" in capsys.readouterr().err
