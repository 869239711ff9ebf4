"""A model's run in the worker: opens what its tools stand on, and lets the agent work.

The worker has no store: each row goes to the front process, and the run goes on with what was stored there.
"""

import asyncio
import base64
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path

from bot.agent.briefing import tell_missing, write_task
from bot.agent.images import Album
from bot.agent.inspecting import MAX_UNPARSED, Edited, Inspection, Linted
from bot.agent.logs import Logs
from bot.agent.loop import Agent
from bot.agent.profiles import choose_tools, make_head
from bot.agent.sources import Sources
from bot.agent.suggesting import SECONDS, SUGGEST
from bot.agent.tools.tool import Hands
from bot.agent.tools.toolbox import NoTools, Toolbox
from bot.domain.checks.reproduction import REPRODUCTION, word
from bot.domain.conclusion import find_result
from bot.domain.draft import Patch
from bot.domain.evidence import CheckRun
from bot.domain.incident import Severity, severity_of
from bot.domain.investigation import Collected, Confirmed, Drafted, Job, Suspected, Verified
from bot.domain.runs.profile import Mode
from bot.errors import Reason, Refused, Unavailable
from bot.ports.desk import Ask, ImageWanted
from bot.ports.drafter import ModelJob, StoreStep
from bot.ports.model import Errand, ModelClient, ModelPlace, OnTry, Priority
from bot.ports.workspace import Checkout
from bot.worker.library import Library
from bot.worker.linting import lint_patch
from bot.worker.log_view import read_logs
from bot.worker.repository import open_repository
from bot.worker.reproduce import Bench
from bot.worker.revert import verify_patch
from bot.worker.seek import find_trial
from bot.worker.syntax import inspect
from bot.worker.tools import Tools
from bot.worker.trial import Trial

OpenModel = Callable[[ModelPlace, Errand, OnTry], AbstractAsyncContextManager[ModelClient]]


class ModelDrafting:
    """`bot.ports.drafter.Drafter` with real tools, one workshop per call."""

    def __init__(self, *, tools: Tools, open_model: OpenModel) -> None:
        self._tools = tools
        self._open_model = open_model

    async def draft(self, job: ModelJob, store: StoreStep, *, ask: Ask, on_try: OnTry) -> None:
        if job.is_aside:
            await self._suggest(job, store, ask=ask, on_try=on_try)
            return
        workshop = await Workshop.open(job.job, self._tools, ask, has_people=job.has_people)
        async with self._open_model(job.place, errand_of(job.job), on_try) as model:
            proposes = job.profile.mode is Mode.PATCH and not job.job.questions
            agent = Agent(
                model=model,
                tools=Toolbox(workshop.hands, choose_tools(job.profile, job.far.tools), proposes=proposes),
                head=make_head(job.place, job.budget, job.profile, steps=job.steps, far=job.far.tools),
                budget=job.profile.limit(job.budget),
                append=store,
            )
            agent.album = Album(partial(fetch_image, ask))
            await agent.run(job.job.run, job.steps, lambda: workshop.write_task(job.far.missing))

    async def _suggest(self, job: ModelJob, store: StoreStep, *, ask: Ask, on_try: OnTry) -> None:
        """Ask for a title and a severity: the run's own requests with one question more, and no tool at hand."""
        limits = job.profile.limit(job.budget)
        async with self._open_model(job.place, errand_of(job.job), on_try) as model:
            agent = Agent(
                model=model,
                tools=NoTools(),
                head=make_head(job.place, job.budget, job.profile, steps=job.steps, far=job.far.tools),
                budget=replace(limits, answer_seconds=min(limits.answer_seconds, SECONDS)),
                append=store,
            )
            agent.album = Album(partial(fetch_image, ask))
            await agent.ask_aside(job.job.run, job.steps, SUGGEST)


def errand_of(job: Job) -> Errand:
    """Return what comes first where the model server is full: what woke somebody, then who waits for an answer; last
    the looks of a watch, for which nobody waits."""
    priority = Priority.QUESTION if job.questions else Priority.TRIAGE
    if job.look is not None:
        priority = Priority.BACKGROUND
    elif severity_of(job.labels) is Severity.CRITICAL:
        priority = Priority.PAGING
    return Errand(incident=job.incident, priority=priority)


