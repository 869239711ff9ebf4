"""A forge over loopback, as real as a test can have it: git over smart HTTP, GitHub's REST surface, webhooks.

    async with serve_forge(tmp_path) as forge:
        shop = forge.host("octo/shop")
        sha = shop.origin.commit("start", {"outcome": "pass"})
        forge.notice_pushes()           # what a push over HTTP does by itself
        settings = Settings(url=forge.api_url, token=forge.token)

Runs begin with a push, a pull request or a dispatch, as the forge's workflows say. Where a description of GitHub's
REST surface is given, each call and each answer is held to it: `forge.spec_faults` must stay empty.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.contract.git_origin import run_backend
from tests.forge.actions import Workflow
from tests.forge.clock import Clock
from tests.forge.github_app import AppDesk
from tests.forge.github_rest import Rest, refuse
from tests.forge.openapi import Description
from tests.forge.state import Asked, Forge

TICK: float = 0.02

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serve_forge(
    folder: Path,
    *,
    workflows: Sequence[Workflow] = (Workflow(),),
    clock: Clock | None = None,
    description: Description | None = None,
    desk: AppDesk | None = None,
) -> AsyncIterator[Forge]:
    """Serve an empty forge. `desk` gives tokens to a GitHub App; without one there is only `forge.token`."""
    forge = Forge(folder=folder, clock=clock or Clock(), workflows=tuple(workflows))
    gate = _Gate(forge, description, desk)
    app = web.Application(middlewares=[gate.pass_through], client_max_size=64 * 1024 * 1024)
    Rest(forge).add_routes(app)
    if desk is not None:
        app.router.add_post(forge.base_path + "/app/installations/{number}/access_tokens", desk.give_token)
    app.router.add_route("*", "/{owner}/{repo}.git/{tail:.*}", _Git(forge).answer)
    store = web.Application()
    store.router.add_get("/logs/{number}", _Store(forge).answer)
    async with serve(app) as forge.web_url, serve(store) as forge.store_url:
        teller = asyncio.create_task(_tell(forge))
        try:
            yield forge
        finally:
            teller.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await teller


@asynccontextmanager
async def serve(app: web.Application) -> AsyncIterator[str]:
    """Serve an application on a free port of loopback, and give its address."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class _Gate:
    """Stands before the REST surface: who asks, whether it fails today, and whether it is as described."""

    def __init__(self, forge: Forge, description: Description | None, desk: AppDesk | None) -> None:
        self._forge = forge
        self._description = description
        self._desk = desk

    @web.middleware
    async def pass_through(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(self._forge.base_path + "/"):
            return await handler(request)
        path = request.rel_url.raw_path.removeprefix(self._forge.base_path)
        await asyncio.sleep(self._forge.faults.slow)
        answer = await self._answer(request, path, handler)
        is_lost = answer is None or self._forge.faults.loses()
        self._note(request, path, 0 if answer is None or is_lost else answer.status)
        if is_lost:
            await asyncio.sleep(self._forge.faults.hang_seconds)
            if request.transport is not None:
                request.transport.abort()
        return answer or web.Response()

    async def _answer(self, request: web.Request, path: str, handler: Handler) -> web.StreamResponse | None:
        scripted = self._forge.faults.take(request.method, path)
        if scripted is not None:
            if scripted.after:
                await self._handle(request, path, handler)
            if scripted.status == 0:
                return None
            body = scripted.body.encode() if isinstance(scripted.body, str) else scripted.body
            return web.Response(
                status=scripted.status, body=body, headers={"Content-Type": "application/json", **scripted.headers}
            )
        if not self._knows(request):
            return refuse(401, "Bad credentials")
        if self._forge.faults.quota <= 0:
            answer: web.StreamResponse = refuse(403, "API rate limit exceeded for installation.")
        else:
            answer = await self._handle(request, path, handler)
        self._count(answer)
        return answer

    async def _handle(self, request: web.Request, path: str, handler: Handler) -> web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw) if raw else None
        if self._description is not None:
            query = dict(request.query)
            self._forge.spec_faults += self._description.check_request(request.method, path, query=query, body=body)
        answer = await _tried(handler, request)
        if self._description is not None and isinstance(answer, web.Response):
            said = json.loads(answer.text) if answer.text else None
            faults = self._description.check_answer(request.method, path, status=answer.status, body=said)
            self._forge.spec_faults += faults
        return _unless_unchanged(request, answer)

    def _knows(self, request: web.Request) -> bool:
        """GitHub wants a user agent from everybody, and a token that it gave."""
        shown = request.headers.get("Authorization", "")
        if self._desk is not None and self._desk.knows(request, shown):
            return True
        return shown == f"Bearer {self._forge.token}" and "User-Agent" in request.headers

    def _count(self, answer: web.StreamResponse) -> None:
        if answer.status != 304:
            self._forge.faults.quota -= 1
        answer.headers["X-RateLimit-Limit"] = "5000"
        answer.headers["X-RateLimit-Remaining"] = str(max(0, self._forge.faults.quota))
        answer.headers["X-RateLimit-Reset"] = str(int(self._forge.clock.now()) + 60)

    def _note(self, request: web.Request, path: str, status: int) -> None:
        shown = request.headers.get("Authorization", "")
        self._forge.asked.append(Asked(method=request.method, path=path, authorization=shown, status=status))


