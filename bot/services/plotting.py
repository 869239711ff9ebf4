"""Plots of an investigation's metrics: which are drawn, once for each run, and what is kept of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bot.domain.conclusion import find_result
from bot.domain.incident import Incident, RunState
from bot.domain.investigation import Collected, StageResult, Suspected
from bot.domain.metrics.metric import Metric, Turn
from bot.domain.metrics.plan import RULE
from bot.domain.runs.image import Image
from bot.domain.suspects.happened import Happened
from bot.ports.work import UnitOfWork
from bot.services.announce import BOT, announce
from bot.services.wishes import base_run

PHASE: Final = "plot"
PLOTTED: Final = "plotted"
MAX_PLOTS: Final = 2
"""In a chat and for the model; the incident's page shows all."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A plot as it was drawn; `caption` is what it shows in words."""

    image: Image
    title: str
    caption: str
    data: bytes


def choose_plots(results: Sequence[StageResult]) -> tuple[Metric, ...]:
    """Return what is worth a picture: the alert's own rule, then what crossed its threshold, then what changed."""
    collected = find_result(results, Collected)
    metrics = collected.metrics if collected else ()
    weight = {Turn.CROSSED: 0, Turn.CHANGED: 1}
    moved = [each for each in metrics if each.query.name == RULE or each.turn in weight]
    return tuple(sorted(moved, key=lambda each: (each.query.name != RULE, weight.get(each.turn, 2))))[:MAX_PLOTS]


def list_changes(results: Sequence[StageResult]) -> tuple[Happened, ...]:
    """Return what changed, as the plots mark it."""
    suspected = find_result(results, Suspected)
    return suspected.changed if suspected else ()


def start_plotting(work: UnitOfWork, incident: str, run: str) -> None:
    """Promise the plots of a run once it is known what was measured and what changed."""
    results = work.investigations.of(run)
    if find_result(results, Suspected) is not None and choose_plots(results):
        work.phases.enqueue(PHASE, run, {"incident": incident, "run": run})


def keep_plots(work: UnitOfWork, incident: str, run: str, plots: Sequence[Drawn]) -> None:
    """Keep what was drawn, and show it where the findings are told already. What was kept before stays."""
    current = work.incidents.get(incident)
    if name_plots(work, incident, run):
        return
    for plot in plots:
        work.images.put(incident, plot.image.sha256, plot.data)
    kept = [_write(plot) for plot in plots]
    data = {"run": run, "plots": json.dumps(kept)}
    work.timeline.append(incident, PLOTTED, BOT, f"Plotted {', '.join(plot.title for plot in plots)}", data)
    if current.run == run and current.run_state is not RunState.RUNNING:
        announce_plots(work, current)


def announce_plots(work: UnitOfWork, incident: Incident) -> None:
    """Promise the plots of the present run, once, where they are drawn."""
    if name_plots(work, incident.id, incident.run):
        announce(work, incident, "plots", arg=str(incident.runs), once=f"run-{incident.runs}")


def list_plots(work: UnitOfWork, incident: str, run: str) -> tuple[Drawn, ...]:
    """Return the plots of the investigation that a run belongs to, those whose bytes are still kept."""
    kept = _list_kept(work, incident, run)
    found = work.images.of(incident, [each["sha256"] for each in kept]) if kept else {}
    return tuple(_read(each, found[each["sha256"]]) for each in kept if each["sha256"] in found)


def name_plots(work: UnitOfWork, incident: str, run: str) -> tuple[Image, ...]:
    """Return what was drawn for the investigation that a run belongs to, by digest alone."""
    return tuple(_read(each, b"").image for each in _list_kept(work, incident, run))


def _list_kept(work: UnitOfWork, incident: str, run: str) -> list[dict[str, str]]:
    told = [event for event in work.timeline.of(incident) if event.kind == PLOTTED]
    return [each for event in told if event.data["run"] == base_run(run) for each in json.loads(event.data["plots"])]


def _write(plot: Drawn) -> dict[str, str | int]:
    image = plot.image
    named = {"sha256": image.sha256, "media_type": image.media_type, "name": image.name}
    return {**named, "width": image.width, "height": image.height, "title": plot.title, "caption": plot.caption}


def _read(kept: dict[str, str], data: bytes) -> Drawn:
    image = Image(
        sha256=kept["sha256"],
        media_type=kept["media_type"],
        width=int(kept["width"]),
        height=int(kept["height"]),
        name=kept["name"],
    )
    return Drawn(image=image, title=kept["title"], caption=kept["caption"], data=data)
