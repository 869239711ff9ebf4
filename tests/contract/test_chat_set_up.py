"""`nightshift connect slack` and its like against each service's local server: asked, looked at, tested, kept."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from typer.testing import CliRunner

from bot import cli
from bot.bootstrap.chat import make_channels
from bot.bootstrap.commands.connect_wizard import Order, Terminal, connect
from bot.errors import Refused
from bot.settings import load_settings
from tests import discord_server, slack_server, telegram_server, whatsapp_server
from tests.discord_server import DiscordServer
from tests.slack_server import SlackServer
from tests.telegram_server import TelegramServer
from tests.whatsapp_server import WhatsAppServer

HEADLINE = "Nightshift is connected"
OLD = '# ours\n[channels.web]\nkind = "web"\n'


@contextmanager
def served(app: web.Application) -> Iterator[str]:
    """Serve in a thread: the wizard has loops of its own."""
    loop, runner = asyncio.new_event_loop(), web.AppRunner(app, shutdown_timeout=0.1)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> str:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        return f"http://{host}:{port}"

    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result(5)
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Person:
    """Types what it is told to, and reads everything."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.read: list[str] = []
        self.hidden: list[bool] = []

    @property
    def text(self) -> str:
        return "\n".join(self.read)

    def ask(self, label: str, is_secret: bool) -> str:
        self.read.append(label)
        self.hidden.append(is_secret)
        return self.answers.pop(0)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nightshift.toml").write_text(OLD)
    (tmp_path / ".env").write_text("# mine\nOTHER=1\nNIGHTSHIFT_ADMIN_TOKEN=aaaaaaaaaaaaaaaaaaaaaaaa\n")
    return tmp_path


Setting = Callable[..., Person]


@pytest.fixture
def set_up(place: Path) -> Setting:
    def run(
        kind: str, person: Person, *, name: str = "", is_patient: bool = True, given: Any = (), **variables: str
    ) -> Person:
        named = {f"NIGHTSHIFT_{name or kind}_{key}".upper(): value for key, value in variables.items()}
        config = place / "nightshift.toml"
        order = Order(kind=kind, config=config, variables=named, name=name, given=dict(given))
        connect(order, Terminal(say=person.read.append, ask=person.ask, is_patient=is_patient))
        assert person.answers == []
        return person

    return run


def kept(place: Path, *secrets: str) -> str:
    """Check that both files are right, and that Nightshift would start with them; return the configuration."""
    env, config = (place / ".env").read_text(), (place / "nightshift.toml").read_text()
    assert env.startswith("# mine\nOTHER=1\nNIGHTSHIFT_ADMIN_TOKEN=")
    assert (place / ".env").stat().st_mode & 0o777 == 0o600
    assert config.startswith(OLD)
    for secret in secrets:
        assert secret in env
        assert secret not in config
    settings = load_settings(place / "nightshift.toml")
    assert len(make_channels(settings, None)) == 1, "the new one; the web page waits for a store"
    assert {path.name for path in place.iterdir()} == {".env", "nightshift.toml"}
    return config


def test_slack_shows_the_manifest_and_keeps_what_works(set_up: Setting, place: Path) -> None:
    server = SlackServer()
    with served(server.app()) as url:
        server.url = url
        person = Person(slack_server.BOT_TOKEN, slack_server.APP_TOKEN, slack_server.CHAT)
        set_up("slack", person, url=f"{url}/api")
    assert "socket_mode_enabled: true" in person.text
    assert 'accounts = { slack = "…" }' in person.text
    assert "The bot is @nightshift" in person.text
    assert person.hidden == [True, True, False]
    assert HEADLINE in str(server.messages)
    assert server.violations == []
    config = kept(place, slack_server.BOT_TOKEN, slack_server.APP_TOKEN)
    assert f'[channels.slack]\nkind = "slack"\nchat = "{slack_server.CHAT}"\n' in config


