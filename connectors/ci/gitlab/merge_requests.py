"""GitLab as a forge: merge requests (docs.gitlab.com/api/merge_requests, /api/branches)."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from bot.domain.change import BranchRules, Change, ChangeRequest, ChangeState
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.chat import Health
from connectors.ci.gitlab.settings import API
from connectors.ci.http_client import HttpClient
from connectors.ci.http_transport import Sent
from connectors.ci.http_values import as_count, as_link, as_object, as_sha, as_text

MAX_TITLE: Final = 250
MAX_BODY: Final = 100_000
STATES: Final = {"opened": ChangeState.OPEN, "locked": ChangeState.OPEN, "merged": ChangeState.MERGED}
UNDECIDED: Final = {"unchecked", "checking", "preparing", "approvals_syncing"}
CHECK_SECONDS: Final = 5.0
_REFERENCE: Final = re.compile(r"([@#!&$%~^])(?=[\w\"])")


class GitLabForge:
    """`Forge` for GitLab. `projects` maps a repository to its project's path in the API."""

    def __init__(self, client: HttpClient, projects: Mapping[str, str]) -> None:
        self._client = client
        self._projects = projects

    async def rules(self, repository: str, branch: str) -> BranchRules:
        project = self._project(repository)
        about = as_object((await self._client.get(project)).value)
        found = await self._client.find(f"{project}/repository/branches/{quote(branch, safe='')}")
        told = as_object(found.value) if found else {}
        return BranchRules(
            exists=found is not None,
            is_default=told.get("default") is True or about.get("default_branch") == branch,
            is_protected=found is not None and told.get("protected") is not False,
        )

    async def find(self, repository: str, branch: str) -> Change | None:
        """Return the newest merge request from a branch of the project itself; forks have branches of that name too."""
        query = {"source_branch": branch, "state": "all", "order_by": "created_at", "sort": "desc", "per_page": "100"}
        told = await self._client.get(f"{self._project(repository)}/merge_requests", query)
        listed = self._client.require_list(told.value)
        own = [
            one
            for one in listed
            if one.get("source_branch") == branch and one.get("source_project_id") == one.get("target_project_id")
        ]
        newest = max(own, key=lambda one: as_count(one.get("iid")), default=None)
        return _read_change(newest) if newest else None

    async def propose(self, request: ChangeRequest) -> Change:
        there = await self.find(request.repository, request.branch)
        if there is not None:
            return there
        order = {
            "source_branch": request.branch,
            "target_branch": request.target,
            "title": escape_title(request.title),
            "description": escape_body(request.body),
            "remove_source_branch": True,
        }
        path = f"{self._project(request.repository)}/merge_requests"
        try:
            return _read_change(as_object((await self._client.order("POST", path, Sent(json=order))).value))
        except Rejected as error:
            there = await self.find(request.repository, request.branch) if error.reason is Reason.CONFLICT else None
            if there is None:
                raise
            return there

    async def merge(self, repository: str, number: int, sha: str) -> Change:
        path = f"{self._project(repository)}/merge_requests/{number}"
        told = as_object((await self._client.get(path)).value)
        change = _read_change(told)
        if change.state is ChangeState.MERGED:
            return change
        if change.state is ChangeState.CLOSED:
            raise Rejected(f"Merge request !{number} is closed.", Reason.CONFLICT)
        if change.sha != sha:
            raise Rejected(f"Merge request !{number} no longer stands at {sha[:12]}.", Reason.STALE)
        if told.get("detailed_merge_status") in UNDECIDED:
            text = f"GitLab still looks whether !{number} can be merged."
            raise Unavailable(text, Reason.CONFLICT, CHECK_SECONDS)
        merged = await self._client.order("PUT", f"{path}/merge", Sent(json={"sha": sha}))
        return _read_change(as_object(merged.value))

    async def check(self) -> Health:
        try:
            for project in dict.fromkeys(self._projects.values()):
                await self._client.get(f"{project}/merge_requests", {"per_page": "1"})
            told = as_object((await self._client.get(f"{API}/version")).value)
        except (Unavailable, Rejected) as error:
            return Health(ok=False, text=str(error))
        return Health(ok=True, text=f"GitLab {as_text(told.get('version'), 40)}: merge requests can be read")

    def _project(self, repository: str) -> str:
        project = self._projects.get(repository)
        if project is None:
            raise Rejected(f"{repository} is no repository of the GitLab connection.", Reason.NOT_FOUND)
        return project


def _read_change(told: Mapping[str, Any]) -> Change:
    number, sha = as_count(told.get("iid")), as_sha(told.get("sha"))
    if not number:
        raise Unavailable("GitLab answers with no merge request.", Reason.SERVER_ERROR)
    state = STATES.get(as_text(told.get("state")), ChangeState.CLOSED)
    merged = as_sha(told.get("merge_commit_sha")) or as_sha(told.get("squash_commit_sha")) or sha
    return Change(
        number=number,
        state=state,
        sha=sha,
        url=as_link(told.get("web_url")),
        merged_sha=merged if state is ChangeState.MERGED else "",
    )


def escape_title(title: str) -> str:
    """Return a title that mentions nobody, links nothing and is no draft."""
    text = _REFERENCE.sub(r"\1 ", as_text(title, MAX_TITLE)).replace("://", ": //")[:MAX_TITLE]
    return f"Change: {text}" if re.match(r"\W*(draft|wip)\b", text, re.I) or not text else text


def escape_body(body: str) -> str:
    """Return a description as preformatted text: there GitLab obeys no quick action and follows no reference.

    Escaping single characters is not enough: GitLab looks for links and references in the text it has rendered.
    """
    lines = [as_text(line, 2000) for line in body[:MAX_BODY].splitlines()]
    return "\n".join(f"    {line}" if line else "" for line in lines)
