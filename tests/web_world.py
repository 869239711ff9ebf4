"""A small world for tests of the pages: a board, an inbox and a session store in memory, and a server around them."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import aiohttp
from aiohttp import web

from bot.domain.approval import Approval, ApprovalState
from bot.domain.approvals.statement import build_statement
from bot.domain.chat import (
    Bullets,
    Button,
    Code,
    Fields,
    File,
    Form,
    FormField,
    Link,
    Message,
    Paragraph,
    Press,
    Reply,
    Said,
    Style,
    Tone,
)
from bot.domain.draft import Draft, DraftState, Patch, Risk
from bot.domain.evidence import Check, CheckRun
from bot.domain.incident import Incident, IncidentState, Severity
from bot.domain.investigation import Verified
from bot.domain.oncall import Contact, Person, Role, Roster
from bot.domain.patches.patch import parse_patch
from bot.domain.runs.image import Attachment
from bot.domain.timeline import TimelineEvent
from bot.errors import Refused
from bot.ports.board import BoardMessage, IncidentPage, PatchPage
from bot.ports.chat import ChatInbox
from bot.render.patch import render_patch
from bot.services.why import Account
from bot.web.pages import Pages, mount_pages
from bot.web.sessions import Sessions

NOW = datetime(2026, 3, 4, 3, 12, 5, tzinfo=UTC)
PUSH = Contact(name="push")
ADA = Person(id="ada", name="Ada Lovelace", role=Role.APPROVER, accounts={"web": "ada@web"}, contacts=(PUSH,))
VIC = Person(id="vic", name="Vic Lee", role=Role.VIEWER, accounts={"web": "vic@web"}, contacts=(PUSH,))
CLEO = Person(id="cleo", name="Cleo Diaz", accounts={"web": "cleo@web"})
BO = Person(id="bo", name="Bo Chen", accounts={"console": "bo"})
PATCH = "\n".join(  # noqa: FLY002 - a diff is read line by line
    (
        "diff --git a/checkout/total.py b/checkout/total.py",
        "index 1111111..2222222 100644",
        "--- a/checkout/total.py",
        "+++ b/checkout/total.py",
        "@@ -12,7 +12,7 @@ def total(basket: Basket, coupon: Coupon | None) -> Money:",
        "     amount = sum((line.price * line.count for line in basket.lines), start=Money(0))",
        "     if coupon is None:",
        "         return amount",
        "-    return amount - amount * coupon.percent / coupon.base  # a coupon without a base divides by zero",
        "+    return amount - amount * coupon.percent / 100",
        " ",
        " ",
        " def shipping(basket: Basket) -> Money:",
        "diff --git a/checkout/coupon.py b/checkout/coupon.py",
        "index 3333333..4444444 100644",
        "--- a/checkout/coupon.py",
        "+++ b/checkout/coupon.py",
        "@@ -3,5 +3,4 @@",
        " class Coupon:",
        "     code: str",
        "     percent: int",
        "-    base: int = 0",
        "     expires: date",
        "",
    )
)
DIGEST = hashlib.sha256(PATCH.encode()).hexdigest()
ACK = Button(id="ack:INC-12", label="Acknowledge", key="a", style=Style.PRIMARY)
ESCALATE = Button(id="escalate:INC-12:0", label="Escalate", key="e")
APPROVE = Button(id=f"approve:INC-12:{DIGEST[:12]}", label="Approve", key="y", style=Style.PRIMARY)
REJECT = Button(
    id=f"reject:INC-12:{DIGEST[:12]}",
    label="Reject",
    key="n",
    style=Style.DANGER,
    form=Form(
        title="Reject this patch",
        fields=(
            FormField(name="reason", label="Why?", choices=("Wrong cause", "Too risky", "Other")),
            FormField(name="note", label="Anything to add", required=False),
        ),
    ),
)
INCIDENT = Incident(
    id="INC-12",
    key="checkout/HighErrorRate",
    title="checkout answers 38 % of requests with 500",
    service="checkout",
    severity=Severity.CRITICAL,
    state=IncidentState.TRIGGERED,
    opened_at=NOW - timedelta(minutes=4),
    changed_at=NOW - timedelta(minutes=4),
    alert_started_at=NOW - timedelta(minutes=6),
)
CARD = Message(
    incident="INC-12",
    slot="card",
    headline="checkout answers 38 % of requests with 500",
    tone=Tone.BAD,
    blocks=(
        Fields(
            items=(("Severity", "critical"), ("Service", "checkout"), ("Since", "03:06 UTC (6 min)"), ("Value", "0.38"))
        ),
        Link(label="Runbook", url="https://wiki.example/runbooks/http-5xx"),
        Link(label="Dashboard", url="https://grafana.example/d/checkout"),
    ),
    buttons=(ACK, ESCALATE),
    rings=("ada",),
    in_thread=False,
)


def note(slot: str, headline: str, **changes: object) -> Message:
    return replace(Message(incident="INC-12", slot=slot, headline=headline), **changes)  # type: ignore[arg-type]  # tests name real fields


TRACE = (
    "Traceback (most recent call last):",
    '  File "/srv/checkout/total.py", line 15, in total',
    "    return amount - amount * coupon.percent / coupon.base",
    "ZeroDivisionError: division by zero",
)
FACTS = (
    "ZeroDivisionError in checkout/total.py:15, 412 times since 03:05:51 (E1)",
    "4f2c9ab “Let coupons carry their base” by Kim Park touched that line 41 minutes before (E2)",
    "POST /basket/total with a coupon: 500 at 4f2c9ab, 200 at its parent (E3)",
)
TERMS = (
    ("Base", "9d01e7c on main"),
    ("Checks", "reproduction red → green, tests 214 passed"),
    ("Needs", "1 approval until 04:12 UTC"),
)
STATUS = note(
    "status",
    "Patch verified; waits for a person",
    blocks=(Paragraph(text="12,480 log lines read · 50 commits looked at · 21 s"),),
)
FINDINGS = note(
    "findings",
    "Commit 4f2c9ab broke the total of baskets with a coupon",
    tone=Tone.WARN,
    blocks=(Bullets(items=FACTS), Code(text="\n".join(TRACE))),
)
APPROVAL = note(
    "approval:1",
    "Patch ready: revert 4f2c9ab, verified",
    blocks=(Fields(items=TERMS), Code(text=PATCH, language="diff")),
    files=(File(name="INC-12.diff", media_type="text/x-diff", text=PATCH),),
    buttons=(APPROVE, REJECT),
    rings=("ada",),
)
VERDICT = note(
    "verdict:1",
    "CI passed on nightshift/INC-12",
    tone=Tone.GOOD,
    blocks=(Paragraph(text="The alert has not cleared yet."),),
)
THREAD = (STATUS, FINDINGS, APPROVAL, VERDICT)


RUNS = (
    CheckRun(
        name="tests",
        at="patched",
        verdict=Check.GREEN,
        seconds=2.41,
        output="214 passed in 2.31s\n",
    ),
    CheckRun(name="types", at="patched", verdict=Check.GREEN, seconds=4.06),
)
DRAFT = Draft(
    incident="INC-12",
    patch=Patch(text=PATCH.encode(), files=parse_patch(PATCH.encode()).files),
    base="9d01e7c" + "0" * 33,
    branch="main",
    title="Revert 4f2c9ab “Let coupons carry their base”",
    culprit="4f2c9ab",
    author="nightshift",
    verified=Verified(before=Check.RED, after=Check.GREEN, runs=RUNS, rung="bubblewrap"),
    risk=Risk(),
    state=DraftState.PROPOSED,
    created_at=NOW - timedelta(seconds=30),
)
ASKED = Approval(
    incident="INC-12",
    digest=DIGEST,
    base=DRAFT.base,
    target="checkout main",
    policy_version="policy-1",
    state=ApprovalState.PENDING,
    needs=1,
    risk=(),
    requested_at=NOW,
    expires_at=NOW + timedelta(minutes=60),
    audit_head="ab" * 32,
)


class FixedClock:
    def __init__(self, now: datetime = NOW) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time


class MemorySessions:
    """The session store's contract, in two dictionaries."""

    def __init__(self) -> None:
        self.links: dict[str, tuple[str, datetime]] = {}
        self.sessions: dict[str, tuple[str, datetime]] = {}

    def create_link(self, person: str, token_hash: str, expires: datetime) -> None:
        self.links[token_hash] = (person, expires)

    def find_link(self, token_hash: str, now: datetime) -> str | None:
        return _alive(self.links.get(token_hash), now)

    def consume_link(self, token_hash: str, now: datetime) -> str | None:
        return _alive(self.links.pop(token_hash, None), now)

    def create_session(self, person: str, token_hash: str, expires: datetime) -> None:
        self.sessions[token_hash] = (person, expires)

    def find_session(self, token_hash: str, now: datetime) -> str | None:
        return _alive(self.sessions.get(token_hash), now)

    def end_session(self, token_hash: str) -> None:
        self.sessions.pop(token_hash, None)


