"""GitLab as far as the connector knows it: REST v4 as docs.gitlab.com describes it, in memory."""

import itertools
from dataclasses import dataclass, field

from aiohttp import web

from tests.contract.far_side import FarSide, make_sha

TOKEN = "glpat-right"
AT = "2026-01-02T03:04:05.678Z"
PROJECT = "/api/v4/projects/{project}"


@dataclass(kw_only=True)
class Job:
    id: int
    name: str
    status: str
    trace: str = ""
    allow_failure: bool = False

    def shown(self) -> dict[str, object]:
        return {
            "id": self.id,
            "name": self.name,
            "stage": "test",
            "status": self.status,
            "allow_failure": self.allow_failure,
            "started_at": AT if self.status != "created" else None,
        }


@dataclass(kw_only=True)
class Pipeline:
    id: int
    sha: str
    ref: str
    plan: str
    source: str = "api"
    looks: int = 0
    status: str = "pending"
    jobs: list[Job] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    def shown(self) -> dict[str, object]:
        return {
            "id": self.id,
            "sha": self.sha,
            "ref": self.ref,
            "status": self.status,
            "source": self.source,
            "created_at": AT,
            "started_at": AT,
            "finished_at": AT,
            "updated_at": AT,
            "web_url": f"https://gitlab.example.com/team/shop/-/pipelines/{self.id}",
        }


