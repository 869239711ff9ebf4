"""Counts in the store what runs of the model use, and keeps the budgets that they share.

A row after which the model is asked again reserves that call in the same unit in which it is counted; where no room is
left the row says so, and the run ends there. So a run passes a shared limit by one call at most, however many run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from bot.agent.budget import find_shared_limit, reserve
from bot.agent.marks import refuse_next
from bot.agent.transcript import Rows, State, advance, fold
from bot.domain.models.spending import Budgets, Spent
from bot.domain.runs.transcript import EndReason, Step, StepKind
from bot.ports.work import Store, UnitOfWork

BYTES_PER_TOKEN = 4
"""Of a first request, whose tokens nobody has counted yet."""


@dataclass(kw_only=True)
class _Course:
    """A run under way: its state, and what its newest answer used."""

    service: str
    state: State
    last: Spent


class Spending:
    """One for all runs of this process. Every method opens a unit of work: call it in a thread."""

    def __init__(self, store: Store, budgets: Budgets, *, hold: timedelta) -> None:
        """`hold` is how long a call may take: what a dead process had reserved is free again after it."""
        self._store = store
        self._budgets = budgets
        self._hold = hold
        self._courses: dict[str, _Course] = {}

    def begin(self, run: str, service: str, rows: Sequence[Step]) -> str:
        """Take a run up. Returns in words which shared limit lets it not go on, "" where it may."""
        course = _Course(service=service, state=State(), last=Spent())
        for row in rows:
            _follow(course, row)
        self._courses[run] = course
        if not rows or not course.state.asks_next or not self._is_limited(course):
            return ""
        with self._store.begin() as work:
            return self._count(work, run, course)

    def begin_aside(self, run: str, service: str, rows: Sequence[Step]) -> str:
        """Take a run up for one call behind its end, which is reserved. Returns which shared limit leaves no room."""
        course = _Course(service=service, state=State(), last=Spent())
        for row in rows:
            _follow(course, row)
        self._courses[run] = course
        if not self._is_limited(course):
            return ""
        with self._store.begin() as work:
            return self._reserve(work, run, course)

    def take(self, step: Step) -> Step:
        """Count a row that is about to be stored, and return it as it is to be stored."""
        course = self._courses.get(step.run)
        if course is None or step.seq != course.state.seq:
            return step  # the store refuses it: another worker was here first
        was_asked = _follow(course, step)
        if not was_asked and not (course.state.asks_next and self._is_limited(course)):
            return step
        if step.kind is StepKind.TASK:
            course.last = Spent(prompt=len(step.body) // BYTES_PER_TOKEN)
        with self._store.begin() as work:
            refused = self._count(work, step.run, course)
        return refuse_next(step, refused) if refused else step

    def end(self, run: str) -> None:
        """Let a run go, whatever became of it."""
        course = self._courses.pop(run, None)
        if course is not None and course.state.seq:
            with self._store.begin() as work:
                work.model_spend.charge(run, course.service, course.state.spent)

    def _is_limited(self, course: _Course) -> bool:
        return bool(self._budgets.scopes(course.service))

    def _count(self, work: UnitOfWork, run: str, course: _Course) -> str:
        work.model_spend.charge(run, course.service, course.state.spent)
        if not course.state.asks_next or not self._is_limited(course):
            return ""
        return self._reserve(work, run, course)

    def _reserve(self, work: UnitOfWork, run: str, course: _Course) -> str:
        refused = find_shared_limit(work.model_spend.today(), course.service, self._budgets)
        if not refused:
            work.model_spend.reserve(run, course.service, reserve(course.last), work.now + self._hold)
        return refused


def _follow(course: _Course, row: Step) -> bool:
    """Take one row in; True where it holds an answer of the model."""
    before = course.state
    course.state = advance(before, row)
    was_asked = course.state.spent.steps > before.spent.steps
    if was_asked:
        course.last = course.state.spent.minus(before.spent)
    return was_asked


def end_of(rows: Sequence[Step], why: str) -> Step:
    """Return the row that ends a run which may not go on."""
    return Rows(rows[0].run).end(fold(rows), EndReason.LIMIT, why)
