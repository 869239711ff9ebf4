"""`triage` with a model: asked where nothing else holds, and only then."""

import asyncio
import json
import re

import pytest
from sqlalchemy import text

from bot.agent.transcript import Rows, State
from bot.bootstrap import tool_servers
from bot.bootstrap.commands.triage_budget import open_spending
from bot.bootstrap.commands.triage_desk import TerminalDesk
from bot.bootstrap.commands.triage_model import find_model
from bot.bootstrap.commands.triage_options import triage_main
from bot.bootstrap.state import open_empty_store
from bot.domain.models.spending import Spent
from bot.domain.runs.far_tool import Listed, ToolPolicy
from bot.domain.runs.profile import AgentProfile
from bot.domain.runs.transcript import Budget
from bot.engine.far_tools import FarToolShelf, Served
from bot.errors import NightshiftError, Unavailable
from bot.ports.desk import MCPWanted
from bot.ports.tool_server import FarAnswer
from bot.settings import Settings
from tests.model_server import Say, recorded, serve_model
from tests.unit.test_mend import Repository

GOOD = "def rate(country):\n    return RATES[country]\n\n\nRATES = {'SE': 25, 'DE': 19}\n"
KEY = "sk-key-of-the-model-4711"
EDIT = {"path": "shop.py", "old": "RATES = {'DE': 20}", "new": "RATES = {'DE': 20, 'SE': 25}"}
ENGINEER = (
    Say(calls=(("propose_patch", json.dumps({"title": "Tax Sweden again", "edits": [EDIT]})),)),
    Say(text=f"The rate of Sweden was lost. {KEY}"),
)


@pytest.fixture
def shop(tmp_path):
    """Return a repository whose culprit cannot be reverted: its line was changed again."""
    made = Repository(tmp_path)
    for number, table in enumerate(("{'SE': 25, 'DE': 19}", "{'DE': 19}", "{'DE': 20}")):
        made.commit(f"Rates {number}", shop__py=GOOD.replace("{'SE': 25, 'DE': 19}", table))
    return made


async def triage(shop, capsys, *more):
    check = "python3 -c \"import shop; shop.rate('SE')\""
    arguments = ["--repo", str(shop.folder), "--log", str(shop.log), "--run", check, "--json", *more]
    code = await asyncio.to_thread(triage_main, arguments)
    return code, json.loads(capsys.readouterr().out)


async def test_where_no_revert_holds_the_model_drafts_and_its_patch_is_tested(shop, capsys, monkeypatch):
    async with serve_model(ENGINEER) as server:
        monkeypatch.setenv("NIGHTSHIFT_MODEL_URL", server.url)
        monkeypatch.setenv("NIGHTSHIFT_MODEL_API_KEY", KEY)
        code, said = await triage(shop, capsys)
    assert code == 0
    assert said["culprit"] is not None
    assert said["revert"]["scope"] == "none"
    assert (said["patch"]["title"], said["patch"]["verified"]) == ("Tax Sweden again", True)
    assert said["patch"]["notes"] == ["drafted by the model"]
    assert said["model"]["is_patch"] is True
    assert said["model"]["said"].startswith("The rate of Sweden was lost.")
    assert KEY not in json.dumps(said)
    assert "Tax Sweden again mends it" in " ".join(finding["claim"] for finding in said["findings"])
    assert b"broke it" in server.seen[0]
    assert b"An alert that no other playbook answers" in server.seen[0], "the playbook that the bot would take"


async def test_without_a_model_or_with_no_model_nothing_is_asked(shop, capsys, monkeypatch):
    async with serve_model(ENGINEER) as server:
        monkeypatch.setenv("NIGHTSHIFT_MODEL_URL", server.url)
        code, said = await triage(shop, capsys, "--no-model")
        assert (code, said["model"], said["patch"]) == (3, None, None)
        assert server.seen == []


