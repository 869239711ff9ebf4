"""`replay --from-step`: what another model or prompt would have done from a step on. Nothing of it is stored."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bot.agent.fork import Asked, Fork, fork_run
from bot.agent.images import Album
from bot.agent.loop import Head
from bot.agent.profiles import make_head
from bot.agent.recall import recall_far_tools, recall_profile
from bot.bootstrap.commands.named_files import read_named
from bot.bootstrap.commands.replay import ReplayReport, read_stored
from bot.bootstrap.commands.replay_text import StoredRun
from bot.bootstrap.model_place import find_place
from bot.bootstrap.worker import open_model
from bot.domain.runs.profile import AgentProfile
from bot.domain.runs.transcript import Budget
from bot.domain.text.letters import decode_text
from bot.domain.text.unseen import make_harmless
from bot.errors import Reason, Refused
from bot.ports.model import Errand, ModelPlace
from bot.render.words import write_line
from bot.settings import Settings

MAX_PROMPT: Final = 256 * 1024
LONGEST: Final = 160


@dataclass(frozen=True, kw_only=True)
class ForkOrder:
    """What is changed: the step from which on the model is asked, another address, another system text."""

    step: int
    model_url: str = ""
    prompt: Path | None = None


def fork_stored(settings: Settings, name: str, order: ForkOrder, *, as_json: bool) -> ReplayReport:
    """Fork the run called `name`. Raises `Refused` where that cannot be, `Unavailable` where no model answers."""
    stored = read_stored(settings, name)
    place = find_place(settings, order.model_url)
    if place is None:
        raise Refused("No model is configured; name one with --model-url.", Reason.NOT_FOUND)
    prompt = decode_text(read_named(order.prompt, most=MAX_PROMPT)).strip() if order.prompt else None
    if not stored.steps:
        raise Refused(f"No model worked on {stored.run}, so there is nothing to fork.", Reason.NOT_FOUND)
    profile = recall_profile(stored.steps) or AgentProfile()
    head = make_head(place, settings.model_budget(), profile, system=prompt, far=recall_far_tools(stored.steps))
    fork = asyncio.run(_ask(stored, order.step, place, head, profile.limit(settings.model_budget())))
    text = json.dumps(_as_json(stored, fork), indent=2) if as_json else "\n".join(_write(stored, fork))
    return ReplayReport(ok=True, text=text)


async def _ask(stored: StoredRun, step: int, place: ModelPlace, head: Head, budget: Budget) -> Fork:
    async def fetch(sha256: str) -> bytes:
        return stored.images.get(sha256, b"")

    async with open_model(place, Errand(), lambda _tried: None) as model:
        return await fork_run(stored.steps, at=step, model=model, head=head, budget=budget, album=Album(fetch))


def _write(stored: StoredRun, fork: Fork) -> Iterator[str]:
    yield f"{stored.run}, forked; nothing of it is stored"
    for answer in fork.differences:
        if answer.is_same:
            yield f"answer {answer.number}  the same: {_tell(answer.now)}"
        else:
            yield f"answer {answer.number}  DIFFERS"
            yield f"  was  {_tell(answer.was)}"
            yield f"  now  {_tell(answer.now)}"
    if fork.stopped:
        yield "It goes another way here: the run never made this call, so what comes back is not known."
    prompt, cached, written = fork.spent
    yield f"{prompt:,} prompt tokens ({cached:,} cached), {written:,} written"


def _tell(asked: Asked | None) -> str:
    if asked is None:
        return "ended before"
    calls = [f"{name} {arguments}" for name, arguments in asked.calls]
    return make_harmless(write_line("; ".join(calls) if calls else asked.text or "nothing", LONGEST))


def _as_json(stored: StoredRun, fork: Fork) -> dict[str, Any]:
    def show(asked: Asked | None) -> dict[str, Any] | None:
        if asked is None:
            return None
        return {"text": asked.text, "calls": [{"name": name, "arguments": given} for name, given in asked.calls]}

    prompt, cached, written = fork.spent
    return {
        "run": stored.run,
        "answers": [
            {"number": one.number, "same": one.is_same, "was": show(one.was), "now": show(one.now)}
            for one in fork.differences
        ],
        "stopped": fork.stopped or None,
        "spent": {"prompt": prompt, "cached": cached, "written": written},
    }