def test_a_second_channel_of_a_kind_gets_a_name_of_its_own(set_up: Setting, place: Path) -> None:
    server = WhatsAppServer()
    with served(server.app()) as url:
        given = {"url": f"{url}/v23.0", "phone_number_id": whatsapp_server.PHONE, "token": whatsapp_server.TOKEN}
        person = Person(whatsapp_server.SECRET, whatsapp_server.VERIFY, whatsapp_server.ANA)
        set_up("whatsapp", person, name="second", **given)
    assert "/v1/chat/second and the verify token;" in person.text
    assert "it stands in .env as NIGHTSHIFT_SECOND_VERIFY_TOKEN." in person.text
    assert 'accounts = { second = "…" }' in person.text
    assert '[channels.second]\nkind = "whatsapp"\n' in kept(place, whatsapp_server.TOKEN, whatsapp_server.SECRET)
    assert f"NIGHTSHIFT_SECOND_TOKEN={whatsapp_server.TOKEN}" in (place / ".env").read_text()


@pytest.mark.parametrize("name", ["Slack", "slack_2", "2", "a b", "../x", "web", "x" * 33])
def test_a_name_that_is_of_no_use_or_taken_is_refused(set_up: Setting, place: Path, name: str) -> None:
    before = (place / "nightshift.toml").read_text()
    with pytest.raises(Refused):
        set_up("slack", Person(), name=name)
    assert (place / "nightshift.toml").read_text() == before


def test_slack_names_the_scopes_that_are_missing(set_up: Setting) -> None:
    server = SlackServer()
    server.fault = (200, {"X-OAuth-Scopes": "chat:write,commands"}, {"ok": True, "user": "nightshift"})
    with (
        served(server.app()) as url,
        pytest.raises(Refused, match="channels:history, files:read, files:write, groups:history"),
    ):
        set_up("slack", Person(slack_server.BOT_TOKEN), is_patient=False, url=f"{url}/api")


def test_discord_shows_the_invite_link_and_registers_the_commands(set_up: Setting, place: Path) -> None:
    server = DiscordServer()
    with served(server.app()) as url:
        person = set_up("discord", Person(discord_server.TOKEN, str(discord_server.CHAT)), url=url)
    assert f"client_id={discord_server.APP}&scope=bot+applications.commands&permissions=2252109051448320" in person.text
    assert "The bot is @nightshift" in person.text
    assert {command["name"] for command in server.commands} >= {"incident", "patch", "ci", "oncall"}
    assert [HEADLINE in stored.text for stored in server.messages.values()] == [True]
    assert server.violations == []
    assert f"chat = {discord_server.CHAT}\n" in kept(place, discord_server.TOKEN)


def test_discord_gives_the_invite_link_again_where_the_bot_does_not_see_the_channel(set_up: Setting) -> None:
    server = DiscordServer()
    server.faults["channel"] = [(404, {"message": "Unknown Channel", "code": 10003}, {})]
    with served(server.app()) as url:
        person = Person(discord_server.TOKEN, "999", str(discord_server.CHAT))
        set_up("discord", person, url=url)
    assert "✗ @nightshift does not see the channel 999: invite it with https://discord.com/oauth2/" in person.text


def test_telegram_finds_the_group_by_itself(set_up: Setting, place: Path) -> None:
    server = TelegramServer()
    user, chat = telegram_server.ANA, {"id": telegram_server.CHAT, "type": "supergroup", "title": "On call"}
    message = {"message_id": 1, "date": 1_780_000_000, "chat": chat, "from": user, "text": "/id@nightshift_bot"}
    server.updates.append({"update_id": 1, "message": message})
    with served(server.app()) as url:
        person = set_up("telegram", Person(telegram_server.TOKEN, ""), url=url)
    assert "✓ The bot is @nightshift_bot." in person.text
    assert "✓ @nightshift_bot in On call, by polling" in person.text
    assert {command["command"] for command in server.commands} >= {"incident", "patch"}
    assert server.confirmed == 0
    assert [HEADLINE in stored.text for stored in server.messages.values()] == [True]
    assert server.violations == []
    assert f"chat = {telegram_server.CHAT}\n" in kept(place, telegram_server.TOKEN)


