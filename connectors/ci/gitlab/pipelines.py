"""GitLab CI: the pipelines of a commit are its one run (docs.gitlab.com/api/pipelines, /api/jobs).

A retried job stays in the pipeline beside its successor, so the attempt is how often a job of one name was made.
"""

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from bot.domain.ci import CIRequest, CIRun, CIState, Trigger
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.chat import Health
from connectors.ci.gitlab.settings import API
from connectors.ci.http_client import HttpClient
from connectors.ci.http_transport import Sent
from connectors.ci.http_values import (
    SHA,
    as_count,
    as_link,
    as_log,
    as_object,
    as_text,
    as_time,
    take_tail,
)
from connectors.ci.one_per_sha import OnePerSha, must, order_once, require_sha

KEY: Final = "NIGHTSHIFT_KEY"
MAX_SEARCHED: Final = 20
MAX_PIPELINES: Final = 10
MAX_TRACES: Final = 40
TRACE_KEPT: Final = 256 * 1024
REMEMBERED: Final = 1000
OURS: Final = ("nightshift/", "refs/merge-requests/")
STATES: Final = {
    **dict.fromkeys(("created", "waiting_for_resource", "preparing", "pending", "scheduled"), CIState.QUEUED),
    "success": CIState.PASSED,
    "failed": CIState.FAILED,
    "canceled": CIState.CANCELLED,
    "skipped": CIState.CANCELLED,
}
WORST: Final = (CIState.RUNNING, CIState.QUEUED, CIState.FAILED, CIState.CANCELLED, CIState.PASSED)


@dataclass(frozen=True, kw_only=True)
class _Job:
    id: int
    name: str
    failed: bool
    started: bool


@dataclass(frozen=True, kw_only=True)
class _Pipeline:
    """A pipeline with its jobs, retried ones too, oldest first."""

    id: int
    project: str
    state: CIState
    started_at: datetime | None
    finished_at: datetime | None
    url: str
    jobs: tuple[_Job, ...]

    @property
    def attempt(self) -> int:
        return max(Counter(job.name for job in self.jobs).values(), default=1)

    @property
    def failed_job(self) -> _Job | None:
        latest = {job.name: job for job in self.jobs}
        return next((job for job in latest.values() if job.failed), None)


