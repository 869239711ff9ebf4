"""2,000 messages and 500 presses over 40 chats within a minute, against services that hold the bot to their limits.

The bot's store, dispatcher and connectors run here with the real SDKs; the services and the people are another process.
"""

import asyncio
import logging
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from bot.bootstrap.front import SWITCH_SECONDS
from tests.bench.report import Row, exactly, note, quantile, show, within
from tests.busy_chats import Scene, open_scene

CHATS = 10
"""Of each service."""
INCIDENTS = {"slack": 40, "discord": 40, "telegram": 13, "whatsapp": 7}
"""In each chat; each is a card and a page. WhatsApp is told of pages alone; its cards wait to be asked for."""
PRESSES = {"slack": 18, "discord": 18, "telegram": 9, "whatsapp": 5}
SECONDS = 45.0
ROUNDS = 9
DRAIN_SECONDS = 200.0
ANSWER_SECONDS = 3.0
"""In which Slack and Discord want an answer; the others are held to it as well."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run came to. `ends` are the seconds until nothing waited any more, `told` what each chat has seen."""

    accepted: float
    cpu: float
    ends: Mapping[str, float]
    told: Mapping[str, Any]


async def measure(folder: Path) -> list[Row]:
    sys.setswitchinterval(SWITCH_SECONDS)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    async with open_scene(folder, [(kind, number) for kind in INCIDENTS for number in range(CHATS)]) as scene:
        outcome = await play(scene, INCIDENTS, PRESSES, SECONDS)
    return report(INCIDENTS, outcome)


async def play(scene: Scene, incidents: Mapping[str, int], presses: Mapping[str, int], seconds: float) -> Outcome:
    """Let alerts come and people press for some seconds, and wait until everything is out."""
    cpu, began = time.process_time(), time.monotonic()
    people = asyncio.ensure_future(scene.far.ask(press=presses, seconds=seconds))
    is_accepted = asyncio.Event()
    watch = asyncio.ensure_future(_watch(scene, is_accepted))
    for turn in range(ROUNDS):
        await asyncio.sleep(max(0.0, began + turn * seconds / ROUNDS - time.monotonic()))
        numbers = {kind: range(all_ * turn // ROUNDS, all_ * (turn + 1) // ROUNDS) for kind, all_ in incidents.items()}
        await scene.receive({f"{kind}{number}": numbers[kind] for kind, number in scene.names})
    await people
    accepted = time.monotonic() - began
    is_accepted.set()
    ends = await watch
    return Outcome(accepted=accepted, cpu=time.process_time() - cpu, ends=ends, told=await scene.far.ask())


async def _watch(scene: Scene, is_accepted: asyncio.Event) -> Mapping[str, float]:
    """Return when the last message of each kind of chat was out: looked at until all are, and no more can come."""
    began, ends = time.monotonic(), dict.fromkeys((kind for kind, _ in scene.names), 0.0)
    while (now := time.monotonic() - began) < DRAIN_SECONDS:
        may_end = is_accepted.is_set()
        waiting = await scene.count_waiting()
        ends |= dict.fromkeys(waiting, now)
        if may_end and not waiting:
            break
        await asyncio.sleep(0.25)
    return ends


def report(incidents: Mapping[str, int], outcome: Outcome) -> list[Row]:
    told = outcome.told
    answered = [seconds for one in told.values() for seconds in one["answered"]]
    wanted = {name: _wanted(_kind(name), incidents) for name in told}
    lost = sum((wanted[name] - Counter(one["posts"])).total() for name, one in told.items())
    twice = sum((Counter(one["posts"]) - wanted[name]).total() for name, one in told.items())
    promised = sum(2 * incidents[_kind(name)] for name in told)
    sent = sum(len(one["posts"]) for one in told.values())
    refused, taken = (sum(one[key] for one in told.values()) for key in ("refused", "accepted"))
    p50, p99 = quantile(answered, 0.5), quantile(answered, 0.99)
    what = f"{promised:,} messages and {len(answered)} presses over {len(told)} chats: accepted within"
    return [
        within("", what, outcome.accepted, 60, "s"),
        exactly("", "… messages lost", lost, 0),
        exactly("", "… messages sent twice", twice, 0),
        exactly("", "… chats whose order was not kept", _count_unordered(told), 0),
        exactly(
            "", "… calls that broke a rule of the service", sum(len(one["violations"]) for one in told.values()), 0
        ),
        within("P1", "press answered, p99", p99, 1.0, "s"),
        note("press answered: p50 / p99 / slowest", f"{show(p50)} / {show(p99)} / {show(max(answered))} s"),
        within("", "press answered, slowest", max(answered), ANSWER_SECONDS, "s"),
        note("calls refused as too soon, of all that count", f"{refused} of {refused + taken}"),
        note(f"CPU for each of {sent:,} messages, with presses and edits", f"{show(outcome.cpu / sent * 1000)} ms"),
        *(_compare(kind, outcome) for kind in incidents),
    ]


def _compare(kind: str, outcome: Outcome) -> Row:
    least = max(one["least"] for name, one in outcome.told.items() if _kind(name) == kind)
    return note(f"{kind}: all out after / the least its limits allow", f"{show(outcome.ends[kind])} / {show(least)} s")


def _count_unordered(told: Mapping[str, Any]) -> int:
    return sum(one["posts"] != sorted(one["posts"]) for one in told.values())


def _wanted(kind: str, incidents: Mapping[str, int]) -> Counter[int]:
    return Counter(dict.fromkeys(range(incidents[kind]), 1 if kind == "whatsapp" else 2))


def _kind(name: str) -> str:
    return name.rstrip("0123456789")
