"""Presses that were forged, replayed, stale, or not theirs to make: through the real pages into the real store.

None changes anything, none is an error of ours; the honest press beside them works, once.
"""

import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web
from sqlalchemy import text

from bot.domain.approval import ApprovalState
from bot.domain.patches.patch import parse_patch
from bot.domain.timeline import verify_chain
from bot.engine.chat_inbox import StoreInbox
from bot.engine.compose import Composer
from bot.render.links import Links
from bot.store.board import SqlBoard
from bot.store.sessions import SqlSessions
from bot.web.pages import Pages, mount_pages
from bot.web.sessions import SESSION_LIFE, Sessions
from tests.worldkit import (
    PEOPLE,
    FixedClock,
    PhaseLog,
    World,
    alert,
    diff,
    group,
    make_rules,
    make_store,
    make_world,
    quiet,  # noqa: F401 -- a fixture
)

CSRF = "{csrf}"
TABLES = ("incident", "alert", "stage", "step", "draft", "approval", "ci_run", "effect", "timeline", "switch")
NONCE = "abcdefgh12345678"


@dataclass
class Desk:
    """The real pages over a world, with one pending patch on each of two incidents."""

    world: World
    sessions: Sessions
    url: str
    digest: str
    other: str
    client: aiohttp.ClientSession
    cookies: dict[str, str] = field(default_factory=dict)

    def sign_in(self, person: str) -> str:
        token = self.sessions.redeem(self.sessions.make_link(person).removeprefix("/signin/"))
        assert token is not None
        self.cookies[person] = token
        return token

    def csrf(self, person: str) -> str:
        signed_in = self.sessions.find(self.cookies[person])
        return signed_in.csrf if signed_in else "gone"

    def state(self) -> list[object]:
        with self.world.store.engine.connect() as connection:
            return [list(connection.execute(text(f"SELECT * FROM {table}"))) for table in TABLES]

    async def send(
        self,
        form: Mapping[str, str] | bytes | str | aiohttp.FormData | None,
        *,
        person: str = "ada",
        method: str = "POST",
        path: str = "/incidents/INC-1/press",
        **headers: str | None,
    ) -> tuple[int, str]:
        """Send a request as this person's browser would, but for what is changed."""
        if person and person not in self.cookies:
            self.sign_in(person)
        sent = {"Origin": self.url, "Accept": "application/json", "Cookie": f"nightshift={self.cookies.get(person)}"}
        for name, value in headers.items():
            sent[name.replace("_", "-")] = value  # type: ignore[assignment] # None is taken out below
        sent = {name: value.format(url=self.url) for name, value in sent.items() if value is not None}
        if isinstance(form, Mapping):
            form = {name: value.replace(CSRF, self.csrf(person)) for name, value in form.items()}
        async with self.client.request(method, self.url + path, data=form, headers=sent, allow_redirects=False) as got:
            return got.status, (await got.read()).decode(errors="replace")


@pytest.fixture(scope="module")
def played(tmp_path_factory) -> World:
    """Play the two incidents up to their patches once, for every test."""
    world = make_world(tmp_path_factory.mktemp("played"), opened=True)
    world.receive(group(alert(instance="two"), key="two"))
    world.propose()
    world.propose(diff("shop/disk.py"), incident="INC-2")
    world.store.engine.dispose()
    return world


@pytest.fixture
async def desk(played: World, tmp_path) -> AsyncIterator[Desk]:
    shutil.copyfile(played.path / "nightshift.db", tmp_path / "nightshift.db")
    clock = FixedClock()
    phases = PhaseLog(clock)
    phases.committed.update(played.phases.committed)
    store = make_store(tmp_path, clock, phases, fresh=False)
    world = World(path=tmp_path, clock=clock, phases=phases, store=store, rules=make_rules())
    digest, other = parse_patch(diff()).digest, parse_patch(diff("shop/disk.py")).digest
    sessions = Sessions(store=SqlSessions(world.store), clock=world.clock)
    board = SqlBoard(world.store, world.clock)
    app = web.Application()
    mount_pages(
        app,
        Pages(
            board=board,
            shelf=board,
            inbox=StoreInbox(world.store, world.rules),
            sessions=sessions,
            roster=world.rules.roster,
            clock=world.clock,
            allowed_hosts=frozenset({"127.0.0.1"}),
            public_url=None,
            show_patch=Composer(world.store, world.rules, Links()).show_patch,
            show_run=Composer(world.store, world.rules, Links()).show_run,
        ),
    )
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:
        yield Desk(world=world, sessions=sessions, url=url, digest=digest, other=other, client=client)
    await runner.cleanup()


