"""Contacts from within a site: through a real proxy that asks who is there, and past it; an authority of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import SecretStr

from bot.errors import Unavailable
from connectors.pagers import apprise
from tests.contract.pager_suite import PAGE
from tests.proxy import OUTSIDE, TINYPROXY, Authority, Served, make_authority, run_proxy, serve

pytestmark = pytest.mark.skipif(not TINYPROXY, reason="no tinyproxy here")
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "requests_ca_bundle")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no authority of the machine that runs the tests."""
    for name in (*VARIABLES, "curl_ca_bundle"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@asynccontextmanager
async def phone(trust: Authority, *, host: str = "127.0.0.1", name: str = "localhost") -> AsyncIterator[Served]:
    """Serve what takes a page."""
    app = web.Application()

    async def take(_request: web.Request) -> web.Response:
        return web.json_response({})

    app.router.add_post("/ana", take)
    async with serve(app, trust.server, host=host, name=name) as served:
        yield served


async def ring(served: Served) -> None:
    address = served.url.replace("https://", "jsons://")
    await apprise.Connector(apprise.Settings(url=SecretStr(f"{address}/ana"))).send(PAGE)


@pytest.mark.parametrize("bypass", ["", "localhost"])
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
async def test_a_page_goes_through_the_proxy_but_for_what_goes_past_it(
    bypass: str, variable: str, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(authority.ca_file))
    async with run_proxy(tmp_path) as proxy, phone(authority) as served:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", bypass)
        await ring(served)
        assert served.callers == ["127.0.0.1" if bypass else OUTSIDE]


async def test_an_address_of_the_sixth_version_is_reached_through_the_proxy(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    async with run_proxy(tmp_path, outside="") as proxy, phone(authority, host="::1", name="[::1]") as served:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        await ring(served)
        assert served.paths == ["/ana"]


async def test_an_authority_that_nobody_named_is_not_trusted_and_a_proxy_that_is_gone_is_no_way(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with phone(authority) as served:
        with pytest.raises(Unavailable, match=r"^jsons://… could not be reached"):
            await ring(served)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
        async with run_proxy(tmp_path) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(Unavailable, match=r"^jsons://… could not be reached"):
            await ring(served)
        assert served.callers == []
