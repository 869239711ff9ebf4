"""What each phase does. Everything here may run again after a kill: it looks first, then acts."""

import asyncio
import hashlib
from dataclasses import replace
from typing import Final

import structlog

from bot.domain.incident import RunState
from bot.domain.investigation import Job
from bot.engine.changing import Changing
from bot.engine.deploying import Deploying
from bot.engine.desk import FrontDesk
from bot.engine.far_logs import fetch_far_logs
from bot.engine.following import Following
from bot.engine.green_logs import GreenLogs
from bot.engine.investigating import Investigating
from bot.engine.phases import Phase
from bot.engine.plotting import Plotting
from bot.engine.rolling_back import RollingBack
from bot.engine.tools import Args, PhaseWork, Tools
from bot.errors import NightshiftError, Reason, Refused, Unavailable
from bot.metrics import PUSHES
from bot.ports.faults import reach
from bot.ports.work import Store, UnitOfWork
from bot.ports.workspace import Checkout
from bot.services import approval, asking, ci_follow, drafting, modelling, paging, pause, rollout, triage, watching
from bot.services.rollout import PushPlan
from bot.services.rulebook import Rulebook

log = structlog.get_logger(__name__)
TOGETHER: Final = 6
"""Investigations at once: the worker reads and runs two at a time, and none waits for what others run."""


