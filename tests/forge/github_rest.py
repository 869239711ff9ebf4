"""GitHub's REST surface over the forge: what is asked of it, and what it does."""

import json
from collections.abc import Sequence
from fnmatch import fnmatch
from typing import Any

from aiohttp import web

from tests.forge.actions import Run
from tests.forge.github_shapes import Shape
from tests.forge.repository import Hosted, Pull
from tests.forge.state import Forge

REPO = "/repos/{owner}/{repo}"


def refuse(status: int, message: str, *details: str) -> web.Response:
    body: Shape = {"message": message, "documentation_url": "https://docs.github.com/rest"}
    if details:
        body["errors"] = [{"resource": "PullRequest", "code": "custom", "message": detail} for detail in details]
    return web.json_response(body, status=status)


class Rest:
    """The routes. Each gets the repository; whoever asks is known by then."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge

    def add_routes(self, app: web.Application) -> None:
        actions = f"{REPO}/actions"
        for method, path, handle in (
            ("GET", REPO, self._repository),
            ("GET", REPO + "/branches/{branch:.+}", self._branch),
            ("GET", REPO + "/rules/branches/{branch:.+}", self._rules),
            ("GET", REPO + "/pulls", self._list_pulls),
            ("POST", REPO + "/pulls", self._open_pull),
            ("GET", REPO + "/pulls/{number}", self._pull),
            ("PUT", REPO + "/pulls/{number}/merge", self._merge),
            ("GET", REPO + "/commits/{sha}/check-runs", self._list_checks),
            ("GET", REPO + "/commits/{sha}/status", self._statuses),
            ("GET", actions + "/runs", self._list_runs),
            ("GET", actions + "/workflows/{workflow}/runs", self._list_runs),
            ("GET", actions + "/runs/{number}/attempts/{attempt}/jobs", self._list_jobs),
            ("POST", actions + "/runs/{number}/cancel", self._cancel),
            ("POST", actions + "/runs/{number}/rerun", self._rerun),
            ("POST", actions + "/runs/{number}/rerun-failed-jobs", self._rerun),
            ("GET", actions + "/jobs/{number}/logs", self._log),
            ("POST", actions + "/workflows/{workflow}/dispatches", self._dispatch),
        ):
            app.router.add_route(method, self._forge.base_path + path, handle)

    def _hosted(self, request: web.Request) -> Hosted:
        name = f"{request.match_info['owner']}/{request.match_info['repo']}"
        hosted = self._forge.hosted.get(name)
        if hosted is None:
            raise web.HTTPNotFound(text=json.dumps({"message": "Not Found"}), content_type="application/json")
        return hosted

    async def _repository(self, request: web.Request) -> web.Response:
        return web.json_response(self._forge.shapes.repository(self._hosted(request)))

    async def _branch(self, request: web.Request) -> web.Response:
        hosted, branch = self._hosted(request), request.match_info["branch"]
        if not hosted.head(branch):
            return refuse(404, "Branch not found")
        return web.json_response(self._forge.shapes.branch(hosted, branch))

    async def _rules(self, request: web.Request) -> web.Response:
        hosted, branch = self._hosted(request), request.match_info["branch"]
        found = [rule for rule in hosted.rules if fnmatch(branch, rule.branches)]
        return self._page(request, [self._forge.shapes.rule(hosted, rule) for rule in found])

    # Pull requests -------------------------------------------------------------------------------------------------
    async def _list_pulls(self, request: web.Request) -> web.Response:
        hosted, query = self._hosted(request), request.query
        state, head = query.get("state", "open"), query.get("head", "")
        found = [
            self._forge.shapes.pull(hosted, pull)
            for pull in reversed(hosted.pulls)
            if state in {"all", "open" if pull.is_open else "closed"}
            and (":" not in head or head == f"{hosted.owner}:{pull.branch}")
        ]
        return self._page(request, found)

    async def _open_pull(self, request: web.Request) -> web.Response:
        hosted, asked = self._hosted(request), await request.json()
        branch, target = asked["head"], asked["base"]
        if any(pull.is_open and (pull.branch, pull.target) == (branch, target) for pull in hosted.pulls):
            text = f"A pull request already exists for {hosted.owner}:{branch}."
            return refuse(422, "Validation Failed", text)
        head, base = hosted.head(branch), hosted.head(target)
        if not head or not base:
            return refuse(422, "Validation Failed", f"{branch if not head else target} does not exist")
        if head == base:
            return refuse(422, "Validation Failed", f"No commits between {target} and {branch}")
        pull = Pull(
            number=len(hosted.pulls) + 1,
            title=asked.get("title", ""),
            body=asked.get("body", ""),
            branch=branch,
            target=target,
            created_at=self._forge.clock.now(),
            base=base,
        )
        hosted.pulls.append(pull)
        self._forge.take_pull(hosted, pull, "opened")
        return web.json_response(self._forge.shapes.whole_pull(hosted, pull), status=201)

    async def _pull(self, request: web.Request) -> web.Response:
        hosted = self._hosted(request)
        pull = hosted.pull(int(request.match_info["number"]))
        if pull is None:
            return refuse(404, "Not Found")
        return web.json_response(self._forge.shapes.whole_pull(hosted, pull))

    async def _merge(self, request: web.Request) -> web.Response:
        hosted, asked = self._hosted(request), await request.json()
        pull = hosted.pull(int(request.match_info["number"]))
        if pull is None:
            return refuse(404, "Not Found")
        if not pull.is_open:
            return refuse(405, "Pull Request is not mergeable")
        if asked.get("sha") not in (None, hosted.head(pull.branch)):
            return refuse(409, "Head branch was modified. Review and try the merge again.")
        merged = hosted.merge(pull, self._forge.clock.now())
        if not merged:
            return refuse(405, "Pull Request is not mergeable")
        self._forge.take_pull(hosted, pull, "closed")
        self._forge.notice_pushes()
        return web.json_response({"merged": True, "message": "Pull Request successfully merged", "sha": merged})

    # Checks and statuses -------------------------------------------------------------------------------------------
    async def _list_checks(self, request: web.Request) -> web.Response:
        hosted, sha = self._hosted(request), request.match_info["sha"]
        if not hosted.holds(sha):
            return refuse(422, f"No commit found for SHA: {sha}")
        now, shapes = self._forge.clock.now(), self._forge.shapes
        jobs = [shapes.job_check(run, job, now) for run in self._listed(hosted, sha) for job in run.jobs]
        others = [one for one in hosted.reported.get(sha, ()) if not one.is_status]
        found = [*jobs, *(shapes.check(hosted, sha, one, number) for number, one in enumerate(others, 900_001))]
        return self._page(request, found, "check_runs")

    async def _statuses(self, request: web.Request) -> web.Response:
        hosted, sha = self._hosted(request), request.match_info["sha"]
        if not hosted.holds(sha):
            return refuse(422, f"No commit found for SHA: {sha}")
        reported = [one for one in hosted.reported.get(sha, ()) if one.is_status]
        return web.json_response(self._forge.shapes.statuses(hosted, sha, reported))

    # Runs ----------------------------------------------------------------------------------------------------------
    def _listed(self, hosted: Hosted, sha: str) -> list[Run]:
        now = self._forge.clock.now()
        runs = [run for run in self._forge.runner.runs if run.hosted is hosted and run.listed_at <= now]
        return [run for run in reversed(runs) if sha in {"", run.sha}]

    async def _list_runs(self, request: web.Request) -> web.Response:
        hosted, now = self._hosted(request), self._forge.clock.now()
        runs = self._listed(hosted, request.query.get("head_sha", ""))
        wanted, event = request.match_info.get("workflow", ""), request.query.get("event", "")
        runs = [run for run in runs if wanted in {"", run.workflow.file} and event in {"", run.event}]
        return self._page(request, [self._forge.shapes.run(run, now) for run in runs], "workflow_runs")

    async def _list_jobs(self, request: web.Request) -> web.Response:
        run, attempt = self._run(request), int(request.match_info["attempt"])
        if not 1 <= attempt <= len(run.attempts):
            return refuse(404, "Not Found")
        now = self._forge.clock.now()
        jobs = [self._forge.shapes.job(run, attempt, job, now) for job in run.attempts[attempt - 1]]
        return self._page(request, jobs, "jobs")

    async def _cancel(self, request: web.Request) -> web.Response:
        run, now = self._run(request), self._forge.clock.now()
        if run.status(now) == "completed":
            return refuse(409, "Cannot cancel a workflow run that is completed.")
        run.cancel(now)
        return web.json_response({}, status=202)

    async def _rerun(self, request: web.Request) -> web.Response:
        run, now = self._run(request), self._forge.clock.now()
        if run.status(now) != "completed":
            return refuse(403, "This workflow is already running")
        self._forge.runner.again(run, now, only_failed=request.path.endswith("failed-jobs"))
        return web.json_response({}, status=201)

    async def _log(self, request: web.Request) -> web.Response:
        found = self._forge.runner.find_job(int(request.match_info["number"]))
        self._hosted(request)
        if found is None or found[2].status(self._forge.clock.now()) != "completed":
            return refuse(404, "Not Found")
        return web.Response(status=302, headers={"Location": f"{self._forge.store_url}/logs/{found[2].id}?sig=x"})

    async def _dispatch(self, request: web.Request) -> web.Response:
        hosted, asked = self._hosted(request), await request.json()
        wanted = request.match_info["workflow"]
        workflow = next((one for one in self._forge.workflows if wanted in {one.file, str(one.id)}), None)
        if workflow is None:
            return refuse(404, "Not Found")
        if "workflow_dispatch" not in workflow.on:
            return refuse(422, "Workflow does not have 'workflow_dispatch' trigger")
        sha = hosted.head(asked["ref"])
        if not sha:
            return refuse(422, f"No ref found for: {asked['ref']}")
        run = self._forge.begin(hosted, asked["ref"], sha, workflow, "workflow_dispatch")
        run.inputs = dict(asked.get("inputs", {}))
        if not asked.get("return_run_details"):
            return web.Response(status=204)
        shape = self._forge.shapes.run(run, self._forge.clock.now())
        return web.json_response({"workflow_run_id": run.id, "run_url": shape["url"], "html_url": shape["html_url"]})

    def _run(self, request: web.Request) -> Run:
        hosted = self._hosted(request)
        run = self._forge.runner.find(int(request.match_info["number"]))
        if run is None or run.hosted is not hosted:
            raise web.HTTPNotFound(text=json.dumps({"message": "Not Found"}), content_type="application/json")
        return run

    def _page(self, request: web.Request, entries: Sequence[Any], key: str = "") -> web.Response:
        """Answer one page, and name the next one in a Link header."""
        size, number = int(request.query.get("per_page", 30)), int(request.query.get("page", 1))
        size = min(size, self._forge.page_size)
        shown = list(entries[(number - 1) * size : number * size])
        headers = {}
        if len(entries) > number * size:
            following = request.rel_url.update_query(page=number + 1)
            headers["Link"] = f'<{self._forge.web_url}{following}>; rel="next"'
        body = {"total_count": len(entries), key: shown} if key else shown
        return web.json_response(body, headers=headers)
