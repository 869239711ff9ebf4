"""GitHub Actions, and every other app that reports on GitHub, as a CI system.

After a push or a pull request nothing is ordered here: the runs of the commit are found, followed to one verdict, and
the log of what failed is shown. A dispatch is sent once, and then found the same way.
"""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from bot.domain.ci import CIRequest, CIRun, CIState, Trigger
from bot.errors import NightshiftError, NotSent, Reason, Rejected, Unavailable
from bot.ports.chat import Health
from connectors.ci.github.checks import collect_logs, explain, fetch_listing
from connectors.ci.github.settings import Settings
from connectors.ci.github.text import is_sha, read_repository_name, require_sha
from connectors.ci.github.verdict import DISPATCHED, Listing, decide, read_listing
from connectors.ci.http_client import HttpClient
from connectors.ci.http_transport import Sent, not_sent
from connectors.ci.http_values import as_text

MAX_KNOWN: Final = 1000
AGAIN_SECONDS: Final = 5.0
KEY_INPUT: Final = "nightshift_key"
SHA_INPUT: Final = "nightshift_sha"
TAG_INPUT: Final = "nightshift_tag"

_HINTS: Final = {
    Trigger.PUSH: "does a workflow of that branch say `on: push`?",
    Trigger.PULL_REQUEST: "does a workflow say `on: pull_request`, and is the pull request free of conflicts?",
    Trigger.DISPATCH: "is the workflow enabled, and does the branch still stand at that commit?",
}


@dataclass(kw_only=True)
class _Seen:
    """What is remembered of a commit, and may be lost: it spares calls and times the wait for a run."""

    name: str = ""
    since: float
    looked_at: float | None = None
    news: int = 0
    run: CIRun | None = None
    awaited: int = 1
    job: str = ""
    sent: str | None = None


