"""One person from Slack to Telegram, through the real connectors: code, press, news, and who is named."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from bot.domain.chat import Message
from bot.domain.oncall import Roster
from bot.engine.accounts import AccountBook
from bot.engine.chat_inbox import StoreInbox
from bot.engine.compose import Composer
from bot.engine.dispatcher import Channel, Dispatcher
from bot.ports.chat import ChatConnector, ChatPlace
from bot.render.links import Links
from connectors.chat import slack, telegram
from tests.contract.chat_suite import ACK, card
from tests.slack_server import APP_TOKEN, BOT_TOKEN, CHAT, SlackServer, text_of
from tests.telegram_server import CHAT as GROUP
from tests.telegram_server import TOKEN, TelegramServer
from tests.worldkit import PEOPLE, World, make_rules, make_world, quiet  # noqa: F401 -- `quiet` is a fixture

ADA = {"id": 70, "is_bot": False, "first_name": "Ada"}
ALONE = {"id": 70, "type": "private", "first_name": "Ada"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    ada = replace(PEOPLE["ada"], accounts={**PEOPLE["ada"].accounts, "slack": "U0ADA"})
    rules = make_rules(roster=Roster(people={**PEOPLE, "ada": ada}), channels=("web", "slack", "telegram"))
    return make_world(tmp_path, rules, opened=True)


@pytest.fixture
def book(world: World) -> AccountBook:
    return AccountBook(world.store, world.rules)


async def until(claim: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not claim():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def listening(connector: ChatConnector, world: World) -> AsyncIterator[None]:
    task = asyncio.create_task(connector.run(StoreInbox(world.store, world.rules)))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def in_slack(world: World, book: AccountBook) -> AsyncIterator[tuple[SlackServer, ChatConnector]]:
    far = SlackServer()
    async with TestServer(far.app()) as server:
        far.url = str(server.make_url("")).rstrip("/")
        own = {"chat": CHAT, "bot_token": BOT_TOKEN, "app_token": APP_TOKEN, "url": f"{far.url}/api"}
        place = ChatPlace(name="slack", accounts=book.open("slack"))
        connector = slack.Connector(slack.Settings.model_validate(own), place)
        async with listening(connector, world):
            yield far, connector
    assert far.violations == []


@pytest.fixture
async def in_telegram(world: World, book: AccountBook) -> AsyncIterator[tuple[TelegramServer, ChatConnector]]:
    far = TelegramServer(talks={70})
    async with TestServer(far.app()) as server:
        own = {"token": TOKEN, "chat": GROUP, "url": str(server.make_url("")), "poll_seconds": 1}
        place = ChatPlace(name="telegram", accounts=book.open("telegram"))
        connector = telegram.Connector(telegram.Settings.model_validate(own), place)
        async with listening(connector, world):
            yield far, connector
    assert far.violations == []


async def ask_in_slack(far: SlackServer) -> str:
    about = {"user_id": "U0ADA", "channel_id": CHAT, "trigger_id": "T1", "response_url": f"{far.url}/respond"}
    await far.deliver("slash_commands", {"command": "/link", "text": "", **about})
    await until(lambda: far.told)
    code = re.search(r"/link (\S+)", far.told[0])
    assert code is not None
    return code[1]


async def test_a_code_from_slack_makes_a_person_known_in_telegram(
    world: World,
    book: AccountBook,
    in_slack: tuple[SlackServer, ChatConnector],
    in_telegram: tuple[TelegramServer, ChatConnector],
) -> None:
    (from_slack, slack_side), (far, telegram_side) = in_slack, in_telegram
    await telegram_side.post("telegram", card(buttons=(replace(ACK, id="ack:INC-1"),)), "key-1", None)
    posted = far.find("checkout is failing")
    await far.press(posted, "ack:INC-1", ADA)
    await until(lambda: any("/link" in answer.get("text", "") for answer in far.answers))
    await far.say(f"/link {await ask_in_slack(from_slack)}", person=ADA, chat=ALONE)
    await until(lambda: any("You are Ada Lovelace here too" in one.text for one in far.messages.values()))
    await far.press(posted, "ack:INC-1", ADA)
    await until(lambda: world.incident().owner == "ada")
    await book.refresh()
    await telegram_side.post("telegram", _page(), "key-2", None)
    mentions = [
        entity["user"]["id"] for entity in far.find("Ada: checkout").entities if entity["type"] == "text_mention"
    ]
    assert mentions == [70]
    composer = Composer(world.store, world.rules, Links())
    channel = Channel(name="slack", connector=slack_side)
    dispatcher = Dispatcher(world.store, world.clock, [channel], composer.compose, sweep_seconds=30)
    assert await dispatcher._drain(channel) == 0
    told = ["".join(text_of(message["blocks"])) for message in from_slack.messages.values()]
    assert [text.startswith("🟠 Ada Lovelace has a new account: 70 in telegram") for text in told] == [True]


def _page() -> Message:
    return card(slot="page:0", headline="Ada: checkout", rings=("ada",), in_thread=True)
