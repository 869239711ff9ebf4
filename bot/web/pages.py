"""The pages people use in a browser: list, incident, patch, sign-in, and what they press and say there."""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from aiohttp import hdrs, web

from bot.domain.chat import Message, Reply, Said
from bot.domain.oncall import Person, Role, Roster
from bot.errors import Refused
from bot.ports.board import Board, PatchPage, Shelf
from bot.ports.chat import ChatInbox
from bot.ports.clock import Clock
from bot.services.why import Account, write_file
from bot.web.answers import attach, see_other, serve_static, show_html
from bot.web.diff_view import view_patch
from bot.web.guard import (
    add_security_headers,
    check_origin,
    guard_middleware,
    read_own_form,
    wants_json,
)
from bot.web.live import LiveStreams
from bot.web.patch_page import VIEWS, describe_patch, switches
from bot.web.pictures import keep_picture, list_pictures, put_in_order, serve_picture, tell_where_unused
from bot.web.plots import find_plot, serve_plot
from bot.web.run_page import describe_run
from bot.web.sent import MAX_TEXT, name_event, read_press
from bot.web.sessions import Sessions
from bot.web.templating import render
from bot.web.upload import POSTED, Uploads
from bot.web.views import digest_of, view_message

_INCIDENT: Final = "{incident:[A-Za-z0-9][A-Za-z0-9_-]{0,39}}"
_RUN: Final = "/runs/{number:[1-9][0-9]{0,8}}"
_PATCH: Final = "/patches/{digest:[0-9a-f]{12}}"
_NEWS: Final = timedelta(days=1)
"""How long the list shows what is about no incident."""
_NOT_THE_BYTES: Final = "The stored patch is not the one this digest names. Do not apply it."
_BAD_PRESS: Final = Reply(text="Nightshift could not read this press. Reload the page and press again.", ok=False)


@dataclass(frozen=True, kw_only=True)
class Pages:
    """What the pages need. `channel` is the name under which accounts of the web are mapped to people.

    `show_run` returns what the agent did in an incident's run (number), None where there is no such run.
    `show_patch` returns the card of an incident's patch (whole digest) as it is at this moment, None where it has none.
    """

    board: Board
    shelf: Shelf
    inbox: ChatInbox
    sessions: Sessions
    roster: Roster
    clock: Clock
    allowed_hosts: frozenset[str]
    public_url: str | None
    show_patch: Callable[[str, str], Message | None]
    show_run: Callable[[str, str], Account | None]
    channel: str = "web"

    @property
    def is_secure(self) -> bool:
        return self.public_url is not None and self.public_url.startswith("https://")

    @property
    def cookie(self) -> str:
        return "__Host-nightshift" if self.is_secure else "nightshift"


@dataclass(frozen=True, kw_only=True)
class _Visitor:
    """Who looks at a page: a person of the roster with an account of the web."""

    person: Person
    account: str
    csrf: str


_Page = Callable[[web.Request, _Visitor], Awaitable[web.StreamResponse]]
_Act = Callable[[web.Request, _Visitor, Mapping[str, str]], Awaitable[web.StreamResponse]]
_Read = Callable[[web.Request, str], Awaitable[Mapping[str, str]]]


