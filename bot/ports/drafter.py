"""Who asks a model for a patch: in the running bot the worker process, in a test a script."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from bot.domain.investigation import Job
from bot.domain.runs.far_tool import FarTools
from bot.domain.runs.profile import AgentProfile
from bot.domain.runs.transcript import Budget, Step
from bot.ports.desk import Ask
from bot.ports.model import ModelPlace, OnTry

StoreStep = Callable[[Step], Awaitable[Step]]
"""Stores the next row of a run and returns it as it was stored."""


@dataclass(frozen=True, kw_only=True)
class ModelJob:
    """One run of the model: the investigation with all its results, the profile, and the rows of the run so far.

    `has_people` says that somebody is there to be asked something; `far` are the tools of other servers. `is_aside`
    asks for nothing but a title and a severity, behind a run that has ended.
    """

    job: Job
    place: ModelPlace
    budget: Budget
    steps: tuple[Step, ...] = ()
    profile: AgentProfile = field(default_factory=AgentProfile)
    has_people: bool = False
    far: FarTools = field(default_factory=FarTools)
    is_aside: bool = False


@runtime_checkable
class Drafter(Protocol):
    async def draft(self, job: ModelJob, store: StoreStep, *, ask: Ask, on_try: OnTry) -> None:
        """Go on with a run until its last row is stored, or it waits for people; each row is stored before anything
        follows from it.

        What a tool needs that only the front process has is asked for. `on_try` hears of each request to a model
        server.

        May be repeated with what was stored so far. Raises `Unavailable` when the model or the worker does not
        answer, `Rejected` when the model refuses us, and whatever `store` raises.
        """
        ...