async def fetch_image(ask: Ask, sha256: str) -> bytes:
    """Return an image's bytes from the front process. Raises `Unavailable`."""
    told = await ask(ImageWanted(sha256=sha256))
    try:
        data = base64.b64decode(told.image, validate=True)
    except ValueError:
        data = b""
    if not data:
        raise Unavailable(told.fault or "the image cannot be read", Reason.NOT_FOUND)
    return data


class Workshop:
    """The repository at head, its bench, and the logs, each opened when it is first asked for."""

    def __init__(self, job: Job, tools: Tools, checkout: Checkout, *, head: str, ask: Ask, has_people: bool) -> None:
        self._job = job
        self._tools = tools
        self._head = head
        playbook = replace(job.playbook, seconds=max(job.playbook.seconds, 60))
        self._bench = Bench(tools=tools, service=job.service, checkout=checkout, playbook=playbook)
        self._sources: Sources | None = None
        self._logs: Logs | None = None
        library = Library(job, tools, ask)
        self._trial: Trial | None = None
        self._is_trial_known = False
        self._unparsed = 0
        self.hands = Hands(
            head=head,
            checkout=checkout,
            checks=(REPRODUCTION, *job.service.checks),
            clean=tools.sanitize,
            sources=self._get_sources,
            logs=self._get_logs,
            run_check=self._run_check,
            inspect=self._inspect,
            lint=self._lint,
            judge=self._judge,
            job=job,
            ask=ask,
            query_logs=library.query_logs,
            ci_log=library.read_ci_log,
            has_people=has_people,
        )

    @classmethod
    async def open(cls, job: Job, tools: Tools, ask: Ask, *, has_people: bool = False) -> "Workshop":
        """Open the repository where the investigation looked at it, else at its branch."""
        checkout = await open_repository(job, tools)
        suspected = find_result(job.done, Suspected)
        head = suspected.head if suspected else ""
        head = head or await checkout.resolve(job.service.branch)
        return cls(job, tools, checkout, head=head, ask=ask, has_people=has_people)

    def write_task(self, missing: Sequence[str] = ()) -> str:
        """Write the first message; `missing` are tools that should be there and are not."""
        task = write_task(self._job, head=self._head, checks=self.hands.checks, clean=self._tools.sanitize)
        return task + tell_missing(missing, self._tools.sanitize)

    async def _get_sources(self) -> Sources:
        if self._sources is None:
            archive = await self._bench.archive(self._head, keep=True)
            self._sources = await asyncio.to_thread(Sources, archive, self._tools.sanitize)
        return self._sources

    async def _get_logs(self) -> Logs:
        if self._logs is None:
            self._logs = await asyncio.to_thread(read_logs, self._job, self._tools)
        return self._logs

    async def _run_check(self, name: str) -> CheckRun:
        await self._bench.prepare(Path(self._job.folder))
        if name != REPRODUCTION:
            return await self._bench.run(Trial(check=name), self._head)
        trial = await self._get_trial()
        if trial is None:
            raise Refused(f"no {word(self._job.reproduce).trial} could be reproduced", Reason.NOT_FOUND)
        return await self._bench.run(trial, self._head)

    async def _inspect(self, edited: Edited) -> Inspection:
        """Parse edited files; the first that do not parse are refused, then the sandbox decides."""
        seen = await asyncio.to_thread(inspect, edited)
        self._unparsed += bool(seen.faults)
        return replace(seen, is_refused=bool(seen.faults) and self._unparsed <= MAX_UNPARSED)

    async def _lint(self, patch: Patch) -> Linted:
        await self._bench.prepare(Path(self._job.folder))
        return await lint_patch(self._bench, self._head, patch)

    async def _judge(self, patch: Patch, title: str) -> Verified:
        await self._bench.prepare(Path(self._job.folder))
        drafted = Drafted(base=self._head, patch=patch.text, title=title, culprit=None)
        return await verify_patch(self._bench, drafted, await self._get_trial())

    async def _get_trial(self) -> Trial | None:
        """Return what is red at the head: what the investigation settled on, else whatever fails now."""
        if not self._is_trial_known and not self._bench.fault:
            confirmed, collected = find_result(self._job.done, Confirmed), find_result(self._job.done, Collected)
            known = confirmed.request if confirmed else None
            requests = [known] if known else collected.requests if collected else ()
            self._trial = await find_trial(self._bench, requests, self._head, job=self._job)
            self._is_trial_known = True
        return self._trial
