"""apprise's own package against local servers: ntfy, a JSON webhook and mail."""

import asyncio
import email
import email.policy
import sys
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from pydantic import SecretStr

from bot.bootstrap.contacts import make_contacts
from bot.errors import ConfigError, Rejected
from bot.settings import Settings
from connectors.pagers import apprise
from tests.contract.pager_suite import PAGE, PagerContract, logged  # noqa: F401 -- a fixture

KEY = "tk_5uper5ecret0ncallkey9"
TOPIC = "ana-by-night-4711"


def make(url: str) -> apprise.Connector:
    return apprise.Connector(apprise.Settings(url=SecretStr(url)))


class HttpService:
    """Takes what is posted, like ntfy or any webhook."""

    def __init__(self, scheme: str, user: str = KEY, options: str = "") -> None:
        self.scheme = scheme
        self.user = user
        self.options = options
        self.secrets = (KEY, TOPIC)
        self.got: list[str] = []
        self.calls = 0
        self.status = 200
        self.gate: asyncio.Event | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{any:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port = self._runner.addresses[0][1]
        self.pager = make(f"{self.scheme}://{self.user}@127.0.0.1:{port}/{TOPIC}{self.options}")
        self.pager._plugin.request_rate_per_sec = 0  # the tests do not wait between two pages

    async def stop(self) -> None:
        if self.gate:
            self.gate.set()
        await self._runner.cleanup()

    def fail(self, how: str) -> None:
        self.status = {"busy": 503, "closed": 401}.get(how, 200)
        self.gate = asyncio.Event() if how == "silent" else None

    async def _take(self, request: web.Request) -> web.Response:
        self.calls += 1
        body = await request.json()
        if self.gate:
            await self.gate.wait()
        if self.status == 200:
            self.got.append(f"{body.get('title')}\n{body.get('message')}")
        return web.json_response({"code": self.status, "error": f"no {KEY}"}, status=self.status)


class MailService:
    """As much of SMTP as it takes to send one mail."""

    def __init__(self) -> None:
        self.secrets = ("hunter2-hunter2",)
        self.got: list[str] = []
        self.how = ""
        self._open = 0
        self._ended = asyncio.Event()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        people = "from=night@example.org&to=ana@example.org"
        self.pager = make(f"mailto://night:hunter2-hunter2@127.0.0.1:{port}?{people}&format=text")
        self.pager._plugin.request_rate_per_sec = 0

    async def stop(self) -> None:
        self._ended.set()
        self._server.close()
        async with asyncio.timeout(5):
            while self._open:
                await asyncio.sleep(0.001)

    def fail(self, how: str) -> None:
        self.how = how

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            await self._talk(reader, writer)
        finally:
            writer.close()
            self._open -= 1

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := (await reader.readline()).upper():
            if line.startswith(b"EHLO"):
                writer.write(b"250-here\r\n250-AUTH PLAIN\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")
            elif line.startswith(b"AUTH"):
                writer.write(b"535 no\r\n" if self.how == "closed" else b"235 yes\r\n")
            elif line.startswith(b"DATA"):
                if self.how == "silent":
                    await self._ended.wait()
                    break
                writer.write(b"451 later\r\n" if self.how == "busy" else b"354 go\r\n")
                if self.how != "busy":
                    self._take((await reader.readuntil(b"\r\n.\r\n"))[:-5])
                    writer.write(b"250 taken\r\n")
            elif line.startswith(b"QUIT"):
                break
            else:
                writer.write(b"250 yes\r\n")

    def _take(self, raw: bytes) -> None:
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        part = mail.get_body(("plain",))
        assert part is not None
        self.got.append(f"{mail['Subject']}\n{part.get_content()}")


class TestNtfy(PagerContract):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[HttpService]:
        service = HttpService("ntfy")
        await service.start()
        yield service
        await service.stop()

    async def test_what_the_service_refuses_for_good_is_final(self, rig):
        rig.fail("closed")
        with pytest.raises(Rejected, match=r"^ntfy://… answered 401$"):
            await rig.pager.send(PAGE)


class TestJson(PagerContract):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[HttpService]:
        service = HttpService("json", f"ana:{KEY}", "?retry=3&wait=0&optional=yes")
        await service.start()
        yield service
        await service.stop()

    async def test_apprise_neither_retries_nor_lets_a_failure_pass(self, rig):
        rig.fail("busy")
        with pytest.raises(Exception, match=r"^json://… answered 503$"):
            await rig.pager.send(PAGE)
        assert rig.calls == 1

    async def test_pages_at_the_same_time_do_not_mix_up_their_faults(self, rig):
        other = HttpService("json", f"ben:{KEY}")
        await other.start()
        other.fail("closed")
        done = await asyncio.gather(*(p.send(PAGE) for p in (rig.pager, other.pager) * 3), return_exceptions=True)
        await other.stop()
        assert [str(one) for one in done] == ["None", "json://… answered 401"] * 3


class TestMail(PagerContract):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[MailService]:
        service = MailService()
        await service.start()
        yield service
        await service.stop()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("pigeon://loft/ana-5ecret", "pigeon://… is no service that apprise knows"),
        ("twilio://AC5ecret", "twilio://… is not whole"),
        ("5ecret", "the address is no service"),
        ("", "the address is"),
        ("mqtt://host/5ecret", "mqtt://… needs a package of its own"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_in_words_that_tell_nothing_of_it(url, why):
    with pytest.raises(Rejected) as fault:
        make(url)
    assert str(fault.value).startswith(why)
    assert "5ecret" not in str(fault.value)


def test_every_contact_that_cannot_be_used_is_a_problem_with_its_place():
    contacts = {"push": {"url": "json://127.0.0.1"}, "sms": {"url": "twilio://AC"}, "call": {"url": "pigeon://x"}}
    with pytest.raises(ConfigError) as error:
        make_contacts(Settings(people={"ana": {"name": "Ana", "contacts": contacts}}))
    assert [problem.where for problem in error.value.problems] == [
        "people.ana.contacts.sms.url",
        "people.ana.contacts.call.url",
    ]


def test_a_missing_package_is_one_problem_that_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "connectors.pagers.apprise", None)
    contacts = {"push": {"url": "json://127.0.0.1"}, "sms": {"url": "twilio://AC"}}
    with pytest.raises(ConfigError, match='install Nightshift with the extra "apprise"'):
        make_contacts(Settings(people={"ana": {"name": "Ana", "contacts": contacts}}))
