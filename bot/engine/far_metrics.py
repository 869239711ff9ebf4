"""Metrics: asked for here, where the credentials are, all at once, for the worker.

What is read is handed over as it is: the worker takes secrets out before anything else sees it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import Final

from bot.domain.investigation import Collected, Job
from bot.domain.metrics.metric import MetricRead
from bot.domain.metrics.plan import look_closer, plan_metrics, plan_range, trim
from bot.errors import NightshiftError, Reason, Rejected
from bot.ports.aside import begin
from bot.ports.metrics import MetricQuestion, MetricSource

MAX_BYTES: Final = 8 * 1024 * 1024
"""Of all answers together."""
SECONDS: Final = 6.0
"""So that what the logs say is there within ten, whatever the server does."""
SLACK: Final = 0.5
TOGETHER: Final = 4
"""Queries at once."""


async def fetch_metrics(job: Job, source: MetricSource | None) -> tuple[MetricRead, ...]:
    """Return what the metric server says about the alert. What is refused, dead or slow is a reason, not waited for."""
    is_collected = any(isinstance(result, Collected) and not result.pending for result in job.done)
    if source is None or is_collected or "metrics" not in job.playbook.evidence:
        return ()
    queries, unasked = await asyncio.to_thread(plan_metrics, job)
    since, until, step = plan_range(job)
    unread = [MetricRead(query=query, since=since, until=until, step=step) for query in queries]
    return (*await read_metrics(unread, source), *unasked)


async def read_metrics(unread: Sequence[MetricRead], source: MetricSource) -> tuple[MetricRead, ...]:
    """Read several queries at once, each with its share of the bytes. One that cannot be had says why."""
    asking = _Asking(source=source, max_bytes=MAX_BYTES // max(len(unread), 1), ends_at=monotonic() + SECONDS)
    gate = asyncio.Semaphore(TOGETHER)
    return tuple(await asyncio.gather(*(_ask(each, asking, gate) for each in unread)))


@dataclass(frozen=True, kw_only=True)
class _Asking:
    """What the queries of one investigation share."""

    source: MetricSource
    max_bytes: int
    ends_at: float

    def ask(self, read: MetricRead) -> MetricRead:
        """Ask once. Raises `Unavailable` or `Rejected`."""
        question = MetricQuestion(
            expr=read.query.expr,
            since=read.since,
            until=read.until,
            step=read.step,
            max_bytes=self.max_bytes,
            seconds=max(self.ends_at - monotonic(), 0.1),
        )
        answer = self.source.read(question)
        return replace(read, series=answer.series, notes=answer.notes)


async def _ask(unread: MetricRead, asking: _Asking, gate: asyncio.Semaphore) -> MetricRead:
    try:
        async with asyncio.timeout(max(asking.ends_at - monotonic(), 0) + SLACK), gate:
            return await asyncio.wrap_future(begin(partial(_read, unread, asking), name="asks metrics"))
    except TimeoutError:
        fault = f"no answer within {SECONDS:g} s, asked for {' '.join(unread.query.expr.split())[:200]}"
    except NightshiftError as error:
        fault = str(error)
    return replace(unread, fault=fault)


def _read(unread: MetricRead, asking: _Asking) -> MetricRead:
    """Ask, and ask again where the answer is too large, or too coarse to show anything."""
    try:
        read = asking.ask(unread)
    except Rejected as error:
        if error.reason is not Reason.TOO_LARGE or not unread.query.whole:
            raise
        # The rule itself has values only for what fires: far fewer.
        read = asking.ask(replace(unread, query=replace(unread.query, expr=unread.query.whole, whole="")))
    closer = look_closer(read.series, read.since, read.until)
    if closer is None:
        return read
    since, step = closer
    try:
        return trim(asking.ask(replace(read, since=since, step=step)))
    except NightshiftError:
        return read