async def test_where_a_revert_holds_the_model_is_not_asked(tmp_path, capsys, monkeypatch):
    made = Repository(tmp_path)
    made.commit("Rates 0", shop__py=GOOD)
    made.commit("Rates 1", shop__py=GOOD.replace("'SE': 25, ", ""))
    async with serve_model(ENGINEER) as server:
        monkeypatch.setenv("NIGHTSHIFT_MODEL_URL", server.url)
        code, said = await triage(made, capsys)
        assert (code, said["model"], said["revert"]["scope"]) == (0, None, "whole")
        assert server.seen == []


async def test_a_model_that_refuses_leaves_the_result_without_it(shop, capsys, monkeypatch):
    async with serve_model([recorded("wrong key")]) as server:
        monkeypatch.setenv("NIGHTSHIFT_MODEL_URL", server.url)
        code, said = await triage(shop, capsys)
    assert code == 3
    assert said["model"]["fault"] == (
        "the model could not be asked: The model server refuses the key (Unauthorized); set NIGHTSHIFT_MODEL_API_KEY"
    )
    assert said["patch"] is None


SAYS = 'mode = "triage"\nprompt = "Say WHY in German."\n\n[limits]\nsteps = 7\n'


async def test_an_option_names_the_model_and_the_profile_that_it_works_by(shop, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("NIGHTSHIFT_MODEL_URL", raising=False)
    profile = tmp_path / "german.toml"
    profile.write_text(SAYS)
    async with serve_model([Say(text="Der Satz fehlt.")]) as server:
        code, said = await triage(shop, capsys, "--model-url", server.url, "--profile", str(profile))
        request = json.loads(server.seen[0])
    assert (code, said["model"]["said"], said["patch"]) == (3, "Der Satz fehlt.", None)
    assert "Say WHY in German." in request["messages"][0]["content"]
    assert "propose_patch" not in {tool["function"]["name"] for tool in request["tools"]}


async def test_a_budget_of_a_day_holds_here_too_and_what_was_found_is_told(shop, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("NIGHTSHIFT_MODEL_URL", raising=False)
    config = tmp_path / "nightshift.toml"
    config.write_text(f'[server]\nstate_dir = "{tmp_path}"\n[model.budgets.day]\nsteps = 2\n')
    read = Say(text=f"Sweden is gone. {KEY}", calls=(("read_file", '{"path": "shop.py"}'),))
    with open_empty_store(tmp_path) as store:
        with store.begin() as work:
            work.model_spend.charge("INC-1:1", "bank", Spent(steps=1))
        async with serve_model([read] * 5) as server:
            code, said = await triage(shop, capsys, "--config", str(config), "--model-url", server.url)
            assert len(server.seen) == 1
        with store.begin() as work:
            assert work.model_spend.today()[shop.folder.name].steps == 1
    why = "its run ended early: today's budget of 2 answers for all services is used up"
    assert (code, said["model"]["fault"]) == (3, why)
    assert said["model"]["said"].startswith("Sweden is gone.")


async def test_without_a_store_nothing_was_used_and_one_that_fails_lets_nothing_be_asked(tmp_path):
    settings = Settings(server={"state_dir": tmp_path}, model={"budgets": {"day": {"steps": 0}}})
    with open_spending(settings, Budget()) as spending:
        assert spending is not None
    with open_spending(Settings(), Budget()) as nothing:
        assert nothing is None
    with open_empty_store(tmp_path) as store, open_spending(settings, Budget()) as spending:
        spending.begin("triage:1", "shop", ())
        with store.engine.begin() as connection:
            connection.execute(text("DROP TABLE model_spend"))
        with pytest.raises(Unavailable):
            spending.take(Rows("triage:1").task(State(), "x", "{"))


class Orders:
    """A server of tools, in memory."""

    name = "shop"

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    async def list_tools(self) -> tuple[Listed, ...]:
        return (Listed(name="orders", about="Newest.", schema='{"type": "object"}', reads_only=True),)

    async def call(self, tool: str, arguments: str, _policy: ToolPolicy) -> FarAnswer:
        self.calls.append((tool, arguments))
        return FarAnswer(text="an order from Sweden")


async def test_a_configuration_brings_its_playbooks_and_its_servers_of_tools(shop, tmp_path, capsys, monkeypatch):
    orders = Orders()
    monkeypatch.setattr(tool_servers, "open_tool_servers", lambda _settings: {"shop": orders})
    config = tmp_path / "nightshift.toml"
    config.write_text('general_playbook = false\n[mcp.shop]\nurl = "http://127.0.0.1:9"\ntools = ["orders"]\n')
    script = [Say(calls=(("mcp__shop__orders", "{}"), ("load_playbook", '{"name": ""}'))), *[Say(text="Sweden.")] * 2]
    async with serve_model(script) as server:
        _, said = await triage(shop, capsys, "--config", str(config), "--model-url", server.url)
        first, last = map(json.loads, (server.seen[0], server.seen[-1]))
    assert said["model"]["said"] == "Sweden."
    assert "mcp__shop__orders" in {tool["function"]["name"] for tool in first["tools"]}
    assert "An alert that no other playbook answers" not in json.dumps(last)
    answers = [message["content"] for message in last["messages"] if message["role"] == "tool"]
    assert "an order from Sweden" in answers[0]
    assert orders.calls == [("orders", "{}")]


async def test_a_tool_that_the_run_was_not_given_is_refused():
    shelf = FarToolShelf({"shop": Served(server=Orders(), policy=ToolPolicy(tools=("orders",)))}, str)
    desk = TerminalDesk(metrics=None, playbooks=(), shelf=shelf)
    wanted = MCPWanted(server="shop", tool="orders", arguments="{}")
    assert "was not given" in (await desk.ask(wanted)).fault
    await desk.list_far_tools(AgentProfile())
    assert (await desk.ask(wanted)).far.text == "an order from Sweden"


class TestTheProfile:
    def test_is_named_as_in_a_playbook(self):
        model = find_model(url="http://gpu:30000", profile="triage")
        assert (model.place.url, model.profile.name, model.profile.mode.value) == (
            "http://gpu:30000",
            "triage",
            "triage",
        )

    def test_sets_limits_and_how_long_the_model_thinks(self, tmp_path):
        settings = Settings(model={"profile": "mistral-medium-3.5"})
        file = tmp_path / "short.toml"
        file.write_text('mode = "patch"\neffort = "high"\n[limits]\nsteps = 7\n')
        model = find_model(settings, url="http://gpu:30000", profile=str(file))
        assert (model.profile.limit(model.budget).steps, "reasoning_effort" in model.place.extra) == (7, True)

    @pytest.mark.parametrize(
        ("named", "url", "why"),
        [
            ("patsh", "http://gpu:30000", 'no profile "patsh"; did you mean "patch"'),
            ("question", "http://gpu:30000", "is for questions"),
            ("gone.toml", "http://gpu:30000", "gone.toml"),
            ("patch", "gpu", "--model-url"),
            ("patch", "", "name one with --model-url"),
        ],
    )
    def test_that_cannot_be_used_is_refused(self, named, url, why, monkeypatch):
        monkeypatch.delenv("NIGHTSHIFT_MODEL_URL", raising=False)
        with pytest.raises(NightshiftError, match=re.escape(why)):
            find_model(url=url, profile=named)

    def test_gives_the_configured_key_to_the_configured_server_alone(self, monkeypatch):
        monkeypatch.setenv("NIGHTSHIFT_MODEL_URL", "http://own:30000")
        monkeypatch.setenv("NIGHTSHIFT_MODEL_API_KEY", KEY)
        assert find_model().place.api_key == KEY
        assert find_model(url="http://other:30000").place.api_key == ""

    def test_gives_a_key_without_a_configured_server_to_the_one_that_is_named(self, monkeypatch):
        monkeypatch.delenv("NIGHTSHIFT_MODEL_URL", raising=False)
        monkeypatch.setenv("NIGHTSHIFT_MODEL_API_KEY", KEY)
        monkeypatch.setenv("NIGHTSHIFT_MODEL_NAME", "tiny")
        place = find_model(url="http://gpu:30000").place
        assert (place.url, place.api_key, place.name) == ("http://gpu:30000", KEY, "tiny")
