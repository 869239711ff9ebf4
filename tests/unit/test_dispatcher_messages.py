"""What a promise becomes when it is sent: the state of that moment, and a phone that rings only when it must."""

from dataclasses import replace

import pytest

from bot.domain.chat import Message
from bot.domain.ci import CIState
from bot.domain.incident import RunState
from bot.engine.compose import Composer
from bot.ports.work import Effect, EffectState
from bot.render.links import Links
from bot.services import triage
from tests.unit.test_services_rollout import Rollout
from tests.worldkit import World, alert, diff, group, make_world


class Screen:
    """Composes any message of a world by name."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.composer = Composer(world.store, world.rules, Links(base="https://nightshift.example"))

    def show(self, what: str, arg: str = "") -> Message | None:
        payload = {"what": what, "incident": "INC-1", "arg": arg}
        effect = Effect(key="k", target="chat:web", seq=1, state=EffectState.INTENDED, payload=payload)
        return self.composer.compose(effect, "web")

    def see(self, what: str, arg: str = "") -> Message:
        message = self.show(what, arg)
        assert message is not None
        return message


@pytest.fixture
def screen(tmp_path) -> Screen:
    return Screen(make_world(tmp_path, opened=True))


def test_a_patch_rings_whoever_has_the_incident_and_may_approve(screen):
    screen.world.press("ack:INC-1", "ben@web")
    digest = screen.world.propose().digest[:12]
    message = screen.see("patch", digest)
    assert message.rings == ("ben",)
    assert diff().decode().strip() in str(message).replace("\\n", "\n")


def test_a_patch_rings_others_when_the_owner_may_not_approve(screen):
    screen.world.press("ack:INC-1", "cleo@web")
    digest = screen.world.propose().digest[:12]
    assert screen.see("patch", digest).rings == ("ada",)


def test_a_risky_patch_rings_as_many_as_must_approve(screen):
    screen.world.press("ack:INC-1", "ben@web")
    digest = screen.world.propose(diff(".github/workflows/ci.yml")).digest[:12]
    assert screen.see("patch", digest).rings == ("ben", "ada")


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_a_decided_patch_rings_nobody_and_has_no_buttons(screen, verb):
    digest = screen.world.propose().digest[:12]
    assert screen.world.press(f"{verb}:INC-1:{digest}", reason="Wrong cause").ok
    message = screen.see("patch", digest)
    assert (message.rings, message.buttons) == ((), ())


def test_an_edit_rings_nobody(screen):
    digest = screen.world.propose().digest[:12]
    slot = screen.see("patch", digest).slot
    with screen.world.unit() as work:
        work.postings.put("INC-1", "web", slot, "m7")
    assert screen.see("patch", digest).rings == ()


def test_the_patch_card_follows_push_and_ci(tmp_path):
    rolled = Rollout(make_world(tmp_path, opened=True))
    screen = Screen(rolled.world)
    rolled.pushed()
    rolled.ci(CIState.RUNNING)
    assert "CI: running." in str(screen.see("patch", rolled.digest[:12]))
    assert screen.show("verdict", "f" * 12) is None
    rolled.ci(CIState.PASSED)
    verdict = screen.see("verdict", rolled.digest[:12])
    assert verdict.rings
    card = str(screen.see("patch", rolled.digest[:12]).blocks)
    assert "CI: passed." in card
    assert card.count(f"Pushed to nightshift/INC-1/{rolled.digest[:12]}") == 1
    assert card.count(f"to nightshift/INC-1/{rolled.digest[:12]}") == 1


@pytest.mark.parametrize(("state", "word"), [(CIState.FAILED, "CI red"), (CIState.CANCELLED, "CI cancelled")])
def test_a_patch_that_is_pushed_and_did_not_pass_is_shown_as_pushed(tmp_path, state, word):
    rolled = Rollout(make_world(tmp_path, opened=True))
    screen = Screen(rolled.world)
    rolled.pushed()
    rolled.ci(state)
    assert screen.see("patch", rolled.digest[:12]).headline.startswith(f"Patch pushed, {word}: ")


def test_a_refused_push_is_told_to_those_who_approved(tmp_path):
    rolled = Rollout(make_world(tmp_path, opened=True))
    screen = Screen(rolled.world)
    assert screen.show("notice", rolled.digest[:12]) is None
    rolled.give_up("the branch is protected")
    notice = screen.see("notice", rolled.digest[:12])
    assert (notice.headline, notice.rings) == ("Not pushed: the branch is protected", ("ada",))


def test_a_closed_summary_exists_only_while_it_is_closed(screen):
    assert screen.show("closed") is None
    screen.world.press("ack:INC-1")
    screen.world.press("resolve:INC-1")
    closed = str(screen.see("closed"))
    for milestone in ("Paged", "Acknowledged", "by Ada Lovelace"):
        assert milestone in closed


def test_a_closed_summary_tells_of_its_own_round(screen):
    screen.world.press("ack:INC-1")
    screen.world.receive(group(alert(firing=False)))
    screen.world.forward(minutes=10)
    screen.world.receive(group(alert(starts_at=screen.world.clock.now())))
    screen.world.forward(minutes=1)
    screen.world.press("resolve:INC-1")
    closed = screen.see("closed")
    assert closed.headline == "INC-1 resolved after 60 s"
    assert "Acknowledged" not in str(closed)


def test_a_page_past_the_policy_is_nothing(screen):
    assert screen.show("page", "9") is None


def test_the_status_says_why_an_investigation_failed(screen):
    with screen.world.unit() as work:
        triage.plan_job(work, "INC-1", run="INC-1:1", folder="/nowhere", rules=screen.world.rules)
        triage.finish_triage(work, "INC-1", state=RunState.FAILED, why="The investigation stopped: no disk space")
    assert "no disk space" in str(screen.see("status"))


def test_links_to_our_pages_appear_only_where_they_can_be_reached(screen):
    assert "https://nightshift.example/incidents/INC-1" in str(screen.see("card"))
    digest = screen.world.propose().digest
    assert f"https://nightshift.example/incidents/INC-1/patches/{digest[:12]}" in str(screen.see("patch", digest))
    screen.composer = Composer(screen.world.store, screen.world.rules, Links())
    assert "/incidents/" not in str(screen.see("card"))
    assert "/incidents/" not in str(screen.see("patch", digest))


def test_a_policy_that_was_shortened_since_still_shows_the_card(screen):
    screen.world.forward(minutes=5)
    screen.world.rules = replace(screen.world.rules, escalations={})
    screen.composer = Composer(screen.world.store, screen.world.rules, Links())
    assert screen.see("card")
    assert screen.show("page", "1") is None
