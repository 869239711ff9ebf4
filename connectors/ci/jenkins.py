"""Jenkins: one parameterised build is one run (Remote Access API; each page of Jenkins has its own at …/api).

Jenkins does not know a commit that it is asked to build, so the commit travels as a parameter, and the run is what
has that parameter: in the queue, or among the latest builds of its job. A rerun is a build more of the same commit.
"""

import base64
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from pydantic import Field, SecretStr, field_validator

from bot.domain.ci import CIRequest, CIRun, CIState, Trigger
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.chat import Health
from connectors.ci.http_client import Answer, HttpClient
from connectors.ci.http_settings import HttpSettings
from connectors.ci.http_transport import Sent, Transport, not_sent
from connectors.ci.http_values import (
    SHA,
    as_count,
    as_entries,
    as_link,
    as_log,
    as_moment,
    as_object,
    as_text,
    take_tail,
)
from connectors.ci.one_per_sha import OnePerSha, must, order_once, require_sha

COMMIT: Final = "NIGHTSHIFT_SHA"
KEY: Final = "NIGHTSHIFT_KEY"
PARAMETERS: Final = (COMMIT, "NIGHTSHIFT_BRANCH", KEY)
TAG: Final = "NIGHTSHIFT_TAG"
"""A rollback's job takes this too: its release."""
LOG_KEPT: Final = 256 * 1024
MAX_LOGS: Final = 10
REMEMBERED: Final = 1000
STATES: Final = {
    "SUCCESS": CIState.PASSED,
    "UNSTABLE": CIState.FAILED,
    "FAILURE": CIState.FAILED,
    "ABORTED": CIState.CANCELLED,
    "NOT_BUILT": CIState.CANCELLED,
}
_ITEM: Final = re.compile(r"/queue/item/([0-9]{1,15})/?$")
_BUILDS: Final = "allBuilds[number,queueId,result,building,timestamp,duration,url,actions[parameters[name,value]]]"
_QUEUE: Final = "items[id,task[url],actions[parameters[name,value]]]"
_JOB: Final = "name,buildable,property[parameterDefinitions[name]]"


class Settings(HttpSettings):
    """`user` and its API `token`. `jobs` are those that services name as `ci_job`; "folder/job" for one in a folder.
    A run is looked for among the latest `look_back` builds."""

    user: str
    token: SecretStr
    jobs: tuple[str, ...] = Field(min_length=1, max_length=100)
    look_back: int = Field(default=200, ge=10, le=2000)

    @field_validator("jobs")
    @classmethod
    def _require_names(cls, jobs: tuple[str, ...]) -> tuple[str, ...]:
        for job in jobs:
            if not job.isprintable() or any(part in {"", ".", ".."} for part in job.split("/")):
                raise ValueError('write a job as Jenkins shows it: "job", or "folder/job"')
        return jobs


@dataclass(frozen=True, kw_only=True)
class _Build:
    number: int
    item: int
    job: str
    state: CIState
    started_at: datetime | None
    finished_at: datetime | None
    url: str
    given: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class _Item:
    """A build that waits in the queue."""

    number: int
    job: str
    given: Mapping[str, str]


@dataclass(kw_only=True)
class _Order:
    """What this process ordered: the last queue item, and how many left the queue without ever being built."""

    job: str
    item: int = 0
    given: Mapping[str, str] = field(default_factory=dict)
    dropped: int = 0


@dataclass(frozen=True, kw_only=True)
class _Found:
    """Everything about a commit: its builds, oldest first, and what waits."""

    builds: Sequence[_Build] = ()
    waiting: _Item | None = None


