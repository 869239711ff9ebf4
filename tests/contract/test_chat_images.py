"""Images that people post in a chat: named by its connector, fetched from the service itself and from nowhere else."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.domain.chat import Said
from bot.domain.runs.image import MAX_BYTES, Attachment
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.chat import ImageSource
from connectors.chat.discord import Connector as Discord
from connectors.chat.discord import Settings as DiscordSettings
from connectors.chat.discord.payloads import Written
from connectors.chat.discord.reading import Place, Reader
from connectors.chat.fetching import Way, fetch, origin_of
from connectors.chat.slack import Connector as Slack
from connectors.chat.telegram import Connector as Telegram
from connectors.chat.telegram import Settings as TelegramSettings
from connectors.chat.whatsapp import Connector as WhatsApp
from connectors.chat.whatsapp.reading import Typed, read
from tests.contract.chat_suite import RecordingInbox, card
from tests.contract.test_chat_slack import ANA, PLACE, SlackRig, settings
from tests.contract.test_chat_whatsapp import settings as whatsapp_settings
from tests.images import PNG
from tests.slack_server import CHAT, SlackServer
from tests.telegram_server import CHAT as GROUP
from tests.telegram_server import TOKEN, TelegramServer
from tests.whatsapp_server import WhatsAppServer


@pytest.fixture
async def far() -> AsyncIterator[str]:
    """Return the address of a server of files."""

    async def answer(request: web.Request) -> web.StreamResponse:
        name = request.path.strip("/")
        if name == "elsewhere":
            return web.Response(status=302, headers={"Location": "/small"})
        if name == "slow":
            await asyncio.sleep(5)
        return web.Response(body=b"x" * MAX_BYTES * 2 if name == "large" else PNG, status=503 if name == "ill" else 200)

    app = web.Application()
    app.router.add_get("/{name}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def test_a_file_is_read_to_its_end_or_to_the_limit(far: str) -> None:
    way = Way(service="X", origins={far})
    assert await fetch(f"{far}/small", way) == PNG
    assert len(await fetch(f"{far}/large", way)) == MAX_BYTES + 1


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "{far}0/small",
        "http://user@{host}/small",
        "https://{host}/small",
        "http://{host}\\@evil.example/small",
        "//{host}/small",
        "",
    ],
)
async def test_no_other_address_is_asked(far: str, url: str) -> None:
    address = url.format(far=far, host=far.removeprefix("http://"))
    with pytest.raises(Rejected) as refusal:
        await fetch(address, Way(service="X", origins={far}))
    assert refusal.value.reason is Reason.NOT_ALLOWED


async def test_nobody_is_followed_and_faults_have_names(far: str) -> None:
    way = Way(service="X", origins={far}, seconds=0.2)
    with pytest.raises(Rejected, match="answered 302"):
        await fetch(f"{far}/elsewhere", way)
    with pytest.raises(Unavailable, match="answered 503"):
        await fetch(f"{far}/ill", way)
    with pytest.raises(Unavailable, match="in time"):
        await fetch(f"{far}/slow", way)
    gone = "http://127.0.0.1:1"
    with pytest.raises(Unavailable, match="cannot be fetched"):
        await fetch(f"{gone}/small", Way(service="X", origins={gone}))


def test_an_origin_is_scheme_host_and_port() -> None:
    assert origin_of("https://Files.example/a?b#c") == "https://files.example"
    assert origin_of("http://127.0.0.1:8080/a") == "http://127.0.0.1:8080"
    assert {origin_of(url) for url in ("ftp://a/b", "https://a@b/c", "https://a:x/", "https:///a", "//a/b")} == {""}


# Slack ----------------------------------------------------------------------------------------------------------------
@pytest.fixture
async def slack() -> AsyncIterator[tuple[SlackServer, Slack]]:
    world = SlackServer()
    async with TestServer(world.app()) as server:
        world.url = str(server.make_url("")).rstrip("/")
        world.posted["F1"] = (f"{world.url}/files/F1", PNG)
        yield world, Slack(settings(world.url), PLACE)
    assert world.violations == []


async def test_slack_names_a_screenshot_in_a_thread(slack: tuple[SlackServer, Slack]) -> None:
    world, connector = slack
    inbox, rig = RecordingInbox(), SlackRig(world, connector)
    listening = asyncio.create_task(connector.run(inbox))
    ref = await connector.post(CHAT, card(), "k", None)
    files = [{"id": "F1", "name": "cpu\u202e.png", "mimetype": "image/png", "size": len(PNG)}, "?", {"size": "x"}]
    about = {"type": "message", "subtype": "file_share", "channel": CHAT, "user": ANA, "ts": "2.0"}
    await rig.happen({**about, "thread_ts": ref, "text": "<@UBOT>", "files": files})
    (said,) = await inbox.wait(1)
    listening.cancel()
    await asyncio.wait({listening})
    assert isinstance(said, Said)
    assert said.attachments[0] == Attachment(name="cpu<U+202E>.png", media_type="image/png", size=len(PNG), ref="F1")
    assert (said.text, said.is_addressed, len(said.attachments)) == ("", True, 2)


async def test_slack_s_files_are_fetched_with_the_token_from_slack_alone(slack: tuple[SlackServer, Slack]) -> None:
    world, connector = slack
    assert isinstance(connector, ImageSource)
    assert await connector.fetch_image("F1") == PNG
    world.posted["F2"] = ("http://169.254.169.254/secrets", PNG)
    with pytest.raises(Rejected, match="lies elsewhere"):
        await connector.fetch_image("F2")
    world.fault = (200, {}, {"ok": False, "error": "missing_scope"})
    with pytest.raises(Rejected, match="missing_scope"):
        await connector.fetch_image("F1")


# Discord --------------------------------------------------------------------------------------------------------------
def test_discord_names_what_was_posted_with_a_mention() -> None:
    posted = {"filename": "cpu.png", "content_type": "image/png", "size": 9, "url": "https://cdn.discordapp.com/a?ex=1"}
    written = {"id": "1", "channel_id": "500", "author": {"id": "7"}, "timestamp": "2026-11-28T06:00:00+00:00"}
    reader = Reader(channel="discord", allowed=frozenset({500}), me="42")
    place = Place(channel=600, parent=500, incident="INC-7")
    heard = reader.read_words(
        Written.model_validate({**written, "content": "<@42>", "mentions": [{"id": "42"}], "attachments": [posted]}),
        place,
    )
    assert heard is not None
    assert isinstance(heard.event, Said)
    (shown,) = heard.event.attachments
    assert (shown.name, shown.media_type, shown.size, shown.ref) == ("cpu.png", "image/png", 9, posted["url"])
    assert reader.read_words(Written.model_validate({**written, "attachments": [posted]}), place) is None


async def test_discord_s_files_are_fetched_from_its_files_alone(far: str) -> None:
    token = f"{'M' * 24}.{'g' * 6}.{'A' * 38}"
    connector = Discord(DiscordSettings.model_validate({"token": token, "chat": 500, "cdn_url": far}), PLACE)
    assert isinstance(connector, ImageSource)
    assert await connector.fetch_image(f"{far}/small?ex=1&is=2&hm=3") == PNG
    for url in ("https://cdn.discordapp.com.evil.example/small", "http://127.0.0.1:1/small"):
        with pytest.raises(Rejected, match="lies elsewhere"):
            await connector.fetch_image(url)


# Telegram -------------------------------------------------------------------------------------------------------------
@pytest.fixture
async def telegram() -> AsyncIterator[tuple[TelegramServer, Telegram]]:
    world = TelegramServer()
    async with TestServer(world.app()) as server:
        given = {"token": TOKEN, "chat": GROUP, "url": str(server.make_url("")).rstrip("/"), "poll_seconds": 1}
        connector = Telegram(TelegramSettings.model_validate(given), PLACE)
        yield world, connector
        await connector.close()
    assert world.violations == []


async def test_telegram_names_pictures_and_files_that_answer_the_bot(
    telegram: tuple[TelegramServer, Telegram],
) -> None:
    world, connector = telegram
    inbox = RecordingInbox()
    ref = await connector.post(str(GROUP), card(), "k", None)
    listening = asyncio.create_task(connector.run(inbox))
    under = world.messages[int(ref.partition("m")[2])]
    sizes = [{"file_id": f"P{n}", "file_unique_id": f"u{n}", "width": n, "height": n, "file_size": n} for n in (1, 2)]
    await world.say("", under=under, photo=sizes, caption="@nobody what is this?")
    await world.say("", photo=sizes)
    file = {"file_id": "D1", "file_unique_id": "u", "file_name": "a.webp", "mime_type": "image/webp", "file_size": 3}
    await world.say("", under=under, document=file)
    first, second = await inbox.wait(2)
    listening.cancel()
    await asyncio.wait({listening})
    assert isinstance(first, Said)
    assert isinstance(second, Said)
    assert first.attachments == (Attachment(name="photo.jpg", media_type="image/jpeg", size=2, ref="P2"),)
    assert (first.text, first.incident) == ("@nobody what is this?", "INC-7")
    assert second.attachments == (Attachment(name="a.webp", media_type="image/webp", size=3, ref="D1"),)
    assert (second.text, second.incident) == ("", "INC-7")


async def test_telegram_s_files_are_fetched_from_telegram_alone(telegram: tuple[TelegramServer, Telegram]) -> None:
    world, connector = telegram
    assert isinstance(connector, ImageSource)
    world.posted = {"P1": ("photos/file_1.jpg", PNG), "P2": ("/etc/hostname", PNG), "P3": ("../../secret", PNG)}
    assert await connector.fetch_image("P1") == PNG
    for ref in ("P2", "P3"):
        with pytest.raises(Rejected):
            await connector.fetch_image(ref)


# WhatsApp -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["image", "document"])
def test_whatsapp_names_pictures_and_files(kind: str) -> None:
    held = {"id": "M1", "mime_type": "image/png; codecs=x", "caption": "and this?"}
    now = datetime(2026, 11, 28, 6, 0, tzinfo=UTC)
    message = {"from": "15550001", "id": "wamid.1", "timestamp": str(int(now.timestamp())), "type": kind, kind: held}
    value = {"metadata": {"phone_number_id": "1"}, "messages": [message]}
    (typed,) = read({"entry": [{"changes": [{"field": "messages", "value": value}]}]}, "1", now)
    assert isinstance(typed, Typed)
    assert typed.files == (Attachment(name=kind, media_type="image/png", ref="M1"),)
    assert typed.text == "and this?"


async def test_whatsapp_s_files_are_fetched_with_the_token_from_whatsapp_alone() -> None:
    world = WhatsAppServer()
    async with TestServer(world.app()) as server:
        connector = WhatsApp(whatsapp_settings(server), PLACE)
        assert isinstance(connector, ImageSource)
        world.posted = {"M1": (str(server.make_url("/media/M1")), PNG), "M2": ("http://127.0.0.1:1/media/M2", PNG)}
        assert await connector.fetch_image("M1") == PNG
        with pytest.raises(Rejected, match="lies elsewhere"):
            await connector.fetch_image("M2")
        with pytest.raises(Rejected, match="no id"):
            await connector.fetch_image("../secrets")
        await connector.close()
