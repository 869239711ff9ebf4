"""Following CI: the one run of a commit is started or found, asked about, and its verdict recorded."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Final

import structlog

from bot.domain.approvals.order import read_order
from bot.domain.ci import CIRun, CIState, Trigger
from bot.engine.asking import ask_until_answered
from bot.engine.commit_news import Listener
from bot.engine.green_logs import GreenLogs
from bot.engine.ordering import send_order
from bot.engine.phases import Phase
from bot.engine.tools import Args, PhaseWork, Tools, expect_ordered
from bot.errors import Rejected, Unavailable
from bot.metrics import CI_VERDICTS
from bot.ports.ci import CIProvider
from bot.ports.faults import reach
from bot.ports.work import Store, UnitOfWork
from bot.services import ci_follow, dispatch, merging, rollout
from bot.services.ci_follow import FollowPlan
from bot.services.dispatch import Standing
from bot.services.rulebook import Rulebook

log = structlog.get_logger(__name__)
Ask = Callable[[], Awaitable[CIRun | None]]
Record = Callable[[CIRun], Awaitable[None]]
LOG_KEPT: Final = 16 * 1024
LOG_TRIES: Final = 3


class Following(PhaseWork):
    """The phases follow (a pushed commit) and ci (a person's order: cancel, rerun)."""

    def __init__(self, store: Store, rules: Rulebook, tools: Tools, *, green: GreenLogs) -> None:
        super().__init__(store, rules, tools)
        self._green = green

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase(name="follow", run=self._follow_push, failed=self._follow_failed, together=64),
            Phase(name="ci", run=self._order, failed=self._order_failed, together=16),
        )

    async def _follow_push(self, args: Args) -> None:
        """Make sure that the one run of this commit exists, and follow it to its verdict."""
        plan = await self._in_unit(lambda w: ci_follow.plan_follow(w, args, self._rules))
        if plan is None:
            return
        provider = self._tools.find_ci(plan.ci)
        sha, digest = plan.request.sha, plan.order.digest
        with self._tools.news.follow(sha) as news:
            run = await self._start(plan, provider, news)
            if run is None:
                return
            reach("ci.started")
            ask = partial(self._look, plan, provider)
            run = await self._until_verdict(run, ask, partial(self._record, plan.order.incident, digest), plan.ci, news)
            await self._conclude(plan.order.incident, digest, provider, run, news)

    async def _until_verdict(self, run: CIRun, ask: Ask, record: Record, ci: str, news: Listener) -> CIRun:
        """Ask until the run has ended. Who gives no answer is asked again, but not for ever."""
        pauses = self._tools.pauses(ci)
        while not run.state.is_final:
            await record(run)
            await news.wait(next(pauses))
            found = await ask_until_answered(self._tools, ci, ask, news)
            run = run if found is None else found
        return run

    async def _look(self, plan: FollowPlan, provider: CIProvider) -> CIRun | None:
        """Ask about the run. One that only an order starts is never started here."""
        sha = plan.request.sha
        run = await provider.status(sha)
        if run is not None:
            return run
        patience = self._tools.dispatch_patience
        await self._in_unit(
            lambda w: ci_follow.note_missing(w, plan.order.incident, plan.order.digest, sha, patience=patience)
        )
        return None if plan.request.trigger is Trigger.DISPATCH else await provider.start(plan.request)

    async def _start(self, plan: FollowPlan, provider: CIProvider, news: Listener) -> CIRun | None:
        """Return the run; None where an order got no answer and a person was asked."""
        if plan.request.trigger is not Trigger.DISPATCH:
            return await ask_until_answered(self._tools, plan.ci, partial(provider.start, plan.request), news)
        expect_ordered(provider, plan.request)
        run = await ask_until_answered(self._tools, plan.ci, partial(provider.status, plan.request.sha), news)
        if run is None and plan.since is None:
            run = await self._send_once(plan)
        if run is None:
            run = await self._probe(plan, provider, news)
        if run is not None:
            found = run
            await self._in_unit(lambda w: dispatch.record_answer(w, plan.order, found))
            reach("ci.dispatch.recorded")
        return run

    async def _send_once(self, plan: FollowPlan) -> CIRun | None:
        """Note the order, then send it, at most once ever; None where that is not known to have worked."""
        sha, began = plan.request.sha, monotonic()
        noted = await self._in_unit(lambda w: dispatch.note_order(w, plan.order, sha))
        if noted.standing is Standing.DONE:  # it was there once, and is only not listed now
            return await self._in_unit(lambda w: ci_follow.known_run(w, plan.order.incident, sha))
        if noted.standing is not Standing.NEW:
            return None
        return await send_order(self._tools, plan.ci, plan.request, order=plan.order, noted=began)

    async def _probe(self, plan: FollowPlan, provider: CIProvider, news: Listener) -> CIRun | None:
        """Look for the run of an order until the patience with it ends; then ask a person."""
        sha, pauses = plan.request.sha, self._tools.pauses(plan.ci)
        noted = await self._in_unit(lambda w: dispatch.note_order(w, plan.order, sha))
        until = (plan.since or noted.at) + self._tools.dispatch_patience
        while True:
            try:
                run = await provider.status(sha)
            except Unavailable as error:
                log.info("dispatch_probe_failed", key=plan.order.key, error=str(error))
                run = None
            if run is not None:
                return run
            if await self._in_unit(lambda w: w.now >= until):
                break
            await news.wait(next(pauses))
        reach("ci.dispatch.unanswered")
        await self._in_unit(lambda w: dispatch.ask_about_order(w, plan.order, sha))
        return None

    async def _order(self, args: Args) -> None:
        """Carry out a person's order, and follow a rerun to its verdict."""
        incident, digest, sha = args["incident"], args["digest"], args["sha"]
        plan = await self._in_unit(lambda w: ci_follow.plan_wish(w, args, self._rules))
        provider = self._tools.find_ci(plan.ci)
        expect_ordered(provider, plan.request)
        if args["order"] == "cancel":
            await self._record(incident, digest, await provider.cancel(sha))
            return
        known = await self._in_unit(lambda w: ci_follow.known_run(w, incident, sha))
        with self._tools.news.follow(sha) as news:
            run = await provider.status(sha)
            if run is not None and run.state.is_final and known is not None and run.attempt == known.attempt:
                run = await provider.rerun(sha)
            if run is not None:
                ask, record = partial(provider.status, sha), partial(self._record, incident, digest)
                run = await self._until_verdict(run, ask, record, plan.ci, news)
                await self._conclude(incident, digest, provider, run, news)

    async def _conclude(self, incident: str, digest: str, provider: CIProvider, run: CIRun, news: Listener) -> None:
        whole = await self._fetch_log(provider, run.sha, news)
        run = replace(run, log_tail=whole[-LOG_KEPT:] or run.log_tail)
        if run.state is not CIState.CANCELLED:
            run = await self._compare(incident, run, whole)
        await self._record(incident, digest, run)

    async def _compare(self, incident: str, run: CIRun, whole: str) -> CIRun:
        """Keep the log of a green run; say of a red one what the last green one did not write."""
        service = await self._in_unit(lambda w: ci_follow.service_of(w, incident, self._rules))
        if run.state is CIState.PASSED:
            await self._green.keep(service.name, run.sha, whole)
            return run
        return await self._green.explain(run, service.ci, service.name, whole)

    async def _fetch_log(self, provider: CIProvider, sha: str, news: Listener) -> str:
        """Return the log, "" where it cannot be had: a verdict without its log is a verdict."""
        for _ in range(LOG_TRIES):
            try:
                return await provider.log(sha)
            except Unavailable as error:
                log.info("ci_log_waits", sha=sha, error=str(error))
                await news.wait(self._tools.poll_seconds)
            except Rejected as error:
                log.warning("ci_log_rejected", sha=sha, error=str(error))
                return ""
        return ""

    async def _record(self, incident: str, digest: str, run: CIRun) -> None:
        clean = replace(run, log_tail=self._tools.redact(run.log_tail), failure=self._tools.redact(run.failure))
        if run.state.is_final:
            reach("ci.verdict.before")
            CI_VERDICTS.labels(state=run.state.value).inc()

        def record(work: UnitOfWork) -> None:
            rollout.record_ci(work, incident, digest, clean)
            merging.merge_if_green(work, incident, digest, self._rules)

        await self._in_unit(record)
        if run.state.is_final:
            reach("ci.verdict.after")

    async def _follow_failed(self, args: Args, why: str) -> None:
        text = self._tools.redact(why)

        def give_up(work: UnitOfWork) -> None:
            dispatch.refuse_order(work, read_order(args["incident"], args["digest"], args["order"]), text)
            rollout.give_up_push(work, args["incident"], args["digest"], text)

        await self._in_unit(give_up)

    async def _order_failed(self, args: Args, why: str) -> None:
        text = f"CI did not {args['order']} {args['sha'][:12]}: {self._tools.redact(why)}"
        digest, order = args["digest"], args["order"]
        await self._in_unit(lambda w: ci_follow.tell_order_failed(w, args["incident"], digest, text, order=order))
