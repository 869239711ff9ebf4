"""Steering: what people say in the thread while the model works reaches it as the next user turn."""

from dataclasses import dataclass
from typing import Final

from bot.domain.runs.image import Attachment, Image
from bot.domain.timeline import TimelineEvent
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services.images import NOTHING, Showing, list_shown
from bot.services.modelling import QUEUED, is_wanted
from bot.services.pause import require_running
from bot.services.plotting import PLOTTED, name_plots
from bot.services.questions import ASKED
from bot.services.rulebook import Rulebook

STEERED: Final = "steered"
MAX_WORDS: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class Hint:
    """What somebody said. `key` is its row of the timeline: the same words are given to the model once. `images` were
    posted with it in a channel; `drawn` are our own plots, which are for a model that sees and for no other."""

    key: str
    text: str
    images: tuple[Attachment, ...] = ()
    channel: str = ""
    drawn: tuple[Image, ...] = ()


def find_listening(work: UnitOfWork, incident: str) -> str:
    """Return the model's run that is at work on an incident, the newest of several; "" where none is."""
    queued = [event.data["run"] for event in work.timeline.of(incident) if event.kind == QUEUED]
    return next((run for run in reversed(queued) if is_wanted(work, incident, run)), "")


def steer(
    work: UnitOfWork, incident: str, person: str, text: str, rules: Rulebook, *, showing: Showing = NOTHING
) -> str:
    """Keep what a person says for the model at work. Raises `Refused` where none is, or it is paused."""
    run = find_listening(work, incident)
    if not run:
        raise Refused(f"The model is not at work on {incident}, so nobody would read this.", Reason.STALE)
    require_running(work, incident)
    said = " ".join(text.split())
    if not (said or showing.taken) or len(said) > MAX_WORDS:
        raise Refused(showing.told or f"Say it in {MAX_WORDS:,} characters at most.", Reason.TOO_LARGE)
    shown = f"{rules.name_of(person)} showed the model {showing.names}"
    text = f"{shown}: {said}" if said else shown
    if not showing.taken:
        text = f"{rules.name_of(person)} told the model: {said}"
    work.timeline.append(incident, STEERED, person, text, {"run": run, **showing.data})
    return showing.end("The model gets this after the step that it is at.")


def list_hints(work: UnitOfWork, incident: str, run: str) -> tuple[Hint, ...]:
    """Return the plots of a run of the model, what people said to it, and what they showed with a question."""
    drawn = name_plots(work, incident, run)
    plots = (Hint(key=PLOTTED, text="Plots of the metrics:", drawn=drawn),) if drawn else ()
    events = [event for event in work.timeline.of(incident) if event.data.get("run") == run and _is_hint(event)]
    said = tuple(
        Hint(
            key=str(event.seq),
            text=event.text if event.kind == STEERED else "Shown with the question:",
            images=list_shown(event),
            channel=event.data.get("channel", ""),
        )
        for event in events
    )
    return (*plots, *said)


def _is_hint(event: TimelineEvent) -> bool:
    return event.kind == STEERED or (event.kind == ASKED and "images" in event.data)
