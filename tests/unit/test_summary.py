"""The pinned summary: what is open, most urgent first, and one message however often things change."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.chat import Link, Message, Paragraph, Reply, Tone
from bot.domain.incident import Incident, IncidentState, Severity
from bot.engine.chat_inbox import StoreInbox
from bot.engine.compose import Composer
from bot.engine.dispatcher import Channel, Dispatcher
from bot.errors import Reason, Rejected
from bot.ports.work import EffectState
from bot.render.links import Links
from bot.render.summary import MAX_SHOWN, render_summary
from tests.unit.test_dispatcher import CAN_EDIT, Chat
from tests.worldkit import NOW, World, alert, group, make_world, quiet  # noqa: F401 -- `quiet` is a fixture

LINKS = Links(base="https://nightshift.example")
NAMES = {"ada": "Ada Lovelace"}


def incident(number: int = 1, **changes: object) -> Incident:
    value = Incident(
        id=f"INC-{number}",
        key=str(number),
        title=f"problem {number}",
        service="shop",
        severity=Severity.WARNING,
        state=IncidentState.TRIGGERED,
        opened_at=NOW,
        changed_at=NOW,
        alert_started_at=NOW - timedelta(minutes=number),
    )
    return replace(value, **changes)  # type: ignore[arg-type]  # tests name real fields


def render(*incidents: Incident, links: Links = LINKS) -> Message:
    return render_summary(incidents, now=NOW, names=NAMES, links=links)


def texts(message: Message) -> list[str]:
    return [block.text for block in message.blocks if isinstance(block, Paragraph)]


class TestWhatItSays:
    def test_who_has_it_since_when_and_where_to_read_on(self):
        message = render(incident(7, state=IncidentState.ACKNOWLEDGED, owner="ada"))
        assert message.headline == "1 incident is open"
        assert texts(message) == ["INC-7 shop: problem 7\nWarning, since 03:05 UTC: Ada Lovelace has it."]
        assert message.blocks[1] == Link(label="Open INC-7", url="https://nightshift.example/incidents/INC-7")
        assert (message.tone, message.rings, message.incident) == (Tone.WARN, (), "")

    def test_the_most_urgent_stand_first(self):
        calm = incident(1, severity=Severity.INFO)
        mitigated = incident(2, severity=Severity.CRITICAL, state=IncidentState.MITIGATED, owner="ada")
        taken = incident(3, severity=Severity.CRITICAL, state=IncidentState.ACKNOWLEDGED, owner="ada")
        young, old = incident(4, severity=Severity.CRITICAL), incident(5, severity=Severity.CRITICAL)
        shown = texts(render(calm, mitigated, taken, young, old))
        assert [text.split()[0] for text in shown] == ["INC-5", "INC-4", "INC-3", "INC-2", "INC-1"]
        assert "nobody has it yet" in shown[0]
        assert "mitigated, Ada Lovelace has it" in shown[3]

    def test_what_is_over_is_left_out(self):
        message = render(incident(state=IncidentState.RESOLVED))
        assert (message.headline, message.blocks, message.tone) == ("No incident is open", (), Tone.GOOD)

    def test_critical_and_nobody_s_is_red(self):
        assert render(incident(severity=Severity.CRITICAL)).tone is Tone.BAD

    def test_without_an_address_nothing_is_linked(self):
        assert all(isinstance(block, Paragraph) for block in render(incident(), links=Links()).blocks)

    def test_very_many_fit_one_message(self):
        many = [incident(number, title="x" * 500) for number in range(1, 100)]
        message = render(*many)
        assert len(texts(message)) == MAX_SHOWN + 1
        assert texts(message)[-1] == f"And {99 - MAX_SHOWN} more: /incident list"
        assert sum(len(text) for text in texts(message)) < 3500


class Rig:
    def __init__(self, world: World, *, pins: bool = True) -> None:
        self.world = world
        self.chat = Chat(replace(CAN_EDIT, pins=pins))
        self.channel = Channel(name="web", connector=self.chat)
        composer = Composer(world.store, world.rules, Links())
        self.dispatcher = Dispatcher(world.store, world.clock, [self.channel], composer.compose, sweep_seconds=30)

    async def settle(self) -> None:
        while await self.dispatcher._drain(self.channel) == 0:
            pass

    async def later(self) -> None:
        await self.settle()
        self.world.clock.advance(seconds=12)
        await self.settle()

    @property
    def posts(self) -> list[str]:
        return [message.headline for _, message, _, _ in self.chat.posts if message.slot == "summary"]

    @property
    def edits(self) -> list[str]:
        return [" ".join(texts(message)) for _, message in self.chat.edits if message.slot == "summary"]


@pytest.fixture
def world(tmp_path) -> World:
    return make_world(tmp_path, opened=True)


@pytest.fixture
async def rig(world) -> Rig:
    return Rig(world)


class TestHowItFollows:
    async def test_it_is_posted_once_and_edited_afterwards(self, rig, world):
        await rig.later()
        assert rig.posts == ["1 incident is open"]
        world.press("ack:INC-1")
        await rig.later()
        assert rig.posts == ["1 incident is open"]
        assert "Ada Lovelace has it" in rig.edits[-1]

    async def test_it_waits_a_little_and_takes_all_that_happens_together(self, rig, world):
        await rig.settle()
        assert rig.posts == []
        for name in ("DiskFull", "QueueStuck"):
            world.receive(group(alert(name)))
        await rig.later()
        assert rig.posts == ["3 incidents are open"]
        assert rig.edits == []

    async def test_counts_that_change_nothing_in_it_cost_no_call(self, rig, world):
        await rig.later()
        for instance in "abc":
            world.receive(group(alert(instance=instance)))
            await rig.later()
        await rig.later()
        assert rig.edits == []
        assert not world.promised("summary")

    async def test_a_restart_goes_on_with_the_same_message(self, rig, world):
        await rig.later()
        again = Rig(world.reopen())
        again.world.press("resolve:INC-1")
        await again.later()
        assert again.posts == []
        assert [ref for ref, message in again.chat.edits if message.slot == "summary"] == [
            rig.chat.posted("summary")[0]
        ]

    async def test_what_somebody_deleted_is_posted_anew_and_that_is_remembered(self, rig, world):
        await rig.later()
        world.press("ack:INC-1")
        await rig.settle()
        rig.chat.faults = [Rejected("gone", Reason.NOT_FOUND)]
        await rig.later()
        assert rig.posts == ["1 incident is open"] * 2
        world.press("resolve:INC-1")
        await rig.later()
        refs = [ref for ref, message in rig.chat.edits if message.slot == "summary"]
        assert refs == [[ref for ref, message, _, _ in rig.chat.posts if message.slot == "summary"][-1]]

    async def test_a_refusal_for_another_reason_makes_no_second_one(self, rig, world):
        await rig.later()
        world.press("ack:INC-1")
        await rig.settle()
        rig.chat.faults = [Rejected("not allowed", Reason.NOT_ALLOWED)]
        await rig.later()
        assert rig.posts == ["1 incident is open"]
        assert world.kinds("")[-1] == "not_posted"

    async def test_it_lists_what_is_shown_in_its_channel_alone(self, rig, world):
        world.receive(group(alert("DiskFull")))
        with world.unit() as work:
            work.incidents.save(replace(work.incidents.get("INC-2"), channels=("console",)))
        await rig.later()
        assert rig.posts == ["1 incident is open"]

    async def test_where_nothing_is_pinned_nothing_is_promised(self, world):
        rig = Rig(world, pins=False)
        await rig.later()
        assert rig.posts == []
        with world.unit() as work:
            keys = [effect.key for effect in work.effects.next_of("chat:web", 1000)]
        assert not [key for key in keys if key.startswith("summary")]

    async def test_one_that_was_posted_before_the_process_died_is_posted_under_the_same_key(self, rig, world):
        await rig.settle()
        world.clock.advance(seconds=12)
        (effect,) = world.promised("summary")
        await rig.settle()
        with world.unit() as work:
            assert work.effects.get(effect.key).state is EffectState.DONE
        assert [key for _, message, key, _ in rig.chat.posts if message.slot == "summary"] == [effect.key]


class TestWhoLooks:
    async def test_somebody_known_sees_what_is_open(self, world):
        told = await StoreInbox(world.store, world.rules, LINKS).look("web", "vic@web")
        assert isinstance(told, Message)
        assert told.headline == "1 incident is open"

    async def test_a_stranger_sees_how_to_get_access_and_nothing_else(self, world):
        told = await StoreInbox(world.store, world.rules, LINKS).look("web", "mallory@web")
        assert isinstance(told, Reply)
        assert (told.ok, "/link" in told.text, "checkout" in told.text) == (False, True, False)
