"""The dispatcher keeps promises: in order, newest first of its kind, again where that may help, and once."""

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest
from sqlalchemy import text

from bot.domain.chat import ChatLimits, Message
from bot.engine import dispatcher as module
from bot.engine.compose import Composer
from bot.engine.dispatcher import Channel, Dispatcher
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.work import EffectState
from bot.render.links import Links
from tests.worldkit import World, alert, group, make_world, quiet  # noqa: F401 -- `quiet` is a fixture

CAN_EDIT = ChatLimits(
    text=4000, buttons=10, can_edit=True, can_thread=True, can_answer_privately=True, has_forms=True, files=True
)
CANNOT_EDIT = ChatLimits(
    text=4000, buttons=10, can_edit=False, can_thread=False, can_answer_privately=False, has_forms=False, files=False
)


class Chat:
    """A chat service in memory. `faults` are raised by the next calls, one each."""

    def __init__(self, limits: ChatLimits = CAN_EDIT) -> None:
        self.limits = limits
        self.posts: list[tuple[str, Message, str, str | None]] = []
        self.edits: list[tuple[str, Message]] = []
        self.faults: list[Exception | None] = []
        self.calls = 0

    async def post(self, channel: str, message: Message, key: str, thread: str | None) -> str:
        self._fail()
        ref = f"m{len(self.posts) + 1}"
        self.posts.append((ref, message, key, thread))
        return ref

    async def edit(self, channel: str, message: Message, ref: str) -> None:
        self._fail()
        self.edits.append((ref, message))

    def _fail(self) -> None:
        self.calls += 1
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault

    @property
    def slots(self) -> list[str]:
        return [message.slot for _, message, _, _ in self.posts]

    def posted(self, slot: str) -> tuple[str, Message, str, str | None]:
        return next(post for post in self.posts if post[1].slot == slot)


class Rig:
    """A dispatcher for the channel "web" of a world, driven by hand."""

    def __init__(self, world: World, chat: Chat) -> None:
        self.world = world
        self.chat = chat
        self.channel = Channel(name="web", connector=chat)
        self.dispatcher = Dispatcher(
            world.store,
            world.clock,
            [self.channel],
            Composer(world.store, world.rules, Links()).compose,
            sweep_seconds=30,
        )

    async def step(self) -> float:
        return await self.dispatcher._drain(self.channel)

    async def settle(self) -> float:
        """Send everything that is due and return how long the dispatcher would sleep."""
        pause = 0.0
        while pause == 0:
            pause = await self.step()
        return pause

    def state(self, key: str) -> EffectState:
        with self.world.unit() as work:
            effect = work.effects.get(key)
        assert effect is not None
        return effect.state


@pytest.fixture
def world(tmp_path) -> World:
    return make_world(tmp_path, opened=True)


@pytest.fixture
def chat() -> Chat:
    return Chat()


@pytest.fixture
async def rig(world, chat) -> Rig:
    return Rig(world, chat)


class TestSending:
    async def test_what_was_promised_is_posted_in_order_into_the_thread_of_the_card(self, rig, chat):
        assert await rig.settle() == 30
        assert chat.slots[:2] == ["card", "page:0"]
        assert [thread for _, _, _, thread in chat.posts] == [None] + ["m1"] * (len(chat.posts) - 1)
        assert not rig.world.promised("card")
        assert rig.world.promised("card", "console"), "another channel has its own dispatcher"
        assert rig.world.texts("posted")[:2] == ["Posted card to web", "Posted page:0 to web"]

    async def test_a_change_edits_the_message_that_stands(self, rig, chat):
        await rig.settle()
        posts = list(chat.posts)
        rig.world.press("ack:INC-1")
        await rig.settle()
        assert chat.posts == posts
        assert {ref for ref, _ in chat.edits} == {"m1", "m2"}
        assert chat.edits[-1][1].rings == ()

    async def test_new_counts_are_one_edit_in_two_seconds_that_holds_nothing_up(self, rig, chat):
        await rig.settle()
        for instance in "abc":
            rig.world.receive(group(alert(instance=instance)))
        assert 0 < await rig.settle() <= 1
        assert not chat.edits, "the counts wait for their second"
        rig.world.press("escalate:INC-1")
        await rig.settle()
        assert "page:1" in chat.slots, "what is due is sent first"
        assert len(chat.edits) == 2, "card and page; the card that is sent for another reason shows the counts too"
        assert "Alerts" in str(chat.edits[0][1]) or "Alerts" in str(chat.edits[1][1])
        rig.world.clock.advance(seconds=2)
        assert await rig.settle() == 30
        rig.world.receive(group(alert(instance="d")))
        rig.world.receive(group(alert(instance="e")))
        rig.world.clock.advance(seconds=2)
        before = len(chat.edits)
        await rig.settle()
        assert len(chat.edits) == before + 1

    async def test_a_service_that_cannot_edit_gets_a_new_message(self, world):
        chat = Chat(CANNOT_EDIT)
        rig = Rig(world, chat)
        await rig.settle()
        world.press("ack:INC-1")
        await rig.settle()
        assert chat.slots.count("card") == 2
        assert not chat.edits

    async def test_changes_that_wait_together_are_one_message_at_its_newest(self, rig, chat):
        for _ in range(20):
            rig.world.receive(group(alert()))
        rig.world.press("ack:INC-1")
        await rig.settle()
        assert chat.slots.count("card") == 1
        assert not chat.edits
        assert "Ada Lovelace has it" in str(chat.posted("card")[1])
        assert not rig.world.promised("card")

    async def test_a_page_that_was_overtaken_by_its_acknowledgement_rings_nobody(self, rig, chat):
        rig.world.press("ack:INC-1")
        await rig.settle()
        assert chat.posted("page:0")[1].rings == ()

    async def test_only_the_first_posting_of_a_page_rings(self, rig, chat):
        await rig.settle()
        assert chat.posted("page:0")[1].rings == ("ada",)
        rig.world.forward(minutes=5)
        await rig.settle()
        assert chat.posted("page:1")[1].rings == ("ben", "cleo")
        assert [message.rings for _, message in chat.edits] == [()] * len(chat.edits)

    async def test_nothing_to_show_keeps_the_promise(self, rig, chat):
        rig.world.press("resolve:INC-1")
        with rig.world.unit() as work:
            work.effects.intend("findings:x", "chat:web", {"what": "findings", "incident": "INC-1", "arg": ""})
        await rig.settle()
        assert rig.state("findings:x") is EffectState.DONE
        assert "findings" not in chat.slots