class GitLabServer(FarSide):
    """A pipeline goes on a step each time it is looked at: pending, running, then as planned."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = {"main": make_sha("main")}
        self.plans: dict[str, str] = {}
        self.pipelines: dict[int, Pipeline] = {}
        self.merge_requests: list[dict[str, object]] = []
        self.numbers = itertools.count(100)
        self.page_size = 100
        self.hidden = False

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/v4/version", self.version),
            web.get(PROJECT, self.project),
            web.get(PROJECT + "/pipelines", self.list),
            web.post(PROJECT + "/pipeline", self.create),
            web.get(PROJECT + "/pipelines/{id}", self.detail),
            web.get(PROJECT + "/pipelines/{id}/jobs", self.jobs),
            web.get(PROJECT + "/pipelines/{id}/variables", self.given),
            web.post(PROJECT + "/pipelines/{id}/cancel", self.cancel),
            web.post(PROJECT + "/pipelines/{id}/retry", self.retry),
            web.get(PROJECT + "/jobs/{id}/trace", self.trace),
            web.get(PROJECT + "/repository/branches/{branch}", self.branch),
            web.get(PROJECT + "/merge_requests", self.list_merge_requests),
            web.post(PROJECT + "/merge_requests", self.propose),
            web.get(PROJECT + "/merge_requests/{iid}", self.merge_request),
            web.put(PROJECT + "/merge_requests/{iid}/merge", self.merge),
        ]

    def add(self, sha: str, ref: str, plan: str, **more: object) -> Pipeline:
        made = Pipeline(id=next(self.numbers), sha=sha, ref=ref, plan=plan, **more)
        names = ["lint", "tests"]
        made.jobs = [Job(id=next(self.numbers), name=name, status="created") for name in names]
        self.pipelines[made.id] = made
        return made

    def advance(self, pipeline: Pipeline) -> None:
        if pipeline.status not in {"pending", "running"}:
            return
        pipeline.looks += 1
        lint, tests = pipeline.jobs[0], pipeline.jobs[-1]
        if pipeline.looks < 2:
            pipeline.status, tests.status = "running", "running"
            lint.status, lint.trace = "success", "\x1b[32mlint is clean\x1b[0m\r\n"
        elif pipeline.plan == "pass":
            pipeline.status = tests.status = "success"
            tests.trace = "all is well\n"
        elif pipeline.plan == "fail":
            pipeline.status = tests.status = "failed"
            tests.trace = "checking\nexpected 2\n"

    def check(self, request: web.Request) -> None:
        if request.headers.get("PRIVATE-TOKEN") != TOKEN:
            raise web.HTTPUnauthorized(text='{"message":"401 Unauthorized"}', content_type="application/json")
        if request.match_info.get("project", "team/shop") != "team/shop":
            self.missing("404 Project Not Found")

    def missing(self, why: str) -> None:
        raise web.HTTPNotFound(text=f'{{"message":"{why}"}}', content_type="application/json")

    def named(self, request: web.Request) -> Pipeline:
        self.check(request)
        found = self.pipelines.get(int(request.match_info["id"]))
        return found or self.missing("404 Not found")

    async def version(self, request):
        self.check(request)
        return web.json_response({"version": "18.1.0", "revision": "abc"})

    async def project(self, request):
        self.check(request)
        return web.json_response({"id": 7, "path_with_namespace": "team/shop", "default_branch": "main"})

    async def list(self, request):
        self.check(request)
        sha, ref = request.query.get("sha"), request.query.get("ref")
        found = [one for one in self.pipelines.values() if sha in {None, one.sha} and ref in {None, one.ref}]
        every = [] if self.hidden else [one.shown() for one in reversed(found)]
        page, size = int(request.query.get("page", 1)), self.page_size
        following = str(page + 1) if len(every) > page * size else ""
        return web.json_response(every[(page - 1) * size : page * size], headers={"X-Next-Page": following})

    async def create(self, request):
        self.check(request)
        order = await request.json()
        if order["ref"] not in self.branches:
            raise web.HTTPBadRequest(
                text='{"message":{"base":["Reference not found"]}}', content_type="application/json"
            )
        sha = self.branches[order["ref"]]
        made = self.add(sha, order["ref"], self.plans.get(sha, "pass"))
        made.variables = {one["key"]: one["value"] for one in order["variables"]}
        return web.json_response(made.shown(), status=201)

    async def detail(self, request):
        found = self.named(request)
        self.advance(found)
        return web.json_response(found.shown())

    async def jobs(self, request):
        found = self.named(request)
        assert request.query["include_retried"] == "true"
        return web.json_response([job.shown() for job in reversed(found.jobs)])

    async def given(self, request):
        pairs = self.named(request).variables.items()
        return web.json_response([{"variable_type": "env_var", "key": key, "value": value} for key, value in pairs])

    async def cancel(self, request):
        found = self.named(request)
        found.status = found.jobs[-1].status = "canceled"
        return web.json_response(found.shown())

    async def retry(self, request):
        found = self.named(request)
        if found.jobs[-1].status in {"failed", "canceled"}:
            found.jobs.append(Job(id=next(self.numbers), name=found.jobs[-1].name, status="created"))
            found.status, found.looks = "pending", 0
        return web.json_response(found.shown(), status=201)

    async def trace(self, request):
        self.check(request)
        number = int(request.match_info["id"])
        job = next((job for one in self.pipelines.values() for job in one.jobs if job.id == number), None)
        return web.Response(text=job.trace) if job else self.missing("404 Not found")

    async def branch(self, request):
        self.check(request)
        name = request.match_info["branch"]
        if name not in self.branches:
            self.missing("404 Branch Not Found")
        is_main = name == "main"
        return web.json_response(
            {"name": name, "default": is_main, "protected": is_main or name.startswith("release/")}
        )

    async def list_merge_requests(self, request):
        self.check(request)
        branch = request.query.get("source_branch")
        return web.json_response([one for one in self.merge_requests if branch in {None, one["source_branch"]}][::-1])

    async def propose(self, request):
        self.check(request)
        order = await request.json()
        if any(
            one["source_branch"] == order["source_branch"] for one in self.merge_requests if one["state"] == "opened"
        ):
            text = '{"message":["Another open merge request already exists for this source branch: !1"]}'
            raise web.HTTPConflict(text=text, content_type="application/json")
        return web.json_response(self.add_merge_request(**order), status=201)

    def add_merge_request(self, *, source_branch: str, project: int = 7, **more: object) -> dict[str, object]:
        number = len(self.merge_requests) + 1
        made = {
            "iid": number,
            "state": "opened",
            "sha": self.branches.get(source_branch, make_sha(source_branch)),
            "source_branch": source_branch,
            "source_project_id": project,
            "target_project_id": 7,
            "detailed_merge_status": "mergeable",
            "merge_commit_sha": None,
            "web_url": f"https://gitlab.example.com/team/shop/-/merge_requests/{number}",
            **more,
        }
        self.merge_requests.append(made)
        return made

    async def merge_request(self, request):
        self.check(request)
        number = int(request.match_info["iid"])
        return web.json_response(self.merge_requests[number - 1])

    async def merge(self, request):
        self.check(request)
        found = self.merge_requests[int(request.match_info["iid"]) - 1]
        if (await request.json())["sha"] != found["sha"]:
            text = '{"message":"SHA does not match HEAD of source branch"}'
            raise web.HTTPConflict(text=text, content_type="application/json")
        if found["detailed_merge_status"] != "mergeable":
            text = '{"message":"405 Method Not Allowed"}'
            return web.Response(status=405, text=text, content_type="application/json")
        found |= {"state": "merged", "merge_commit_sha": make_sha("merged")}
        return web.json_response(found)
