"""docs/new-chat.md keeps its word: its code is the example's, and the bot takes the example from its configuration."""

import ast
import asyncio
import re
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from bot.bootstrap.chat import make_channels
from bot.domain.oncall import Person, Role, Roster
from bot.engine.chat_inbox import StoreInbox
from bot.engine.compose import Composer
from bot.engine.dispatcher import Dispatcher
from bot.errors import ConfigError
from bot.render.links import Links
from bot.services.intake import receive_alerts
from bot.settings import load_settings
from tests.contract.test_chat_parlour import TOKEN, Parlour
from tests.worldkit import alert, group, make_rules, make_world

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "new-chat.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "tests" / "example_chat" / "parlour.py"
CONTRACT = ROOT / "tests" / "contract" / "test_chat_parlour.py"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def squeezed(text: str) -> list[str]:
    """Return the lines that hold something."""
    return [line for line in text.splitlines() if line.strip()]


def test_the_code_of_the_page_is_the_code_of_the_example() -> None:
    assert squeezed("\n".join(blocks("python"))) == squeezed(EXAMPLE.read_text(encoding="utf-8"))


def test_what_the_page_shows_of_the_contract_test_stands_there() -> None:
    assert [text for text in blocks("py") if text not in CONTRACT.read_text(encoding="utf-8")] == []


def test_the_example_keeps_the_rules_of_connectors() -> None:
    tree = ast.parse(EXAMPLE.read_text(encoding="utf-8"))
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    own = {module for module in modules if module.startswith(("bot", "connectors", "tests"))}
    assert {module for module in own if not module.startswith(("bot.domain.", "bot.ports.", "bot.errors"))} == set()


async def test_the_bot_takes_the_example_from_the_configuration_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parlour, (table,) = Parlour(), blocks("toml")
    world = make_world(tmp_path)
    people = {"ana": Person(id="ana", name="Ana", role=Role.APPROVER, accounts={"lounge": "ana"})}
    rules = make_rules(channels=("lounge",), roster=Roster(people=people))
    rules = replace(rules, routes=tuple(replace(route, channels=("lounge",)) for route in rules.routes))
    monkeypatch.setenv("NIGHTSHIFT_LOUNGE_TOKEN", TOKEN)
    async with TestServer(parlour.app()) as server:
        config = tmp_path / "nightshift.toml"
        config.write_text(table.replace("https://parlour.example", str(server.make_url("")).rstrip("/")))
        channels = make_channels(load_settings(config), None)
        composer = Composer(world.store, rules, Links())
        dispatcher = Dispatcher(world.store, world.clock, channels, composer.compose, sweep_seconds=30)
        world.store.on_commit(dispatcher.wake)
        listening = channels[0].connector.run(StoreInbox(world.store, rules))
        jobs = [asyncio.ensure_future(listening), asyncio.ensure_future(dispatcher.run())]
        with world.unit() as work:
            receive_alerts(work, [group(alert())], rules)
        card = await _find(parlour, "38")
        parlour.happen("press", button=card["buttons"][0]["id"], values={})
        await _find(parlour, "Ana has it")
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
    assert world.incident().owner == "ana"
    assert parlour.violations == []


async def _find(parlour: Parlour, text: str) -> dict:
    async with asyncio.timeout(5):
        while not (found := [one for one in parlour.messages.values() if text in one["text"]]):
            await asyncio.sleep(0.01)
    return found[0]


@pytest.mark.parametrize("kind", ["nobody.has.this", "os.path", "tests.example_chat.", ".parlour", "a..b"])
def test_a_module_that_is_no_connector_is_named(tmp_path: Path, kind: str) -> None:
    config = tmp_path / "nightshift.toml"
    config.write_text(f'[channels.lounge]\nkind = "{kind}"\n')
    with pytest.raises(ConfigError, match=re.escape(f'no chat connector "{kind}"')):
        make_channels(load_settings(config), None)