class JenkinsCI:
    """`CIProvider` for Jenkins."""

    def __init__(self, client: HttpClient, settings: Settings) -> None:
        self._client = client
        self._jobs = settings.jobs
        self._look_back = settings.look_back
        self._one = OnePerSha()
        self._orders: OrderedDict[str, _Order] = OrderedDict()

    async def start(self, request: CIRequest) -> CIRun:
        sha = require_sha(request.sha)
        if request.trigger is not Trigger.DISPATCH:
            text = 'Jenkins is started by a dispatch; set trigger = "dispatch" of its service.'
            raise Rejected(text, Reason.BAD_INPUT)
        if request.job not in self._jobs:
            text = f"{as_text(request.job)!r} is none of the jobs of the Jenkins connection; set the service's ci_job."
            raise Rejected(text, Reason.NOT_FOUND)
        given = dict(zip(PARAMETERS, (sha, request.branch, request.key), strict=True))
        if not request.is_check:
            given |= {TAG: request.tag} if request.tag else {}
            await self._build(request.job, given)
            return CIRun(id=request.key, sha=sha, state=CIState.QUEUED)
        async with self._one(sha):
            run = await order_once(partial(self.status, sha), partial(self._order, sha, request.job, given))
        return run or CIRun(id=sha, sha=sha, state=CIState.QUEUED)

    async def status(self, sha: str) -> CIRun | None:
        if not SHA.fullmatch(sha):
            return None
        found, order = await self._find(sha), self._orders.get(sha)
        dropped = order.dropped if order else 0
        attempt = len(found.builds) + dropped + (1 if found.waiting else 0)
        if found.waiting is None and found.builds:
            return await self._report(sha, found.builds[-1], attempt)
        if found.waiting is None and not dropped:
            return None
        state = CIState.QUEUED if found.waiting else CIState.CANCELLED
        return CIRun(id=sha, sha=sha, state=state, attempt=attempt)

    async def find_order(self, request: CIRequest) -> CIRun | None:
        found = await self._find(request.key, of=KEY)
        if found.builds:
            return await self._report(request.sha, found.builds[-1], len(found.builds))
        return CIRun(id=request.key, sha=request.sha, state=CIState.QUEUED) if found.waiting else None

    async def log(self, sha: str) -> str:
        must(await self.status(sha), "Jenkins", sha)
        parts = []
        for number, build in list(enumerate((await self._find(sha)).builds, start=1))[-MAX_LOGS:]:
            parts.append(f"=== attempt {number}: {build.job} #{build.number} ===\n{await self._console(build)}")
        return "\n".join(parts)

    async def cancel(self, sha: str) -> CIRun:
        must(await self.status(sha), "Jenkins", sha)
        found = await self._find(sha)
        if found.waiting is not None:
            await self._post(f"queue/cancelItem?id={found.waiting.number}")
            order = self._orders.setdefault(sha, _Order(job=found.waiting.job, given=found.waiting.given))
            order.item, order.dropped = 0, order.dropped + 1
        elif found.builds and not found.builds[-1].state.is_final:
            await self._post(f"{_path(found.builds[-1].job)}/{found.builds[-1].number}/stop")
        return must(await self.status(sha), "Jenkins", sha)

    async def rerun(self, sha: str) -> CIRun:
        async with self._one(sha):
            before = must(await self.status(sha), "Jenkins", sha)
            if not before.state.is_final:
                return before
            builds, order = (await self._find(sha)).builds, self._orders.get(sha)
            if builds:
                await self._order(sha, builds[-1].job, builds[-1].given)
            elif order:
                await self._order(sha, order.job, order.given)
            after = must(await self.status(sha), "Jenkins", sha)
            if after.attempt > before.attempt:
                return after
            return replace(after, state=CIState.QUEUED, attempt=before.attempt + 1, finished_at=None, failed_step="")

    async def check(self) -> Health:
        try:
            for job in self._jobs:
                told = as_object((await self._client.get(f"{_path(job)}/api/json", {"tree": _JOB})).value)
                known = {
                    as_text(one.get("name"))
                    for part in as_entries(told.get("property"))
                    for one in as_entries(part.get("parameterDefinitions"))
                }
                if missing := [name for name in PARAMETERS if name not in known]:
                    return Health(ok=False, text=f"Jenkins: give the job {job} the parameter(s) {', '.join(missing)}.")
                if told.get("buildable") is False:
                    return Health(ok=False, text=f"Jenkins: the job {job} is disabled; enable it.")
        except (Unavailable, Rejected) as error:
            return Health(ok=False, text=str(error))
        return Health(ok=True, text=f"Jenkins: {len(self._jobs)} job(s) can be started")

    async def _order(self, sha: str, job: str, given: Mapping[str, str]) -> None:
        """Order one build, once, and remember where it waits."""
        item = await self._build(job, given)
        order = self._orders.pop(sha, None) or _Order(job=job)
        self._orders[sha] = order
        order.job, order.item, order.given = job, item, given
        while len(self._orders) > REMEMBERED:
            self._orders.popitem(last=False)

    async def _build(self, job: str, given: Mapping[str, str]) -> int:
        """Order one build, once, and return the number of its place in the queue."""
        made = await self._post(f"{_path(job)}/buildWithParameters", given)
        item = _ITEM.search(urlsplit(made.headers.get("Location", "")[:2000]).path)
        if item is None:
            raise Unavailable("Jenkins does not say where the build waits.", Reason.SERVER_ERROR)
        return int(item[1])

    async def _post(self, path: str, form: Mapping[str, str] | None = None) -> Answer:
        """Send an order with a fresh crumb, and the session that the crumb belongs to."""
        headers: dict[str, str] = {}
        with not_sent():
            crumb = await self._client.find("crumbIssuer/api/json")
        if crumb is not None:
            told = as_object(crumb.value)
            name, value = as_text(told.get("crumbRequestField"), 100), as_text(told.get("crumb"), 400)
            if re.fullmatch(r"[A-Za-z0-9-]+", name) and value:
                headers[name] = value
            if crumb.cookies:
                headers["Cookie"] = "; ".join(f"{key}={value}" for key, value in crumb.cookies.items())
        sent = Sent(form=form, headers=headers, may_redirect=True)
        return await self._client.order("POST", path, sent)

    async def _find(self, value: str, *, of: str = COMMIT) -> _Found:
        """Return what has a value of a parameter. Looks into the queue first: what leaves it meanwhile is among the
        builds then."""
        wanted = (of, value)
        listed = as_object((await self._client.get("queue/api/json", {"tree": _QUEUE})).value)
        waiting = next(
            (item for one in self._client.require_list(listed.get("items")) if (item := self._read_item(one, wanted))),
            None,
        )
        builds: list[_Build] = []
        for job in dict.fromkeys(self._jobs):
            tree = {"tree": f"{_BUILDS}{{0,{self._look_back}}}"}
            told = await self._client.find(f"{_path(job)}/api/json", tree)
            every = self._client.require_list(as_object(told.value).get("allBuilds")) if told else []
            builds += [build for one in every if (build := _read_build(one, job, wanted))]
        builds.sort(key=lambda build: build.number)
        if waiting is None or any(build.item == waiting.number for build in builds):
            waiting = await self._between(value, builds)
        return _Found(builds=builds, waiting=waiting)

    async def _between(self, sha: str, builds: Sequence[_Build]) -> _Item | None:
        """Return our item where it has left the queue and its build does not show yet."""
        order = self._orders.get(sha)
        if order is None or not order.item:
            return None
        if any(build.item == order.item for build in builds):
            order.item = 0
            return None
        answer = await self._client.find(f"queue/item/{order.item}/api/json", {"tree": "cancelled"})
        told = as_object(answer.value) if answer else {}
        if told.get("cancelled") is True:
            order.item, order.dropped = 0, order.dropped + 1
            return None
        if answer is None:
            order.item = 0
            return None
        return _Item(number=order.item, job=order.job, given=order.given)

    def _read_item(self, told: Mapping[str, Any], wanted: tuple[str, str]) -> _Item | None:
        given = _read_parameters(told)
        path = unquote(urlsplit(as_link(as_object(told.get("task")).get("url"))).path)
        job = next((job for job in self._jobs if path.rstrip("/").endswith(f"/{unquote(_path(job))}")), None)
        if job is None or wanted not in given.items():
            return None
        return _Item(number=as_count(told.get("id")), job=job, given=given)

    async def _report(self, sha: str, build: _Build, attempt: int) -> CIRun:
        is_red = build.state is CIState.FAILED
        return CIRun(
            id=sha,
            sha=sha,
            state=build.state,
            attempt=attempt,
            started_at=build.started_at,
            finished_at=build.finished_at,
            failed_step=await self._failed_stage(build) if is_red else "",
            log_tail=take_tail(await self._console(build)) if is_red else "",
            url=build.url,
        )

    async def _failed_stage(self, build: _Build) -> str:
        """Return the first stage that failed, as the Pipeline plugin tells it; without one, the job."""
        told = await self._client.find(f"{_path(build.job)}/{build.number}/wfapi/describe")
        stages = as_entries(as_object(told.value).get("stages")) if told else []
        names = [as_text(one.get("name")) for one in stages if one.get("status") in {"FAILED", "UNSTABLE"}]
        return names[0] if names and names[0] else build.job

    async def _console(self, build: _Build) -> str:
        path = f"{_path(build.job)}/{build.number}/logText/progressiveText"
        size = await self._client.header(f"{path}?start=0", "X-Text-Size")
        length = int(size) if size.isascii() and size.isdecimal() and len(size) < 16 else 0
        return as_log(await self._client.tail(f"{path}?start={max(0, length - LOG_KEPT)}", LOG_KEPT))


