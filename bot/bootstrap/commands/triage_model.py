"""The model in `triage`: where no patch without one holds, the bot's own agent drafts another and tests it."""

import asyncio
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from bot.agent.transcript import fold
from bot.bootstrap.commands.triage_budget import open_spending
from bot.bootstrap.commands.triage_desk import TerminalDesk
from bot.bootstrap.model_place import find_place
from bot.bootstrap.profiles import find_efforts, find_profile, find_second_reasoning
from bot.bootstrap.worker import open_model
from bot.domain.investigation import Drafted, Job
from bot.domain.models.reasoning import Reasoning
from bot.domain.runs.profile import AgentProfile, Mode
from bot.domain.runs.transcript import Budget, Conclusion, EndReason, Step
from bot.engine.spending import Spending
from bot.errors import NightshiftError, Reason, Refused
from bot.ports.desk import Ask
from bot.ports.drafter import ModelJob
from bot.ports.model import ModelPlace
from bot.render.report import ModelAnswer
from bot.settings import ENV_PREFIX, Settings, load_settings
from bot.settings_mcp import list_far_names
from bot.worker.drafting import ModelDrafting
from bot.worker.tools import Tools

#: With less time than this the model is not asked.
LEAST_SECONDS: Final = 10.0
_URL: Final = f"{ENV_PREFIX}MODEL_URL"


@dataclass(frozen=True, kw_only=True)
class Model:
    """Where the model answers, what one run of it may use, and how it works. `settings` are those of a configuration
    that somebody named: its budgets of a day hold."""

    place: ModelPlace
    budget: Budget
    profile: AgentProfile = field(default_factory=AgentProfile)
    settings: Settings | None = None

    @property
    def secrets(self) -> Sequence[str]:
        return [self.place.api_key] if self.place.api_key else []


def find_model(
    named: Settings | None = None, *, url: str = "", profile: str = "", usual: str = Mode.PATCH.value
) -> Model | None:
    """Return the model that an option, the environment or a configuration names, None where none does; it works by the
    `usual` profile where no other is named.

    Raises `ConfigError`, and `Refused` where the options name nothing that could be used.
    """
    if named is None and not url and not os.environ.get(_URL, "").strip():
        if profile:
            raise Refused("--profile is for a model; name one with --model-url.", Reason.BAD_INPUT)
        return None
    settings = named or load_settings(None)
    place = find_place(settings, url)
    if place is None:
        return None
    approvers, far = settings.approval_policy().approvers, list_far_names(settings.mcp)
    chosen = find_profile(profile or usual, settings.playbook_dirs, approvers, far)
    asked = settings.model_copy(update={"model_url": place.url})
    reasoning = find_efforts(asked, {chosen.name: chosen}).get(chosen.name, Reasoning())
    return Model(
        place=place.think(chosen.effort, reasoning, find_second_reasoning(settings)),
        budget=settings.model_budget(),
        profile=chosen,
        settings=named,
    )


async def ask_model(job: Job, tools: Tools, model: Model, *, seconds: float, desk: TerminalDesk) -> ModelAnswer:
    """Let the model draft for so many seconds at most, on what the stages found. Says in words where it could not."""
    if seconds < LEAST_SECONDS:
        return ModelAnswer(fault="no time was left to ask the model")
    limits = model.profile.limit(model.budget)
    most = {"seconds": min(limits.seconds, seconds), "answer_seconds": min(limits.answer_seconds, seconds)}
    profile = replace(model.profile, limits={**model.profile.limits, **most})
    rows: list[Step] = []
    fault = ""
    try:
        with open_spending(model.settings, limits) as spending:
            far = await desk.list_far_tools(profile)
            asked = ModelJob(job=job, place=model.place, budget=model.budget, profile=profile, far=far)
            await _draft(asked, tools, rows, spending=spending, ask=desk.ask)
    except NightshiftError as error:
        fault = f"the model could not be asked: {tools.clean(str(error), 300)}"
    conclusion = fold(rows).conclusion if rows else None
    return _tell(conclusion, fault, tools.sanitize)


async def _draft(asked: ModelJob, tools: Tools, rows: list[Step], *, spending: Spending | None, ask: Ask) -> None:
    """Let the model draft, and add its rows. What it uses is counted as a run of its own."""
    run = f"{asked.job.run}:{secrets.token_hex(4)}"
    asked = replace(asked, job=replace(asked.job, run=run))

    async def store(step: Step) -> Step:
        rows.append(await asyncio.to_thread(spending.take, step) if spending else step)
        return rows[-1]

    drafting = ModelDrafting(tools=tools, open_model=open_model)
    if spending:
        spending.begin(run, asked.job.service.name, ())
    try:
        await drafting.draft(asked, store, ask=ask, on_try=lambda _tried: None)
    finally:
        if spending:
            await asyncio.to_thread(spending.end, run)


def _tell(conclusion: Conclusion | None, fault: str, clean: Callable[[str], str]) -> ModelAnswer:
    if conclusion is None:
        return ModelAnswer(fault=fault or "the model came to no end")
    text, ended = conclusion.text, "" if conclusion.why is EndReason.DONE else "its run ended early"
    if conclusion.why is EndReason.LIMIT:
        text, ended = conclusion.so_far, f"{ended}: {clean(text)}"
    answer = ModelAnswer(text=clean(" ".join(text.split())), fault=fault or ended, repairs=conclusion.repairs)
    best = conclusion.best
    if best is None:
        return answer
    drafted = Drafted(base=best.base, patch=best.patch, title=best.title, culprit=None, notes=("drafted by the model",))
    return replace(answer, drafted=drafted, verified=best.verified)
