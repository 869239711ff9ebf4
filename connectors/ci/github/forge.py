"""Pull requests on GitHub, as a forge."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from bot.domain.change import BranchRules, Change, ChangeRequest, ChangeState
from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from bot.ports.chat import Health
from connectors.ci.github.rules import AGAIN_SECONDS, fetch_demands, require_green
from connectors.ci.github.settings import Settings
from connectors.ci.github.text import is_sha, read_number, read_repository_name, require_sha
from connectors.ci.github.words import write_body, write_title
from connectors.ci.http_client import HttpClient
from connectors.ci.http_transport import Sent
from connectors.ci.http_values import as_link, as_object, as_text


class GitHubForge:
    """`Forge` for GitHub. A change is a pull request from a branch of the repository itself."""

    def __init__(self, client: HttpClient, settings: Settings, names: Sequence[str]) -> None:
        self._client = client
        self._settings = settings
        self._names = names

    async def rules(self, repository: str, branch: str) -> BranchRules:
        """What GitHub does not say clearly counts as forbidden."""
        name = read_repository_name(repository)
        default = (await self._client.get_object(f"/repos/{name}")).get("default_branch")
        if not isinstance(default, str) or not default:
            raise Unavailable("GitHub does not say which branch is the default.", Reason.SERVER_ERROR)
        found = await fetch_demands(self._client, name, branch)
        return BranchRules(
            exists=found.name == branch,  # GitHub sends on from a branch's old name to its new one
            is_default=default in {branch, found.name},
            is_protected=found.is_protected,
        )

    async def find(self, repository: str, branch: str) -> Change | None:
        name = read_repository_name(repository)
        head = quote(f"{name.partition('/')[0]}:{branch}", safe="")
        path = f"/repos/{name}/pulls?state=all&head={head}&sort=created&direction=desc&per_page=100"
        for entry in await self._client.list(path, pages=1):
            if _is_from(entry, name, branch):
                return read_change(entry)
        return None

    async def propose(self, request: ChangeRequest) -> Change:
        """Open a pull request. One that was closed or merged is returned as it is: nothing is opened over it."""
        require_sha(request.sha)
        found = await self.find(request.repository, request.branch)
        if found is not None:
            return found
        name = read_repository_name(request.repository)
        body = {
            "title": write_title(request.title),
            "body": write_body(request.body),
            "head": request.branch,
            "base": request.target,
            "maintainer_can_modify": False,
        }
        try:
            made = await self._client.order("POST", f"/repos/{name}/pulls", Sent(json=body))
            return read_change(as_object(made.value))
        except Rejected as error:
            if "already exists" not in str(error).lower():
                raise
        found = await self.find(request.repository, request.branch)
        if found is None:
            text = "GitHub has that pull request already, and does not list it yet."
            raise Unavailable(text, Reason.CONFLICT, AGAIN_SECONDS)
        return found

    async def merge(self, repository: str, number: int, sha: str) -> Change:
        require_sha(sha)
        name = read_repository_name(repository)
        told = await self._client.get_object(f"/repos/{name}/pulls/{number}")
        current = read_change(told)
        if current.state is ChangeState.MERGED:
            return current
        if current.state is ChangeState.CLOSED:
            raise Rejected(f"Pull request {number} is closed; it was not merged.", Reason.STALE)
        if current.sha != sha:
            text = f"Pull request {number} stands at {current.sha[:12]} now, not at the approved {sha[:12]}"
            raise Rejected(f"{text}; it was not merged.", Reason.CONFLICT)
        target = as_text(as_object(told.get("base")).get("ref"), 500)
        demands = await fetch_demands(self._client, name, target)
        await require_green(self._client, name, sha, demands.checks)
        order = {"sha": sha, "merge_method": self._settings.merge_method}
        try:
            answer = await self._client.order("PUT", f"/repos/{name}/pulls/{number}/merge", Sent(json=order))
        except Rejected as error:
            raise _explain(error, number) from error
        done = as_object(answer.value)
        merged = done.get("sha")
        if done.get("merged") is not True or not isinstance(merged, str) or not is_sha(merged):
            raise Unavailable("GitHub does not say whether it has merged.", Reason.SERVER_ERROR, AGAIN_SECONDS)
        return Change(number=number, state=ChangeState.MERGED, sha=sha, url=current.url, merged_sha=merged)

    async def check(self) -> Health:
        """Ask for each repository: that shows address, token, and whether it may be written to."""
        for name in self._names:
            try:
                found = await self._client.get_object(f"/repos/{name}")
            except NightshiftError as error:
                return Health(ok=False, text=f"{name}: {error}")
            if found.get("archived") is True:
                return Health(ok=False, text=f"{name} is archived: nothing can be proposed there")
        return Health(ok=True, text=f"GitHub takes pull requests for {len(self._names)} repositories")


def read_change(entry: Mapping[str, Any]) -> Change:
    """Read a pull request. Raises `Unavailable` where it is none that could be trusted."""
    head, merged = entry.get("head"), entry.get("merge_commit_sha")
    sha = head.get("sha") if isinstance(head, dict) else None
    number, state = read_number(entry.get("number")), entry.get("state")
    if not isinstance(sha, str) or not is_sha(sha) or not number or state not in ("open", "closed"):
        raise Unavailable("GitHub describes a pull request that cannot be read.", Reason.SERVER_ERROR)
    is_merged = state == "closed" and bool(entry.get("merged_at"))
    return Change(
        number=number,
        state=ChangeState.MERGED if is_merged else ChangeState.OPEN if state == "open" else ChangeState.CLOSED,
        sha=sha,
        url=as_link(entry.get("html_url")),
        merged_sha=merged if is_merged and isinstance(merged, str) and is_sha(merged) else "",
    )


def _is_from(entry: Mapping[str, Any], name: str, branch: str) -> bool:
    """Say whether a pull request comes from this branch of this very repository: a fork's branch may bear its name."""
    head = entry.get("head")
    if not isinstance(head, dict) or head.get("ref") != branch:
        return False
    repository = head.get("repo")
    full = repository.get("full_name") if isinstance(repository, dict) else None
    return isinstance(full, str) and full.lower() == name.lower()


def _explain(error: Rejected, number: int) -> NightshiftError:
    """Say in words why GitHub did not merge."""
    said = str(error)
    if "base branch was modified" in said.lower():
        return Unavailable("The target moved while GitHub merged.", Reason.CONFLICT, AGAIN_SECONDS)
    if error.reason is Reason.CONFLICT:
        return Rejected(f"Pull request {number} moved meanwhile; it was not merged. {said}", Reason.CONFLICT)
    if error.reason is Reason.NOT_ALLOWED:
        return Rejected(f"A rule of the branch forbids the merge, or it conflicts. {said}", Reason.NOT_ALLOWED)
    return error