def test_whatsapp_makes_up_a_verify_token_and_tells_what_is_left_to_do(set_up: Setting, place: Path) -> None:
    server = WhatsAppServer()
    with served(server.app()) as url:
        typed = [whatsapp_server.PHONE, whatsapp_server.TOKEN, whatsapp_server.SECRET, "", "+1 555 000 0007"]
        person = set_up("whatsapp", Person(*typed), url=f"{url}/v23.0")
    assert "The number is Nightshift +1 555-000-0001." in person.text
    assert "https://<your address>/v1/chat/whatsapp" in person.text
    assert [(got.to, got.template) for got in server.sent] == [(whatsapp_server.ANA, "nightshift_news")]
    assert server.violations == []
    config = kept(place, whatsapp_server.TOKEN, whatsapp_server.SECRET, "NIGHTSHIFT_WHATSAPP_VERIFY_TOKEN=")
    assert f'phone_number_id = "{whatsapp_server.PHONE}"\n' in config
    assert "chat" not in config.partition("[channels.whatsapp]")[2]


def test_whatsapp_is_connected_before_its_templates_are_approved(set_up: Setting, place: Path) -> None:
    server = WhatsAppServer()
    server.faults.append((404, {"code": 132001, "message": "Template name does not exist"}, {}))
    with served(server.app()) as url:
        values = {"phone_number_id": whatsapp_server.PHONE, "token": whatsapp_server.TOKEN}
        values |= {"app_secret": whatsapp_server.SECRET, "verify_token": whatsapp_server.VERIFY}
        given = {"chat": whatsapp_server.ANA}
        person = set_up("whatsapp", Person(), is_patient=False, given=given, url=f"{url}/v23.0", **values)
    assert "! The test card did not go out yet: WhatsApp refused the template" in person.text
    kept(place, whatsapp_server.TOKEN, whatsapp_server.VERIFY)


