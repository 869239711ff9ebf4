"""Buildbot: a force scheduler's builds of a commit are its one run (REST API v2, docs.buildbot.net "Data API").

A run is found by the revision of its buildsets, so builds that a push started are found as well. A rebuild is one more
buildset of that revision: the attempt is how often one builder was asked for it.
"""

import asyncio
import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Any, Final
from urllib.parse import quote

from pydantic import Field, SecretStr

from bot.domain.ci import CIRequest, CIRun, CIState, Trigger
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.chat import Health
from connectors.ci.http_client import HttpClient
from connectors.ci.http_settings import HttpSettings
from connectors.ci.http_transport import Sent, Transport, not_sent
from connectors.ci.http_values import SHA, as_count, as_entries, as_moment, as_object, as_text, clean_lines, take_tail
from connectors.ci.one_per_sha import OnePerSha, must, order_once, require_sha

API: Final = "api/v2"
KEY: Final = "nightshift_key"
TAG: Final = "nightshift_tag"
OWNER: Final = "nightshift"
MAX_SETS: Final = 20
MAX_BUILDS: Final = 20
LOG_LINES: Final = 2000
REASON: Final = "stopped by Nightshift"
SETTLE_SECONDS: Final = 2.0
"""What an idle worker has not taken after so long waits for a busy one."""
CANCEL_SECONDS: Final = 20.0
LOOK_SECONDS: Final = 0.25
STATES: Final = {
    0: CIState.PASSED,
    1: CIState.PASSED,
    2: CIState.FAILED,
    3: CIState.CANCELLED,
    4: CIState.FAILED,
    6: CIState.CANCELLED,
}
WORST: Final = (CIState.RUNNING, CIState.QUEUED, CIState.FAILED, CIState.CANCELLED, CIState.PASSED)
RED: Final = {2, 4}


class Settings(HttpSettings):
    """`user` and `password` sign in where the master asks for it. A run is looked for among the latest `look_back`
    buildsets."""

    user: str = ""
    password: SecretStr | None = None
    look_back: int = Field(default=200, ge=10, le=2000)


@dataclass(frozen=True, kw_only=True)
class _Request:
    """One builder's part of a buildset, with the last build of it; `build` 0 = there is none yet."""

    id: int
    builder: int
    state: CIState
    build: int = 0
    number: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    is_claimed: bool = False

    @property
    def is_open(self) -> bool:
        return not self.state.is_final

    @property
    def path(self) -> str:
        """Return where it is stopped: at its build, or before there is one."""
        return f"builds/{self.build}" if self.build else f"buildrequests/{self.id}"


@dataclass(frozen=True, kw_only=True)
class _Set:
    """A buildset: who ordered it, and with what."""

    id: int
    branch: str
    requests: tuple[_Request, ...]


