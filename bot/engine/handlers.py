"""What each phase does. Everything here may run again after a kill: it looks first, then acts."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import structlog

from bot.domain.ci import CIRequest, CIRun
from bot.domain.incident import RunState
from bot.domain.investigation import Job
from bot.engine.commit_news import CommitNews
from bot.engine.phases import Phase
from bot.errors import NightshiftError, Reason, Refused, Unavailable
from bot.metrics import CI_VERDICTS, PUSHES, STAGES
from bot.ports.ci import CIProvider
from bot.ports.faults import reach
from bot.ports.forge import Forge
from bot.ports.investigator import Investigator
from bot.ports.work import Store, UnitOfWork
from bot.ports.workspace import Checkout, Workspaces
from bot.services import approval, drafting, modelling, paging, pause, rollout, triage
from bot.services.rollout import PushPlan
from bot.services.rulebook import Rulebook

log = structlog.get_logger(__name__)
T = TypeVar("T")
Args = Mapping[str, str]
LOG_KEPT = 16 * 1024


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The outside, as the phases need it. `ci` and `forges` map the names that services use to what they are."""

    investigator: Investigator
    workspaces: Workspaces
    ci: Mapping[str, CIProvider]
    forges: Mapping[str, Forge] = field(default_factory=dict)
    news: CommitNews = field(default_factory=CommitNews)
    folder: Path
    redact: Callable[[str], str]
    poll_seconds: float = 0.5
    has_model: bool = False


