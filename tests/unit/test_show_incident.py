"""All there is about an incident, read from the store: what was told, held back or never sent, by whichever process."""

from dataclasses import replace

import pytest

from bot.domain.chat import File, Reply
from bot.engine.chat_inbox import StoreInbox
from bot.ports.work import EffectState
from tests.worldkit import World, alert, group, make_world, quiet  # noqa: F401 -- `quiet` is a fixture


@pytest.fixture
def world(tmp_path) -> World:
    return make_world(tmp_path, opened=True)


async def show(world: World, incident: str = "INC-1", account: str = "vic@web", channel: str = "web"):
    return await StoreInbox(world.store, world.rules).show(channel, account, incident)


async def test_a_process_that_never_sent_anything_shows_the_patch_with_its_buttons_and_its_diff(world):
    approval = world.propose()
    with world.unit() as work:
        for effect in work.effects.next_of("chat:web"):
            work.effects.settle(effect.key, EffectState.FAILED, "nobody was reached")
    card, *others = await show(world.reopen())
    (patch,) = [message for message in others if message.slot.startswith("patch:")]
    assert (card.slot, card.in_thread) == ("card", False)
    assert f"approve:INC-1:{approval.digest[:12]}" in [button.id for button in patch.buttons]
    assert [file for file in patch.files if isinstance(file, File) and "diff --git" in file.text]


async def test_it_shows_the_state_of_this_moment_and_each_message_once(world):
    world.press("ack:INC-1", "ada@web")
    world.press("resolve:INC-1", "ada@web")
    shown = await show(world)
    slots = [message.slot for message in shown]
    assert (slots[0], len(slots)) == ("card", len(set(slots)))
    assert "Ada Lovelace" in str(shown[0])
    assert not [message.slot for message in shown if message.rings]


async def test_another_incident_keeps_its_own(world):
    world.receive(group(alert("other", service="other"), key="other"))
    shown = await show(world, "INC-1")
    assert {message.incident for message in shown} == {"INC-1"}


async def test_an_incident_of_other_channels_is_shown_by_its_card(world):
    with world.unit() as work:
        work.incidents.save(replace(work.incidents.get("INC-1"), channels=("elsewhere",)))
        work.incidents.add(replace(work.incidents.get("INC-1"), id="", key="2"))
    shown = await show(world, "INC-2")
    assert [message.slot for message in shown] == ["card"]


async def test_a_message_that_cannot_be_rendered_any_more_keeps_back_no_other(world):
    with world.unit() as work:
        payload = {"what": "patch", "incident": "INC-1", "arg": "0" * 12}
        work.effects.intend("patch:INC-1:gone:web:1", "chat:web", payload)
        work.effects.intend("later:INC-1::web:1", "chat:web", {**payload, "what": "of a newer version"})
    card, *_ = await show(world)
    assert card.slot == "card"


async def test_nobody_unknown_is_shown_anything_and_no_incident_is_said_so(world):
    stranger, nothing = await show(world, account="mallory@web"), await show(world, "INC-99")
    assert isinstance(stranger, Reply)
    assert (stranger.ok, "/link" in stranger.text, "checkout" in stranger.text) == (False, True, False)
    assert isinstance(nothing, Reply)
    assert "INC-99" in nothing.text
