"""The admin API, for the command line and for outside checks: bearer token, JSON, described in docs/openapi.yaml."""

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from bot.domain.oncall import Roster
from bot.errors import Reason, Refused
from bot.ports.deliveries import Delivery, DeliveryBox
from bot.ports.work import Store, UnitOfWork
from bot.services.pause import EVERYTHING, end_pause, find_pause, start_pause
from bot.services.rollout import find_statement
from bot.web.intake import read_request
from bot.web.runs import RunApi
from bot.web.sessions import Sessions

MAX_BODY: Final = 64 * 1024
PREVIEW: Final = 2000
MAX_NAME: Final = 60
OPERATOR: Final = "operator"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def require_token(token: str, handler: Handler) -> Handler:
    """Return the handler for those alone who show the admin token; what is refused becomes an answer."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        is_right = hmac.compare_digest(shown.strip().encode(errors="replace"), token.encode())
        if scheme.lower() != "bearer" or not is_right:
            text = "The admin token is missing or wrong; it is in admin.token of the state folder.\n"
            return web.Response(status=401, text=text, headers={"WWW-Authenticate": "Bearer"})
        try:
            return await handler(request)
        except Refused as refusal:
            status = 400 if refusal.reason is Reason.BAD_INPUT else 404
            return web.json_response({"error": str(refusal), "reason": refusal.reason}, status=status)

    return guarded


async def read_person(request: web.Request, roster: Roster) -> str:
    """Return the person that a request is about. Raises `Refused` where the roster has nobody of that name."""
    try:
        person = str((await _read_json(request))["person"])
    except (ValueError, KeyError, TypeError):
        raise Refused('Send {"person": "NAME"}.', Reason.BAD_INPUT) from None
    if person not in roster.people:
        known = ", ".join(sorted(roster.people)) or "nobody"
        raise Refused(f'No person "{person[:40]}". Known: {known}.', Reason.NOT_FOUND)
    return person


class AdminApi:
    """Reads incidents and dead letters, makes sign-in links, replays deliveries, pauses."""

    def __init__(
        self, store: Store, box: DeliveryBox, sessions: Sessions, roster: Roster, *, token: str, base_url: str
    ) -> None:
        self._store = store
        self._box = box
        self._sessions = sessions
        self._roster = roster
        self._token = token
        self._base_url = base_url
        self.runs = RunApi(store=store)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/incidents", self._guarded(self._incidents)),
            web.get("/v1/incidents/{incident}", self._guarded(self._incident)),
            web.get("/v1/incidents/{incident}/timeline", self._guarded(self._timeline)),
            web.get("/v1/incidents/{incident}/patches/{digest}", self._guarded(self._patch)),
            web.get("/v1/incidents/{incident}/patches/{digest}/statement", self._guarded(self._statement)),
            web.get("/v1/incidents/{incident}/runs", self._guarded(self.runs.list)),
            web.get("/v1/runs/{run}", self._guarded(self.runs.show)),
            web.get("/v1/runs/{run}/events", self._guarded(self.runs.follow)),
            web.post("/v1/signin-links", self._guarded(self._make_link)),
            web.get("/v1/dead-letters", self._guarded(self._dead_letters)),
            web.post("/v1/dead-letters/{number:[0-9]{1,18}}/replay", self._guarded(self._replay)),
            web.get("/v1/deliveries", self._guarded(self._tail)),
            web.get("/v1/audit", self._guarded(self._audit)),
            web.get("/v1/pause", self._guarded(self._show_pause)),
            web.put("/v1/pause", self._guarded(self._set_pause)),
        ]

    def _guarded(self, handler: Handler) -> Handler:
        return require_token(self._token, handler)

    async def _read(self, read: Callable[[UnitOfWork], Any]) -> web.Response:
        def run() -> Any:  # noqa: ANN401 -- JSON
            with self._store.begin() as work:
                return read(work)

        return web.json_response(await asyncio.to_thread(run))

    async def _incidents(self, _request: web.Request) -> web.Response:
        return await self._read(lambda work: {"incidents": [_brief(work, i.id) for i in work.incidents.recent(200)]})

    async def _incident(self, request: web.Request) -> web.Response:
        return await self._read(lambda work: _brief(work, request.match_info["incident"]))

    async def _timeline(self, request: web.Request) -> web.Response:
        def read(work: UnitOfWork) -> Mapping[str, Any]:
            incident = work.incidents.get(request.match_info["incident"])
            events = work.timeline.of(incident.id)
            return {
                "events": [
                    {
                        "seq": event.seq,
                        "at": event.at.isoformat(),
                        "kind": event.kind,
                        "actor": event.actor,
                        "text": event.text,
                        "data": dict(event.data),
                        "hash": event.hash,
                    }
                    for event in events
                ]
            }

        return await self._read(read)

    async def _patch(self, request: web.Request) -> web.Response:
        def read() -> bytes:
            with self._store.begin() as work:
                return work.drafts.get(request.match_info["incident"], request.match_info["digest"]).patch.text

        return web.Response(body=await asyncio.to_thread(read), content_type="text/x-diff")

    async def _statement(self, request: web.Request) -> web.Response:
        """The approval of a patch as an in-toto statement, once it is approved."""

        def read() -> bytes:
            with self._store.begin() as work:
                return find_statement(work, request.match_info["incident"], request.match_info["digest"])

        return web.Response(body=await asyncio.to_thread(read), content_type="application/vnd.in-toto+json")

    async def _make_link(self, request: web.Request) -> web.Response:
        person = await read_person(request, self._roster)
        path = await asyncio.to_thread(self._sessions.make_link, person)
        return web.json_response({"url": self._base_url.rstrip("/") + path})

    async def _dead_letters(self, _request: web.Request) -> web.Response:
        return web.json_response({"dead_letters": [_letter(item) for item in await self._box.dead_letters()]})

    async def _replay(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        await self._box.revive(number)
        return web.json_response({"replayed": number})

    async def _tail(self, request: web.Request) -> web.Response:
        after = request.query.get("after", "-10")
        if not after.removeprefix("-").isdecimal() or len(after) > 18:
            return web.json_response({"error": "after must be a whole number"}, status=400)
        return web.json_response({"deliveries": [_letter(item) for item in await self._box.tail(int(after))]})

    async def _show_pause(self, _request: web.Request) -> web.Response:
        return await self._read(lambda work: _pause(work, ""))

    async def _set_pause(self, request: web.Request) -> web.Response:
        """Pause everything, or end that pause; asked for what is so already, it changes nothing."""
        try:
            asked = await _read_json(request)
            wanted, who, reason = asked["paused"], str(asked.get("who", "")), str(asked.get("reason", ""))
        except (ValueError, KeyError, TypeError, AttributeError):
            wanted, who, reason = None, "", ""
        if not isinstance(wanted, bool):
            return web.json_response({"error": 'Send {"paused": true, "reason": "TEXT"}.'}, status=400)
        who = " ".join(who.split())[:MAX_NAME] or "the operator"

        def switch(work: UnitOfWork) -> Mapping[str, Any]:
            if wanted == (find_pause(work) is not None):
                return _pause(work, "Nothing was changed.")
            if wanted:
                return _pause(work, start_pause(work, incident=EVERYTHING, actor=OPERATOR, who=who, reason=reason))
            return _pause(work, end_pause(work, incident=EVERYTHING, actor=OPERATOR, who=who))

        return await self._read(switch)

    async def _audit(self, _request: web.Request) -> web.Response:
        def read(work: UnitOfWork) -> Mapping[str, Any]:
            seq, head = work.timeline.head()
            return {"seq": seq, "head": head}

        return await self._read(read)


def _pause(work: UnitOfWork, said: str) -> Mapping[str, Any]:
    pause = find_pause(work)
    return {"paused": pause is not None, "text": f"{pause or 'Nightshift is not paused'}.", "said": said}


async def _read_json(request: web.Request) -> Any:  # noqa: ANN401 -- JSON
    """Return a small body's JSON. Raises `ValueError`."""
    whole = await read_request(request, MAX_BODY)
    try:
        return json.loads(whole.body)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _brief(work: UnitOfWork, incident_id: str) -> Mapping[str, Any]:
    incident = work.incidents.get(incident_id)
    return {
        "id": incident.id,
        "title": incident.title,
        "service": incident.service,
        "severity": incident.severity.value,
        "state": incident.state.value,
        "run_state": incident.run_state.value,
        "owner": incident.owner,
        "opened_at": incident.opened_at.isoformat(),
        "resolved_at": incident.resolved_at.isoformat() if incident.resolved_at else None,
        "alerts_seen": incident.alerts_seen,
        "firing": incident.firing,
        "approvals": [
            {
                "digest": a.digest,
                "subject": a.subject.value,
                "base": a.base,
                "state": a.state.value,
                "approved_by": list(a.approved_by),
            }
            for a in work.approvals.of(incident.id)
        ],
        "ci": [
            {"sha": run.sha, "state": run.state.value, "attempt": run.attempt, "digest": digest}
            for digest, run in work.ci_runs.of(incident.id)
        ],
    }


def _letter(item: Delivery) -> Mapping[str, Any]:
    return {
        "number": item.id,
        "source": item.source,
        "received_at": item.received_at.isoformat(),
        "error": item.error,
        "body": item.body[:PREVIEW].decode(errors="replace"),
    }
