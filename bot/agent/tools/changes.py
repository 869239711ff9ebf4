"""What was changed and delivered before it began: commits, releases, deploys, flags."""

from datetime import datetime, timedelta
from typing import Final

from bot.agent.arguments import Param, ToolSpec
from bot.agent.tools.paging import PAGE_PARAM, show_page
from bot.agent.tools.times import SINCE, UNTIL, read_span, say, say_span
from bot.agent.tools.tool import Call, Tool, ToolResult
from bot.domain.conclusion import find_result
from bot.domain.investigation import Suspected
from bot.domain.runs.tool_name import ToolName
from bot.domain.suspects.happened import Happened
from bot.errors import NightshiftError
from bot.ports.desk import ChangesWanted

MAX_SPAN: Final = timedelta(days=31)
LEAD: Final = timedelta(days=7)
MAX_RELEASES: Final = 5
ORDERS: Final = ("suspicion", "time")


async def _deploys(call: Call) -> ToolResult:
    order = call.text("order") or ORDERS[0]
    since, until = read_span(call, most=MAX_SPAN)
    if not call.text("since"):
        since = min(since, until - LEAD)
    suspected = find_result(call.hands.job.done, Suspected)
    told = await call.hands.ask(ChangesWanted(since=since, until=until))
    ranked = [each for each in (suspected.changed if suspected else ()) if since <= each.at < until]
    known = {(each.what, each.at) for each in ranked}
    found = [*ranked, *(each for each in told.changes if (each.what, each.at) not in known)]
    found.sort(key=lambda each: (-each.score if order == ORDERS[0] else 0.0, -each.at.timestamp()))
    lines = [_tell(each, call.hands.job.alert_started_at) for each in found] or ["No change is known."]
    faults = [f"(what others told of could not be read: {told.fault})"] if told.fault else []
    head = f"Changes between {say_span(since, until)}, by {order}; it began {say(call.hands.job.alert_started_at)}:"
    text = "\n".join((head, *lines, *faults, "", await _list_releases(call)))
    return ToolResult(text=show_page(text, call.number("page", 1), call.hands.clean))


def _tell(change: Happened, began: datetime) -> str:
    after = " (after it began)" if change.at > began else ""
    why = f"; {'; '.join(change.reasons)}" if change.reasons else ""
    score = f"{change.score:.2f} " if change.score else ""
    source = change.source[:12] if len(change.source) == 40 else change.source[:80]
    what = f"{change.kind.value}: {change.what[:160]} ({change.who[:40]}, {source})"
    return f"{score}{say(change.at)}{after} {what}{why[:300]}"


async def _list_releases(call: Call) -> str:
    pattern = call.hands.job.service.release_tags
    try:
        found = await call.hands.checkout.releases(call.hands.head, pattern, MAX_RELEASES)
    except NightshiftError as error:
        return f"Releases ({pattern}) could not be read: {error}"
    named = ", ".join(f"{each.tag} at {each.sha[:12]}" for each in found)
    return (
        f"Releases that head holds, newest first: {named}" if found else f"No tag like {pattern} is at head's commits."
    )


DEPLOYS: Final = Tool(
    spec=ToolSpec(
        name=ToolName.DEPLOYS,
        about="List what changed before it began: commits, merges, deploys, rollbacks, flags and settings that others "
        "told of, and releases.",
        params=(
            Param(
                name="order", about='"suspicion", the most suspect first, or "time", the newest first.', choices=ORDERS
            ),
            SINCE,
            UNTIL,
            PAGE_PARAM,
        ),
    ),
    do=_deploys,
)