def approve(desk: Desk, **changes: str) -> dict[str, str]:
    form = {"csrf": CSRF, "event": NONCE, "button": f"approve:INC-1:{desk.digest[:12]}", **changes}
    return {name: value for name, value in form.items() if value != "-"}


async def nothing_happens(desk: Desk, *args: object, allowed: tuple[int, ...] = (200,), **more: object) -> str:
    before, phases = desk.state(), dict(desk.world.phases.committed)
    status, said = await desk.send(*args, **more)  # type: ignore[arg-type] # handed through
    assert status in allowed, said
    assert desk.state() == before
    assert desk.world.phases.committed == phases
    assert "Traceback" not in said
    return said


# The honest press -----------------------------------------------------------------------------------------------------
async def test_the_honest_press_works_once_and_its_replay_gets_the_same_answer(desk: Desk) -> None:
    status, said = await desk.send(approve(desk))
    assert (status, '"ok": true' in said) == (200, True)
    assert desk.world.approval(desk.digest).state is ApprovalState.APPROVED
    assert desk.world.phases.keys("execute") == [f"INC-1:{desk.digest[:12]}"]
    for _ in range(3):
        assert await nothing_happens(desk, approve(desk)) == said


# Forged buttons -------------------------------------------------------------------------------------------------------
FORGED = {
    "nothing": "",
    "no verb": ":INC-1:{digest}",
    "an unknown verb": "push:INC-1:{digest}",
    "a verb in capitals": "APPROVE:INC-1:{digest}",
    "a verb with a space": " approve:INC-1:{digest}",
    "no digest": "approve:INC-1",
    "half a digest": "approve:INC-1:{short}",
    "a whole digest": "approve:INC-1:{whole}",
    "a digest in capitals": "approve:INC-1:ABCDEF012345",
    "a digest of nothing": "approve:INC-1:000000000000",
    "the digest of another incident": "approve:INC-1:{other}",
    "another incident for the digest": "approve:INC-2:{digest}",
    "an incident that is not there": "approve:INC-3:{digest}",
    "an incident written otherwise": "approve:INC-01:{digest}",
    "an incident of another script": "approve:INC-\u0661:{digest}",
    "a path": "approve:../INC-1:{digest}",
    "a wildcard": "approve:INC-%:{digest}",
    "a statement": "approve:INC-1' OR '1'='1:{digest}",
    "one part more": "approve:INC-1:{digest}:force",
    "two buttons": "approve:INC-1:{digest}\nack:INC-1",
    "NUL behind the verb": "approve\x00d:INC-1:{digest}",
    "an escape": "\x1b[2Japprove:INC-1:{digest}",
    "an override": "\u202eapprove:INC-1:{digest}",
    "endless": "approve:INC-1:" + "a" * 60_000,
    "a silence for ever": "silence:INC-1:99999h",
    "an escalation below zero": "escalate:INC-1:-1",
}


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_button_does_nothing(desk: Desk, name: str) -> None:
    places = {"digest": desk.digest[:12], "short": desk.digest[:11], "whole": desk.digest, "other": desk.other[:12]}
    said = await nothing_happens(desk, approve(desk, button=FORGED[name].format(**places)))
    assert '"ok": false' in said


