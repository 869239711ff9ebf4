"""The last words of the demo: how long each step took, what was proven, and where to look."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.demo.api import BotApi, Event
from bot.demo.config import BotPlace
from bot.demo.folder import DemoError
from bot.demo.person import Ana
from bot.demo.proof import find_faults, find_milestones, find_pushed
from bot.demo.repository import CheckoutWorld


@dataclass(frozen=True, kw_only=True)
class Ending:
    """When the alert went out, and when the service was measured healthy again."""

    incident: str
    alerted_at: datetime
    healthy_at: datetime


async def prove(world: CheckoutWorld, api: BotApi, ana: Ana, incident: str) -> list[str]:
    """Compare what was shown with what was pushed and run. Returns the faults; empty = all is as promised."""
    status = await api.incident(incident)
    executed = [patch for patch in status.patches if patch.state == "executed"] if status else []
    if status is None or not executed:
        raise DemoError("The service recovered, but not by an approved patch.")
    if not ana.is_signed_in:
        await ana.sign_in(await ana.make_link())
    shown = await ana.read_diff(incident, executed[-1].digest)
    return find_faults(world.repository, status, shown)


def print_summary(
    world: CheckoutWorld, place: BotPlace, ending: Ending, events: Sequence[Event], faults: Sequence[str]
) -> None:
    """Print the closing summary."""
    pushed = find_pushed(world.repository, ending.incident)
    healthy = (ending.healthy_at - ending.alerted_at).total_seconds()
    steps = [(step.name, step.seconds) for step in find_milestones(events, ending.alerted_at)]
    rows = [*steps, ("healthy, measured", healthy)]
    lines = ["", f"{ending.incident} is closed. Seconds after the alert:"]
    lines += [f"  {seconds:7.1f}  {name}" for name, seconds in sorted(rows, key=lambda row: row[1])]
    lines += ["", "Where to look:"]
    lines += [f"  web page     {place.url}/incidents/{ending.incident}"]
    lines += [f"  repository   git --git-dir {world.repository} show {each.branch}" for each in pushed]
    lines += [f"  regression   git --git-dir {world.repository} show {world.culprit[:12]}"]
    lines += [f"  logs         {world.repository.parent}/checkout.log and bot/log/nightshift.log"]
    if faults:
        lines += ["", "Not as promised:", *(f"  - {fault}" for fault in faults)]
    else:
        lines += ["", "Checked: the pushed commit's diff is the diff that was shown, byte for byte; one CI run."]
    sys.stdout.write("\n".join(lines) + "\n\n")
    sys.stdout.flush()