async def _tried(handler: Handler, request: web.Request) -> web.StreamResponse:
    """A route that does not exist, or a repository, is an answer like any other."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return refuse(error.status, error.reason)


def _unless_unchanged(request: web.Request, answer: web.StreamResponse) -> web.StreamResponse:
    """Answer 304 to who has this very body already."""
    if request.method != "GET" or answer.status != 200 or not isinstance(answer, web.Response):
        return answer
    etag = f'W/"{hashlib.sha256((answer.text or "").encode()).hexdigest()}"'
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers={"ETag": etag})
    answer.headers["ETag"] = etag
    return answer


class _Git:
    """Smart HTTP through git's own program, for who shows the token as bearer or as password."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge

    async def answer(self, request: web.Request) -> web.StreamResponse:
        hosted = self._forge.hosted.get(f"{request.match_info['owner']}/{request.match_info['repo']}")
        if not self._knows(request.headers.get("Authorization", "")):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="GitHub"'})
        if hosted is None:
            return web.Response(status=404)
        answer = await run_backend(hosted.folder, request, f"/origin.git/{request.match_info['tail']}")
        if request.path.endswith("/git-receive-pack"):
            self._forge.notice_pushes()
        return answer

    def _knows(self, shown: str) -> bool:
        if shown.startswith("Basic "):
            return base64.b64decode(shown.removeprefix("Basic ")).decode().partition(":")[2] == self._forge.token
        return shown == f"Bearer {self._forge.token}"


class _Store:
    """Where logs lie: another origin, which must never be shown the token."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge

    async def answer(self, request: web.Request) -> web.Response:
        self._forge.store_asked.append(request.headers.get("Authorization", ""))
        if "Authorization" in request.headers:
            return web.Response(status=400, text="only one way to sign in is allowed")
        found = self._forge.runner.find_job(int(request.match_info["number"]))
        return web.Response(text=found[2].plan.log) if found else web.Response(status=404)


async def _tell(forge: Forge) -> None:
    """Send webhooks in order, each once; as with GitHub, what is not taken is not sent again by itself."""
    async with aiohttp.ClientSession() as session:
        while True:
            await asyncio.sleep(TICK)
            forge.note_runs()
            while forge.waiting and forge.hook_url:
                delivery = forge.waiting.pop(0)
                signature = hmac.new(forge.hook_secret.encode(), delivery.body, "sha256").hexdigest()
                headers = {
                    "Content-Type": "application/json",
                    "X-GitHub-Event": delivery.event,
                    "X-GitHub-Delivery": delivery.id,
                    "X-Hub-Signature-256": f"sha256={signature}",
                }
                with contextlib.suppress(aiohttp.ClientError):
                    await (await session.post(forge.hook_url, data=delivery.body, headers=headers)).release()