def _path(job: str) -> str:
    """Return "job/a/job/b" for "a/b"."""
    return "/".join(f"job/{quote(part, safe='')}" for part in job.split("/"))


def _read_parameters(told: Mapping[str, Any]) -> Mapping[str, str]:
    pairs = [pair for action in as_entries(told.get("actions")) for pair in as_entries(action.get("parameters"))]
    return {name: as_text(pair.get("value"), 500) for pair in pairs if (name := pair.get("name")) in PARAMETERS}


def _read_build(told: Mapping[str, Any], job: str, wanted: tuple[str, str]) -> _Build | None:
    given, number = _read_parameters(told), as_count(told.get("number"))
    if wanted not in given.items() or not number:
        return None
    is_running = told.get("building") is True
    state = CIState.RUNNING if is_running else STATES.get(as_text(told.get("result")), CIState.RUNNING)
    started = as_moment(as_count(told.get("timestamp")) / 1000)
    length = timedelta(milliseconds=min(as_count(told.get("duration")), 10**11))
    return _Build(
        number=number,
        item=as_count(told.get("queueId")),
        job=job,
        state=state,
        started_at=started,
        finished_at=started + length if started and state.is_final else None,
        url=as_link(told.get("url")),
        given=given,
    )


class Connector:
    """`bot.ports.ci.Platform` for Jenkins."""

    def __init__(self, settings: Settings, repositories: Sequence[str]) -> None:  # noqa: ARG002 -- jobs know theirs
        pair = f"{settings.user}:{settings.token.get_secret_value()}".encode()
        credentials = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        self._client = HttpClient(Transport("Jenkins", settings, credentials))
        self.ci = JenkinsCI(self._client, settings)
        self.forge = None
        self.hooks = None

    async def close(self) -> None:
        await self._client.close()