class Handlers(PhaseWork):
    """The phases triage, escalate, expire and execute; those that follow a push stand beside them."""

    def __init__(self, store: Store, rules: Rulebook, tools: Tools) -> None:
        super().__init__(store, rules, tools)
        self._green = GreenLogs(store, rules, tools)
        self._following = Following(store, rules, tools, green=self._green)
        self._changing = Changing(store, rules, tools)
        self._deploying = Deploying(store, rules, tools)
        self._plotting = Plotting(store, rules, tools)
        self.desk = FrontDesk(store, rules, tools, green=self._green)
        self.fetch_image = tools.fetch_image
        self.far_tools = tools.far_tools
        self._investigating = Investigating(store, rules, tools, green=self._green, localize=self.localize)
        self._rolling_back = RollingBack(store, rules, tools)
        self._checkout_locks: dict[str, asyncio.Lock] = {}

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase(name="triage", run=self._triage, failed=self._triage_failed, together=TOGETHER, patience=600),
            Phase(name="escalate", run=self._escalate, failed=_note, together=16),
            Phase(name="expire", run=self._expire, failed=_note, together=16),
            Phase(name="unanswered", run=self._unanswered, failed=_note, together=16),
            Phase(name="watching", run=self._watching, failed=self._watching_failed, together=16),
            Phase(name="execute", run=self._execute, failed=self._execute_failed, together=4),
            *self._following.phases(),
            *self._changing.phases(),
            *self._deploying.phases(),
            *self._rolling_back.phases(),
            *self._green.phases(),
            *self._plotting.phases(),
        )

    async def _escalate(self, args: Args) -> None:
        round_, level = int(args["round"]), int(args["level"])
        await self._in_unit(
            lambda w: paging.escalate_due(w, args["incident"], round_=round_, level=level, rules=self._rules)
        )

    async def _expire(self, args: Args) -> None:
        await self._in_unit(lambda w: approval.expire_due(w, args["incident"], args["digest"]))

    async def _unanswered(self, args: Args) -> None:
        await self._in_unit(lambda w: asking.expire_question(w, args["incident"], args["number"], self._rules))

    async def _watching(self, args: Args) -> None:
        await self._in_unit(lambda w: watching.take_look(w, args, self._rules))

    async def _watching_failed(self, args: Args, why: str) -> None:
        """A look that could not be taken ends no watch."""
        await _note(args, why)
        await self._in_unit(lambda w: watching.plan_look(w, args))

    async def _triage(self, args: Args) -> None:
        incident, run = args["incident"], args["run"]
        folder = str(self._tools.folder / "work")
        job = await self._in_unit(lambda w: triage.plan_job(w, incident, run=run, folder=folder, rules=self._rules))
        if job is None:
            return
        await self._investigating.run(job)
        reach("triage.investigated")
        await self._in_unit(lambda w: self._conclude(w, incident, run))

    def _conclude(self, work: UnitOfWork, incident: str, run: str) -> None:
        pause.require_running(work, incident)
        drafting.propose(work, incident, self._rules)
        if self._tools.has_model:
            modelling.start_model(work, incident, run)

    async def equip(self, job: Job) -> Job:
        """Fetch what lies elsewhere for a model that reads: logs that must be asked for, repository."""
        return await self.localize(await fetch_far_logs(job, self._tools.open_log))

    async def localize(self, job: Job) -> Job:
        """A remote repository is fetched here, where the credentials are; the worker gets the copy."""
        url = job.service.repository
        if _is_local(url):
            return job
        copy = self._tools.folder / "mirror" / hashlib.sha256(url.encode()).hexdigest()[:16]
        async with self._checkout_locks.setdefault(url, asyncio.Lock()):
            await self._tools.workspaces.open(url, copy)
        return replace(job, service=replace(job.service, repository=str(copy)))

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
        if plan.done_sha:
            await self._in_unit(lambda w: ci_follow.start_following(w, incident, digest, plan.done_sha, self._rules))
        else:
            await self._push(plan, incident, digest)

    async def _push(self, plan: PushPlan, incident: str, digest: str) -> None:
        """Probe, check once more, push; what follows is started with the record of it."""
        lock = self._checkout_locks.setdefault(plan.repository, asyncio.Lock())
        async with lock:
            checkout = await self._tools.workspaces.open(plan.repository, self._tools.folder / "push" / incident)
            sha = await self._tools.workspaces.commit(checkout, plan.plan)
            present = await self._tools.workspaces.remote_sha(plan.repository, plan.branch)
            moved = False
            if present != sha:
                try:
                    await self._in_unit(lambda w: rollout.recheck(w, incident, digest, self._rules))
                    await self._require_own_branch(plan, incident)
                except Refused as refusal:
                    await self._not_now(incident, digest, refusal)
                    return
                moved, touched = await self._target_moved(plan, checkout)
                if touched:
                    PUSHES.labels(result="superseded").inc()
                    await self._in_unit(lambda w: rollout.supersede(w, incident, digest, self._rules))
                    return
                await self._tools.workspaces.push(checkout, plan.repository, sha, plan.branch)
        PUSHES.labels(result="done").inc()
        reach("push.record.before")

        def record(work: UnitOfWork) -> None:
            rollout.record_push(work, incident, digest, sha=sha, moved=moved)
            ci_follow.start_following(work, incident, digest, sha, self._rules)

        await self._in_unit(record)

    async def _require_own_branch(self, plan: PushPlan, incident: str) -> None:
        """Ask the forge, where there is one, whether the branch is free for us. Raises `Refused`."""
        service = await self._in_unit(lambda w: ci_follow.service_of(w, incident, self._rules))
        if not service.forge:
            return
        rules = await self._tools.find_forge(service.forge).rules(plan.repository, plan.branch)
        if rules.is_default or rules.is_protected:
            kind = "the default branch" if rules.is_default else "a protected branch"
            raise Refused(f"{plan.branch} is {kind}; Nightshift never pushes there.", Reason.NOT_ALLOWED)

    async def _target_moved(self, plan: PushPlan, checkout: Checkout) -> tuple[bool, bool]:
        """Whether the target branch has moved since the approval, and whether in the patch's own files."""
        head = await self._tools.workspaces.remote_sha(plan.repository, plan.target)
        if head is None or head == plan.plan.base:
            return False, False
        for path in plan.files:
            if await checkout.read(head, path) != await checkout.read(plan.plan.base, path):
                return True, True
        return True, False

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
        again = error.reason in rollout.RENEWABLE
        await self._in_unit(lambda w: rollout.give_up_push(w, incident, digest, text, renewable=again))

    async def _execute_failed(self, args: Args, why: str) -> None:
        text = self._tools.redact(why)
        await self._in_unit(lambda w: rollout.give_up_push(w, args["incident"], args["digest"], text))


def _is_local(url: str) -> bool:
    return url.startswith(("/", "./", "../", "file://")) or ":" not in url


async def _note(args: Args, why: str) -> None:
    log.error("timer_failed", args=dict(args), error=why)
