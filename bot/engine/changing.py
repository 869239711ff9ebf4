"""What follows a push on the forge: the change is proposed and merged."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from bot.domain.change import Change, ChangeRequest, ChangeState
from bot.domain.ci import CIState
from bot.engine.phases import Phase
from bot.engine.tools import Args, PhaseWork, expect_ordered
from bot.errors import Reason, Refused, Unavailable
from bot.ports.faults import reach
from bot.ports.forge import Forge
from bot.ports.work import UnitOfWork
from bot.render.proposal import TRAILER, render_proposal
from bot.services import change_watch, merging, pause, proposing
from bot.services.merging import MergePlan

log = structlog.get_logger(__name__)
LOOK_SECONDS: Final = 60.0


class Changing(PhaseWork):
    """The phases propose and merge."""

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase(name="propose", run=self._propose, failed=self._propose_failed),
            Phase(name="look", run=self._look, failed=self._look_failed, patience=120),
            Phase(name="merge", run=self._merge, failed=self._merge_failed, patience=900),
        )

    async def _propose(self, args: Args) -> None:
        """Find the change of the pushed branch, or propose it; both may be repeated."""
        incident, digest, sha = args["incident"], args["digest"], args["sha"]
        plan = await self._in_unit(lambda w: proposing.plan_proposal(w, incident, digest, sha, self._rules))
        if plan is None:
            return
        forge = self._tools.find_forge(plan.forge)
        change = await forge.find(plan.request.repository, plan.request.branch)
        if change is None:
            request = await self._in_unit(lambda w: self._write(w, args, plan.request, plan.statement))
            reach("change.propose.before")
            change = await forge.propose(request)
            reach("change.propose.after")
        found = change
        first = timedelta(seconds=self._tools.longest_poll.get(plan.forge, LOOK_SECONDS))

        def record(work: UnitOfWork) -> None:
            proposing.record_change(work, incident, digest, found, pushed=sha, rules=self._rules)
            merging.merge_if_green(work, incident, digest, self._rules)
            change_watch.start_watching(work, incident, digest, first=first)

        await self._in_unit(record)
        reach("change.recorded")

    def _write(self, work: UnitOfWork, args: Args, request: ChangeRequest, statement: str) -> ChangeRequest:
        """Return the request with its text, as things stand now."""
        incident = work.incidents.get(args["incident"])
        page = self._tools.links.to_incident(incident.id)
        body = render_proposal(
            incident,
            work.drafts.get(incident.id, args["digest"]),
            work.approvals.get(incident.id, args["digest"]),
            results=work.investigations.of(incident.run),
            names={key: person.name for key, person in self._rules.roster.people.items()},
            seals=(f"{TRAILER}: sha256:{statement}", *([page.url] if page else [])),
        )
        return replace(request, title=self._tools.redact(request.title), body=self._tools.redact(body))

    async def _propose_failed(self, args: Args, why: str) -> None:
        text = self._tools.redact(why)
        await self._in_unit(lambda w: proposing.refuse_change(w, args["incident"], args["digest"], text, self._rules))

    async def _look(self, args: Args) -> None:
        """Ask the forge whether people have merged or closed a change; if not, plan when to ask next."""
        incident, digest = args["incident"], args["digest"]
        plan = await self._in_unit(lambda w: change_watch.plan_look(w, incident, digest, self._rules))
        if plan is not None:
            found = await self._tools.find_forge(plan.forge).find(plan.repository, plan.branch)
            await self._in_unit(lambda w: change_watch.record_look(w, incident, digest, found, self._rules))
        await self._in_unit(lambda w: change_watch.look_again(w, args))

    async def _look_failed(self, args: Args, why: str) -> None:
        log.warning("change_unseen", incident=args["incident"], error=self._tools.redact(why))
        await self._in_unit(lambda w: change_watch.look_again(w, args))

    async def _merge(self, args: Args) -> None:
        """Look, check once more, merge. A pause keeps it for its end."""
        incident, digest = args["incident"], args["digest"]
        if await self._in_unit(lambda w: pause.hold_phase(w, "merge", args)):
            return
        plan = await self._in_unit(lambda w: merging.plan_merge(w, incident, digest, self._rules))
        if plan is None:
            return
        change = await self._merge_once(plan, self._tools.find_forge(plan.forge))
        await self._in_unit(lambda w: merging.record_merge(w, incident, digest, change, self._rules))
        reach("merge.recorded")

    async def _merge_once(self, plan: MergePlan, forge: Forge) -> Change:
        """Merge exactly the commit that is green; return the change if it is merged already. Raises `Refused`."""
        found = await forge.find(plan.repository, plan.branch)
        if found is None or found.number != plan.number:
            raise Refused(f"change {plan.number} is not there any more", Reason.NOT_FOUND)
        if found.state is ChangeState.MERGED:
            return found
        if found.state is ChangeState.CLOSED:
            raise Refused(f"change {plan.number} was closed", Reason.CONFLICT)
        if found.sha != plan.sha:
            raise Refused(f"somebody pushed to {plan.branch}; CI was green for {plan.sha[:12]}", Reason.CONFLICT)
        provider = self._tools.find_ci(plan.ci)
        expect_ordered(provider, plan.checks)
        run = await provider.status(plan.sha)
        if run is None:
            raise Unavailable(f"CI does not list its run of {plan.sha[:12]}", Reason.SERVER_ERROR)
        if run.state is not CIState.PASSED:
            raise Refused(f"CI is not green for {plan.sha[:12]} any more", Reason.CONFLICT)
        reach("merge.before")
        merged = await forge.merge(plan.repository, plan.number, plan.sha)
        reach("merge.after")
        if merged.state is not ChangeState.MERGED:
            raise Unavailable(f"the forge has not merged change {plan.number} yet", Reason.SERVER_ERROR, 2.0)
        return merged

    async def _merge_failed(self, args: Args, why: str) -> None:
        text = self._tools.redact(why)
        await self._in_unit(lambda w: merging.refuse_merge(w, args["incident"], args["digest"], text))