def mount_pages(app: web.Application, pages: Pages) -> None:
    """Add the pages to an application that does not run yet, with the guard for all of its routes."""
    app.middlewares.append(guard_middleware(pages.allowed_hosts))
    app.on_response_prepare.append(add_security_headers)
    site = _Site(pages, LiveStreams(watch=pages.board.watch))
    app.on_shutdown.append(site.streams.close)
    thread = f"/incidents/{_INCIDENT}"
    for path, page in (
        ("/", site.list),
        ("/fragment", site.list_fragment),
        ("/events", site.events),
        (thread, site.incident),
        (f"{thread}/fragment", site.incident_fragment),
        (f"{thread}/events", site.events),
        (f"{thread}{_RUN}", site.run_page),
        (f"{thread}{_RUN}/fragment", site.run_fragment),
        (f"{thread}{_RUN}/account.txt", site.run_file),
        (f"{thread}{_PATCH}", site.patch_page),
        (f"{thread}{_PATCH}/fragment", site.patch_fragment),
        (f"{thread}{_PATCH}/statement", site.statement),
        (f"{thread}/patch/{{digest:[0-9a-f]{{12,64}}}}.diff", site.patch),
        (f"{thread}/plots/{{digest:[0-9a-f]{{64}}}}.svg", site.plot),
        (f"{thread}/pictures/{{digest:[0-9a-f]{{64}}}}", site.picture),
    ):
        app.router.add_get(path, site.for_visitor(page))
    for path, act, read in (
        ("/say", site.say, read_own_form),
        (f"{thread}/say", site.say, Uploads().read),
        (f"{thread}/press", site.press, read_own_form),
        (f"{thread}{_PATCH}/press", site.press, read_own_form),
        ("/signout", site.sign_out, read_own_form),
    ):
        app.router.add_post(path, site.from_form(act, read))
        app.router.add_get(path, _go_back)
    app.router.add_get("/signin/{token}", site.offer_sign_in)
    app.router.add_post("/signin/{token}", site.sign_in)
    app.router.add_get("/static/{name}", serve_static)