class TestTrouble:
    async def test_a_service_that_is_down_is_tried_again_later_and_the_order_is_kept(self, rig, chat):
        chat.faults = [Unavailable("down", Reason.UNREACHABLE)]
        pause = await rig.settle()
        assert chat.calls == 1
        assert 0 < pause <= 1
        assert await rig.step() == pause, "nothing overtakes it"
        assert chat.calls == 1
        rig.world.clock.advance(seconds=1)
        await rig.settle()
        assert chat.slots[:2] == ["card", "page:0"]

    async def test_the_time_that_the_service_asks_for_is_waited(self, rig, chat):
        chat.faults = [Unavailable("429", Reason.RATE_LIMITED, 17.0)]
        await rig.settle()
        rig.world.clock.advance(seconds=16)
        assert await rig.settle() == 1
        assert chat.calls == 1
        rig.world.clock.advance(seconds=1)
        await rig.settle()
        assert chat.posts

    async def test_the_key_is_the_same_at_each_try(self, rig, chat):
        keys = []
        chat.faults = [Unavailable("down", Reason.UNREACHABLE)] * 3
        for _ in range(4):
            with rig.world.unit() as work:
                keys.append(work.effects.next_of("chat:web")[0].key)
            await rig.settle()
            rig.world.clock.advance(seconds=60)
        assert len(set(keys)) == 1
        assert chat.posted("card")[2] == keys[0]

    async def test_a_service_that_is_down_for_days_is_tried_once_a_minute(self, rig, chat):
        with rig.world.store.engine.begin() as connection:
            connection.execute(text("UPDATE effect SET attempts = 5000"))
        chat.faults = [Unavailable("down", Reason.UNREACHABLE)]
        await rig.step()
        with rig.world.unit() as work:
            waits = work.effects.next_of("chat:web")[0].not_before - rig.world.clock.now()
        assert timedelta(seconds=40) < waits <= timedelta(seconds=72)

    async def test_a_post_that_hangs_is_given_up_and_tried_again(self, rig, chat, monkeypatch):
        monkeypatch.setattr(module, "SEND_SECONDS", 0.01)

        async def hang(*_args) -> str:
            await asyncio.Event().wait()
            return ""

        monkeypatch.setattr(chat, "post", hang)
        await rig.step()
        (effect, *_) = rig.world.promised("card")
        assert effect.attempts == 1

    async def test_a_final_no_is_written_down_and_the_next_one_is_sent(self, rig, chat):
        key = rig.world.promised("card")[0].key
        chat.faults = [Rejected("the channel is gone", Reason.NOT_FOUND)]
        await rig.settle()
        assert rig.state(key) is EffectState.FAILED
        assert rig.world.texts("not_posted") == [f"Could not post {key}: the channel is gone"]
        assert "page:0" in chat.slots

    async def test_a_mistake_of_a_connector_does_not_end_the_others(self, rig, chat):
        chat.faults = [ZeroDivisionError("mistake")]
        await rig.settle()
        assert rig.world.texts("not_posted")[0].endswith(": ZeroDivisionError")
        assert "page:0" in chat.slots

    async def test_a_hint_from_the_end_of_time_is_waited_for_an_hour(self, rig, chat):
        chat.faults = [Unavailable("429", Reason.RATE_LIMITED, 1e300)]
        await rig.step()
        rig.world.clock.advance(hours=1)
        await rig.settle()
        assert chat.posts

    async def test_a_crash_between_post_and_settling_repeats_once_under_the_same_key(self, rig, chat):
        await rig.dispatcher._deliver(rig.channel, rig.world.promised("card")[0])
        assert chat.slots == ["card"]
        again = Rig(rig.world.reopen(), chat)
        await again.settle()
        assert chat.slots.count("card") == 2
        assert len({key for _, message, key, _ in chat.posts if message.slot == "card"}) == 1
        await Rig(rig.world.reopen(), chat).settle()
        assert chat.slots.count("card") == 2


