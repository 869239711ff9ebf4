"""A CI system of one's own behind `connectors.ci.webhook`."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from bot.domain.ci import CIRequest, Trigger
from bot.errors import Reason, Refused, Rejected, Unavailable
from bot.ports.http import WebRequest
from connectors.ci.webhook import SIGNATURE, STAMP, Connector, Settings, WebhookHooks, point, sign
from tests.contract.ci_suite import CIContract, open_ci
from tests.contract.far_side import FarSide, answer, make_sha

SECRET = "0123456789abcdef-signing"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PATHS = {f"{name}_path": f"/runs/{{{{ sha }}}}/{name}" for name in ("log", "cancel", "rerun")}
PATHS["order_path"] = "/orders/{{ key }}"
AT = "2026-01-02T03:04:05Z"


class OwnCI(FarSide):
    """A run goes on a step each time its status is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[str, dict[str, object]] = {}
        self.orders: list[dict[str, str]] = []

    def routes(self):
        return [
            web.post("/runs", self.start),
            web.get("/runs/{sha}", self.status),
            web.get("/orders/{sha}", self.status),
            web.get("/runs/{sha}/log", self.log),
            web.post("/runs/{sha}/cancel", self.cancel),
            web.post("/runs/{sha}/rerun", self.rerun),
        ]

    async def check(self, request):
        body = await request.read()
        wanted = sign(SECRET.encode(), request.headers[STAMP], body)
        if request.headers.get(SIGNATURE) != wanted:
            raise web.HTTPForbidden
        return json.loads(body)

    async def start(self, request):
        order = await self.check(request)
        self.orders.append(order)
        plan = order["branch"].rpartition("/")[2]
        self.runs[order["sha"]] = self.runs[order["key"]] = {
            "state": "queued",
            "plan": plan,
            "attempt": 1,
            "log": "",
            "started_at": AT,
        }
        return web.Response(status=202)

    def named(self, request):
        found = self.runs.get(request.match_info["sha"])
        if found is None:
            raise web.HTTPNotFound
        return found

    async def status(self, request):
        run = self.named(request)
        if run["state"] == "running" and run["plan"] != "slow":
            is_green = run["plan"] == "passing"
            run |= {"state": "passed"} if is_green else {"state": "failed", "failed_step": "tests"}
            run["log"] += "all is well\n" if is_green else "expected 2\n"
            run["finished_at"] = "2026-01-02T03:05:05Z"
        shown = {key: value for key, value in run.items() if key not in {"log", "plan"}}
        if run["state"] == "queued":
            run["state"] = "running"
        return web.json_response(shown)

    async def log(self, request):
        return web.Response(text=self.named(request)["log"])

    async def cancel(self, request):
        await self.check(request)
        self.named(request)["state"] = "cancelled"
        return web.Response(status=202)

    async def rerun(self, request):
        await self.check(request)
        run = self.named(request)
        run |= {"state": "queued", "attempt": run["attempt"] + 1}
        return web.Response(status=202)


@pytest.fixture
async def own():
    server = OwnCI()
    async with server.serve():
        yield server


def connect(url: str) -> Connector:
    return Connector(Settings(url=url, signing_secret=SECRET, **PATHS), [])


@pytest.fixture
async def connector(own):
    made = connect(own.url)
    yield made
    await made.close()


def request(name: str, **changes: str) -> CIRequest:
    given = {"branch": f"nightshift/{name}", "key": f"INC-1/{name}", "job": "checks"}
    return CIRequest(
        repository="shop", sha=make_sha(name), incident="INC-1", trigger=Trigger.DISPATCH, **{**given, **changes}
    )


class TestCIWebhook(CIContract):
    @pytest.fixture
    async def world(self, own):
        async with open_ci(
            connect,
            own.url,
            **{name: request(name) for name in ("passing", "failing", "slow")},
            count_runs=lambda: len({order["sha"] for order in own.orders}),
            count_orders=lambda: len(own.orders),
            lose_answer=own.lose_answer,
        ) as world:
            yield world


async def test_values_stay_values_whatever_is_in_them(own, connector):
    evil = 'x", "sha": "other", "y": "{{ 7*7 }}\n'
    await connector.ci.start(request("passing", job=evil))
    [order] = own.orders
    assert (order["job"], order["sha"]) == (evil, make_sha("passing"))


async def test_an_order_whose_answer_is_lost_is_sent_once(own, connector):
    own.late_faults = [lambda: web.Response(status=500)]
    with pytest.raises(Unavailable):
        await connector.ci.start(request("passing"))
    await connector.ci.start(request("passing"))
    assert len(own.orders) == 1