def test_a_script_gives_everything_by_variables_and_one_option(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TelegramServer()
    with served(server.app()) as url:
        monkeypatch.setenv("NIGHTSHIFT_TELEGRAM_TOKEN", telegram_server.TOKEN)
        monkeypatch.setenv("NIGHTSHIFT_TELEGRAM_URL", url)
        command = ["connect", "telegram", "--chat", str(telegram_server.CHAT), "--yes"]
        done = CliRunner().invoke(cli.app, command)
    assert done.exit_code == 0
    assert "✓ The test card is there." in done.output
    assert telegram_server.TOKEN not in done.output
    monkeypatch.delenv("NIGHTSHIFT_TELEGRAM_TOKEN")
    monkeypatch.delenv("NIGHTSHIFT_TELEGRAM_URL")
    kept(place, telegram_server.TOKEN, f"NIGHTSHIFT_TELEGRAM_URL={url}\n")


def test_each_line_of_the_standard_input_answers_a_question(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = DiscordServer()
    with served(server.app()) as url:
        monkeypatch.setenv("NIGHTSHIFT_DISCORD_URL", url)
        typed = f"{discord_server.TOKEN}\n{discord_server.CHAT}\n"
        done = CliRunner().invoke(cli.app, ["connect", "discord"], input=typed)
    assert done.exit_code == 0
    assert len(server.messages) == 1
    kept(place, discord_server.TOKEN)


def test_with_yes_nothing_is_asked(place: Path) -> None:
    done = CliRunner().invoke(cli.app, ["connect", "discord", "--yes"], input=f"{discord_server.TOKEN}\n")
    assert isinstance(done.exception, Refused)
    assert "Give it by NIGHTSHIFT_DISCORD_TOKEN." in str(done.exception)
    assert (place / "nightshift.toml").read_text() == OLD


def test_a_wrong_variable_of_the_channel_is_named(set_up: Setting) -> None:
    with pytest.raises(Refused, match="url: write an address such as"):
        set_up("telegram", Person(), is_patient=False, token=telegram_server.TOKEN, url="nowhere")


WRONG = {
    "slack": ("xoxb-another", "install the app again"),
    "discord": (discord_server.TOKEN.replace("A", "B"), "make a new one for the bot"),
    "telegram": ("4242:" + "B" * 35, "make a new one with BotFather"),
    "whatsapp": ("EAAG" + "x" * 40, "make a new one in Meta's settings"),
}
SERVERS = {"slack": SlackServer, "discord": DiscordServer, "telegram": TelegramServer, "whatsapp": WhatsAppServer}


@pytest.mark.parametrize("kind", WRONG)
def test_a_token_that_does_not_work_writes_nothing(kind: str, set_up: Setting, place: Path) -> None:
    token, advice = WRONG[kind]
    server = SERVERS[kind]()
    if isinstance(server, SlackServer):
        server.fault = (200, {}, {"ok": False, "error": "invalid_auth"})
    path = {"slack": "/api", "whatsapp": "/v23.0"}.get(kind, "")
    values = {"bot_token" if kind == "slack" else "token": token}
    values |= {"phone_number_id": whatsapp_server.PHONE} if kind == "whatsapp" else {}
    before = (place / ".env").read_text()
    with served(server.app()) as url, pytest.raises(Refused, match=advice) as refused:
        set_up(kind, Person(), is_patient=False, url=f"{url}{path}", **values)
    assert token not in str(refused.value)
    assert (place / ".env").read_text() == before
    assert (place / "nightshift.toml").read_text() == OLD


def test_a_wrong_answer_is_asked_for_again(set_up: Setting, place: Path) -> None:
    server = TelegramServer()
    with served(server.app()) as url:
        person = Person("nonsense", "4242:" + "B" * 35, telegram_server.TOKEN, str(telegram_server.CHAT))
        set_up("telegram", person, url=url)
    assert "✗ It is no token of BotFather; it looks like 123456:AbC…." in person.text
    assert "✗ Telegram does not accept the token" in person.text
    assert "B" * 35 not in (place / ".env").read_text()


def test_what_is_there_already_is_used_and_a_table_stays_as_it_is(set_up: Setting, place: Path) -> None:
    server = TelegramServer()
    with served(server.app()) as url:
        table = f'{OLD}[channels.telegram]\nkind = "telegram"\nchat = -1 # old\nurl = "{url}"\n'
        (place / "nightshift.toml").write_text(table)
        with (place / ".env").open("a") as file:
            file.write(f"export NIGHTSHIFT_TELEGRAM_TOKEN='{telegram_server.TOKEN}'\n")
        given = {"chat": str(telegram_server.CHAT)}
        set_up("telegram", Person(), is_patient=False, given=given)
    assert (place / "nightshift.toml").read_text() == table
    kept(place, f"\nNIGHTSHIFT_TELEGRAM_TOKEN={telegram_server.TOKEN}\n")
    settings = load_settings(place / "nightshift.toml")
    assert (settings.channels["telegram"].model_extra or {})["chat"] == str(telegram_server.CHAT)


def test_a_configuration_that_nothing_can_be_added_to_is_left_alone(set_up: Setting, place: Path) -> None:
    server = TelegramServer()
    (place / "nightshift.toml").write_text('channels = { web = { kind = "web" } }\n')
    with served(server.app()) as url:
        person = set_up("telegram", Person(telegram_server.TOKEN, str(telegram_server.CHAT)), url=url)
    assert '[channels.telegram]\nkind = "telegram"\nchat = -100500\n' in person.text
    assert (place / "nightshift.toml").read_text() == 'channels = { web = { kind = "web" } }\n'


def test_a_secret_that_env_would_misread_is_refused(set_up: Setting, place: Path) -> None:
    server = WhatsAppServer()
    typed = [whatsapp_server.PHONE, whatsapp_server.TOKEN, whatsapp_server.SECRET]
    person = Person(*typed, "${HOME}-and-more-characters", whatsapp_server.ANA)
    with served(server.app()) as url, pytest.raises(Refused, match="take another"):
        set_up("whatsapp", person, url=f"{url}/v23.0")
    assert (place / "nightshift.toml").read_text() == OLD
