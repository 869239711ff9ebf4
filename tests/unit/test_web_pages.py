"""The pages over HTTP: what they show, who sees them, what a press and a sentence become."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web

from bot.domain.chat import Bullets, Code, Fields, Link, Paragraph, Press, Reply, Said
from bot.domain.incident import IncidentState, Severity
from bot.errors import Reason, Unavailable
from bot.web.live import LiveStreams
from tests.web_html import Element, read_html
from tests.web_world import (
    ACK,
    APPROVE,
    CARD,
    DIGEST,
    INCIDENT,
    NOW,
    PATCH,
    REJECT,
    World,
    fill,
    note,
    served,
)

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}\u202e\x1b[2J"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with served() as running:
        fill(running.board)
        yield running


async def read(client: aiohttp.ClientSession, path: str, status: int = 200) -> Element:
    async with client.get(path) as answer:
        assert answer.status == status
        return read_html(await answer.text())


async def post(world: World, client: aiohttp.ClientSession, path: str, form: dict[str, str], **headers: str) -> str:
    async with client.post(path, data=form, headers={"Origin": world.url, **headers}) as answer:
        assert answer.status == 200
        return await answer.text()


def form_of(page: Element, button: str) -> dict[str, str]:
    form = next(
        form for form in page.all("form") if form.all("button", value=button) or form.fields().get("button") == button
    )
    return {**form.fields(), "button": button}


# signing in


async def test_opening_a_link_shows_a_name_and_signs_nobody_in(world: World) -> None:
    client, path = world.client(), world.sessions.make_link("ada")
    for _ in range(2):
        page = await read(client, path)
        assert page.one("button").text == "Sign in as Ada Lovelace"
    async with client.head(path) as answer:
        assert answer.status == 200
    assert len(client.cookie_jar) == 0
    await read(client, "/", 403)


async def test_the_button_signs_in_once(world: World) -> None:
    path = world.sessions.make_link("ada")
    client, late = world.client(), world.client()
    async with client.post(path, headers={"Origin": world.url}, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/")
        cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Max-Age=43200" in cookie
    assert "Secure" not in cookie
    assert (await read(client, "/")).one("h1").text == "1 open incident"
    async with late.post(path, headers={"Origin": world.url}) as answer:
        assert answer.status == 410


async def test_behind_https_the_cookie_is_secure_and_bound_to_the_host() -> None:
    async with served(public_url="https://ops.example") as world:
        path = world.sessions.make_link("ada")
        async with world.client().post(path, headers={"Origin": world.url}, allow_redirects=False) as answer:
            assert "__Host-nightshift=" in answer.headers["Set-Cookie"]
            assert "Secure" in answer.headers["Set-Cookie"]


async def test_a_stranger_learns_how_to_get_a_link_and_nothing_else(world: World) -> None:
    for path in ("/", "/incidents/INC-12", "/incidents/NO-1", f"/incidents/INC-12/patch/{DIGEST}.diff", "/events"):
        page = await read(world.client(), path, 403)
        assert "nightshift connect web --person NAME" in page.text
        assert "checkout" not in page.text


async def test_a_link_followed_from_another_site_is_opened_once_more_from_our_own(world: World) -> None:
    client = world.client()
    crossed = {"Sec-Fetch-Site": "cross-site"}
    async with client.get("/incidents/INC-12", headers=crossed) as answer:
        refresh = read_html(await answer.text()).one("meta", **{"http-equiv": "refresh"})
        assert refresh.attributes["content"] == "0; url=/incidents/INC-12?again"
    async with client.get("/incidents/INC-12?again", headers=crossed) as answer:
        assert answer.status == 403


async def test_who_leaves_the_roster_or_has_no_web_account_is_out_at_once(world: World) -> None:
    client = await world.signed_in("bo")
    await read(client, "/", 403)
    async with client.get(world.sessions.make_link("bo")) as answer:
        assert answer.status == 403
        assert "Bo Chen has no account for the web pages" in await answer.text()
    await read(await world.signed_in("nobody"), "/", 403)


async def test_signing_out_and_expiry_end_the_session(world: World) -> None:
    client = await world.signed_in()
    page = await read(client, "/")
    await post(world, client, "/signout", page.all("form")[0].fields())
    await read(client, "/", 403)
    client = await world.signed_in()
    world.clock.time += timedelta(hours=12)
    await read(client, "/", 403)


# reading


async def test_the_list_has_open_incidents_first_with_all_that_matters(world: World) -> None:
    world.board.change(
        replace(INCIDENT, id="INC-9", title="disk", state=IncidentState.RESOLVED, owner="bo", severity=Severity.INFO)
    )
    page = await read(await world.signed_in(), "/")
    row = page.one("ul", id="open").one("li", id="row-INC-12").text
    assert [
        word
        for word in ("critical", "triggered", INCIDENT.title, "checkout", "4 min", "nobody has it")
        if word not in row
    ] == []
    assert "with Bo Chen" in page.one("ul", id="resolved").text


async def test_the_list_shows_for_a_day_whose_account_came_or_went(world: World) -> None:
    told = replace(CARD, incident="", slot="linked:9", headline=f"Ana has a new account: {HOSTILE}", buttons=())
    world.board.put("web-9", told)
    client = await world.signed_in()
    for path in ("/", "/fragment"):
        assert "Ana has a new account: <script>" in (await read(client, path)).one("ul", id="news").text
    world.clock.time += timedelta(days=1)
    assert (await read(await world.signed_in(), "/")).one("ul", id="news").all("li") == []


async def test_a_quiet_night_says_so(world: World) -> None:
    world.board.rows.clear()
    assert (await read(await world.signed_in(), "/")).one("h1").text == "All quiet"


async def test_the_thread_has_card_findings_patch_approval_verdict_and_timeline(world: World) -> None:
    page = await read(await world.signed_in(), "/incidents/INC-12")
    headlines = [article.one("h2").text for article in page.all("article")]
    assert [line.split()[-1] for line in headlines] == ["500", "person", "coupon", "verified", "nightshift/INC-12"]
    kinds = [span.attributes["class"] for span in page.walk() if span.attributes.get("class", "").startswith("l l-")]
    assert (kinds.count("l l-added"), kinds.count("l l-removed")) == (1, 2)
    assert "rang Ada Lovelace" in page.text
    assert "Waits for a decision: Patch ready" in page.one("p", id="asks").text
    assert "alert received from alertmanager" in page.one("ol", id="timeline").all("li")[0].text


async def test_the_diff_on_the_page_is_the_patch_to_the_byte(world: World) -> None:
    page = await read(await world.signed_in(), "/incidents/INC-12")
    lines = [span.text for span in page.all("span") if span.attributes.get("class", "").startswith("l l-")]
    assert "".join(lines) == PATCH


async def test_the_download_is_the_canonical_bytes_under_a_link_on_the_page(world: World) -> None:
    client = await world.signed_in()
    links = [link.attributes["href"] for link in (await read(client, "/incidents/INC-12")).all("a")]
    path = f"/incidents/INC-12/patch/{DIGEST}.diff"
    assert path in links
    for digest in (DIGEST, DIGEST[:12]):
        async with client.get(f"/incidents/INC-12/patch/{digest}.diff") as answer:
            assert await answer.read() == PATCH.encode()
            assert answer.headers["Content-Disposition"].startswith("attachment")
    await read(client, "/incidents/INC-12/patch/" + "0" * 64 + ".diff", 404)
    await read(client, "/incidents/INC-12/patch/abc.diff", 404)


async def test_a_stored_patch_that_is_not_what_its_digest_names_is_not_served(world: World) -> None:
    world.board.patches[DIGEST] = PATCH + "\n"
    page = await read(await world.signed_in(), f"/incidents/INC-12/patch/{DIGEST}.diff", 500)
    assert "Do not apply it" in page.text


async def test_an_unknown_incident_is_said_calmly(world: World) -> None:
    assert "There is no incident INC-404." in (await read(await world.signed_in(), "/incidents/INC-404", 404)).text


async def test_the_fragment_holds_the_same_parts_without_the_frame(world: World) -> None:
    client = await world.signed_in()
    whole, part = await read(client, "/incidents/INC-12"), await read(client, "/incidents/INC-12/fragment")
    assert not part.all("html")

    def versions(page: Element) -> list[tuple[str, str]]:
        return [(e.attributes["id"], e.attributes["data-v"]) for e in page.walk() if "data-v" in e.attributes]

    assert versions(part) == versions(whole)
    rows = versions(await read(client, "/fragment"))
    assert rows == versions(await read(client, "/"))


# hostile text


async def test_hostile_text_stays_text_everywhere(world: World) -> None:
    blocks = (
        Paragraph(text=HOSTILE),
        Fields(items=((HOSTILE, HOSTILE),)),
        Bullets(items=(HOSTILE,)),
        Code(text=f"diff --git a/{HOSTILE} b/{HOSTILE}\n+{HOSTILE}", language="diff"),
        Code(text=HOSTILE, language=HOSTILE),
        Link(label=HOSTILE, url="javascript:alert(1)"),
        Link(label=HOSTILE, url=f"https://x.example/{HOSTILE}"),
    )
    assert REJECT.form is not None
    form = replace(
        REJECT.form, title=HOSTILE, fields=tuple(replace(f, label=HOSTILE, name=HOSTILE) for f in REJECT.form.fields)
    )
    buttons = (replace(ACK, label=HOSTILE), replace(REJECT, label=HOSTILE, form=form))
    world.board.put("h", note("h", HOSTILE, blocks=blocks, buttons=buttons, rings=(HOSTILE,)))
    world.board.change(replace(INCIDENT, title=HOSTILE, service=HOSTILE, owner=HOSTILE))
    world.board.events.append(replace(world.board.events[-1], seq=9, text=HOSTILE, actor=HOSTILE))
    client = await world.signed_in()
    for path in ("/", "/fragment", "/incidents/INC-12", "/incidents/INC-12/fragment"):
        page = await read(client, path)
        assert not page.all("img")
        assert [script.attributes.get("src", "").split("?")[0] for script in page.all("script")] in (
            [],
            ["/static/live.js"],
        )
        assert not [e.tag for e in page.walk() if any(name.startswith("on") for name in e.attributes)]
        assert not [link for link in page.all("a") if link.attributes["href"].startswith(("javascript", "https://x."))]
        shown = page.text
        assert "<script>alert(1)</script>" in shown
        assert "{{ 7*7 }}" in shown
        assert "\\u202e\\x1b[2J" in shown
        assert not {"\u202e", "\x1b"} & set(shown)


async def test_half_a_surrogate_pair_costs_nobody_the_page(world: World) -> None:
    world.board.change(replace(INCIDENT, title="bad \ud800 title", owner="\udfff"))
    page = await read(await world.signed_in(), "/incidents/INC-12")
    assert "bad \\ud800 title" in page.one("h1").text


# acting


async def test_a_press_becomes_an_event_and_its_answer_is_for_the_presser_alone(world: World) -> None:
    client, other = await world.signed_in(), await world.signed_in()
    form = form_of(await read(client, "/incidents/INC-12"), ACK.id)
    page = read_html(await post(world, client, "/incidents/INC-12/press", form))
    assert page.one("div", id="notice-text").text == "You have INC-12. Nobody else is paged."
    assert "acknowledged" in page.one("div", id="head").text
    (press,) = world.inbox.events
    assert isinstance(press, Press)
    assert (press.channel, press.account, press.button, press.pressed_at) == ("web", "ada@web", ACK.id, NOW)
    assert (await read(other, "/incidents/INC-12")).one("div", id="notice-text").text == ""


async def test_the_same_form_twice_is_one_event_and_another_button_is_another(world: World) -> None:
    client = await world.signed_in()
    page = await read(client, "/incidents/INC-12")
    for form in (form_of(page, APPROVE.id), form_of(page, APPROVE.id), form_of(page, ACK.id)):
        await post(world, client, "/incidents/INC-12/press", form)
    first, second, third = [event.event for event in world.inbox.events]
    assert first == second
    assert third != first


async def test_a_form_carries_its_values(world: World) -> None:
    client = await world.signed_in()
    form = form_of(await read(client, "/incidents/INC-12"), REJECT.id)
    world.inbox.reply = Reply(text="Rejected: too risky.", ok=True)
    text = await post(
        world,
        client,
        "/incidents/INC-12/press",
        {**form, "field.reason": "Too risky", "field.note": "later\x00"},
        Accept="application/json",
    )
    assert text == '{"ok": true, "text": "Rejected: too risky."}'
    (press,) = world.inbox.events
    assert isinstance(press, Press)
    assert dict(press.values) == {"reason": "Too risky", "note": "later"}


@pytest.mark.parametrize(
    "change",
    [
        {"event": ""},
        {"event": "a b c d e f"},
        {"button": ""},
        {"button": "é"},
        {"button": "x" * 65},
        {"field.a": "x" * 4001},
    ],
)
async def test_a_press_that_cannot_be_read_reaches_nobody(world: World, change: dict[str, str]) -> None:
    client = await world.signed_in()
    form = form_of(await read(client, "/incidents/INC-12"), ACK.id)
    assert "could not read this press" in await post(world, client, "/incidents/INC-12/press", {**form, **change})
    assert world.inbox.events == []


async def test_words_go_to_the_inbox_from_thread_and_list(world: World) -> None:
    client = await world.signed_in()
    for path in ("/incidents/INC-12", "/"):
        form = (await read(client, path)).one("form", id="say")
        await post(world, client, form.attributes["action"], {**form.fields(), "text": " /incident status "})
    said = [(event.text, event.incident, event.account) for event in world.inbox.events if isinstance(event, Said)]
    assert said == [("/incident status", "INC-12", "ada@web"), ("/incident status", None, "ada@web")]


async def test_a_button_tests_the_contacts_of_who_may(world: World) -> None:
    client = await world.signed_in()
    form = (await read(client, "/")).one("form", id="test-contacts")
    assert form.one("button").text == "Test my contacts"
    await post(world, client, form.attributes["action"], form.fields())
    assert [event.text for event in world.inbox.events if isinstance(event, Said)] == ["/oncall test"]
    for other in ("vic", "cleo"):
        assert (await read(await world.signed_in(other), "/")).all("form", id="test-contacts") == []


async def test_empty_and_endless_words_are_refused(world: World) -> None:
    client = await world.signed_in()
    form = (await read(client, "/")).one("form", id="say").fields()
    for text in ("  ", "x" * 4001):
        assert "at most 4000 characters" in await post(world, client, "/say", {**form, "text": text})
    assert world.inbox.events == []


async def test_a_store_that_does_not_answer_is_503_and_says_try_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(event: Press | Said) -> Reply:
        raise Unavailable("The store is busy. Press again in a moment.", Reason.OVERLOADED)

    client = await world.signed_in()
    form = form_of(await read(client, "/incidents/INC-12"), ACK.id)
    monkeypatch.setattr(world.inbox, "receive", fail)
    headers = {"Origin": world.url, "Accept": "application/json"}
    async with client.post("/incidents/INC-12/press", data=form, headers=headers) as answer:
        assert answer.status == 503
        assert await answer.json() == {"ok": False, "text": "The store is busy. Press again in a moment."}


async def test_the_address_of_an_answered_form_leads_back_to_its_page(world: World) -> None:
    for path, back in (("/incidents/INC-12/press", "/incidents/INC-12"), ("/say", "/")):
        async with world.client().get(path, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, back)


# live


async def next_event(stream: aiohttp.ClientResponse) -> str:
    async with asyncio.timeout(5):
        return (await stream.content.readuntil(b"\n\n")).decode().split("\n")[0]


async def test_a_change_reaches_the_pages_that_show_it(world: World) -> None:
    client = await world.signed_in()
    async with client.get("/incidents/INC-12/events") as thread, client.get("/events") as listing:
        assert thread.content_type == "text/event-stream"
        assert [await next_event(thread), await next_event(listing)] == ["event: hello", "event: hello"]
        world.board.change(replace(INCIDENT, id="INC-13"))
        world.board.put("card", replace(CARD, headline="new"))
        assert await next_event(listing) == "event: change"
        assert await next_event(thread) == "event: change"


async def test_the_watcher_listens_before_a_page_is_told_to_fetch(world: World) -> None:
    class FirstWrite(web.StreamResponse):
        watchers_then = -1

        async def write(self, data: bytes) -> None:  # type: ignore[override]  # the stream writes bytes only
            self.watchers_then = world.board.watchers
            raise ConnectionResetError

    async def stay() -> bool:
        return True

    response = FirstWrite()
    await LiveStreams(watch=world.board.watch)._send(response, None, stay)
    assert response.watchers_then == 1
    assert world.board.watchers == 0


async def test_a_stream_ends_with_its_session_and_leaves_no_watcher(world: World) -> None:
    client = await world.signed_in()
    async with client.get("/events") as stream:
        await next_event(stream)
        assert world.board.watchers == 1
        world.store.sessions.clear()
        world.board.change(INCIDENT)
        async with asyncio.timeout(5):
            assert await stream.content.read() == b""
    assert world.board.watchers == 0


async def test_a_server_that_stops_does_not_wait_for_open_streams() -> None:
    async with asyncio.timeout(5):
        async with served() as world:
            client = await world.signed_in()
            stream = await client.get("/events")
            await next_event(stream)
            await world.app.shutdown()
            assert await stream.content.read() == b""


# static files


async def test_static_files_are_served_by_name_and_nothing_else_is(world: World) -> None:
    client = world.client()
    page = await read(client, "/", 403)
    for path in (page.one("script").attributes["src"], page.one("link", rel="stylesheet").attributes["href"]):
        async with client.get(path) as answer:
            assert answer.status == 200
            assert "immutable" in answer.headers["Cache-Control"]
    for path in ("/static/..%2fpages.py", "/static/pages.py", "/static/", "/static/base.html"):
        async with client.get(path) as answer:
            assert answer.status == 404


async def test_no_page_has_inline_script_or_style(world: World) -> None:
    client = await world.signed_in()
    for path in ("/", "/incidents/INC-12", world.sessions.make_link("ada")):
        page = await read(client, path)
        assert page.one("html").attributes["lang"] == "en"
        assert not page.all("style")
        assert not [element for element in page.walk() if "style" in element.attributes]
        assert all(script.text == "" for script in page.all("script"))
