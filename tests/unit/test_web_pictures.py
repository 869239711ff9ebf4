"""A picture posted on the pages: taken like one from a chat, shown in the thread, and nothing else than a picture."""

import asyncio
import io
from collections.abc import AsyncIterator
from hashlib import sha256

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.chat import Reply, Said
from bot.domain.runs.image import MAX_BYTES, Attachment
from bot.web import upload
from bot.web.upload import PICTURE, read_parts
from connectors.chat.web import Connector, Settings
from tests.images import GIF, JPEG, PNG, WEBP_LONG
from tests.web_html import Element, read_html
from tests.web_world import World, fill, served, show_picture

DIGEST = sha256(PNG).hexdigest()
SAY, PAGE = "/incidents/INC-12/say", "/incidents/INC-12"
SHOWN = f"{PAGE}/pictures/{DIGEST}"
TYPE = "multipart/form-data; boundary=xYz"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with served() as running:
        fill(running.board)
        yield running


async def send(
    world: World, client: aiohttp.ClientSession, *files: tuple[str, bytes], text: str = "", **headers: str
) -> Element:
    async with client.get(PAGE) as answer:
        fields = read_html(await answer.text()).one("form", id="say").fields()
    form = aiohttp.FormData(quote_fields=False)
    for name, value in {**fields, "text": text}.items():
        if name != PICTURE:
            form.add_field(name, value)
    for name, data in files:
        form.add_field(PICTURE, io.BytesIO(data), filename=name, content_type="image/png")
    async with client.post(SAY, data=form, headers={"Origin": world.url, **headers}) as answer:
        assert answer.status == 200
        return read_html(await answer.text())


def show(world: World, name: str = "cpu.png", *, channel: str = "web") -> None:
    """Put what the core writes when a picture goes to the model on the timeline."""
    one = Attachment(name=name, media_type="image/png", size=len(PNG), ref=f"INC-12/{DIGEST}")
    show_picture(world, one, channel)
    world.board.put_image("INC-12", DIGEST, PNG)


async def test_a_picture_is_kept_by_digest_and_said_with_the_words(world: World) -> None:
    page = await send(world, await world.signed_in(), (r"C:\shots\cpu.png", PNG), text="look at this")
    assert page.one("div", id="notice-text").text == "Noted.\ncpu.png was not shown: a command takes no picture."
    (said,) = world.inbox.events
    assert isinstance(said, Said)
    assert (said.text, said.incident) == ("look at this", "INC-12")
    ref = f"INC-12/{DIGEST}"
    assert said.attachments == (Attachment(name="cpu.png", media_type="image/png", size=len(PNG), ref=ref),)
    assert await Connector(Settings(), world.board).fetch_image(ref) == PNG


@pytest.mark.parametrize("data", [GIF, JPEG, WEBP_LONG])
async def test_its_own_bytes_say_what_it_is_and_words_may_be_left_out(world: World, data: bytes) -> None:
    await send(world, await world.signed_in(), ("x", data))
    (said,) = world.inbox.events
    assert isinstance(said, Said)
    assert said.text == ""
    assert said.attachments[0].media_type in {"image/gif", "image/jpeg", "image/webp"}


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ([("cpu.png", b"%PDF-1.7")], "cpu.png was not sent: it is no PNG, JPEG, WebP or GIF."),
        ([("cpu.png", PNG[:20])], "cpu.png was not sent: its header is broken."),
        ([("cpu.png", b"")], "cpu.png was not sent: it is empty."),
        ([("cpu.png", PNG + bytes(MAX_BYTES))], "cpu.png was not sent: it is larger than 5 MiB."),
        ([("cpu.png", PNG + bytes(2 * MAX_BYTES))], "cpu.png was not sent: it is larger than 5 MiB."),
        ([("a.png", PNG), ("b.png", PNG)], "Send one picture at a time; these were 2."),
    ],
)
async def test_what_is_not_taken_is_said_and_the_words_are_kept(
    world: World, files: list[tuple[str, bytes]], told: str
) -> None:
    page = await send(world, await world.signed_in(), *files, text='is "this" it?')
    assert page.one("div", id="notice-text").text == told
    assert page.one("input", id="say-text").attributes["value"] == 'is "this" it?'
    assert world.inbox.events == []
    assert world.board.images == {}


async def test_words_that_were_refused_are_still_in_the_field_and_others_are_not(world: World) -> None:
    client = await world.signed_in()
    world.inbox.reply = Reply(text="No model is configured.", ok=False)
    page = await send(world, client, text="why?")
    assert page.one("input", id="say-text").attributes["value"] == "why?"
    world.inbox.reply = Reply(text="Noted.")
    assert (await send(world, client, text="why?")).one("input", id="say-text").attributes["value"] == ""


async def test_only_who_may_respond_is_offered_it_and_heard(world: World) -> None:
    viewer = await world.signed_in("vic")
    async with viewer.get(PAGE) as answer:
        assert not read_html(await answer.text()).all("input", id="say-picture")
    page = await send(world, viewer, ("cpu.png", PNG), text="hm")
    assert page.one("div", id="notice-text").text.startswith("Only responders show pictures")
    assert (world.inbox.events, world.board.images) == ([], {})