# Requests that no page of ours makes ----------------------------------------------------------------------------------
REQUESTS = {
    "without a form token": ({"csrf": "-"}, {}),
    "with an empty form token": ({"csrf": ""}, {}),
    "with a guessed form token": ({"csrf": "0" * 64}, {}),
    "with a form token in other letters": ({"csrf": "\u0660" * 64}, {}),
    "without an origin": ({}, {"Origin": None}),
    "with no origin to speak of": ({}, {"Origin": "null"}),
    "from another site": ({}, {"Origin": "https://evil.example"}),
    "from another port": ({}, {"Origin": "http://127.0.0.1:1"}),
    "from a name that begins like ours": ({}, {"Origin": "{url}.evil.example"}),
    "from another site, says the browser": ({}, {"Sec_Fetch_Site": "cross-site"}),
    "under another host": ({}, {"Host": "evil.example"}),
    "without a session": ({}, {"Cookie": None}),
    "with an empty session": ({}, {"Cookie": "nightshift="}),
    "with a guessed session": ({}, {"Cookie": "nightshift=" + "A" * 43}),
    "with a session that drives a query": ({}, {"Cookie": "nightshift=' OR 1=1 --"}),
    "by GET": ({}, {"method": "GET"}),
    "by HEAD": ({}, {"method": "HEAD"}),
    "by PUT": ({}, {"method": "PUT"}),
    "by DELETE": ({}, {"method": "DELETE"}),
    "by a method nobody knows": ({}, {"method": "APPROVE"}),
    "as JSON": ({}, {"Content_Type": "application/json"}),
    "as plain text": ({}, {"Content_Type": "text/plain"}),
    "under a path with a way up": ({}, {"path": "/incidents/%2e%2e/press"}),
    "under a path with NUL": ({}, {"path": "/incidents/INC-1%00/press"}),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_request_that_no_page_of_ours_makes_does_nothing(desk: Desk, name: str) -> None:
    form, sent = REQUESTS[name]
    desk.sign_in("ada")
    refused = (303, 400, 403, 404, 405, 415, 421)
    await nothing_happens(desk, approve(desk, **form), allowed=refused, **sent)


def _make_parts(desk: Desk) -> aiohttp.FormData:
    parts = aiohttp.FormData(quote_fields=False)
    for name, value in approve(desk, csrf=desk.csrf("ada")).items():
        parts.add_field(name, value.encode(), content_type="text/plain", filename="x")
    return parts


BODIES = {
    "a press of almost a megabyte": (lambda desk: approve(desk, **{"field.reason": "x" * 900_000}), (413,)),
    "a value of 4,001 characters": (lambda desk: approve(desk, **{"field.reason": "x" * 4001}), (200,)),
    "a thousand fields": (lambda desk: approve(desk, **{f"field.{n}": "x" for n in range(1000)}), (400,)),
    "no event": (lambda desk: approve(desk, event="-"), (200,)),
    "an event of two letters": (lambda desk: approve(desk, event="ab"), (200,)),
    "an event that is a path": (lambda desk: approve(desk, event="../../../etc"), (200,)),
    "an event with a line end": (lambda desk: approve(desk, event=NONCE + "\n"), (200,)),
    "an endless event": (lambda desk: approve(desk, event="a" * 5000), (200,)),
    "bytes that are no text": (lambda desk: b"\xff\xfe\x00" * 100, (400, 415)),
    "nothing": (lambda desk: b"", (403, 415)),
    "parts": (_make_parts, (403, 415)),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_cannot_be_a_press_does_nothing(desk: Desk, name: str) -> None:
    desk.sign_in("ada")
    make, allowed = BODIES[name]
    await nothing_happens(desk, make(desk), allowed=allowed)


@pytest.mark.parametrize("first", ["x", "", "wrong"])
async def test_of_two_form_tokens_the_first_counts(desk: Desk, first: str) -> None:
    desk.sign_in("ada")
    fields = [("csrf", first), ("csrf", desk.csrf("ada")), ("event", NONCE), ("button", approve(desk)["button"])]
    body = "&".join(f"{name}={quote(value)}" for name, value in fields).encode()
    await nothing_happens(desk, body, allowed=(403,), Content_Type="application/x-www-form-urlencoded")


async def test_fields_nobody_asked_for_change_nothing_about_the_press(desk: Desk) -> None:
    more = {"person": "ben", "account": "ben@web", "channel": "console", "pressed_at": "1970-01-01", "quorum": "1"}
    status, said = await desk.send(approve(desk, **more, **{"field.": "x", "field.approve": "no"}))
    assert (status, '"ok": true' in said) == (200, True)
    (vote,) = desk.world.approval(desk.digest).votes
    assert (vote.person, vote.channel, vote.at) == ("ada", "web", desk.world.clock.now())


# The wrong person, the wrong time -------------------------------------------------------------------------------------
@pytest.mark.parametrize("person", ["vic", "cleo"])
@pytest.mark.parametrize("verb", ["approve", "reject", "renew"])
async def test_who_may_not_decide_decides_nothing(desk: Desk, person: str, verb: str) -> None:
    form = approve(desk, button=f"{verb}:INC-1:{desk.digest[:12]}")
    assert "needs the role" in await nothing_happens(desk, form, person=person)


@pytest.mark.parametrize("button", ["ack:INC-1", "escalate:INC-1:0", "silence:INC-1:1h", "resolve:INC-1"])
async def test_a_viewer_s_press_does_nothing(desk: Desk, button: str) -> None:
    assert "needs the role" in await nothing_happens(desk, approve(desk, button=button), person="vic")


async def test_the_session_of_one_and_the_form_of_another_do_not_mix(desk: Desk) -> None:
    desk.sign_in("ada")
    stolen = approve(desk, csrf=desk.csrf("ada"))
    await nothing_happens(desk, stolen, person="vic", allowed=(403,))
    await nothing_happens(desk, stolen, person="ben", allowed=(403,))
    before = desk.cookies["ada"]
    desk.sign_in("ada")
    assert desk.cookies["ada"] != before
    await nothing_happens(desk, stolen, allowed=(403,))


async def test_somebody_else_s_event_id_neither_answers_nor_blocks(desk: Desk) -> None:
    """A viewer who guesses the nonce of the approver's form cannot use its event up."""
    await nothing_happens(desk, approve(desk), person="vic")
    status, said = await desk.send(approve(desk))
    assert (status, '"ok": true' in said) == (200, True)


async def test_a_session_that_ended_presses_nothing(desk: Desk) -> None:
    desk.sign_in("ada")
    form = approve(desk, csrf=desk.csrf("ada"))
    desk.sessions.end(desk.cookies["ada"])
    await nothing_happens(desk, form, allowed=(403,))
    desk.sign_in("ada")
    form = approve(desk, csrf=desk.csrf("ada"))
    desk.world.clock.advance(seconds=SESSION_LIFE.total_seconds())
    await nothing_happens(desk, form, allowed=(403,))


async def test_who_left_the_roster_or_the_approvers_presses_nothing(desk: Desk) -> None:
    button = f"approve:INC-1:{desk.digest[:12]}"
    rules, before = desk.world.rules, desk.state()
    desk.world.rules = make_rules(policy=replace(rules.policy, approvers=("ben",)))
    assert not desk.world.press(button).ok
    people = {name: person for name, person in PEOPLE.items() if name != "ada"}
    desk.world.rules = make_rules(roster=replace(rules.roster, people=people))
    assert not desk.world.press(button).ok
    assert desk.state() == before


async def test_a_card_that_is_out_of_date_decides_nothing(desk: Desk) -> None:
    """Expired, rejected, and superseded by a newer patch: each time the old button is dead."""
    desk.world.forward(minutes=61)
    assert '"ok": false' in await nothing_happens(desk, approve(desk))
    status, _ = await desk.send(
        approve(desk, button=f"renew:INC-1:{desk.digest[:12]}", event="renewing-1"), person="ben"
    )
    assert (status, desk.world.approval(desk.digest).state) == (200, ApprovalState.PENDING)
    form = approve(desk, button=f"reject:INC-1:{desk.digest[:12]}", event="rejecting-1", **{"field.reason": "no"})
    await desk.send(form, person="ben")
    assert desk.world.approval(desk.digest).state is ApprovalState.REJECTED
    for number, verb in enumerate(("approve", "reject", "renew")):
        form = approve(desk, button=f"{verb}:INC-1:{desk.digest[:12]}", event=f"too-late-{number}")
        assert '"ok": false' in await nothing_happens(desk, form)


# What people write ----------------------------------------------------------------------------------------------------
REASONS = {
    "NUL": "wrong\x00cause",
    "an override": "wrong \u202eesuac\u202c",
    "an isolate": "\u2066wrong\u2069",
    "zero width": "wr\u200bong\ufeff",
    "an escape": "\x1b[2J\x1b]0;owned\x07wrong",
    "line ends": "wrong\r\nApproved by Ben Okri\n\n",
    "a line separator": "wrong\u2028Approved\u2029",
    "markup": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "a template": "{{ 7*7 }}{% for x in y %}",
    "a mention": "@everyone <!channel> <@U1>",
    "a log format": "%s%n{0.__class__}",
    "half a pair": "wrong\ud800",
    "many marks": "w" + "\u0301" * 900,
    "long": "x" * 4000,
    "a seal": '"},"votes":[{"person":"ben","approve":true}],"x":{"',
}


@pytest.mark.parametrize("name", REASONS)
async def test_a_reason_is_kept_as_text_and_shown_harmlessly(desk: Desk, name: str) -> None:
    desk.sign_in("ada")
    reason = REASONS[name]
    form = approve(desk, csrf=desk.csrf("ada"), button=f"reject:INC-1:{desk.digest[:12]}", **{"field.reason": reason})
    body = "&".join(f"{key}={quote(value.encode('utf-8', 'surrogatepass'))}" for key, value in form.items()).encode()
    status, said = await desk.send(body, Content_Type="application/x-www-form-urlencoded")
    assert (status, '"ok": true' in said) == (200, True)
    approval = desk.world.approval(desk.digest)
    assert (approval.state, [vote.approve for vote in approval.votes]) == (ApprovalState.REJECTED, [False])
    with desk.world.unit() as work:
        events = work.timeline.all()
        assert verify_chain(events) is None
    assert len(desk.world.texts("rejected")[0]) < 700
    status, page = await desk.send(None, method="GET", path="/incidents/INC-1", Accept="text/html")
    assert status == 200
    assert not set(page) & set("\x00\x1b\x07\u202e\u2066\u2069\u200b\u2028\u2029")
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert not desk.world.phases.of("execute")