@asynccontextmanager
async def running(dispatcher: Dispatcher):
    task = asyncio.create_task(dispatcher.run())
    yield
    assert not task.done(), task
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


class TestTheLoop:
    async def test_a_commit_with_a_promise_wakes_it(self, rig, chat):
        rig.world.store.on_commit(rig.dispatcher.wake)
        async with running(rig.dispatcher), asyncio.timeout(5):
            while rig.world.promised("card"):
                await asyncio.sleep(0.005)
            await asyncio.to_thread(rig.world.receive, group(alert("DiskFull")))
            while "INC-2" not in {message.incident for _, message, _, _ in chat.posts}:
                await asyncio.sleep(0.005)

    async def test_only_the_channels_that_have_something_new_are_woken(self, world, chat):
        compose = Composer(world.store, world.rules, Links()).compose
        channels = [Channel(name=name, connector=Chat()) for name in ("web", "console")]
        dispatcher = Dispatcher(world.store, world.clock, channels, compose, sweep_seconds=30)
        dispatcher.wake({"chat:console", "chat:elsewhere", "other"})
        await asyncio.sleep(0)
        assert {name: event.is_set() for name, event in dispatcher._wake.items()} == {"web": False, "console": True}

    async def test_the_store_is_asked_by_few_at_once_however_many_channels_there_are(self, world):
        at_work, most = [], []

        class Slow:
            def begin(self):
                at_work.append(1)
                most.append(len(at_work))
                time.sleep(0.01)
                at_work.pop()
                return world.store.begin()

        compose = Composer(world.store, world.rules, Links()).compose
        channels = [Channel(name=f"c{number}", connector=Chat()) for number in range(10)]
        async with running(Dispatcher(Slow(), world.clock, channels, compose, sweep_seconds=30)):
            while len(most) < 10:
                await asyncio.sleep(0.01)
        assert max(most) <= module.AT_ONCE

    async def test_it_does_not_wake_itself(self, rig, chat):
        await rig.settle()
        rig.world.store.on_commit(rig.dispatcher.wake)
        loads = []
        load = rig.dispatcher._load
        rig.dispatcher._load = lambda channel: loads.append(channel) or load(channel)
        async with running(rig.dispatcher):
            await asyncio.sleep(0.1)
        assert len(loads) <= 2

    async def test_one_channel_that_is_down_does_not_hold_up_another(self, world, chat):
        down = Chat()
        down.faults = [Unavailable("down", Reason.UNREACHABLE, 1000.0)]
        compose = Composer(world.store, world.rules, Links()).compose
        channels = [Channel(name="web", connector=down), Channel(name="console", connector=chat)]
        dispatcher = Dispatcher(world.store, world.clock, channels, compose, sweep_seconds=30)
        async with running(dispatcher), asyncio.timeout(5):
            while world.promised("page", "console"):
                await asyncio.sleep(0.005)
        assert "page:0" in chat.slots
        assert not down.posts

    async def test_without_a_channel_it_waits_instead_of_ending(self, world):
        compose = Composer(world.store, world.rules, Links()).compose
        dispatcher = Dispatcher(world.store, world.clock, [], compose, sweep_seconds=0.01)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await dispatcher.run()

    async def test_a_store_that_does_not_answer_is_waited_for(self, world, chat):
        class Flaky:
            broken = True

            def begin(self):
                if self.broken:
                    raise Unavailable("disk is full", Reason.UNREACHABLE)
                return world.store.begin()

        store = Flaky()
        compose = Composer(world.store, world.rules, Links()).compose
        dispatcher = Dispatcher(store, world.clock, [Channel(name="web", connector=chat)], compose, sweep_seconds=0.01)
        async with running(dispatcher), asyncio.timeout(5):
            await asyncio.sleep(0.03)
            store.broken = False
            while "page:0" not in chat.slots:
                await asyncio.sleep(0.005)
