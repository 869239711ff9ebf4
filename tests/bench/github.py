"""Approvals over GitHub, against the forge of the tests: how soon they are pushed and told, and what they cost."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.bench.report import Row, note, quantile, show, within
from tests.e2e.hub import Hub, Way, open_hub
from tests.forge.actions import JobPlan, Workflow

APPROVALS: Final = 8
TAKES: Final = 1.5
LOOK: Final = 0.005
POLL: Final = 5.0
AN_HOUR: Final = 5000
"""Calls that GitHub allows one token in an hour."""


@dataclass(kw_only=True)
class Watch:
    """When the forge saw a push, and when the store held the verdict."""

    hub: Hub
    pushed_at: dict[str, float] = field(default_factory=dict)
    told_at: dict[str, float] = field(default_factory=dict)

    async def look(self) -> None:
        while True:
            now = time.monotonic()
            for run in self.hub.forge.runner.runs:
                self.pushed_at.setdefault(run.branch.split("/")[1], now)
            for incident, state in self.hub.lane.states().items():
                if state == "executed":
                    self.told_at.setdefault(incident, time.time())
            await asyncio.sleep(LOOK)

    def pushes(self) -> list[float]:
        return [at - self.hub.pressed_at[incident] for incident, at in self.pushed_at.items()]

    def verdicts(self) -> list[float]:
        runs = self.hub.forge.runner.runs
        return [self.told_at[run.branch.split("/")[1]] - run.jobs[-1].ends_at for run in runs]


async def measure_github(folder: Path) -> list[Row]:
    polled = await _measure(folder / "polled", Way(poll_seconds=POLL))
    heard = await _measure(folder / "heard", Way(hooked=True))
    rows = [note("GitHub: press → pushed over smart HTTP, p50 / p99", _p50_p99(polled.pushes() + heard.pushes()))]
    for how, watch in ((f"polling every {POLL:g} s", polled), ("told by a webhook", heard)):
        calls = len(watch.hub.forge.asked) / APPROVALS
        counted = (AN_HOUR - watch.hub.forge.faults.quota) / APPROVALS
        rows += [
            note(f"GitHub: CI ends → verdict stored, {how}: p50 / p99", _p50_p99(watch.verdicts())),
            note(f"GitHub: calls for each approval, {how}: all / counted", f"{calls:.1f} / {counted:.1f}"),
            within("", f"GitHub: share of an hour's calls for each approval, {how}", 100 * counted / AN_HOUR, 1.0, "%"),
        ]
    return rows


async def _measure(folder: Path, way: Way) -> Watch:
    async with open_hub(folder, way, APPROVALS) as hub:
        hub.at_once = 1
        hub.forge.workflows = (Workflow(plan=lambda _hosted, _sha: [JobPlan(seconds=TAKES)]),)
        watch = Watch(hub=hub)
        looking = asyncio.create_task(watch.look())
        try:
            await hub.run(seconds=180)
            await asyncio.sleep(10 * LOOK)
        finally:
            looking.cancel()
        await asyncio.to_thread(hub.check)
        return watch


def _p50_p99(values: Sequence[float]) -> str:
    return f"{show(statistics.median(values))} / {show(quantile(values, 0.99))} s"