class GitLabCI:
    """`CIProvider` for GitLab. `projects` maps a repository to its project's path in the API."""

    def __init__(self, client: HttpClient, projects: Mapping[str, str]) -> None:
        self._client = client
        self._projects = projects
        self._one = OnePerSha()
        self._known: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._ordered: OrderedDict[str, int] = OrderedDict()

    async def start(self, request: CIRequest) -> CIRun:
        sha = require_sha(request.sha)
        project = self._project(request)
        if not request.is_check:
            await self._create(project, request)
            return CIRun(id=request.key, sha=sha, state=CIState.QUEUED)
        async with self._one(sha):
            self._remember(sha, project)
            look = partial(self._read, sha, [project])
            if request.trigger is Trigger.DISPATCH:
                run = await order_once(look, partial(self._dispatch, project, request))
            else:
                run = await look()
                if run is None:
                    await self._client.get(project)
            return run or CIRun(id=sha, sha=sha, state=CIState.QUEUED)

    async def status(self, sha: str) -> CIRun | None:
        if not SHA.fullmatch(sha):
            return None
        place = self._known.get(sha)
        return await self._read(sha, [place[0]] if place else list(dict.fromkeys(self._projects.values())))

    async def find_order(self, request: CIRequest) -> CIRun | None:
        """A pipeline bears its key among its variables."""
        project = self._project(request)
        number = self._ordered.get(request.key) or await self._search(project, request)
        if not number:
            return None
        self._remember_order(request.key, number)
        return await self._report(request.sha, [await self._pipeline(project, number)])

    async def log(self, sha: str) -> str:
        parts = []
        for pipeline in await self._must_find(sha):
            seen = Counter[str]()
            for job in [job for job in pipeline.jobs if job.started][-MAX_TRACES:]:
                seen[job.name] += 1
                parts.append(f"=== {job.name}, attempt {seen[job.name]} ===\n{await self._trace(pipeline, job)}")
        return "\n".join(parts)

    async def cancel(self, sha: str) -> CIRun:
        for pipeline in await self._must_find(sha):
            if not pipeline.state.is_final:
                await self._client.order("POST", f"{pipeline.project}/pipelines/{pipeline.id}/cancel")
        return must(await self.status(sha), "GitLab", sha)

    async def rerun(self, sha: str) -> CIRun:
        before = must(await self.status(sha), "GitLab", sha)
        if not before.state.is_final:
            return before
        if before.state is CIState.PASSED:
            raise Rejected("GitLab runs only failed and cancelled jobs again; this run passed.", Reason.CONFLICT)
        for pipeline in await self._must_find(sha):
            if pipeline.state in {CIState.FAILED, CIState.CANCELLED}:
                await self._client.order("POST", f"{pipeline.project}/pipelines/{pipeline.id}/retry")
        after = must(await self.status(sha), "GitLab", sha)
        if after.state.is_final and after.attempt == before.attempt:
            return replace(after, state=CIState.QUEUED, attempt=before.attempt + 1, finished_at=None, failed_step="")
        return after

    async def check(self) -> Health:
        try:
            for project in dict.fromkeys(self._projects.values()):
                await self._client.get(project)
            version = as_object((await self._client.get(f"{API}/version")).value).get("version")
        except (Unavailable, Rejected) as error:
            return Health(ok=False, text=str(error))
        return Health(ok=True, text=f"GitLab {as_text(version, 40)}, {len(self._projects)} project(s)")

    async def _create(self, project: str, request: CIRequest) -> Mapping[str, Any]:
        """Create a pipeline on the branch; its jobs read from the variables what it is about."""
        given = {KEY: request.key, "NIGHTSHIFT_SHA": request.sha}
        given |= {"NIGHTSHIFT_JOB": request.job} if request.job else {}
        given |= {"NIGHTSHIFT_TAG": request.tag} if request.tag else {}
        order = {"ref": request.branch, "variables": [{"key": key, "value": text} for key, text in given.items()]}
        made = as_object((await self._client.order("POST", f"{project}/pipeline", Sent(json=order))).value)
        if not as_count(made.get("id")):
            raise Unavailable("GitLab does not say which pipeline it made.", Reason.SERVER_ERROR)
        self._remember_order(request.key, as_count(made.get("id")))
        return made

    async def _search(self, project: str, request: CIRequest) -> int:
        """Return the newest pipeline of the branch that was made under a key, 0 where there is none."""
        wanted = {"ref": request.branch, "source": "api", "per_page": str(MAX_SEARCHED)}
        answer = await self._client.get(f"{project}/pipelines", wanted)
        for number in [as_count(one.get("id")) for one in self._client.require_list(answer.value)]:
            given = await self._client.find(f"{project}/pipelines/{number}/variables")
            pairs = self._client.require_list(given.value) if given else ()
            if any((one.get("key"), one.get("value")) == (KEY, request.key) for one in pairs):
                return number
        return 0

    async def _dispatch(self, project: str, request: CIRequest) -> None:
        """Create the pipeline, and remember it. Raises `Rejected` where the branch is elsewhere."""
        made = await self._create(project, request)
        number = as_count(made.get("id"))
        if made.get("sha") != request.sha:
            with suppress(Unavailable):  # it runs for another commit; only the order of this one must not come again
                await self._client.order("POST", f"{project}/pipelines/{number}/cancel")
            raise Rejected(f"{request.branch} no longer stands at {request.sha[:12]}.", Reason.STALE)
        self._remember(request.sha, project, number)

    async def _read(self, sha: str, projects: Sequence[str]) -> CIRun | None:
        """Return the run, looked for in some projects."""
        pipelines = await self._find(sha, projects)
        return await self._report(sha, pipelines) if pipelines else None

    async def _report(self, sha: str, pipelines: Sequence[_Pipeline]) -> CIRun:
        state = next(state for state in WORST if any(one.state is state for one in pipelines))
        failed, job = _first_failure(pipelines) if state is CIState.FAILED else (None, None)
        trace = await self._trace(failed, job) if failed is not None and job is not None else ""
        ends = [one.finished_at for one in pipelines if one.finished_at]
        return CIRun(
            id=sha,
            sha=sha,
            state=state,
            attempt=max(one.attempt for one in pipelines),
            started_at=min((one.started_at for one in pipelines if one.started_at), default=None),
            finished_at=max(ends, default=None) if state.is_final else None,
            failed_step=job.name if job is not None else "",
            log_tail=take_tail(trace),
            url=(failed or pipelines[0]).url,
        )

    async def _must_find(self, sha: str) -> Sequence[_Pipeline]:
        place = self._known.get(sha)
        projects = [place[0]] if place else list(dict.fromkeys(self._projects.values()))
        found = await self._find(sha, projects) if SHA.fullmatch(sha) else []
        if not found:
            raise Rejected(f"GitLab has no run of {sha[:80]!r}.", Reason.NOT_FOUND)
        return found

    async def _find(self, sha: str, projects: Sequence[str]) -> Sequence[_Pipeline]:
        """Return the pipelines of a commit, oldest first: those of our branches or, without any, all of them."""
        for project in projects:
            listed = await self._list(f"{project}/pipelines", {"sha": sha})
            about = {as_count(one.get("id")): one for one in listed if one.get("sha") == sha}
            ours = [number for number, one in about.items() if as_text(one.get("ref")).startswith(OURS)]
            known = self._known.get(sha, ("", 0))
            numbers = {*(ours or about), known[1] if known[0] == project else 0} - {0}
            if numbers:
                self._remember(sha, project, known[1])
                return [await self._pipeline(project, number) for number in sorted(numbers)[:MAX_PIPELINES]]
        return []

    async def _pipeline(self, project: str, number: int) -> _Pipeline:
        told = as_object((await self._client.get(f"{project}/pipelines/{number}")).value)
        jobs = await self._list(f"{project}/pipelines/{number}/jobs", {"include_retried": "true"})
        return _Pipeline(
            id=number,
            project=project,
            state=STATES.get(as_text(told.get("status")), CIState.RUNNING),
            started_at=as_time(told.get("started_at")) or as_time(told.get("created_at")),
            finished_at=as_time(told.get("finished_at")) or as_time(told.get("updated_at")),
            url=as_link(told.get("web_url")),
            jobs=tuple(sorted((_read_job(job) for job in jobs), key=lambda job: job.id)),
        )

    async def _trace(self, pipeline: _Pipeline, job: _Job) -> str:
        return as_log(await self._client.tail(f"{pipeline.project}/jobs/{job.id}/trace", TRACE_KEPT))

    async def _list(self, path: str, query: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        """Return every entry of a listing; none where GitLab has no such place."""
        try:
            return await self._client.list(path, {**query, "per_page": "100", "page": "1"})
        except Rejected as error:
            if error.reason is Reason.NOT_FOUND:
                return []
            raise

    def _project(self, request: CIRequest) -> str:
        project = self._projects.get(request.repository)
        if project is None:
            raise Rejected(f"{request.repository} is no repository of the GitLab connection.", Reason.NOT_FOUND)
        return project

    def _remember_order(self, key: str, number: int) -> None:
        self._ordered[key] = number
        while len(self._ordered) > REMEMBERED:
            self._ordered.popitem(last=False)

    def _remember(self, sha: str, project: str, number: int = 0) -> None:
        known = self._known.pop(sha, ("", 0))
        self._known[sha] = (project, number or (known[1] if known[0] == project else 0))
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _first_failure(pipelines: Sequence[_Pipeline]) -> tuple[_Pipeline | None, _Job | None]:
    return next(((one, one.failed_job) for one in pipelines if one.failed_job is not None), (None, None))


def _read_job(job: Mapping[str, Any]) -> _Job:
    return _Job(
        id=as_count(job.get("id")),
        name=as_text(job.get("name")) or "job",
        failed=job.get("status") == "failed" and job.get("allow_failure") is not True,
        started=as_time(job.get("started_at")) is not None,
    )
