"""After a merge the deployment is ordered once. Its run, or a rollback's, is followed; then the alert is watched."""

from functools import partial
from time import monotonic

import structlog

from bot.domain.approvals.order import Order, Ordered, read_order
from bot.domain.ci import CIRun, CIState
from bot.engine.asking import ask_until_answered
from bot.engine.commit_news import Listener
from bot.engine.ordering import send_order
from bot.engine.phases import Phase
from bot.engine.tools import Args, PhaseWork
from bot.ports.ci import FindsOrders
from bot.ports.faults import reach
from bot.ports.work import UnitOfWork
from bot.services import deploy, dispatch, pause, rollback
from bot.services.deploy import DeployPlan
from bot.services.dispatch import Standing
from bot.services.rollback import RollbackPlan

log = structlog.get_logger(__name__)


class Deploying(PhaseWork):
    """The phases deploy, deployed and watch."""

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase(name="deploy", run=self._deploy, failed=self._deploy_failed),
            Phase(name="deployed", run=self._follow, failed=self._follow_failed, together=16),
            Phase(name="watch", run=self._watch, failed=_note, together=16),
        )

    async def _deploy(self, args: Args) -> None:
        """Order the deployment once. Its run is not looked for instead: the commit has others."""
        if await self._in_unit(lambda w: pause.hold_phase(w, "deploy", args)):
            return
        plan = await self._in_unit(lambda w: deploy.plan_deploy(w, args, self._rules))
        if plan is None:
            return
        run = await self._order(plan)
        if run is None:
            await self._in_unit(lambda w: dispatch.ask_about_order(w, plan.order, plan.request.sha))
            return
        await self._in_unit(lambda w: deploy.record_deploy(w, plan.order, run))
        reach("deploy.recorded")

    async def _order(self, plan: DeployPlan) -> CIRun | None:
        """Send the order if nobody has; None where nobody knows whether it arrived."""
        sha = plan.request.sha
        if plan.is_running:
            return CIRun(id=plan.order.key, sha=sha, state=CIState.RUNNING)
        began = monotonic()
        noted = await self._in_unit(lambda w: dispatch.note_order(w, plan.order, sha))
        if noted.standing is not Standing.NEW:
            return None
        return await send_order(self._tools, plan.ci, plan.request, order=plan.order, noted=began)

    async def _deploy_failed(self, args: Args, why: str) -> None:
        text = self._tools.redact(why)

        def refuse(work: UnitOfWork) -> None:
            dispatch.refuse_order(work, read_order(args["incident"], args["digest"], args["order"]), text)
            deploy.refuse_deploy(work, args["incident"], args["digest"], text)

        await self._in_unit(refuse)

    async def _follow(self, args: Args) -> None:
        """Follow the run of the order to its end. Where CI cannot tell it from others, the alert alone is watched."""
        plan = await self._in_unit(lambda w: self._plan_follow(w, args))
        if plan is None:
            return
        run = await self._find_end(plan)
        if run is not None:
            reach("deploy.ended")
        await self._in_unit(lambda w: self._conclude(w, plan.order, run))

    def _plan_follow(self, work: UnitOfWork, args: Args) -> DeployPlan | RollbackPlan | None:
        is_rollback = read_order(args["incident"], args["digest"], args["order"]).what is Ordered.ROLLBACK
        plan_follow = rollback.plan_follow if is_rollback else deploy.plan_follow
        return plan_follow(work, args, self._rules)

    def _conclude(self, work: UnitOfWork, order: Order, run: CIRun | None) -> None:
        conclude = rollback.conclude_rollback if order.what is Ordered.ROLLBACK else deploy.conclude_deploy
        conclude(work, order, run, self._rules)

    async def _find_end(self, plan: DeployPlan | RollbackPlan) -> CIRun | None:
        """Return the run once it has ended; None where none shows."""
        provider = self._tools.find_ci(plan.ci)
        if not isinstance(provider, FindsOrders):
            return None
        answered = await self._in_unit(lambda w: dispatch.answered_at(w, plan.order))
        until, pauses = answered + self._tools.dispatch_patience, self._tools.pauses(plan.ci)
        with self._tools.news.follow(plan.request.sha) as news:
            seen: CIRun | None = None
            while seen is None or not seen.state.is_final:
                found = await self._ask(plan, provider, news)
                seen = seen if found is None else found
                if seen is None and await self._in_unit(lambda w: w.now >= until):
                    return None
                if seen is None or not seen.state.is_final:
                    await news.wait(next(pauses))
            return seen

    async def _ask(self, plan: DeployPlan | RollbackPlan, provider: FindsOrders, news: Listener) -> CIRun | None:
        return await ask_until_answered(self._tools, plan.ci, partial(provider.find_order, plan.request), news)

    async def _follow_failed(self, args: Args, why: str) -> None:
        """How it ended is not known: the alert is watched all the same."""
        log.warning("deployment_lost", incident=args["incident"], error=self._tools.redact(why))
        order = read_order(args["incident"], args["digest"], args["order"])
        await self._in_unit(lambda w: self._conclude(w, order, None))

    async def _watch(self, args: Args) -> None:
        after = args.get("after", "the deployment")
        await self._in_unit(lambda w: deploy.watch_due(w, args["incident"], args["digest"], self._rules, after=after))


async def _note(args: Args, why: str) -> None:
    log.error("timer_failed", args=dict(args), error=why)
