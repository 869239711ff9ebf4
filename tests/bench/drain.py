"""2,000 messages and 500 presses over 40 chats within a minute, against services that hold the bot to their limits."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.report import Row, exactly, note, quantile, show, within
from tests.busy_chats import Busy, Scene, make_chat, open_scene

CHATS = 10
"""Of each service."""
MESSAGES = {"slack": 80, "discord": 80, "telegram": 26, "whatsapp": 14}
"""In each chat: a card and a page for each incident. WhatsApp is told of pages alone; its cards wait to be asked for."""
PRESSES = {"slack": 18, "discord": 18, "telegram": 9, "whatsapp": 5}
ACCEPT_SECONDS = 45.0
ROUNDS = 10
DRAIN_SECONDS = 240.0
ANSWER_SECONDS = 3.0
"""In which Slack and Discord want an answer; the others are held to it as well."""


@dataclass(kw_only=True)
class Outcome:
    """What a run came to."""

    accepted: float
    drained: float
    cpu: float
    ends: dict[str, float] = field(default_factory=dict)


async def measure(folder: Path) -> list[Row]:
    chats = [make_chat(kind, number) for kind in MESSAGES for number in range(CHATS)]
    incidents = {kind: count // 2 for kind, count in MESSAGES.items()}
    async with open_scene(folder, chats) as scene:
        outcome = await play(scene, incidents, PRESSES)
    return report(chats, incidents, outcome)


async def play(
    scene: Scene, incidents: Mapping[str, int], presses: Mapping[str, int], seconds: float = ACCEPT_SECONDS
) -> Outcome:
    """Let alerts come and people press for some seconds, and wait until everything is out."""
    cpu, began = time.process_time() - await scene.far.cpu(), time.monotonic()
    people = asyncio.gather(*(scene.far.run(_press_steadily(one, presses[one.kind], seconds)) for one in scene.chats))
    for turn in range(ROUNDS):
        await asyncio.sleep(max(0.0, began + turn * seconds / ROUNDS - time.monotonic()))
        numbers = {
            kind: range(count * turn // ROUNDS, count * (turn + 1) // ROUNDS) for kind, count in incidents.items()
        }
        await scene.receive({one.name: numbers[one.kind] for one in scene.chats})
    await people
    accepted = time.monotonic() - began
    ends: dict[str, float] = {}
    while (left := await _count_waiting(scene)) and time.monotonic() - began < DRAIN_SECONDS:
        ends |= {one.kind: time.monotonic() - began for one in scene.chats if left[one.name]}
        await asyncio.sleep(0.25)
    drained = time.monotonic() - began
    return Outcome(accepted=accepted, drained=drained, cpu=time.process_time() - await scene.far.cpu() - cpu, ends=ends)


async def _press_steadily(one: Busy, count: int, seconds: float) -> None:
    """Press so many buttons over some seconds; one that is not there yet is waited for."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for turn in range(count):
        await asyncio.sleep(max(0.0, began + (turn + one.number / CHATS) * seconds / count - loop.time()))
        while not await one.press():
            await asyncio.sleep(0.1)


async def _count_waiting(scene: Scene) -> Counter[str]:
    """Return how many promises wait in each chat."""

    def count() -> Counter[str]:
        with scene.store.begin() as work:
            waiting = {one.name: len(work.effects.next_of(f"chat:{one.name}", 5000)) for one in scene.chats}
        return Counter({name: number for name, number in waiting.items() if number})

    return await asyncio.to_thread(count)


def report(chats: Sequence[Busy], incidents: Mapping[str, int], outcome: Outcome) -> list[Row]:
    answered = [seconds for one in chats for seconds in one.answered]
    wanted = {one.name: _wanted(one.kind, incidents[one.kind]) for one in chats}
    posts = {one.name: one.posts() for one in chats}
    sent = sum(len(found) for found in posts.values())
    refused = sum(one.limits.refused for one in chats)
    accepted = sum(sum(one.limits.accepted.values()) for one in chats)
    promised = sum(2 * incidents[one.kind] for one in chats)
    rows = [
        note(
            f"{promised:,} messages promised and {len(answered)} presses over {len(chats)} chats, accepted within",
            f"{show(outcome.accepted)} s",
        ),
        exactly("", "messages lost", sum((Counter(wanted[name]) - Counter(posts[name])).total() for name in posts), 0),
        exactly(
            "", "messages sent twice", sum((Counter(posts[name]) - Counter(wanted[name])).total() for name in posts), 0
        ),
        exactly(
            "", "chats in which the order was not kept", sum(found != sorted(found) for found in posts.values()), 0
        ),
        within("P1", "press answered, p99", quantile(answered, 0.99), 1.0, "s"),
        note(
            "press answered: p50 / p99 / largest",
            f"{show(quantile(answered, 0.5))} / {show(quantile(answered, 0.99))} / {show(max(answered))} s",
        ),
        exactly("", f"presses answered after {ANSWER_SECONDS:g} s", sum(one > ANSWER_SECONDS for one in answered), 0),
        note("calls that a service refused as too soon, of all that it counts", f"{refused} of {refused + accepted}"),
        note(
            f"CPU of the bot for each of {sent:,} messages, presses and edits included",
            f"{show(outcome.cpu / sent * 1000)} ms",
        ),
    ]
    for kind in incidents:
        least = max(one.limits.least_seconds() for one in chats if one.kind == kind)
        rows.append(
            note(
                f"{kind}: drained after / the least that its limits allow",
                f"{show(outcome.ends.get(kind, 0.0))} / {show(least)} s",
            )
        )
    return rows


def _wanted(kind: str, incidents: int) -> list[int]:
    return [number for number in range(incidents) for _ in range(1 if kind == "whatsapp" else 2)]
