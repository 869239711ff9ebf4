"""Killed where a message or an event of a hook is told: the next process tells it by the same key, once more."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.domain.chat import Message
from bot.engine.dispatcher import Channel, Dispatcher
from bot.engine.hooks import Hooks
from bot.ports.work import Effect
from tests.unit.test_dispatcher import CAN_EDIT
from tests.worldkit import FixedClock, PhaseLog, World, alert, group, make_rules, make_store, make_world

KINDS = ("linked", "plots", "summary", "raised", "answer")
"""Messages that no walk through an incident is sure to bring."""
HOOK = "ops"


class Notebook:
    """A chat and a hook that write down each key they are handed, also in a process that is killed."""

    limits = CAN_EDIT

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, key: str) -> str:
        with self.path.open("a") as file:
            file.write(f"{key}\n")
        return key

    async def post(self, channel: str, message: Message, key: str, thread: str | None) -> str:
        return self.write(key)

    async def tell(self, event: str, body: bytes) -> None:
        self.write(event)

    async def close(self) -> None:
        return None


def compose(effect: Effect, _channel: str) -> Message:
    return Message(incident=effect.payload["incident"], slot=effect.key, headline="x")


async def serve(world: World, notebook: Notebook) -> None:
    """Do what a process does until nothing is promised any more."""
    channels = [Channel(name="web", connector=notebook)]  # type: ignore[arg-type]  # all that is called of it
    dispatcher = Dispatcher(world.store, world.clock, channels, compose, sweep_seconds=1)
    while await dispatcher._drain(channels[0]) == 0:
        continue
    hooks = Hooks(world.store, world.clock, {HOOK: notebook}, sweep_seconds=1)
    hooks.promise()
    await hooks.drain(HOOK)


CHILD = """
import asyncio, sys
from pathlib import Path
from tests.unit.test_dispatcher_kills import Notebook, reopen, serve
asyncio.run(serve(reopen(Path(sys.argv[1])), Notebook(Path(sys.argv[2]))))
"""


def reopen(path: Path) -> World:
    clock = FixedClock()
    phases = PhaseLog(clock)
    store = make_store(path, clock, phases, fresh=False)
    return World(path=path, clock=clock, phases=phases, store=store, rules=make_rules())


def promise(world: World) -> None:
    """Promise one message of each kind, and an event to the hook."""
    Hooks(world.store, world.clock, {HOOK: Notebook(Path())}, sweep_seconds=1).promise()
    world.receive(group(alert()))
    with world.unit() as work:
        for effect in work.effects.next_of("chat:web"):
            work.effects.settle(effect.key, effect.state.DONE)
        for kind in KINDS:
            payload = {"what": kind, "incident": "INC-1", "arg": ""}
            work.effects.intend(f"{kind}:INC-1::web:1", "chat:web", payload)


async def kill_at(points: Sequence[str], path: Path) -> Counter[str]:
    """Let one process after another die at these points, and one live; return how often each key was told."""
    world, notebook = make_world(path), Notebook(path / "told")
    promise(world)
    command = [sys.executable, "-c", CHILD, str(path), str(notebook.path)]
    for point in points:
        plan = {"NIGHTSHIFT_FAULT_POINT": point, "NIGHTSHIFT_ALLOW_FAULTS": "1"}
        died = await asyncio.to_thread(subprocess.run, command, env={**os.environ, **plan}, check=False)
        assert died.returncode == -signal.SIGKILL, point
    await serve(world.reopen(), notebook)
    with world.unit() as work:
        assert work.effects.targets("") == ["chat:console"], "which nobody serves here"
    return Counter(key.partition(":")[0] for key in notebook.path.read_text().split())


@pytest.mark.long
async def test_kills_before_and_after_each_lose_nothing_and_repeat_each_once(tmp_path):
    points = [f"chat.{kind}.{side}" for kind in KINDS for side in ("before", "after")]
    told = await kill_at([*points, "hook.before", "hook.after"], tmp_path)
    assert told == dict.fromkeys([*KINDS, "hook"], 2)