def _alive(row: tuple[str, datetime] | None, now: datetime) -> str | None:
    return row[0] if row is not None and now < row[1] else None


class MemoryBoard:
    """The board's contract in memory. `change` alters an incident as the core would."""

    def __init__(self, clock: FixedClock) -> None:
        self.clock = clock
        self.rows: dict[str, Incident] = {}
        self.messages: dict[str, BoardMessage] = {}
        self.events: list[TimelineEvent] = []
        self.patches: dict[str, str] = {}
        self.pages: dict[str, PatchPage] = {}
        self.cards: dict[str, Message] = {}
        self.runs: dict[tuple[str, str], Account] = {}
        self.images: dict[str, bytes] = {}
        self._watchers: list[tuple[asyncio.AbstractEventLoop, asyncio.Queue[str]]] = []

    @property
    def watchers(self) -> int:
        return len(self._watchers)

    def put(self, ref: str, message: Message) -> None:
        before = self.messages.get(ref)
        if before is None:
            self.messages[ref] = BoardMessage(ref=ref, message=message, posted_at=self.clock.now())
        elif before.message != message:
            self.messages[ref] = replace(before, message=message, edited_at=self.clock.now())
        self._wake(message.incident)

    def change(self, incident: Incident) -> None:
        self.rows[incident.id] = incident
        self._wake(incident.id)

    def incidents(self, limit: int = 100) -> Sequence[Incident]:
        return sorted(self.rows.values(), key=lambda row: not row.is_open)[:limit]

    def news(self, limit: int = 3) -> Sequence[BoardMessage]:
        return [item for item in reversed(self.messages.values()) if not item.message.incident][:limit]

    def page(self, incident: str) -> IncidentPage | None:
        if incident not in self.rows:
            return None
        thread = tuple(item for item in self.messages.values() if item.message.incident == incident)
        timeline = tuple(event for event in self.events if event.incident == incident)
        return IncidentPage(incident=self.rows[incident], thread=thread, timeline=timeline)

    def keep_patch(self, digest: str, page: PatchPage) -> None:
        """Keep a patch, with the statement that its approval yields."""
        try:
            statement = build_statement(page.approval) if page.approval else None
        except Refused:
            statement = None
        self.pages[digest] = replace(page, statement=statement)

    def show_patch(self, incident: str, digest: str) -> Message | None:
        page = self.pages[digest]
        if page.approval is None:
            return None
        now, names = self.clock.now(), {"ada": ADA.name, "bo": BO.name}
        card = render_patch(page.draft, page.approval, now=now, names=names)
        return self.cards.get(digest, card)

    def patch(self, incident: str, digest: str) -> PatchPage | None:
        return next((page for known, page in self.pages.items() if known.startswith(digest)), None)

    def patch_text(self, incident: str, digest: str) -> str | None:
        return next((text for known, text in self.patches.items() if known.startswith(digest)), None)

    def put_image(self, incident: str, sha256: str, data: bytes) -> str:
        self.images[f"{incident}/{sha256}"] = data
        return f"{incident}/{sha256}"

    def image(self, ref: str) -> bytes | None:
        return self.images.get(ref)

    async def watch(self) -> AsyncIterator[str]:
        entry = (asyncio.get_running_loop(), asyncio.Queue[str]())
        self._watchers.append(entry)
        try:
            while True:
                yield await entry[1].get()
        finally:
            self._watchers.remove(entry)

    def _wake(self, incident: str) -> None:
        for loop, queue in tuple(self._watchers):  # streams of pages that were left end meanwhile
            loop.call_soon_threadsafe(queue.put_nowait, incident)


