"""The phases of a rollback: the releases are looked up and it is proposed; approved, its job is ordered once."""

from collections.abc import Sequence
from dataclasses import replace
from time import monotonic

from bot.domain.approvals.order import read_order
from bot.domain.approvals.rollback import MAX_COMMITS, Release
from bot.domain.ci import CIRun, CIState
from bot.engine.ordering import send_order
from bot.engine.phases import Phase
from bot.engine.tools import Args, PhaseWork
from bot.errors import Reason, Refused, Unavailable
from bot.ports.faults import reach
from bot.services import dispatch, pause, rollback, rollback_ask, rollout
from bot.services.dispatch import Standing
from bot.services.rollback import RollbackPlan


class RollingBack(PhaseWork):
    """The phases release and rollback."""

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase(name="release", run=self._look_up, failed=self._look_up_failed, together=2),
            Phase(name="rollback", run=self._roll_back, failed=self._roll_back_failed),
        )

    async def _look_up(self, args: Args) -> None:
        """Find the present release and the one before, and ask for the approval; may be repeated."""
        incident, request = args["incident"], int(args["request"])
        lookup = await self._in_unit(lambda w: rollback_ask.plan_lookup(w, incident, request, self._rules))
        if lookup is None:
            return
        checkout = await self._tools.workspaces.open(lookup.repository, self._tools.folder / "release" / incident)
        releases = await checkout.releases(lookup.branch, lookup.release_tags, 2)
        current = await self._in_unit(lambda w: w.incidents.get(incident))
        found = rollback_ask.write_rollback(current, lookup, releases, self._rules)
        commits = await checkout.between(found.previous.sha, found.present.sha, MAX_COMMITS + 1)
        told = [replace(commit, subject=self._tools.redact(commit.subject)) for commit in commits]
        await self._in_unit(lambda w: rollback_ask.propose_rollback(w, found, told, args["person"], self._rules))

    async def _look_up_failed(self, args: Args, why: str) -> None:
        text = self._tools.redact(why)
        await self._in_unit(lambda w: rollback_ask.refuse_lookup(w, args["incident"], int(args["request"]), text))

    async def _roll_back(self, args: Args) -> None:
        """Order it once. Its run cannot be told from others of that branch, so nothing is probed."""
        if await self._in_unit(lambda w: pause.hold_phase(w, "rollback", args)):
            return
        plan = await self._in_unit(lambda w: rollback.plan_rollback(w, args, self._rules))
        if plan is None:
            return
        try:
            run = await self._order(plan)
        except Refused as refusal:
            await self._not_now(plan, refusal)
            return
        if run is not None:
            ordered = run
            await self._in_unit(lambda w: rollback.record_rollback(w, plan.order, ordered))
            reach("rollback.recorded")

    async def _order(self, plan: RollbackPlan) -> CIRun | None:
        """Send the order if nobody has; None where it was withdrawn, or a person was asked whether it arrived."""
        sha = plan.request.sha
        if plan.is_running:
            return CIRun(id=plan.order.key, sha=sha, state=CIState.RUNNING)
        releases = await self._find_releases(plan)
        began = monotonic()
        noted = await self._in_unit(lambda w: rollback.note_rollback(w, plan.order, releases, self._rules))
        if noted is None:
            return None
        if noted.standing is Standing.NEW:
            run = await send_order(self._tools, plan.ci, plan.request, order=plan.order, noted=began)
            if run is not None:
                return run
        await self._in_unit(lambda w: dispatch.ask_about_order(w, plan.order, sha))
        return None

    async def _find_releases(self, plan: RollbackPlan) -> Sequence[Release]:
        """Return the newest releases of this moment; none where the order may be on its way already."""
        if await self._in_unit(lambda w: dispatch.is_noted(w, plan.order)):
            return ()
        folder = self._tools.folder / "release" / plan.order.incident
        checkout = await self._tools.workspaces.open(plan.request.repository, folder)
        return await checkout.releases(plan.request.branch, plan.release_tags, 2)

    async def _not_now(self, plan: RollbackPlan, refusal: Refused) -> None:
        """What a pause stops is tried again and then kept for its end; any other refusal is told."""
        if refusal.reason is Reason.PAUSED:
            raise Unavailable("The pause began meanwhile.", Reason.PAUSED, 0.1)
        text, again = self._tools.redact(str(refusal)), refusal.reason in rollout.RENEWABLE
        await self._in_unit(lambda w: rollback.refuse_rollback(w, plan.order, text, renewable=again))

    async def _roll_back_failed(self, args: Args, why: str) -> None:
        text = self._tools.redact(why)
        order = read_order(args["incident"], args["digest"], args["order"])
        await self._in_unit(lambda w: rollback.refuse_rollback(w, order, text))
