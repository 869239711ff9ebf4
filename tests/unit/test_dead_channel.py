"""A chat that takes no page: another one has it within two minutes, and the admins are told there."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from bot.domain.oncall import Contact, Role, Roster
from bot.engine.compose import Composer
from bot.engine.dispatcher import Channel, Dispatcher
from bot.errors import Reason, Rejected, Unavailable
from bot.render.links import Links
from bot.services.contacts import is_due
from bot.services.dead_channel import note_trouble
from tests.unit.test_dispatcher import Chat
from tests.worldkit import PEOPLE, World, alert, group, make_rules, make_world, quiet  # noqa: F401 -- a fixture

DOWN = Unavailable("Slack does not answer", Reason.UNREACHABLE)
REVOKED = Rejected("Slack does not accept the token", Reason.REVOKED)


class Rig:
    """Two chats of a world, each driven by hand; "web" is the one in trouble."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chats = {name: Chat() for name in world.rules.channels}
        compose = Composer(world.store, world.rules, Links()).compose
        trouble = partial(note_trouble, rules=world.rules)
        self.dispatcher = Dispatcher(world.store, world.clock, [], compose, sweep_seconds=30, on_trouble=trouble)

    async def settle(self) -> float:
        """Let all chats send what is due; return how long "web" would sleep."""
        pauses = dict.fromkeys(self.chats, 0.0)
        while not all(pauses.values()):
            for name, chat in self.chats.items():
                pauses[name] = await self.dispatcher._drain(Channel(name=name, connector=chat))
        return pauses["web"]

    def dead(self) -> list[str]:
        return self.world.texts("channel_dead")


def open_rig(tmp_path, routed: tuple[str, ...], *channels: str) -> Rig:
    contacts = (Contact(name="sms", after=timedelta(minutes=3)), Contact(name="call", after=timedelta(minutes=9)))
    people = {**PEOPLE, "cleo": replace(PEOPLE["cleo"], role=Role.ADMIN)}
    people["ada"] = replace(people["ada"], contacts=contacts)
    rules = make_rules(channels=channels, roster=Roster(people=people))
    rules = replace(rules, routes=(replace(rules.routes[0], channels=routed),))
    world = make_world(tmp_path, rules=rules)
    world.receive(group(alert()))
    return Rig(world)


@pytest.fixture
async def rig(tmp_path) -> Rig:
    return open_rig(tmp_path, ("web",), "web", "console", "spare")


async def test_a_revoked_token_sends_the_page_to_the_next_channel_at_once(rig):
    rig.chats["web"].faults = [REVOKED] * 99
    await rig.settle()
    assert rig.dead() == ["web did not take the page: Slack does not accept the token"]
    assert rig.chats["console"].posted("page:0")[1].rings == ("ada",)
    assert "card" in rig.chats["console"].slots
    assert not rig.chats["spare"].posts


async def test_the_admins_are_told_there_and_nobody_is_rung_by_that(rig):
    rig.chats["web"].faults = [REVOKED] * 99
    await rig.settle()
    notice = next(message for _, message, _, _ in rig.chats["console"].posts if message.slot.startswith("notice:"))
    assert notice.headline == "web did not take the page: Slack does not accept the token"
    assert notice.blocks[0].text == "The page is in console. Cleo Vance: mend channels.web."
    assert not notice.rings


async def test_a_chat_that_is_down_is_passed_over_within_two_minutes(rig):
    rig.chats["web"].faults = [DOWN] * 99
    waited = 0.0
    while not rig.chats["console"].posts and waited < 600:
        pause = await rig.settle()
        rig.world.clock.advance(seconds=pause)
        waited += pause
    assert waited <= 120
    rig.chats["web"].faults = []
    rig.world.clock.advance(seconds=90)
    await rig.settle()
    assert rig.chats["web"].slots[:2] == ["card", "page:0"], "what it was promised still comes, in order"
    assert len(rig.dead()) == 1


async def test_a_chat_that_asks_for_too_much_patience_is_passed_over_at_once(rig):
    rig.chats["web"].faults = [Unavailable("429", Reason.RATE_LIMITED, 600.0)]
    await rig.settle()
    assert "page:0" in rig.chats["console"].slots


async def test_a_short_trouble_changes_nothing(rig):
    rig.chats["web"].faults = [DOWN] * 4
    for _ in range(6):
        rig.world.clock.advance(seconds=await rig.settle())
    assert "page:0" in rig.chats["web"].slots
    assert not rig.dead()
    assert not rig.chats["console"].posts


async def test_a_page_that_nobody_needs_any_more_is_passed_to_nobody(rig):
    rig.world.press("ack:INC-1")
    rig.chats["web"].faults = [REVOKED] * 99
    await rig.settle()
    assert not rig.dead()


async def test_another_channel_of_the_incident_has_the_page_already(tmp_path):
    rig = open_rig(tmp_path, ("web", "console"), "web", "console", "spare")
    rig.chats["web"].faults = [REVOKED] * 99
    await rig.settle()
    assert rig.world.incident().channels == ("web", "console")
    assert "The page is in console." in str(rig.chats["console"].posts[-1][1])


async def test_one_dead_channel_after_another_comes_to_the_last(rig):
    rig.chats["web"].faults, rig.chats["console"].faults = [REVOKED] * 99, [REVOKED] * 99
    await rig.settle()
    assert "page:0" in rig.chats["spare"].slots
    assert len(rig.dead()) == 2


async def test_where_none_is_left_the_first_contacts_are_used_at_once(tmp_path):
    rig = open_rig(tmp_path, ("web",), "web")
    with rig.world.unit() as work:
        sms, call = (work.effects.next_of(f"contact:ada/{name}")[0] for name in ("sms", "call"))
        assert not is_due(work, sms)
    rig.chats["web"].faults = [REVOKED] * 99
    await rig.settle()
    assert len(rig.dead()) == 1
    assert rig.world.incident().channels == ("web",)
    with rig.world.unit() as work:
        assert (is_due(work, sms), is_due(work, call)) == (True, False)