class BuildbotCI:
    """`CIProvider` for Buildbot."""

    def __init__(self, client: HttpClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._one = OnePerSha()

    async def start(self, request: CIRequest) -> CIRun:
        sha = require_sha(request.sha)
        if request.trigger is Trigger.DISPATCH and not request.job:
            raise Rejected("Name the force scheduler as ci_job of the service.", Reason.BAD_INPUT)
        given = {"branch": request.branch, KEY: request.key} | ({TAG: request.tag} if request.tag else {})
        if not request.is_check:
            await self._force(request.job, sha, given)
            return CIRun(id=request.key, sha=sha, state=CIState.QUEUED)
        async with self._one(sha):
            look = partial(self.status, sha)
            is_order = request.trigger is Trigger.DISPATCH
            run = await (order_once(look, partial(self._force, request.job, sha, given)) if is_order else look())
        return run or CIRun(id=sha, sha=sha, state=CIState.QUEUED)

    async def status(self, sha: str) -> CIRun | None:
        sets = await self._find(sha)
        return await self._report(sha, sets) if sets else None

    async def find_order(self, request: CIRequest) -> CIRun | None:
        for one in reversed(await self._find(request.sha)):
            if (await self._properties(one)).get(KEY) == request.key:
                return await self._report(request.sha, [one])
        return None

    async def _report(self, sha: str, sets: Sequence[_Set]) -> CIRun:
        every = [request for one in sets for request in one.requests]
        latest = list({request.builder: request for request in every}.values())
        state = next((state for state in WORST if any(one.state is state for one in latest)), CIState.QUEUED)
        red = next((one for one in latest if one.state is CIState.FAILED), None) if state is CIState.FAILED else None
        step, tail = await self._failure(red) if red else ("", "")
        shown = red or (latest[0] if latest else None)
        return CIRun(
            id=sha,
            sha=sha,
            state=state,
            attempt=max(Counter(request.builder for request in every).values(), default=1),
            started_at=min((one.started_at for one in latest if one.started_at), default=None),
            finished_at=max((one.finished_at for one in latest if one.finished_at), default=None)
            if state.is_final
            else None,
            failed_step=step,
            log_tail=tail,
            url=self._link(shown) if shown else "",
        )

    async def log(self, sha: str) -> str:
        sets = await self._must_find(sha)
        built = [request for one in sets for request in one.requests if request.build][-MAX_BUILDS:]
        seen, parts = Counter[int](), []
        for request in built:
            seen[request.builder] += 1
            parts.append(f"=== builder {request.builder}, build {request.build}, attempt {seen[request.builder]} ===")
            steps = await self._steps(request)
            parts += [f"--- {as_text(step.get('name'))} ---\n{await self._step_log(step)}" for step in steps]
        return "\n".join(parts)

    async def cancel(self, sha: str) -> CIRun:
        """Stop builds that run, and cancel what waits for a worker.

        A request that a worker has taken is left alone until its build shows: cancelled in between, Buildbot (4.3, as
        `Build.startBuild` returns then without an end) keeps the worker busy for ever.
        """
        began, done = monotonic(), set[str]()
        while True:
            open_requests = [one for part in await self._must_find(sha) for one in part.requests if one.is_open]
            waits = monotonic() - began
            for one in open_requests:
                if one.build and one.path not in done:
                    await self._control(one.path, "stop", {"reason": REASON})
                elif not one.build and not one.is_claimed and waits >= SETTLE_SECONDS and one.path not in done:
                    await self._control(one.path, "cancel", {"reason": REASON})
                else:
                    continue
                done.add(one.path)
            if all(one.path in done for one in open_requests):
                return must(await self.status(sha), "Buildbot", sha)
            if waits >= CANCEL_SECONDS:
                raise Unavailable("Buildbot is starting a build that cannot be stopped yet.", Reason.CONFLICT)
            await asyncio.sleep(LOOK_SECONDS)

    async def rerun(self, sha: str) -> CIRun:
        async with self._one(sha):
            before = must(await self.status(sha), "Buildbot", sha)
            if not before.state.is_final:
                return before
            sets = await self._must_find(sha)
            latest = {request.builder: (one, request) for one in sets for request in one.requests}
            for one, request in latest.values():
                if request.build:
                    await self._control(f"builds/{request.build}", "rebuild", {})
                else:
                    given = await self._properties(one)
                    await self._force(given.get("scheduler", ""), sha, {"branch": one.branch, KEY: given.get(KEY, "")})
            after = must(await self.status(sha), "Buildbot", sha)
        if after.attempt > before.attempt:
            return after
        return replace(after, state=CIState.QUEUED, attempt=before.attempt + 1, finished_at=None, failed_step="")

    async def check(self) -> Health:
        try:
            found = await self._entries("forceschedulers", {})
        except (Unavailable, Rejected) as error:
            return Health(ok=False, text=str(error))
        return Health(ok=True, text=f"Buildbot: {len(found)} force scheduler(s)")

    async def _force(self, scheduler: str, sha: str, given: Mapping[str, str]) -> None:
        """Order one buildset, once."""
        order = {**given, "revision": sha, "owner": OWNER, "reason": "asked for by Nightshift"}
        await self._control(f"forceschedulers/{quote(scheduler, safe='')}", "force", order)

    async def _control(self, path: str, method: str, params: Mapping[str, str]) -> None:
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        with not_sent():
            sent = Sent(json=call, headers=await self._sign_in())
        await self._client.order("POST", f"{API}/{path}", sent)

    async def _sign_in(self) -> Mapping[str, str]:
        """Return the cookie of a session, nothing where the master has no users."""
        password = self._settings.password
        if password is None:
            return {}
        pair = base64.b64encode(f"{self._settings.user}:{password.get_secret_value()}".encode()).decode()
        sent = Sent(headers={"Authorization": f"Basic {pair}"}, may_redirect=True)
        answer = await self._client.order("GET", "auth/login", sent)
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in answer.cookies.items())}

    async def _must_find(self, sha: str) -> Sequence[_Set]:
        found = await self._find(sha)
        if not found:
            raise Rejected(f"Buildbot has no run of {sha[:80]!r}.", Reason.NOT_FOUND)
        return found

    async def _find(self, sha: str) -> Sequence[_Set]:
        """Return the buildsets of a commit, oldest first; those that a build of it triggered belong to that build."""
        if not SHA.fullmatch(sha):
            return []
        listed = await self._entries("buildsets", {"order": "-bsid", "limit": str(self._settings.look_back)})
        ours = [one for one in listed if one.get("parent_buildid") is None and _stamp(one, sha)]
        return [await self._read_set(one, sha) for one in reversed(ours[:MAX_SETS])]

    async def _read_set(self, told: Mapping[str, Any], sha: str) -> _Set:
        number, stamp = as_count(told.get("bsid")), _stamp(told, sha)
        requests = await self._entries("buildrequests", {"buildsetid": str(number)})
        return _Set(
            id=number,
            branch=as_text(stamp.get("branch"), 500),
            requests=tuple([await self._read_request(one) for one in requests[:MAX_BUILDS]]),
        )

    async def _read_request(self, told: Mapping[str, Any]) -> _Request:
        number, builder = as_count(told.get("buildrequestid")), as_count(told.get("builderid"))
        builds = await self._entries("builds", {"buildrequestid": str(number)})
        build = max(builds, key=lambda one: as_count(one.get("buildid")), default={})
        if told.get("complete") is True:
            state = STATES.get(_result(told), CIState.FAILED)
        else:
            state = CIState.RUNNING if build and build.get("complete") is not True else CIState.QUEUED
        ended = as_moment(build.get("complete_at")) or as_moment(told.get("complete_at"))
        return _Request(
            id=number,
            builder=builder,
            state=state,
            build=as_count(build.get("buildid")),
            number=as_count(build.get("number")),
            started_at=as_moment(build.get("started_at")),
            finished_at=ended if state.is_final else None,
            is_claimed=told.get("claimed") is True,
        )

    async def _failure(self, request: _Request) -> tuple[str, str]:
        """Return the first step that failed, and the end of its log."""
        steps = await self._steps(request)
        failed = next((step for step in steps if _result(step) in RED), None)
        if failed is None:
            return "", ""
        return as_text(failed.get("name")), take_tail(await self._step_log(failed))

    async def _steps(self, request: _Request) -> Sequence[Mapping[str, Any]]:
        if not request.build:
            return []
        steps = await self._entries(f"builds/{request.build}/steps", {})
        return sorted(steps, key=lambda step: as_count(step.get("number")))

    async def _step_log(self, step: Mapping[str, Any]) -> str:
        """Return the last lines of a step's logs. In "stdio" each line begins with the letter of its stream."""
        parts = []
        for log in await self._entries(f"steps/{as_count(step.get('stepid'))}/logs", {}):
            first = max(0, as_count(log.get("num_lines")) - LOG_LINES)
            page = {"offset": str(first), "limit": str(LOG_LINES)}
            answer = await self._client.find(f"{API}/logs/{as_count(log.get('logid'))}/contents", page)
            chunks = as_entries(as_object(answer.value).get("logchunks")) if answer else []
            content = "".join(one["content"] for one in chunks if isinstance(one.get("content"), str))
            lines = content.splitlines()
            parts.append("\n".join(line[1:] for line in lines) if log.get("type") == "s" else content)
        return clean_lines("\n".join(parts))

    async def _properties(self, one: _Set) -> Mapping[str, str]:
        """Return what a buildset was ordered with: each property is a value and where it came from."""
        told = await self._entries(f"buildsets/{one.id}/properties", {})
        pairs = {name: pair for part in told for name, pair in part.items()}
        return {name: as_text(pair[0], 500) for name, pair in pairs.items() if isinstance(pair, list) and pair}

    async def _entries(self, path: str, query: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        """Return a collection; its name in the answer is the last word of its path."""
        answer = await self._client.get(f"{API}/{path}", query or None)
        return self._client.require_list(as_object(answer.value).get(path.rpartition("/")[2]))

    def _link(self, request: _Request) -> str:
        if not request.build:
            return ""
        return f"{self._settings.url}/#/builders/{request.builder}/builds/{request.number}"


def _stamp(told: Mapping[str, Any], sha: str) -> Mapping[str, Any]:
    """Return the source stamp of a commit, nothing where the buildset has none."""
    return next((one for one in as_entries(told.get("sourcestamps")) if one.get("revision") == sha), {})


def _result(told: Mapping[str, Any]) -> int:
    value = told.get("results")
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


class Connector:
    """`bot.ports.ci.Platform` for Buildbot."""

    def __init__(self, settings: Settings, repositories: Sequence[str]) -> None:  # noqa: ARG002 -- builders know theirs
        self._client = HttpClient(Transport("Buildbot", settings, {}))
        self.ci = BuildbotCI(self._client, settings)
        self.forge = None
        self.hooks = None

    async def close(self) -> None:
        await self._client.close()
