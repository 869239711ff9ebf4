"""Hooks: every change of a run's state, once, in order, until it is told; a kill in between repeats at most one."""

import asyncio
import json

import pytest

from bot.domain.incident import RunState
from bot.engine.hooks import MOST_TRIES, Hooks
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.work import EffectState
from bot.services import triage
from tests.worldkit import alert, group, make_world


class Receiver:
    def __init__(self):
        self.told, self.answers = [], []

    async def tell(self, event, body):
        if self.answers and (answer := self.answers.pop(0)) is not None:
            raise answer
        self.told.append((event, json.loads(body)))

    async def close(self):
        return None

    @property
    def states(self):
        return [(body["run"], body["before"], body["state"]) for _, body in self.told]


@pytest.fixture
def receiver():
    return Receiver()


@pytest.fixture
def world(tmp_path):
    return make_world(tmp_path)


@pytest.fixture
async def hooks(world, receiver):
    made = Hooks(world.store, world.clock, {"ops": receiver}, sweep_seconds=1)
    made.promise()
    return made


async def tell(hooks):
    hooks.promise()
    return await hooks.drain("ops")


async def test_each_change_is_told_in_order_and_once(world, receiver, hooks):
    world.receive(group(alert()))
    digest = world.propose().digest
    await tell(hooks)
    await tell(hooks)
    world.press("ack:INC-1")
    assert world.press(f"approve:INC-1:{digest[:12]}").ok
    await tell(hooks)
    assert receiver.states == [
        ("INC-1:1", None, "PROCESSING"),
        ("INC-1:1", "PROCESSING", "WAITING_APPROVAL"),
        ("INC-1:1", "WAITING_APPROVAL", "PROCESSING"),
    ]
    assert digest[:12] in receiver.told[1][1]["text"]
    assert len({event for event, _ in receiver.told}) == 3


async def test_what_was_before_the_first_start_is_not_told(world, receiver):
    world.receive(group(alert()))
    await tell(Hooks(world.store, world.clock, {"ops": receiver}, sweep_seconds=1))
    assert receiver.told == []


async def test_what_happened_while_nobody_ran_is_told_after_a_restart(world, receiver, hooks):
    world.receive(group(alert()))
    again = Hooks(world.reopen().store, world.clock, {"ops": receiver}, sweep_seconds=1)
    await tell(again)
    assert receiver.states == [("INC-1:1", None, "PROCESSING")]


async def test_a_receiver_that_is_away_gets_everything_in_order_when_it_is_back(world, receiver, hooks):
    receiver.answers = [Unavailable("away", Reason.UNREACHABLE), Unavailable("later", Reason.SERVER_ERROR, 30)]
    world.receive(group(alert()))
    world.propose()
    assert await tell(hooks) == 0.5
    world.clock.advance(seconds=1)
    assert await hooks.drain("ops") == 1
    world.clock.advance(seconds=30)
    await hooks.drain("ops")
    assert [state for _, _, state in receiver.states] == ["PROCESSING", "WAITING_APPROVAL"]


async def test_a_refusal_ends_that_event_alone(world, receiver, hooks):
    receiver.answers = [Rejected("no", Reason.BAD_INPUT)]
    world.receive(group(alert()))
    world.propose()
    await tell(hooks)
    assert [state for _, _, state in receiver.states] == ["WAITING_APPROVAL"]


async def test_a_receiver_that_never_comes_back_is_given_up(world, receiver, hooks):
    world.receive(group(alert()))
    hooks.promise()
    with world.unit() as work:
        key = work.effects.next_of("hook:ops")[0].key
        for _ in range(MOST_TRIES):
            work.effects.defer(key, world.clock.now(), "away")
    receiver.answers = [Unavailable("away", Reason.UNREACHABLE)]
    await hooks.drain("ops")
    with world.unit() as work:
        effect = work.effects.get(key)
    assert effect is not None
    assert effect.state is EffectState.FAILED


async def test_a_kill_after_the_receiver_was_told_repeats_the_same_event(world, receiver, hooks, monkeypatch):
    world.receive(group(alert()))
    monkeypatch.setattr(hooks, "_settle", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        await tell(hooks)
    monkeypatch.undo()
    await tell(hooks)
    assert len(receiver.told) == 2
    assert receiver.told[0] == receiver.told[1]


async def test_it_runs_by_itself_and_one_hook_that_hangs_holds_up_no_other(world, receiver):
    class Hanging(Receiver):
        async def tell(self, event, body):
            await asyncio.Event().wait()

    hooks = Hooks(world.store, world.clock, {"hangs": Hanging(), "ops": receiver}, sweep_seconds=30)
    hooks.promise()
    running = asyncio.create_task(hooks.run())
    world.receive(group(alert()))
    with world.unit() as work:
        triage.plan_job(work, "INC-1", run="INC-1:1", folder="x", rules=world.rules)
        triage.finish_triage(work, "INC-1", state=RunState.DONE)
    async with asyncio.timeout(5):
        while len(receiver.told) < 2:
            hooks.wake()
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [state for _, _, state in receiver.states] == ["PROCESSING", "COMPLETED"]