async def test_what_it_has_no_path_for_is_rejected(own):
    plain = Connector(Settings(url=own.url, signing_secret=SECRET), [])
    await plain.ci.start(request("slow"))
    with pytest.raises(Rejected, match="cancel_path"):
        await plain.ci.cancel(make_sha("slow"))
    assert await plain.ci.log(make_sha("slow")) == ""
    await plain.close()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (answer(200, {"state": "odd"}), Reason.SERVER_ERROR),
        (answer(200, {}), Reason.SERVER_ERROR),
        (answer(200, [1]), Reason.SERVER_ERROR),
        (answer(429, {}, Retry_After="9"), Reason.RATE_LIMITED),
        (answer(302, None, Location="http://127.0.0.1:1/"), Reason.NOT_ALLOWED),
        (lambda _r: web.Response(text="<html>"), Reason.SERVER_ERROR),
    ],
)
async def test_a_bad_answer_is_an_error_and_never_no_run(own, connector, fault, reason):
    own.faults = [fault]
    with pytest.raises((Unavailable, Rejected)) as caught:
        await connector.ci.start(request("passing"))
    assert caught.value.reason is reason
    assert own.orders == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"start_body": "{{ sha }"},
        {"start_body": '{"a": "{{ sha }}"}'},
        {"start_body": '{"a": {{ secret }}}'},
        {"start_body": '{"a": {{ sha.__class__.__mro__ }}}'},
        {"status_path": "runs/{{ sha }}"},
        {"status_path": "/runs/{{ branch }}"},
        {"start_path": "https://elsewhere.example.com/"},
        {"state_at": "state"},
        {"states": {"ok": "fine"}},
        {"signing_secret": "short"},
        {"webhook_secret": ""},
        {"other": 1},
    ],
)
def test_a_wrong_setting_stops_the_start(wrong):
    with pytest.raises(ValueError):
        Settings(**({"url": "https://ci.example.com", "signing_secret": SECRET} | wrong))


class FixedClock:
    def now(self):
        return NOW


def delivery(body: bytes, *, at: datetime = NOW, key: str = SECRET, **changes: str) -> WebRequest:
    stamp = str(int(at.timestamp()))
    headers = {STAMP.lower(): stamp, SIGNATURE.lower(): sign(key.encode(), stamp, body), **changes}
    return WebRequest(method="POST", path="/v1/alerts/webhook", headers=headers, body=body)


def test_a_signed_callback_names_its_commits_and_nothing_else():
    hooks = WebhookHooks(SECRET, FixedClock())
    body = json.dumps({"commits": [make_sha("a"), "main", 7, make_sha("a")], "state": "passed"}).encode()
    hooks.verify(delivery(body))
    group = hooks.parse(body)
    assert (group.alerts, group.commits) == ((), (make_sha("a"),))
    assert hooks.parse(json.dumps({"sha": make_sha("b")}).encode()).commits == (make_sha("b"),)


@pytest.mark.parametrize(
    "forged",
    [
        delivery(b"{}", key="another-secret-of-16"),
        delivery(b"{}", at=NOW - timedelta(seconds=301)),
        delivery(b"{}", at=NOW + timedelta(seconds=301)),
        delivery(b"{}", **{STAMP.lower(): "1e9"}),
        delivery(b"{}", **{SIGNATURE.lower(): ""}),
        delivery(b"{}", **{SIGNATURE.lower(): "v1=\u0661"}),
        WebRequest(method="POST", path="/", headers=delivery(b"{}").headers, body=b"[]"),
        WebRequest(method="POST", path="/", headers={}, body=b"{}"),
    ],
)
def test_a_forged_changed_or_replayed_callback_is_refused(forged):
    with pytest.raises(Refused):
        WebhookHooks(SECRET, FixedClock()).verify(forged)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"sha": "main"}', b"[" * 100_000, b"\xff"])
def test_a_callback_without_a_commit_is_refused(body):
    with pytest.raises(Refused):
        WebhookHooks(SECRET, FixedClock()).parse(body)


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("/a/b", 1),
        ("/a/c~1d", 2),
        ("/e/1", 4),
        ("/e/9", None),
        ("/e/x", None),
        ("/a/b/c", None),
        ("/e/" + "9" * 50, None),
    ],
)
def test_pointers_find_what_is_there(pointer, found):
    assert point({"a": {"b": 1, "c/d": 2}, "e": [3, 4]}, pointer) == found
