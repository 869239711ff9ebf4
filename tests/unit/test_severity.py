"""A severity that rises: told once in each round, to everybody who looks at the channel, and ringing nobody."""

import pytest

from bot.domain.chat import Tone
from bot.domain.incident import Severity, worst_of
from bot.engine.compose import Composer
from bot.render.links import Links
from tests.worldkit import World, alert, group, make_world, quiet  # noqa: F401 -- `quiet` is a fixture


@pytest.fixture
def world(tmp_path) -> World:
    world = make_world(tmp_path)
    world.receive(group(alert(severity="warning")))
    return world


def compose(world: World):
    return [Composer(world.store, world.rules, Links()).compose(effect, "web") for effect in world.promised("raised")]


class TestRising:
    def test_a_more_severe_alert_raises_the_incident_and_says_so_once(self, world):
        for _ in range(3):
            world.receive(group(alert(severity="critical")))
        (message,) = compose(world)
        assert world.incident().severity is Severity.CRITICAL
        assert message.headline.startswith("INC-1 is critical now: checkout answers")
        assert message.blocks[0].text.endswith("with 500. Nobody has it yet.")
        assert (message.is_broadcast, message.in_thread, message.rings, message.tone) == (True, True, (), Tone.BAD)
        assert world.texts("raised")[0].startswith("Warning became critical: checkout answers")

    def test_the_card_follows_at_once(self, world):
        before = len(world.promised("card"))
        world.receive(group(alert(severity="critical")))
        effects = world.promised("card")[before:]
        assert any(effect.not_before is None for effect in effects)

    @pytest.mark.parametrize("severity", ["warning", "info", "nonsense"])
    def test_what_is_no_worse_says_nothing(self, world, severity):
        world.receive(group(alert(severity=severity, instance="b")))
        assert compose(world) == []

    def test_each_step_is_told(self, tmp_path):
        world = make_world(tmp_path)
        world.receive(group(alert(severity="info")))
        world.receive(group(alert(severity="warning")))
        assert [message.headline.partition(":")[0] for message in compose(world)] == ["INC-1 is warning now"]
        world.receive(group(alert(severity="critical")))
        told = [message.headline.partition(":")[0] for message in compose(world) if message]
        assert told == ["INC-1 is critical now"], "what is not sent yet is overtaken"

    def test_it_does_not_fall_while_the_incident_is_open(self, world):
        world.receive(group(alert(severity="critical")))
        world.receive(group(alert(severity="critical", firing=False)))
        assert world.incident().severity is Severity.CRITICAL

    def test_a_resolved_alert_raises_nothing(self, world):
        world.receive(group(alert(severity="critical", firing=False)))
        assert world.incident().severity is Severity.WARNING

    def test_nothing_is_told_of_an_incident_that_is_over(self, world):
        world.receive(group(alert(severity="critical")))
        world.press("resolve:INC-1")
        assert compose(world) == [None]

    def test_a_rise_pages_nobody_again(self, world):
        before = world.pages()
        world.press("ack:INC-1")
        world.receive(group(alert(severity="critical")))
        assert world.pages() == before


class TestWhatItBeginsWith:
    def test_the_worst_of_what_fires_first(self, tmp_path):
        world = make_world(tmp_path)
        world.receive(group(alert(severity="warning"), alert(severity="critical"), alert(severity="info")))
        assert world.incident().severity is Severity.CRITICAL
        assert world.promised("raised") == []

    def test_a_reopened_incident_is_as_severe_as_what_fires_then(self, world):
        world.receive(group(alert(severity="warning", firing=False)))
        world.forward(minutes=1)
        world.receive(group(alert(severity="critical", starts_at=world.clock.now())))
        assert (world.incident().round, world.incident().severity) == (2, Severity.CRITICAL)
        assert world.promised("raised") == []


def test_nothing_at_all_is_a_warning():
    assert worst_of([]) is Severity.WARNING