async def test_the_same_form_twice_is_one_event_and_with_another_picture_another(world: World) -> None:
    client = await world.signed_in()
    async with client.get(PAGE) as answer:
        fields = read_html(await answer.text()).one("form", id="say").fields()
    for data in (PNG, PNG, GIF):
        form = aiohttp.FormData({name: value for name, value in fields.items() if name != PICTURE})
        form.add_field(PICTURE, data, filename="a")
        async with client.post(SAY, data=form, headers={"Origin": world.url}) as answer:
            assert answer.status == 200
    first, second, third = (event.event for event in world.inbox.events)
    assert first == second != third


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
async def test_a_form_from_elsewhere_or_without_its_token_keeps_nothing(world: World, headers: dict[str, str]) -> None:
    client = await world.signed_in()
    for sent in (headers, {}):
        form = aiohttp.FormData({"csrf": "x", "event": "e" * 12, "text": "a"})
        form.add_field(PICTURE, PNG, filename="a.png")
        async with client.post(SAY, data=form, headers={"Origin": world.url, **sent}) as answer:
            assert answer.status == 403
    assert (world.inbox.events, world.board.images) == ([], {})


async def test_it_stands_in_the_thread_and_is_served_as_a_picture_alone(world: World) -> None:
    show(world, name='x"><script>.png\u202e')
    client = await world.signed_in("vic")
    async with client.get(PAGE) as answer:
        post = read_html(await answer.text()).one("article", id="p-9-0")
    assert "Ada Lovelace showed the model" in post.text
    assert post.one("img").attributes["src"] == SHOWN
    async with client.get(SHOWN) as answer:
        assert await answer.read() == PNG
        assert answer.headers["Content-Type"] == "image/png"
        assert answer.headers["Content-Disposition"] == f'inline; filename="INC-12-{DIGEST[:12]}.png"'
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "sandbox" in answer.headers["Content-Security-Policy"]


async def test_nobody_else_and_nothing_else_is_served(world: World) -> None:
    show(world)
    client = await world.signed_in()
    async with world.client().get(SHOWN) as answer:
        assert answer.status == 403
    for path in (f"{PAGE}/pictures/{'0' * 64}", SHOWN.replace("INC-12", "INC-13")):
        async with client.get(path) as answer:
            assert answer.status == 404
    world.board.images[f"INC-12/{DIGEST}"] = b"<html>"
    async with client.get(SHOWN) as answer:
        assert answer.status == 404


async def test_what_another_chat_holds_or_nobody_showed_is_not_served(world: World) -> None:
    show(world, channel="slack")
    client = await world.signed_in()
    async with client.get(SHOWN) as answer:
        assert answer.status == 404


def part(head: str, data: bytes = b"") -> bytes:
    return f"--xYz\r\n{head}\r\n\r\n".encode() + data + b"\r\n"


FIELD = part('Content-Disposition: form-data; name="text"', b"hi")
HOSTILE = [
    (TYPE, b""),
    (TYPE, FIELD),
    ("multipart/form-data", FIELD + b"--xYz--"),
    ('multipart/form-data; boundary="x\ny"', FIELD + b"--xYz--"),
    (TYPE, b"--xYz\r\nno blank line--xYz--"),
    (TYPE, part("Content-Type: text/plain") + b"--xYz--"),
    (TYPE, part('Content-Disposition: attachment; name="text"') + b"--xYz--"),
    (TYPE, part('Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="b"') + b"--xYz--"),
    (TYPE, part('Content-Disposition: form-data; name="other"; filename="a"', PNG) + b"--xYz--"),
    (TYPE, part(f'Content-Disposition: form-data; name="{"n" * 5000}"') + b"--xYz--"),
    (TYPE, FIELD * 99 + b"--xYz--"),
    (TYPE, part("Content-Disposition: form-data; name=\"text\"; filename*=utf-8''a.png", PNG) + b"--xYz--"),
]


@pytest.mark.parametrize(("kind", "body"), HOSTILE)
def test_a_form_that_no_browser_sends_is_refused(kind: str, body: bytes) -> None:
    with pytest.raises(ValueError, match="could not read"):
        read_parts(body, kind)


PIECES = st.sampled_from([b"--xYz", b"--", b"\r\n", b"\r\n\r\n", FIELD, PNG, b'; filename="', b'"', b"\\", b"\x00\xff"])


@given(st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=30), st.booleans())
def test_whatever_comes_is_a_form_or_refused(pieces: list[bytes], is_cut: bool) -> None:
    try:
        form, files = read_parts(b"".join(pieces), TYPE, is_cut=is_cut)
    except (ValueError, web.HTTPRequestEntityTooLarge):
        return
    assert all("\x00" not in value for value in form.values())
    assert all(name.isprintable() and len(name) <= 80 for name, _ in files)


async def test_who_sends_while_too_many_do_or_too_slowly_is_told_to_send_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await world.signed_in()
    headers = {"Origin": world.url, "Content-Type": TYPE}

    async def trickle() -> AsyncIterator[bytes]:
        yield b"--xYz\r\n"
        await asyncio.sleep(1)

    monkeypatch.setattr(upload, "_SECONDS", 0.02)
    async with client.post(SAY, data=trickle(), headers=headers) as answer:
        assert answer.status == 408
    monkeypatch.setattr(upload, "MAX_AT_ONCE", 0)
    async with client.post(SAY, data=b"", headers=headers) as answer:
        assert (answer.status, "Send yours again." in await answer.text()) == (503, True)


async def test_too_much_is_read_on_and_not_kept_so_that_the_answer_arrives(world: World) -> None:
    client = await world.signed_in()
    body = b"--xYz\r\n" + b"x" * (8 * 1024 * 1024)
    async with client.post(SAY, data=io.BytesIO(body), headers={"Origin": world.url, "Content-Type": TYPE}) as answer:
        assert answer.status == 400
    long = part('Content-Disposition: form-data; name="text"', b"x" * 70_000) + b"--xYz--"
    async with client.post(SAY, data=long, headers={"Origin": world.url, "Content-Type": TYPE}) as answer:
        assert answer.status == 413
    assert world.inbox.events == []
