"""The pages in a real Chromium: see, press, watch it change, decide by keyboard; on a phone and without script."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from bot.domain.approval import ApprovalState
from bot.domain.chat import Press, Reply, Said
from tests.e2e.browser import MISSING, Page, find_chromium, open_browser
from tests.unit.test_web_plots import PLOT
from tests.web_world import (
    ACK,
    APPROVE,
    CARD,
    DIGEST,
    INCIDENT,
    REJECT,
    VERDICT,
    World,
    fill,
    note,
    served,
    show_picture,
)

pytestmark = [pytest.mark.browser, pytest.mark.skipif(find_chromium() is None, reason=MISSING)]

PATCH_PAGE = f"/incidents/INC-12/patches/{DIGEST[:12]}"
APPROVE_BUTTON = f"button[value='{APPROVE.id}']"
ACK_BUTTON = f"button[value='{ACK.id}']"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with served() as running:
        fill(running.board)
        yield running


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with open_browser() as tab:
        yield tab


async def sign_in(page: Page, world: World) -> None:
    await page.open(world.url + world.sessions.make_link("ada"))
    await page.click("#sign-in")
    await page.find("#open")


async def open_incident(page: Page, world: World) -> None:
    await sign_in(page, world)
    await page.click("#row-INC-12 a")
    await page.find("#thread")
    await page.wait_text("#live-text", "Live")


async def top_of(page: Page, selector: str) -> float:
    top = await page.evaluate(f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().top")
    assert isinstance(top, int | float)
    return top


async def tab_to(page: Page, found: str) -> None:
    """Press Tab until a condition on the focused element `f` holds."""
    for _ in range(60):
        await page.press("Tab")
        if await page.evaluate(f"(f => {found})(document.activeElement)"):
            return
    raise AssertionError(f"no Tab leads to {found}")


async def test_sign_in_see_acknowledge_and_watch_it_change(page: Page, world: World) -> None:
    await open_incident(page, world)
    assert await page.text("h1") == INCIDENT.title
    await page.click(ACK_BUTTON)
    await page.wait_text("#notice-text", "You have INC-12. Nobody else is paged.")
    await page.wait_text("#head", "with Ada Lovelace")
    await page.gone(ACK_BUTTON)
    assert "acknowledged" in await page.text("#head")
    assert [event.button for event in world.inbox.events if isinstance(event, Press)] == [ACK.id]
    assert page.console == []


async def test_news_comes_in_live_and_leaves_the_reader_where_they_are(page: Page, world: World) -> None:
    await open_incident(page, world)
    await page.click("#say-text")
    await page.type("why is")
    await page.evaluate("document.querySelector('details.file').open = false")
    before = await top_of(page, "#say-text")
    world.board.put("card", replace(CARD, headline="checkout answers 61 % of requests with 500", blocks=()))
    world.board.put("verdict:2", replace(VERDICT, slot="verdict:2", headline="CI red"))
    await page.wait_text("#thread", "61 %")
    await page.wait_text("#thread", "CI red")
    assert await page.focused() == "say-text"
    assert await page.evaluate("document.querySelector('#say-text').value") == "why is"
    assert await page.evaluate("document.querySelector('details.file').open") is False
    assert await top_of(page, "#say-text") == pytest.approx(before, abs=2)
    await page.press("?")
    await page.press("Enter")
    await page.wait_text("#notice-text", "Noted.")
    assert [event.text for event in world.inbox.events if isinstance(event, Said)] == ["why is?"]
    assert await page.evaluate("document.querySelector('#say-text').value") == ""


async def test_what_is_read_stays_in_place_when_something_above_it_grows(page: Page, world: World) -> None:
    await open_incident(page, world)
    await page.evaluate("document.querySelector('.asks').scrollIntoView({block: 'start', behavior: 'instant'})")
    before = await top_of(page, ".asks")
    world.board.put("card", replace(CARD, headline="grown " * 80))
    await page.wait_text("#thread", "grown")
    assert await top_of(page, ".asks") == pytest.approx(before, abs=2)


async def test_reject_by_keyboard_alone(page: Page, world: World) -> None:
    await open_incident(page, world)
    await tab_to(page, "f.matches('details.ask > summary')")
    opener = await page.focused()
    outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    await page.press("Enter")
    await page.find("dialog[open]")
    assert await page.text("#ask-title") == "Reject this patch"
    await page.press("Escape")
    await page.gone("dialog[open]")
    assert await page.focused() == opener
    assert world.inbox.events == []
    await page.press("Enter")
    await page.find("dialog[open]")
    await page.press(" ")
    await page.press("ArrowDown")
    await tab_to(page, "f.tagName === 'TEXTAREA'")
    await page.type("the coupon service does this")
    await tab_to(page, "f.tagName === 'BUTTON'")
    world.inbox.reply = Reply(text="Rejected. Nothing was pushed.")
    await page.press("Enter")
    await page.wait_text("#notice-text", "Rejected. Nothing was pushed.")
    await page.gone("dialog[open]")
    (press,) = world.inbox.events
    assert isinstance(press, Press)
    assert press.button == REJECT.id
    assert dict(press.values) == {"reason": "Too risky", "note": "the coupon service does this"}


async def test_a_card_that_changes_under_an_open_question_says_so_and_keeps_what_was_typed(
    page: Page, world: World
) -> None:
    await open_incident(page, world)
    await page.click("details.ask > summary")
    await page.find("dialog[open]")
    await page.evaluate("document.querySelector('dialog textarea').value = 'typed'")
    world.board.put("approval:1", note("approval:1", "Patch superseded"))
    await page.find("#ask-changed")
    assert await page.evaluate("document.querySelector('dialog textarea').value") == "typed"
    world.inbox.reply = Reply(text="This patch was superseded.", ok=False)
    await page.click("dialog input[type=radio]")
    await page.click("dialog .button-danger")
    await page.wait_text("#ask-error", "This patch was superseded.")


async def test_two_quick_clicks_are_one_press(page: Page, world: World) -> None:
    await open_incident(page, world)
    await page.evaluate(f"(b => {{ b.click(); b.click(); }})(document.querySelector({json.dumps(APPROVE_BUTTON)}))")
    await page.wait_text("#notice-text", "Noted.")
    assert len({event.event for event in world.inbox.events}) == 1
    await page.click(APPROVE_BUTTON)
    await page.wait("!document.querySelector('[aria-busy]')")
    assert len({event.event for event in world.inbox.events}) == 2


async def test_a_lost_server_shows_and_comes_back(page: Page) -> None:
    async with served() as first:
        fill(first.board)
        port = int(first.url.rsplit(":", 1)[1])
        kept = first.store
        await open_incident(page, first)
    await page.wait_text("#live-text", "Reconnecting")
    async with served(port=port) as second:
        second.store.sessions.update(kept.sessions)
        fill(second.board)
        second.board.change(replace(INCIDENT, title="changed while away"))
        await page.wait_text("#live-text", "Live")
        await page.wait_text("h1", "changed while away")


async def test_everything_works_without_script(page: Page, world: World, tmp_path: Path) -> None:
    await page.scripts(on=False)
    await sign_in(page, world)
    await page.click("#row-INC-12 a")
    await page.find("#thread")
    await page.click("details.ask > summary")
    await page.click("details.ask input[type=radio]")
    await page.click("details.ask .ask-form .button-danger")
    await page.wait_text("#notice-text", "Noted.")
    (press,) = world.inbox.events
    assert isinstance(press, Press)
    assert dict(press.values) == {"reason": "Wrong cause", "note": ""}
    shot = tmp_path / "cpu load.png"
    await page.screenshot(shot)
    for with_script, text in ((False, ""), (True, "look")):
        await page.scripts(on=with_script)
        await page.open(f"{world.url}/incidents/INC-12")
        await page.choose("#say-picture", shot)
        await page.evaluate(f"document.querySelector('#say-text').value = {json.dumps(text)}")
        await page.click("#say button")
        await page.wait_text("#notice-text", "Noted.")
        said = world.inbox.events[-1]
        assert isinstance(said, Said)
        assert (said.text, said.attachments[0].name) == (text, "cpu load.png")
    assert await page.evaluate("document.querySelector('#say-picture').files.length") == 0
    show_picture(world, said.attachments[0])
    await page.wait("document.querySelector('#p-9-0 img')?.naturalWidth > 300")
    assert page.console == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_a_phone_scrolls_sideways_only_inside_the_diff_and_can_be_tapped(
    page: Page, world: World, dark: bool, tmp_path: Path
) -> None:
    await page.set_viewport(390, 844, mobile=True)
    await page.dark(dark)
    world.board.put("web-plots", note("plots", "A plot", files=(PLOT,)))
    await open_incident(page, world)
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    picture = "document.querySelector('.plot img')"
    await page.wait(f"(e => e.complete && e.naturalWidth === 420 && e.clientWidth > 300)({picture})")
    assert page.console == []
    assert await page.evaluate("(e => e.scrollWidth > e.clientWidth)(document.querySelector('.diff .lines'))")
    small = await page.evaluate(
        "[...document.querySelectorAll('main a, .bar a, button, summary, input[type=text]')]"
        ".filter(e => e.getClientRects().length && e.getBoundingClientRect().height < 44).map(e => e.outerHTML)"
    )
    assert small == []
    ground = str(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
    channels = [int(part) for part in ground.removeprefix("rgb(").removesuffix(")").split(",")]
    assert max(channels) < 60 if dark else min(channels) > 200
    shot = tmp_path / "phone.png"
    await page.screenshot(shot)
    assert shot.read_bytes().startswith(b"\x89PNG")


async def test_a_link_in_another_site_opens_the_incident_for_who_is_signed_in(page: Page, world: World) -> None:
    async def show_link(_request: web.Request) -> web.Response:
        text = f"<a id=there href={world.url}/incidents/INC-12>there</a>"
        return web.Response(text=text, content_type="text/html")

    chat = web.Application()
    chat.router.add_get("/", show_link)
    runner = web.AppRunner(chat, shutdown_timeout=0.1)  # a connection that the browser keeps open holds nobody up
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await sign_in(page, world)
        await page.open(f"http://localhost:{runner.addresses[0][1]}/")
        await page.click("#there")
        await page.wait_text("h1", INCIDENT.title)
    finally:
        await runner.cleanup()


async def test_a_page_that_lost_its_session_says_so(page: Page, world: World) -> None:
    await open_incident(page, world)
    world.store.sessions.clear()
    await asyncio.to_thread(world.board.change, INCIDENT)
    await page.wait_text("h1", "You are not signed in")


async def color_of(page: Page, expression: str) -> list[int]:
    color = str(await page.evaluate(expression))
    return [int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(",")]


def contrast(one: list[int], other: list[int]) -> float:
    """Return how well two colours can be told apart, from 1 to 21, as WCAG defines it."""

    def light(color: list[int]) -> float:
        parts = [part / 255 for part in color]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("width", "columns"), [(390, 1), (1280, 2)])
async def test_the_patch_fits_the_screen_and_is_approved_where_it_is_read(
    page: Page, world: World, width: int, columns: int, dark: bool
) -> None:
    await page.set_viewport(width, 844, mobile=width < 600)
    await page.dark(dark)
    await sign_in(page, world)
    await page.open(world.url + PATCH_PAGE)
    await page.wait_text("#live-text", "Live")
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    tracks = str(await page.evaluate("getComputedStyle(document.querySelector('.run')).gridTemplateColumns"))
    assert len(tracks.split()) == columns
    for text in ("span.s-k", "span.s-c", ".n", ".x ins", ".x del", ".plus", ".minus", ".check-about"):
        fore = await color_of(page, f"getComputedStyle(document.querySelector('main {text}')).color")
        back = await color_of(page, _GROUND_OF.replace("SELECTOR", f"main {text}"))
        assert contrast(fore, back) >= 4.5, (text, fore, back)
    world.inbox.reply = Reply(text="Approved. The push follows.")
    await page.click(APPROVE_BUTTON)
    await page.wait_text("#notice-text", "Approved. The push follows.")
    assert [event.button for event in world.inbox.events if isinstance(event, Press)] == [APPROVE.id]
    assert page.console == []


_GROUND_OF = """(e => { while (e) { const color = getComputedStyle(e).backgroundColor;
 if (color !== 'rgba(0, 0, 0, 0)') return color; e = e.parentElement; } })(document.querySelector('SELECTOR'))"""


async def test_the_ways_to_look_at_a_patch_need_no_script(page: Page, world: World) -> None:
    await page.set_viewport(390, 844, mobile=True)
    await page.scripts(on=False)
    await sign_in(page, world)
    await page.click("#row-INC-12 a")
    await page.click(f".diff-sum a[href='{PATCH_PAGE}']")
    await page.find("#patch-card")
    await page.click(".switch a[href*='view=split']")
    await page.find(".view-split .x-new.x-same")
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    assert await page.evaluate("(e => e.scrollWidth > e.clientWidth)(document.querySelector('.grid'))")
    small = await page.evaluate(
        "[...document.querySelectorAll('main a, .bar a, button, summary')]"
        ".filter(e => e.getClientRects().length && e.getBoundingClientRect().height < 44).map(e => e.outerHTML)"
    )
    assert small == []
    await page.click(APPROVE_BUTTON)
    await page.wait_text("#notice-text", "Noted.")
    assert await page.text(".switch [aria-current]") == "Side by side"


async def test_the_standing_of_a_patch_changes_live_and_the_diff_stays_as_it_is(page: Page, world: World) -> None:
    await sign_in(page, world)
    await page.open(world.url + PATCH_PAGE)
    await page.wait_text("#live-text", "Live")
    await page.evaluate("document.querySelector('#file-1').open = false")
    known = world.board.pages[DIGEST]
    assert known.approval is not None
    world.board.pages[DIGEST] = replace(known, approval=replace(known.approval, state=ApprovalState.SUPERSEDED))
    await asyncio.to_thread(world.board.change, INCIDENT)
    await page.wait_text("#patch-h", "Patch superseded")
    await page.gone(APPROVE_BUTTON)
    assert await page.evaluate("document.querySelector('#file-1').open") is False
