"""The phase in which a revert is drafted and tested because a person asked for it."""

from collections.abc import Mapping

from bot.domain.investigation import StageResult
from bot.engine.handlers import Handlers
from bot.engine.phases import Phase
from bot.engine.tools import PhaseWork, Tools
from bot.ports.faults import reach
from bot.ports.work import Store
from bot.services import reverting, triage
from bot.services.rulebook import Rulebook


class RevertPhase(PhaseWork):
    """Runs the investigator's last stages for a commit that is known; its stored stages say where to go on."""

    def __init__(self, store: Store, rules: Rulebook, *, tools: Tools, handlers: Handlers) -> None:
        super().__init__(store, rules, tools)
        self._handlers = handlers

    def phase(self) -> Phase:
        return Phase(name="revert", run=self._run, failed=self._failed, together=2, patience=600)

    async def _run(self, args: Mapping[str, str]) -> None:
        incident, run = args["incident"], args["run"]
        folder = str(self._tools.folder / "work")
        job = await self._in_unit(
            lambda w: reverting.plan_revert(w, incident, run=run, folder=folder, rules=self._rules)
        )
        if job is None:
            text = "The revert is not needed any more"
            await self._in_unit(lambda w: reverting.end_revert(w, incident, run, text))
            return
        async for result in self._tools.investigator.investigate(await self._handlers.localize(job)):
            await self._store_stage(incident, run, result)
        reach("revert.drafted")
        await self._in_unit(lambda w: reverting.conclude_revert(w, incident, run, self._rules))

    async def _store_stage(self, incident: str, run: str, result: StageResult) -> None:
        await self._in_unit(lambda w: triage.record_stage(w, incident, run=run, result=result))

    async def _failed(self, args: Mapping[str, str], why: str) -> None:
        text = f"No revert is proposed: {self._tools.redact(why)}"
        await self._in_unit(lambda w: reverting.end_revert(w, args["incident"], args["run"], text))