class _Site:
    """The handlers; each reads the board in a thread and holds nothing between requests."""

    def __init__(self, pages: Pages, streams: LiveStreams) -> None:
        self._pages = pages
        self.streams = streams

    # who asks

    def for_visitor(self, page: _Page) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Wrap a page so that only a signed-in person of the roster sees it."""

        async def handle(request: web.Request) -> web.StreamResponse:
            visitor = await self._visitor(request)
            return self._turn_away(request) if visitor is None else await page(request, visitor)

        return handle

    def from_form(self, act: _Act, read: _Read) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Wrap an act so that only a form of our own pages, sent by a signed-in person, reaches it."""

        async def handle(request: web.Request) -> web.StreamResponse:
            check_origin(request, self._pages.public_url)
            visitor = await self._visitor(request)
            if visitor is None:
                return self._turn_away(request)
            return await act(request, visitor, await read(request, visitor.csrf))

        return handle

    async def _visitor(self, request: web.Request) -> _Visitor | None:
        token = request.cookies.get(self._pages.cookie)
        signed_in = await asyncio.to_thread(self._pages.sessions.find, token) if token else None
        person = self._pages.roster.people.get(signed_in.person) if signed_in is not None else None
        account = person.accounts.get(self._pages.channel) if person is not None else None
        if signed_in is None or person is None or account is None:
            return None
        return _Visitor(person=person, account=account, csrf=signed_in.csrf)

    def _turn_away(self, request: web.Request) -> web.Response:
        text = "You are not signed in here. Get a link with: nightshift connect web --person NAME"
        if wants_json(request):
            return web.json_response({"ok": False, "text": text}, status=403)
        # A link from another site comes without the strict cookie; one step from our own page brings it along.
        followed = request.headers.get("Sec-Fetch-Site") == "cross-site" and "again" not in request.query
        if followed and request.method == hdrs.METH_GET and self._pages.cookie not in request.cookies:
            return show_html(render("step.html", path=f"{request.rel_url.raw_path}?again"))
        return show_html(render("signed_out.html"), status=403)

    # reading

    async def list(self, _request: web.Request, visitor: _Visitor) -> web.Response:
        return await self._show_list("list.html", visitor)

    async def list_fragment(self, _request: web.Request, visitor: _Visitor) -> web.Response:
        return await self._show_list("list_fragment.html", visitor)

    async def _show_list(
        self, template: str, visitor: _Visitor, notice: Reply | None = None, typed: str = ""
    ) -> web.Response:
        def build() -> str:
            incidents = self._pages.board.incidents()
            since = self._pages.clock.now() - _NEWS
            return render(
                template,
                news=[item for item in self._pages.board.news() if item.posted_at > since],
                open=[incident for incident in incidents if incident.is_open],
                resolved=[incident for incident in incidents if not incident.is_open],
                typed=typed,
                **self._common(visitor, notice),
            )

        return show_html(await asyncio.to_thread(build))

    async def incident(self, request: web.Request, visitor: _Visitor) -> web.Response:
        return await self._show_incident("incident.html", request, visitor)

    async def incident_fragment(self, request: web.Request, visitor: _Visitor) -> web.Response:
        return await self._show_incident("incident_fragment.html", request, visitor)

    async def _show_incident(
        self, template: str, request: web.Request, visitor: _Visitor, notice: Reply | None = None, typed: str = ""
    ) -> web.Response:
        name = request.match_info["incident"]

        def build() -> str | None:
            page = self._pages.board.page(name)
            if page is None:
                return None
            thread = [view_message(item) for item in page.thread]
            pictures = list_pictures(page.timeline, self._pages.channel)
            digests = {digest_of(text) for item in thread for text in item.diffs}
            return render(
                template,
                incident=page.incident,
                thread=thread,
                posts=put_in_order(thread, pictures),
                typed=typed,
                may_show=visitor.person.may(Role.RESPONDER),
                timeline=page.timeline,
                patches={digest for digest in digests if self._pages.shelf.patch_text(name, digest) is not None},
                **self._common(visitor, notice),
            )

        text = await asyncio.to_thread(build)
        if text is None:
            raise web.HTTPNotFound(text=f"There is no incident {name}.")
        return show_html(text)

    def _common(self, visitor: _Visitor, notice: Reply | None) -> Mapping[str, object]:
        people = self._pages.roster.people
        return {
            "person": visitor.person,
            "csrf": visitor.csrf,
            "notice": notice,
            "now": self._pages.clock.now(),
            "nonce": _new_nonce(),
            "name_of": lambda person: people[person].name if person in people else person,
        }

    async def run_page(self, request: web.Request, visitor: _Visitor) -> web.Response:
        return await self._show_run("run.html", request, visitor)

    async def run_fragment(self, request: web.Request, visitor: _Visitor) -> web.Response:
        return await self._show_run("run_fragment.html", request, visitor)

    async def _show_run(self, template: str, request: web.Request, visitor: _Visitor) -> web.Response:
        account = await self._find_run(request)
        incident = account.story.incident
        screen = describe_run(account)
        path = f"/incidents/{incident}/runs/{screen.number}"
        common = self._common(visitor, None)
        return show_html(
            await asyncio.to_thread(render, template, screen=screen, incident=incident, path=path, **common)
        )

    async def run_file(self, request: web.Request, _visitor: _Visitor) -> web.Response:
        """Serve the whole account of a run."""
        account = await self._find_run(request)
        name = f"{account.story.run.replace(':', '-run')}.txt"
        return attach(write_file(account).encode(errors="replace"), name, "text/plain")

    async def _find_run(self, request: web.Request) -> Account:
        incident, number = request.match_info["incident"], request.match_info["number"]
        account = await asyncio.to_thread(self._pages.show_run, incident, number)
        if account is None:
            raise web.HTTPNotFound(text=f"{incident} has no run {number}.")
        return account

    async def patch_page(self, request: web.Request, visitor: _Visitor) -> web.Response:
        return await self._show_patch("patch.html", request, visitor)

    async def patch_fragment(self, request: web.Request, visitor: _Visitor) -> web.Response:
        return await self._show_patch("patch_fragment.html", request, visitor)

    async def _show_patch(
        self, template: str, request: web.Request, visitor: _Visitor, notice: Reply | None = None
    ) -> web.Response:
        view = request.query.get("view", "")
        view = view if view in VIEWS else "auto"

        def build() -> str:
            page = self._find_patch(request)
            card = self._pages.show_patch(page.incident.id, page.draft.digest)
            names = {key: person.name for key, person in self._pages.roster.people.items()}
            path = _patch_path(request)
            return render(
                template,
                incident=page.incident,
                draft=page.draft,
                screen=describe_patch(page, card, now=self._pages.clock.now(), names=names),
                diff=view_patch(page.draft.patch) if template == "patch.html" else None,
                view=view,
                views=switches(view, path),
                path=path,
                act=f"{path}/press" if view == "auto" else f"{path}/press?view={view}",
                **self._common(visitor, notice),
            )

        return show_html(await asyncio.to_thread(build))

    def _find_patch(self, request: web.Request) -> PatchPage:
        """Return the patch, after checking once more that its bytes are the ones the digest names."""
        incident, digest = request.match_info["incident"], request.match_info["digest"]
        page = self._pages.shelf.patch(incident, digest)
        if page is None:
            raise web.HTTPNotFound(text=f"{incident} has no patch {digest}.")
        if not page.draft.digest.startswith(digest):
            raise web.HTTPInternalServerError(text=_NOT_THE_BYTES)
        return page

    async def statement(self, request: web.Request, _visitor: _Visitor) -> web.Response:
        """Serve the approval as an in-toto statement, once it is approved."""
        page = await asyncio.to_thread(self._find_patch, request)
        if page.statement is None:
            raise web.HTTPNotFound(text="There is no statement before the patch is approved.")
        name = f"{page.incident.id}-{page.draft.digest[:12]}.intoto.json"
        return attach(page.statement, name, "application/vnd.in-toto+json")

    async def patch(self, request: web.Request, _visitor: _Visitor) -> web.Response:
        """Serve the canonical bytes, after checking once more that they are the ones the digest names."""
        incident, digest = request.match_info["incident"], request.match_info["digest"]
        text = await asyncio.to_thread(self._pages.shelf.patch_text, incident, digest)
        if text is None:
            raise web.HTTPNotFound(text=f"{incident} has no patch {digest[:12]}.")
        body = text.encode(errors="surrogateescape")
        if not hashlib.sha256(body).hexdigest().startswith(digest):
            raise web.HTTPInternalServerError(text=_NOT_THE_BYTES)
        return attach(body, f"{incident}-{digest[:12]}.diff", "text/plain")

    async def plot(self, request: web.Request, _visitor: _Visitor) -> web.Response:
        """Serve a picture that stands in the thread, by the digest of its text."""
        incident, digest = request.match_info["incident"], request.match_info["digest"]
        page = await asyncio.to_thread(self._pages.board.page, incident)
        text = find_plot(page.thread, digest) if page is not None else None
        if text is None:
            raise web.HTTPNotFound(text=f"{incident} has no such plot any more.")
        return serve_plot(text)

    async def picture(self, request: web.Request, _visitor: _Visitor) -> web.Response:
        """Serve a picture that people posted here, by its digest."""
        incident, digest = request.match_info["incident"], request.match_info["digest"]
        return await serve_picture(self._pages.board, incident, digest, self._pages.channel)

    async def events(self, request: web.Request, visitor: _Visitor) -> web.StreamResponse:
        async def is_still_signed_in() -> bool:
            now = await self._visitor(request)
            return now is not None and now.person.id == visitor.person.id

        return await self.streams.serve(request, request.match_info.get("incident"), is_still_signed_in)

    # acting

    async def press(self, request: web.Request, visitor: _Visitor, form: Mapping[str, str]) -> web.Response:
        pages = self._pages
        press = read_press(
            form,
            event=name_event(pages.channel, visitor.person, form),
            channel=pages.channel,
            account=visitor.account,
            pressed_at=pages.clock.now(),
        )
        reply = _BAD_PRESS if press is None else await pages.inbox.receive(press)
        return await self._answer(request, visitor, reply)

    async def say(self, request: web.Request, visitor: _Visitor, form: Mapping[str, str]) -> web.Response:
        text = form.get("text", "").strip()
        try:
            reply = await self._say(request, visitor, form, text)
        except Refused as refusal:
            reply = Reply(text=str(refusal), ok=False)
        return await self._answer(request, visitor, reply, "" if reply.ok else text)

    async def _say(self, request: web.Request, visitor: _Visitor, form: Mapping[str, str], text: str) -> Reply:
        """Hand over what was typed, with the picture that came with it. Raises `Refused`."""
        pages, picture, incident = self._pages, request.get(POSTED), request.match_info.get("incident")
        event = name_event(pages.channel, visitor.person, form, picture.digest if picture else "")
        if event is None or len(text) > MAX_TEXT or not (text or picture):
            return Reply(text=f"Write a command or a question, at most {MAX_TEXT} characters.", ok=False)
        kept = [await keep_picture(pages.shelf, incident, picture, visitor.person)] if picture and incident else []
        said = Said(
            event=event,
            channel=pages.channel,
            account=visitor.account,
            text=text,
            incident=incident,
            said_at=pages.clock.now(),
            attachments=tuple(kept),
        )
        reply = await pages.inbox.receive(said)
        return await tell_where_unused(pages.board, kept[0], said.incident or "", reply) if kept else reply

    async def _answer(self, request: web.Request, visitor: _Visitor, reply: Reply, typed: str = "") -> web.Response:
        """Show the private answer: to our script as JSON, else on the page itself, to this person only."""
        if wants_json(request):
            return web.json_response({"ok": reply.ok, "text": reply.text})
        if "digest" in request.match_info:
            return await self._show_patch("patch.html", request, visitor, reply)
        if "incident" in request.match_info:
            return await self._show_incident("incident.html", request, visitor, reply, typed)
        return await self._show_list("list.html", visitor, reply, typed)

    # signing in

    async def offer_sign_in(self, request: web.Request) -> web.Response:
        """Show a button and change nothing: programs that preview links open them too."""
        token = request.match_info["token"]
        person_id = await asyncio.to_thread(self._pages.sessions.person_of_link, token)
        person = self._pages.roster.people.get(person_id) if person_id is not None else None
        if person is None:
            return show_html(render("spent_link.html"), status=410)
        if self._pages.channel not in person.accounts:
            raise web.HTTPForbidden(
                text=f"{person.name} has no account for the web pages. Add one to the configuration."
            )
        return show_html(render("sign_in.html", name=person.name, token=token))

    async def sign_in(self, request: web.Request) -> web.Response:
        check_origin(request, self._pages.public_url)
        session = await asyncio.to_thread(self._pages.sessions.redeem, request.match_info["token"])
        if session is None:
            return show_html(render("spent_link.html"), status=410)
        before = request.cookies.get(self._pages.cookie)
        if before:
            await asyncio.to_thread(self._pages.sessions.end, before)
        answer = see_other("/")
        self._set_cookie(answer, session, self._pages.sessions.session_life)
        return answer

    async def sign_out(self, request: web.Request, _visitor: _Visitor, _form: Mapping[str, str]) -> web.Response:
        await asyncio.to_thread(self._pages.sessions.end, request.cookies[self._pages.cookie])
        answer = show_html(render("signed_out.html"))
        self._set_cookie(answer, "", timedelta(0))
        return answer

    def _set_cookie(self, answer: web.Response, value: str, life: timedelta) -> None:
        answer.set_cookie(
            self._pages.cookie,
            value,
            max_age=int(life.total_seconds()),
            path="/",
            httponly=True,
            samesite="Strict",
            secure=self._pages.is_secure,
        )


def _new_nonce() -> str:
    return secrets.token_urlsafe(12)


def _patch_path(request: web.Request) -> str:
    return f"/incidents/{request.match_info['incident']}/patches/{request.match_info['digest']}"


async def _go_back(request: web.Request) -> web.Response:
    """Send a browser that reopens the address of an answered form to the page the form was on."""
    incident = request.match_info.get("incident")
    if "digest" in request.match_info:
        view = request.query.get("view", "")
        return see_other(f"{_patch_path(request)}?view={view}" if view in VIEWS else _patch_path(request))
    return see_other("/" if incident is None else f"/incidents/{incident}")
