"""Images that responders post for the model: what is taken of them, and what people are told at once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bot.domain.chat import Said
from bot.domain.oncall import Person, Role
from bot.domain.runs.image import MAX_IMAGES, Attachment
from bot.domain.timeline import TimelineEvent
from bot.ports.work import UnitOfWork

_NAME: Final = 80
_BLIND: Final = "The model cannot see images; it is told their names."
_ONLY: Final = "Only responders show images to the model."


@dataclass(frozen=True, kw_only=True)
class Showing:
    """Images that go to the model with somebody's words. `told` is a line for that person, "" where all is taken."""

    taken: tuple[Attachment, ...] = ()
    channel: str = ""
    told: str = ""

    @property
    def names(self) -> str:
        return ", ".join(one.name for one in self.taken)

    @property
    def data(self) -> Mapping[str, str]:
        """Return what the timeline keeps, so that they can be fetched later."""
        if not self.taken:
            return {}
        kept = [[one.name, one.media_type, one.size, one.ref] for one in self.taken]
        return {"images": json.dumps(kept), "channel": self.channel}

    def end(self, reply: str) -> str:
        """Return a reply with what is to be said of the images."""
        return f"{reply} {self.told}".strip()


NOTHING: Final = Showing()


def choose_images(work: UnitOfWork, said: Said, person: Person, run: str, *, sees: bool) -> Showing:
    """Return what goes to a run of the model, "" for one that begins; `sees` says whether it sees images at all."""
    if not said.attachments:
        return NOTHING
    if not person.may(Role.RESPONDER):
        return Showing(told=_ONLY)
    left = MAX_IMAGES - (_count_shown(work, str(said.incident), run) if run else 0)
    taken, refused = list[Attachment](), list[str]()
    for one in said.attachments:
        fault = one.fault or (f"{MAX_IMAGES} are the most in a run" if len(taken) >= left else "")
        if fault:
            refused.append(f"{one.name[:_NAME]} ({fault})")
        else:
            taken.append(one)
    told = [f"Not taken: {', '.join(refused[:MAX_IMAGES])}."] if refused else []
    told += [_BLIND] if taken and not sees else []
    return Showing(taken=tuple(taken), channel=said.channel, told=" ".join(told))


def _count_shown(work: UnitOfWork, incident: str, run: str) -> int:
    return sum(len(list_shown(event)) for event in work.timeline.of(incident) if event.data.get("run") == run)


def list_shown(event: TimelineEvent) -> tuple[Attachment, ...]:
    """Return the images that were posted with what the event tells of."""
    kept = json.loads(event.data.get("images", "[]"))
    return tuple(Attachment(name=name, media_type=kind, size=size, ref=ref) for name, kind, size, ref in kept)
