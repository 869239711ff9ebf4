"""What the guard lets through: known hosts, our own forms, bounded bodies; and what errors show."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.web_html import read_html
from tests.web_world import ACK, World, fill, served


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with served(hosts=("127.0.0.1", "ops.example:8443")) as running:
        fill(running.board)
        yield running


async def press_form(client: aiohttp.ClientSession) -> dict[str, str]:
    async with client.get("/incidents/INC-12") as answer:
        page = read_html(await answer.text())
    form = next(form for form in page.all("form") if form.all("button", value=ACK.id))
    return {**form.fields(), "button": ACK.id}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 202),
        ("127.0.0.1:9999", 202),
        ("ops.example:8443", 202),
        ("OPS.example:8443", 202),
        ("ops.example", 421),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("127.0.0.1@evil.example", 400),
        ("127.0.0.1:", 400),
        ("", 400),
    ],
)
async def test_only_known_hosts_are_answered_on_every_route(world: World, host: str, status: int) -> None:
    async with world.client().post("/v1/echo", data=b"{}", headers={"Host": host}) as answer:
        assert answer.status == status


async def test_api_routes_need_neither_origin_nor_form_token(world: World) -> None:
    headers = {"Authorization": "Bearer x", "Content-Type": "application/json"}
    async with world.client().post("/v1/echo", data=b'{"a": 1}', headers=headers) as answer:
        assert (answer.status, await answer.text()) == (202, '{"a": 1}')


async def test_every_answer_carries_the_headers(world: World) -> None:
    client = await world.signed_in()
    for path in ("/", "/incidents/INC-12", "/nowhere", "/broken", "/v1/nowhere"):
        async with client.get(path) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "same-origin"
            assert answer.headers["Cache-Control"] == "no-store"
            assert "aiohttp" not in answer.headers["Server"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://[half"},
        {"Origin": "{url}", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "{url}", "Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_form_from_anywhere_else_does_nothing(world: World, headers: dict[str, str]) -> None:
    client = await world.signed_in()
    form = await press_form(client)
    sent = {name: value.format(url=world.url) for name, value in headers.items()}
    async with client.post("/incidents/INC-12/press", data=form, headers=sent) as answer:
        assert answer.status == 403
    assert world.inbox.events == []


async def test_no_act_of_the_pages_goes_without_origin_session_and_form_token(world: World) -> None:
    signed_in, stranger = await world.signed_in(), world.client()
    form = await press_form(signed_in)
    paths = {
        resource.canonical.format(incident="INC-12", token="t" * 43, digest="a" * 12)
        for resource in world.app.router.resources()
        for route in resource
        if route.method == "POST" and not resource.canonical.startswith("/v1/")
    }
    assert len(paths) >= 5
    for path in paths:
        async with signed_in.post(path, data=form, headers={"Origin": "https://evil.example"}) as answer:
            assert answer.status == 403, path
        async with stranger.post(path, data=form, headers={"Origin": world.url}) as answer:
            assert answer.status in {403, 410}, path
        if not path.startswith("/signin/"):
            async with signed_in.post(path, data={**form, "csrf": "x"}, headers={"Origin": world.url}) as answer:
                assert answer.status == 403, path
    assert world.inbox.events == []


async def test_the_form_token_of_another_session_does_not_count(world: World) -> None:
    first, second = await world.signed_in(), await world.signed_in()
    form = await press_form(first)
    async with second.post("/incidents/INC-12/press", data=form, headers={"Origin": world.url}) as answer:
        assert answer.status == 403
    assert world.inbox.events == []


async def test_the_public_address_counts_as_ours_behind_a_proxy() -> None:
    async with served(public_url="https://ops.example") as world:
        fill(world.board)
        session = world.sessions.redeem(world.sessions.make_link("ada").removeprefix("/signin/"))
        client, cookies = world.client(), {"Cookie": f"{world.cookie}={session}"}
        async with client.get("/incidents/INC-12", headers=cookies) as answer:
            page = read_html(await answer.text())
        form = {**page.one("form", id="say").fields(), "text": "why?"}
        for origin, status in (("https://ops.example", 200), ("http://ops.example", 403)):
            sent = {**cookies, "Origin": origin}
            async with client.post("/incidents/INC-12/say", data=form, headers=sent) as answer:
                assert answer.status == status


async def test_bodies_are_bounded_and_only_forms_are_read(world: World) -> None:
    client = await world.signed_in()
    form = await press_form(client)
    path, own = "/incidents/INC-12/press", {"Origin": world.url}
    async with client.post(path, data={**form, "field.a": "x" * 70_000}, headers=own) as answer:
        assert answer.status == 413
    async with client.post(path, data={**form, **{f"f{n}": "" for n in range(99)}}, headers=own) as answer:
        assert answer.status == 400
    async with client.post(path, json=form, headers=own) as answer:
        assert answer.status == 415
    async with client.post(
        path, data=b"csrf=\xff", headers={**own, "Content-Type": "application/x-www-form-urlencoded"}
    ) as answer:
        assert answer.status == 400
    assert world.inbox.events == []


async def test_errors_are_calm_and_show_nothing_inside(world: World) -> None:
    client = await world.signed_in()
    async with client.get("/broken") as answer:
        text = await answer.text()
        assert answer.status == 500
        assert "secret detail" not in text
        assert "Traceback" not in text
        assert read_html(text).one("h1").text == "That did not work"
    async with client.get("/broken", headers={"Accept": "application/json"}) as answer:
        assert answer.status == 500
        assert (await answer.json())["ok"] is False
    async with client.get("/nowhere") as answer:
        assert answer.status == 404
        assert read_html(await answer.text()).one("h1").text == "There is no such page"
    async with client.get("/nowhere", headers={"Accept": "*/*"}) as answer:
        assert answer.content_type == "text/plain"


async def test_a_form_that_did_not_work_leads_back_to_its_page(world: World) -> None:
    client = await world.signed_in()
    form = {**await press_form(client), "csrf": "x"}
    async with client.post("/incidents/INC-12/press", data=form, headers={"Origin": world.url}) as answer:
        back = read_html(await answer.text()).one("a", **{"class": "button button-primary"}).attributes["href"]
    async with client.get(back, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/incidents/INC-12")


async def test_the_path_of_an_unknown_page_is_not_echoed(world: World) -> None:
    async with world.client().get("/%3Cscript%3Ealert(1)%3C/script%3E") as answer:
        assert "alert(1)" not in await answer.text()