class GitHubCI:
    """`CIProvider` for the repositories ("owner/name") of services whose CI is GitHub's."""

    def __init__(
        self, client: HttpClient, settings: Settings, names: Sequence[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._settings = settings
        self._names = names
        self._clock = clock
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}

    async def start(self, request: CIRequest) -> CIRun:
        """Return the run of the commit; queued while GitHub does not list it yet."""
        require_sha(request.sha)
        seen = self._remember(request.sha)
        seen.name = read_repository_name(request.repository)
        if request.trigger is Trigger.DISPATCH:
            await self._dispatch(request, seen)
            if not request.is_check:
                return CIRun(id=request.sha[:12], sha=request.sha, state=CIState.QUEUED)
            with suppress(Unavailable):  # the order has arrived, whether its run can be seen now or not
                return await self.status(request.sha) or _queued(request.sha, seen)
            return _queued(request.sha, seen)
        run = await self.status(request.sha)
        if run is not None:
            return run
        waited = self._clock() - seen.since
        if waited >= self._settings.appear_seconds:
            text = f"GitHub shows no run for {request.sha[:12]}, {waited:.0f} s after the {_name(request.trigger)}"
            raise Rejected(f"{text}; {_HINTS[request.trigger]}", Reason.NOT_FOUND)
        return _queued(request.sha, seen)

    def expect(self, request: CIRequest) -> None:
        """A workflow that the push began may run beside the one that is ordered: it is not its run."""
        require_sha(request.sha)
        seen, job = self._remember(request.sha), _job(request)
        seen.name = read_repository_name(request.repository)
        if seen.job != job:
            seen.job, seen.looked_at = job, None

    async def status(self, sha: str) -> CIRun | None:
        if not is_sha(sha):
            return None
        async with self._locks.setdefault(sha, asyncio.Lock()):
            seen = self._remember(sha)
            if seen.looked_at is not None and self._clock() - seen.looked_at < self._settings.poll_seconds:
                return seen.run
            news, found = seen.news, await self._find(sha)
            if found is not None and not self._is_awaited(*found, seen):
                found = None
            seen.run = None if found is None else await self._judge(*found, sha)
            # what was asked before the news came may be of before it
            seen.looked_at = self._clock() if seen.news == news else None
            return seen.run

    async def find_order(self, request: CIRequest) -> CIRun | None:
        """A run bears its key in its name, where the workflow's `run-name` says so."""
        name = read_repository_name(request.repository)
        path = f"/repos/{name}/actions/workflows/{quote(_job(request), safe='')}/runs"
        runs = await self._client.list(f"{path}?event={DISPATCHED}&per_page=100", key="workflow_runs", pages=1)
        found = [run for run in runs if _bears(run.get("display_title"), request.key)]
        listing = read_listing(found[:1], (), ())
        if not found:
            return None
        run = decide(listing, request.sha, ())
        return await explain(self._client, name, listing, run) if run.state is CIState.FAILED else run

    async def log(self, sha: str) -> str:
        name, listing = await self._must_find(sha)
        return await collect_logs(self._client, name, listing)

    async def cancel(self, sha: str) -> CIRun:
        name, listing = await self._must_find(sha)
        for run in listing.runs:
            if not run.state.is_final:
                await self._order_cancel(name, run.id)
        return await self._look_again(sha)

    async def rerun(self, sha: str) -> CIRun:
        """Run the failed jobs again, or everything where none failed. An unfinished run stays as it is."""
        name, listing = await self._must_find(sha)
        run = await self._judge(name, listing, sha)
        if not run.state.is_final:
            return run
        failed = [part for part in listing.runs if part.state is not CIState.PASSED]
        if not listing.runs or (not failed and run.state is not CIState.PASSED):
            text = "What failed is no workflow of GitHub Actions; run it again where it runs"
            raise Rejected(f"{text}: {run.failed_step or run.url}.", Reason.NOT_ALLOWED)
        for part in failed or listing.runs:
            await self._order_again(name, part.id, "rerun-failed-jobs" if failed else "rerun")
        seen = self._remember(sha)
        seen.awaited, seen.since = run.attempt + len(failed or listing.runs), self._clock()
        return await self._look_again(sha)

    async def check(self) -> Health:
        """Ask for one run of each repository: that shows address, token and permission."""
        for name in self._names:
            try:
                await self._client.get_object(f"/repos/{name}/actions/runs?per_page=1")
            except NightshiftError as error:
                return Health(ok=False, text=f"{name}: {error}")
        return Health(ok=True, text=f"GitHub answers for {len(self._names)} repositories")

    def forget_answers(self, commits: Sequence[str]) -> None:
        """There is news of these commits: the next question about one is asked, however soon it comes."""
        for sha in commits:
            seen = self._seen.get(sha)
            if seen is not None:
                seen.looked_at, seen.news = None, seen.news + 1

    async def _dispatch(self, request: CIRequest, seen: _Seen) -> None:
        """Order the workflow, unless its run is listed or this process ordered it before under the same key.

        It is sent once. Where GitHub may have taken an order whose answer was lost, nobody sends it again: the error
        goes to the caller, who asks `status`. A deployment or a rollback is no check of its commit, which lists other
        runs: they say nothing of it.
        """
        async with self._locks.setdefault(request.sha, asyncio.Lock()):
            job = _job(request)
            if seen.sent == request.key:
                return
            if not job:
                raise Rejected("No workflow is named; set services.<name>.ci_job, as in ci.yml.", Reason.BAD_INPUT)
            if request.is_check:
                seen.job = job
                with not_sent():
                    listing = await fetch_listing(self._client, seen.name, request.sha)
                if listing.dispatched(job):
                    return
            path = f"/repos/{seen.name}/actions/workflows/{quote(job, safe='')}/dispatches"
            inputs = {KEY_INPUT: request.key, SHA_INPUT: request.sha}
            if request.tag:
                inputs[TAG_INPUT] = request.tag
            body = {"ref": request.branch, "inputs": inputs}
            seen.sent, seen.since, seen.looked_at = request.key, self._clock(), None
            try:
                await self._client.order("POST", path, Sent(json=body))
            except (NotSent, Rejected):
                seen.sent = None
                raise

    async def _order_cancel(self, name: str, run: int) -> None:
        try:
            await self._client.order("POST", f"/repos/{name}/actions/runs/{run}/cancel")
        except Rejected as error:
            if error.reason is not Reason.CONFLICT:  # 409: it has ended meanwhile
                raise

    async def _order_again(self, name: str, run: int, what: str) -> None:
        try:
            await self._client.order("POST", f"/repos/{name}/actions/runs/{run}/{what}")
        except Rejected as error:
            if error.reason is not Reason.CONFLICT and "already running" not in str(error).lower():
                raise
            # an earlier order was obeyed, and the listing does not show it yet
            raise Unavailable("GitHub is starting that run already.", Reason.CONFLICT, AGAIN_SECONDS) from None

    async def _look_again(self, sha: str) -> CIRun:
        self._remember(sha).looked_at = None
        run = await self.status(sha)
        if run is None:
            raise Unavailable("GitHub lists the run no longer.", Reason.SERVER_ERROR, AGAIN_SECONDS)
        return run

    async def _must_find(self, sha: str) -> tuple[str, Listing]:
        require_sha(sha)
        found = await self._find(sha)
        if found is None:
            raise Rejected(f"GitHub has no run of {sha[:12]}.", Reason.NOT_FOUND)
        return found

    async def _find(self, sha: str) -> tuple[str, Listing] | None:
        """Return (repository, what it lists for the commit); after a restart each repository is asked."""
        seen = self._remember(sha)
        for name in (seen.name,) if seen.name else self._names:
            listing = await fetch_listing(self._client, name, sha)
            if listing.runs or listing.checks:
                seen.name = name
                return name, listing
        return None

    def _is_awaited(self, name: str, listing: Listing, seen: _Seen) -> bool:
        """Say whether this is the run of the commit; late, and where no order was sent, whatever is there counts."""
        if seen.job:
            return listing.dispatched(seen.job) is not None
        is_late = self._clock() - seen.since >= self._settings.appear_seconds
        return is_late or listing.concerns(self._settings.required.get(name.lower(), ()))

    async def _judge(self, name: str, listing: Listing, sha: str) -> CIRun:
        """Decide, wait for what is still to show, and name what failed."""
        required = self._settings.required.get(name.lower(), ())
        seen, run = self._remember(sha), decide(listing, sha, required)
        is_late = self._clock() - seen.since >= self._settings.appear_seconds
        if run.state.is_final and run.attempt < seen.awaited and not is_late:
            return replace(
                run, state=CIState.QUEUED, attempt=seen.awaited, failed_step="", log_tail="", finished_at=None
            )
        missing = listing.missing(required)
        if missing and listing.has_ended and is_late:
            names = ", ".join(missing)
            text = f"GitHub never started the required check {names} for {sha[:12]}; everything else has ended"
            raise Rejected(f"{text}. Mend [connections.github] required, or the workflow.", Reason.NOT_FOUND)
        return await explain(self._client, name, listing, run) if run.state is CIState.FAILED else run

    def _remember(self, sha: str) -> _Seen:
        seen = self._seen.setdefault(sha, _Seen(since=self._clock()))
        self._seen.move_to_end(sha)
        while len(self._seen) > MAX_KNOWN:
            gone, _ = self._seen.popitem(last=False)
            self._locks.pop(gone, None)
        return seen


def _queued(sha: str, seen: _Seen) -> CIRun:
    return CIRun(id=sha[:12], sha=sha, state=CIState.QUEUED, attempt=seen.awaited)


def _job(request: CIRequest) -> str:
    """Return the workflow's file or id, however its path was written."""
    return request.job.rpartition("/")[2]


def _bears(title: object, key: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(key)}(?![\w-])", as_text(title, 500)) is not None


def _name(trigger: Trigger) -> str:
    return trigger.value.replace("_", " ")