class BoardInbox:
    """An inbox that keeps events and takes a press on Acknowledge as the core would."""

    def __init__(self, board: MemoryBoard) -> None:
        self.board = board
        self.events: list[Press | Said] = []
        self.reply = Reply(text="Noted.")

    async def receive(self, event: Press | Said) -> Reply:
        repeated = any(event.event == before.event for before in self.events)
        self.events.append(event)
        if isinstance(event, Press) and event.button == ACK.id and not repeated:
            row = self.board.rows["INC-12"]
            self.board.change(replace(row, state=IncidentState.ACKNOWLEDGED, owner="ada"))
            self.board.put("card", replace(CARD, tone=Tone.WARN, buttons=(ESCALATE,)))
            return Reply(text="You have INC-12. Nobody else is paged.")
        return self.reply


@dataclass(kw_only=True)
class World:
    """A running server with its parts in the test's hands."""

    clock: FixedClock
    board: MemoryBoard
    inbox: BoardInbox
    store: MemorySessions
    sessions: Sessions
    app: web.Application
    url: str = ""
    cookie: str = "nightshift"
    _clients: list[aiohttp.ClientSession] = field(default_factory=list)

    def client(self) -> aiohttp.ClientSession:
        """Return a browser-like client without cookies."""
        session = aiohttp.ClientSession(
            self.url, cookie_jar=aiohttp.CookieJar(unsafe=True), headers={"Accept": "text/html"}
        )
        self._clients.append(session)
        return session

    async def signed_in(self, person: str = "ada") -> aiohttp.ClientSession:
        client = self.client()
        path = self.sessions.make_link(person)
        async with client.post(path, headers={"Origin": self.url}, allow_redirects=False) as answer:
            assert answer.status == 303
        return client

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


