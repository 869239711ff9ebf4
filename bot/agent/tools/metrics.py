"""Metrics over a time, as a table of few numbers."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from bot.agent.arguments import Param, ToolSpec
from bot.agent.tools.paging import PAGE_PARAM, show_page
from bot.agent.tools.times import SINCE, UNTIL, read_span, say_span
from bot.agent.tools.tool import Call, Tool, ToolResult, ask_front
from bot.domain.investigation import Job
from bot.domain.metrics.measure import write_value
from bot.domain.metrics.metric import MetricQuery, MetricRead, Series
from bot.domain.metrics.movement import draw_spark
from bot.domain.metrics.plan import choose_step, plan_metrics
from bot.domain.metrics.promql import fault_of_query
from bot.domain.runs.tool_name import ToolName
from bot.errors import Reason, Refused
from bot.ports.desk import MetricsWanted

MAX_SPAN: Final = timedelta(days=7)
MAX_SERIES: Final = 20
MAX_NAME: Final = 120
WIDTH: Final = 24


async def _metrics(call: Call) -> ToolResult:
    asked = call.text("query")
    named, _ = plan_metrics(call.hands.job)
    if not asked:
        return ToolResult(text=_list_named(call.hands.job, named))
    query = next((each for each in named if each.name == asked), None) or _read_query(asked, named)
    since, until = read_span(call, most=MAX_SPAN)
    unread = MetricRead(query=query, since=since, until=until, step=choose_step((until - since).total_seconds()))
    told = await ask_front(call.hands, MetricsWanted(unread=(unread,)))
    read = told.metrics[0] if told.metrics else unread
    where = f"between {say_span(since, until)}, asked for {' '.join(query.expr.split())[:400]}"
    if read.fault:
        raise Refused(f"{read.fault} ({where})", Reason.NOT_FOUND)
    if not any(each.points for each in read.series):
        return ToolResult(text="\n".join((f"No value {where}.", *read.notes)))
    return ToolResult(text=show_page("\n".join(_tell(read)), call.number("page", 1), call.hands.clean))


def _read_query(asked: str, named: Sequence[MetricQuery]) -> MetricQuery:
    """Take what is no name for PromQL. Raises `Refused` where it cannot be that either."""
    fault = fault_of_query(asked)
    if fault:
        names = ", ".join(each.name for each in named) or "none"
        raise Refused(f"the query is no named metric ({names}), and as PromQL it {fault}", Reason.BAD_INPUT)
    return MetricQuery(name="promql", title="PromQL", expr=asked)


def _list_named(job: Job, named: Sequence[MetricQuery]) -> str:
    if not named:
        return f"No metric of {job.service.name} has a name; give PromQL as query."
    told = (f"{each.name}: {each.title}, {' '.join(each.expr.split())[:300]}" for each in named)
    return "\n".join(("Metrics by name; query takes a name or PromQL:", *told))


def _tell(read: MetricRead) -> Iterator[str]:
    """Yield a head and a line for each series: the largest change first."""
    unit = read.query.unit
    series = sorted((each for each in read.series if each.points), key=_weigh_change)
    yield f"{read.query.title} between {say_span(read.since, read.until)}, a value every {read.step:g} s"
    yield "series | min | mean | max at | first → last | values | over time"
    for each in series[:MAX_SERIES]:
        peak_at, peak = max(each.points, key=lambda point: point[1])
        values = each.values
        cells = (
            each.name[:MAX_NAME],
            write_value(min(values), unit),
            write_value(sum(values) / len(values), unit),
            f"{write_value(peak, unit)} at {datetime.fromtimestamp(peak_at, UTC):%m-%d %H:%M:%S}",
            f"{write_value(values[0], unit)} → {write_value(values[-1], unit)}",
            f"{len(values):,}",
            draw_spark(each.points, read.since, read.until, width=WIDTH),
        )
        yield " | ".join(cells)
    if len(series) > MAX_SERIES:
        yield f"… {len(series) - MAX_SERIES:,} more series, of less change; ask for fewer with labels or sum by"
    yield from read.notes


def _weigh_change(series: Series) -> float:
    return -(max(series.values) - min(series.values))


METRICS: Final = Tool(
    spec=ToolSpec(
        name=ToolName.METRICS,
        about="Ask the metric server about a time: a row per series with min, mean, max, first and last value. "
        "Without a query: the metrics that have names.",
        params=(
            Param(name="query", about="A metric's name, or PromQL."),
            SINCE,
            UNTIL,
            PAGE_PARAM,
        ),
    ),
    do=_metrics,
)