class Handlers:
    """The phases triage, escalate, expire and execute."""

    def __init__(self, store: Store, rules: Rulebook, tools: Tools) -> None:
        self._store = store
        self._rules = rules
        self._tools = tools
        self._checkout_locks: dict[str, asyncio.Lock] = {}

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase(name="triage", run=self._triage, failed=self._triage_failed, together=2, patience=600),
            Phase(name="escalate", run=self._escalate, failed=_note, together=16),
            Phase(name="expire", run=self._expire, failed=_note, together=16),
            Phase(name="execute", run=self._execute, failed=self._execute_failed, together=4),
            Phase(name="ci", run=self._order_ci, failed=_note, together=4),
        )

    async def _in_unit(self, work: Callable[[UnitOfWork], T]) -> T:
        def run() -> T:
            with self._store.begin() as unit:
                return work(unit)

        return await asyncio.to_thread(run)

    async def _escalate(self, args: Args) -> None:
        round_, level = int(args["round"]), int(args["level"])
        await self._in_unit(
            lambda w: paging.escalate_due(w, args["incident"], round_=round_, level=level, rules=self._rules)
        )

    async def _expire(self, args: Args) -> None:
        await self._in_unit(lambda w: approval.expire_due(w, args["incident"], args["digest"]))

    async def _triage(self, args: Args) -> None:
        incident, run = args["incident"], args["run"]
        folder = str(self._tools.folder / "work")
        job = await self._in_unit(lambda w: triage.plan_job(w, incident, run=run, folder=folder, rules=self._rules))
        if job is None:
            return
        await self._investigate(await self.localize(job))
        reach("triage.investigated")
        await self._in_unit(lambda w: self._conclude(w, incident, run))

    def _conclude(self, work: UnitOfWork, incident: str, run: str) -> None:
        pause.require_running(work, incident)
        drafting.propose(work, incident, self._rules)
        if self._tools.has_model:
            modelling.start_model(work, incident, run)

    async def localize(self, job: Job) -> Job:
        """A remote repository is fetched here, where the credentials are; the worker gets the copy."""
        url = job.service.repository
        if _is_local(url):
            return job
        copy = self._tools.folder / "mirror" / hashlib.sha256(url.encode()).hexdigest()[:16]
        async with self._checkout_locks.setdefault(url, asyncio.Lock()):
            await self._tools.workspaces.open(url, copy)
        return replace(job, service=replace(job.service, repository=str(copy)))

    async def _investigate(self, job: Job) -> None:
        async for result in self._tools.investigator.investigate(job):
            reach(f"stage.{type(result).__name__.lower()}.before")
            await self._in_unit(lambda w, r=result: triage.record_stage(w, job.incident, run=job.run, result=r))  # type: ignore[misc] # mypy cannot infer a lambda with a default
            reach(f"stage.{type(result).__name__.lower()}.after")
            STAGES.labels(stage=type(result).__name__.lower()).inc()

    async def _triage_failed(self, args: Args, why: str) -> None:
        text = f"The investigation stopped: {self._tools.redact(why)}"

        def stop(work: UnitOfWork) -> None:
            triage.finish_triage(work, args["incident"], state=RunState.FAILED, why=text)
            if self._tools.has_model:
                modelling.start_model(work, args["incident"], args["run"])

        await self._in_unit(stop)

    async def _execute(self, args: Args) -> None:
        incident, digest = args["incident"], args["digest"]
        plan = await self._in_unit(lambda w: rollout.plan_push(w, incident, digest))
        if plan is None:
            return
        sha = plan.done_sha or await self._push(plan, incident, digest)
        if sha:
            await self._watch_ci(plan, incident, digest, sha=sha)

    async def _push(self, plan: PushPlan, incident: str, digest: str) -> str:
        """Probe, check once more, push. Returns "" when the push was given up or superseded."""
        lock = self._checkout_locks.setdefault(plan.repository, asyncio.Lock())
        async with lock:
            checkout = await self._tools.workspaces.open(plan.repository, self._tools.folder / "push" / incident)
            sha = await self._tools.workspaces.commit(checkout, plan.plan)
            present = await self._tools.workspaces.remote_sha(plan.repository, plan.branch)
            moved = False
            if present != sha:
                try:
                    await self._in_unit(lambda w: rollout.recheck(w, incident, digest, self._rules))
                except Refused as refusal:
                    await self._not_now(incident, digest, refusal)
                    return ""
                moved, touched = await self._target_moved(plan, checkout)
                if touched:
                    PUSHES.labels(result="superseded").inc()
                    await self._in_unit(lambda w: rollout.supersede(w, incident, digest, self._rules))
                    return ""
                await self._tools.workspaces.push(checkout, plan.repository, sha, plan.branch)
        PUSHES.labels(result="done").inc()
        reach("push.record.before")
        await self._in_unit(lambda w: rollout.record_push(w, incident, digest, sha=sha, moved=moved))
        return sha

    async def _target_moved(self, plan: PushPlan, checkout: Checkout) -> tuple[bool, bool]:
        """Whether the target branch has moved since the approval, and whether in the patch's own files."""
        head = await self._tools.workspaces.remote_sha(plan.repository, plan.target)
        if head is None or head == plan.plan.base:
            return False, False
        for path in plan.files:
            if await checkout.read(head, path) != await checkout.read(plan.plan.base, path):
                return True, True
        return True, False

    async def _watch_ci(self, plan: PushPlan, incident: str, digest: str, *, sha: str) -> None:
        """Make sure the one CI run of this SHA exists, and follow it to its verdict."""
        provider = await self._provider(incident)
        request = CIRequest(repository=plan.repository, sha=sha, branch=plan.branch, incident=incident)
        run = await provider.start(request)
        reach("ci.started")
        while not run.state.is_final:
            await self._record_ci(incident, digest, run)
            await self._tools.news.wait(sha, self._tools.poll_seconds)
            run = await provider.status(sha) or await provider.start(request)
        whole = (await provider.log(sha))[-LOG_KEPT:]
        await self._record_ci(incident, digest, replace(run, log_tail=whole or run.log_tail))

    async def _provider(self, incident: str) -> CIProvider:
        kind = await self._in_unit(lambda w: self._rules.services[w.incidents.get(incident).service].ci)
        return self._tools.ci[kind]

    async def _order_ci(self, args: Args) -> None:
        """Carry out a person's order, and follow a rerun to its verdict."""
        incident, digest, sha = args["incident"], args["digest"], args["sha"]
        provider = await self._provider(incident)
        if args["order"] == "cancel":
            await self._record_ci(incident, digest, await provider.cancel(sha))
            return
        known = await self._in_unit(lambda w: [run for _, run in w.ci_runs.of(incident) if run.sha == sha])
        run = await provider.status(sha)
        if run is not None and run.state.is_final and run.attempt == known[-1].attempt:
            run = await provider.rerun(sha)
        while run is not None and not run.state.is_final:
            await self._record_ci(incident, digest, run)
            await self._tools.news.wait(sha, self._tools.poll_seconds)
            run = await provider.status(sha)
        if run is not None:
            await self._record_ci(incident, digest, replace(run, log_tail=(await provider.log(sha))[-LOG_KEPT:]))

    async def _record_ci(self, incident: str, digest: str, run: CIRun) -> None:
        clean = replace(run, log_tail=self._tools.redact(run.log_tail))
        if run.state.is_final:
            reach("ci.verdict.before")
            CI_VERDICTS.labels(state=run.state.value).inc()
        await self._in_unit(lambda w: rollout.record_ci(w, incident, digest, clean))
        if run.state.is_final:
            reach("ci.verdict.after")

    async def _not_now(self, incident: str, digest: str, refusal: Refused) -> None:
        """A push that a pause stops is kept for its end; any other refusal is final."""
        if refusal.reason is not Reason.PAUSED:
            await self._give_up(incident, digest, refusal)
            return
        args = {"incident": incident, "digest": digest}
        if not await self._in_unit(lambda w: pause.hold_phase(w, "execute", args)):
            raise Unavailable("The pause has ended meanwhile.", Reason.PAUSED, 0.1)
        PUSHES.labels(result="held").inc()

    async def _give_up(self, incident: str, digest: str, error: NightshiftError) -> None:
        PUSHES.labels(result="refused").inc()
        text = self._tools.redact(str(error))
        await self._in_unit(lambda w: rollout.give_up_push(w, incident, digest, text))

    async def _execute_failed(self, args: Args, why: str) -> None:
        text = self._tools.redact(why)
        await self._in_unit(lambda w: rollout.give_up_push(w, args["incident"], args["digest"], text))


def _is_local(url: str) -> bool:
    return url.startswith(("/", "./", "../", "file://")) or ":" not in url


async def _note(args: Args, why: str) -> None:
    log.error("timer_failed", args=dict(args), error=why)