def fill(board: MemoryBoard) -> None:
    """Put the sample incident on the board."""
    board.change(INCIDENT)
    board.patches[DIGEST] = PATCH
    board.pages[DIGEST] = PatchPage(incident=INCIDENT, draft=DRAFT, approval=ASKED)
    board.put("card", CARD)
    for message in THREAD:
        board.put(message.slot, message)
    texts = (
        ("alert received from alertmanager", "nightshift"),
        ("paged Ada Lovelace (level 1)", "nightshift"),
        ("suspect 4f2c9ab confirmed: red there, green at its parent", "nightshift"),
        (f"patch {DIGEST[:12]} proposed", "nightshift"),
    )
    for seq, (text, actor) in enumerate(texts, 1):
        event = TimelineEvent(
            seq=seq, at=NOW - timedelta(seconds=240 - seq * 40), incident="INC-12", kind="note", actor=actor, text=text
        )
        board.events.append(replace(event, hash=f"{seq:064x}"))


def show_picture(world: World, one: Attachment, channel: str = "web") -> None:
    """Put on the timeline what the core writes when a picture goes to the model."""
    images = json.dumps([[one.name, one.media_type, one.size, one.ref]])
    event = TimelineEvent(
        seq=9,
        at=NOW,
        incident="INC-12",
        kind="steered",
        actor="ada",
        text=f"Ada Lovelace showed the model {one.name}",
        data={"run": "INC-12:1", "images": images, "channel": channel},
    )
    world.board.events.append(replace(event, hash=f"{9:064x}"))
    world.board.change(world.board.rows["INC-12"])


@asynccontextmanager
async def served(
    *,
    inbox: ChatInbox | None = None,
    public_url: str | None = None,
    port: int = 0,
    hosts: tuple[str, ...] = ("127.0.0.1",),
) -> AsyncIterator[World]:
    """Serve the pages on a free port of the loopback."""
    clock = FixedClock()
    board = MemoryBoard(clock)
    store = MemorySessions()
    own_inbox = BoardInbox(board)
    sessions = Sessions(store=store, clock=clock)
    app = web.Application()
    roster = Roster(people={"ada": ADA, "bo": BO, "cleo": CLEO, "vic": VIC})
    pages = Pages(
        board=board,
        shelf=board,
        inbox=inbox or own_inbox,
        sessions=sessions,
        roster=roster,
        clock=clock,
        allowed_hosts=frozenset(hosts),
        public_url=public_url,
        show_patch=board.show_patch,
        show_run=lambda incident, number: board.runs.get((incident, number)),
    )
    mount_pages(app, pages)
    world = World(
        clock=clock, board=board, inbox=own_inbox, store=store, sessions=sessions, app=app, cookie=pages.cookie
    )
    app.router.add_post("/v1/echo", _echo)
    app.router.add_get("/broken", _break)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    world.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield world
    finally:
        await world.close()
        await runner.cleanup()


async def _echo(request: web.Request) -> web.Response:
    return web.Response(text=await request.text(), status=202)


async def _break(_request: web.Request) -> web.Response:
    raise RuntimeError("secret detail")
