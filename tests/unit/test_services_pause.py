"""A pause stops the agent and every push, never paging; what waited goes on afterwards, once."""

import asyncio

import pytest

from bot.domain.incident import RunState
from bot.domain.pause import Pause, read_pause, write_pause
from bot.engine.compose import Composer
from bot.engine.gauges import Gauges
from bot.engine.pausing import Pausing
from bot.engine.phases import Phase
from bot.errors import Reason, Refused
from bot.metrics import REGISTRY
from bot.render.links import Links
from bot.services import rollout
from bot.services.pause import EVERYTHING, end_pause, find_pause, hold_phase, require_running, start_pause
from bot.store.inbox import Inbox
from tests.worldkit import NOW, World, alert, group, make_world

TRIAGE = {"incident": "INC-1", "run": "INC-1:1"}


@pytest.fixture
def world(tmp_path) -> World:
    world = make_world(tmp_path)
    world.receive(group(alert()))
    return world


def stop(world: World, incident: str = EVERYTHING, reason: str = "deploying by hand") -> str:
    with world.unit() as work:
        return start_pause(work, incident=incident, actor="ada", who="Ada", reason=reason)


def go_on(world: World, incident: str = EVERYTHING) -> str:
    with world.unit() as work:
        return end_pause(work, incident=incident, actor="ada", who="Ada")


def hold(world: World, phase: str = "triage", args: dict[str, str] = TRIAGE) -> bool:
    with world.unit() as work:
        return hold_phase(work, phase, args)


def held_runs(world: World, phase: str = "triage") -> list[dict[str, str]]:
    return [dict(item.args) for item in world.phases.of(phase) if ":" in item.key and item.key.startswith(phase)]


class TestTheSwitch:
    def test_a_pause_is_written_and_read_whole(self):
        pause = Pause(who="Ada", reason="deploying", since=NOW, incident="INC-1")
        assert read_pause(write_pause(pause), "INC-1") == pause
        assert read_pause("", None) is None

    @pytest.mark.parametrize("text", ["{", "7", "[]", '{"who": "x"}', '{"who": 1, "reason": 2, "since": "never"}'])
    def test_what_cannot_be_read_is_a_pause_all_the_same(self, text):
        assert read_pause(text, None) is not None

    def test_it_survives_a_restart(self, world):
        stop(world)
        with world.reopen().unit() as work:
            assert str(find_pause(work, "INC-1")) == "Nightshift is paused by Ada since 03:12 UTC: deploying by hand"

    def test_twice_is_refused_and_keeps_the_first_reason(self, world):
        stop(world)
        with pytest.raises(Refused, match="deploying by hand"):
            stop(world, reason="another")
        go_on(world)
        with pytest.raises(Refused, match="not paused"):
            go_on(world)

    def test_it_stands_on_the_timeline_of_each_open_incident_and_of_no_other(self, world):
        world.press("resolve:INC-1")
        world.receive(group(alert(), key="other"))
        stop(world)
        assert "paused" not in world.kinds("INC-1")
        assert world.texts("paused", "INC-2") == ["Nightshift is paused by Ada since 03:12 UTC: deploying by hand"]
        assert world.kinds(EVERYTHING) == ["paused"]

    def test_one_incident_leaves_the_others_alone(self, world):
        world.receive(group(alert(), key="other"))
        stop(world, "INC-1")
        assert hold(world)
        assert not hold(world, args={"incident": "INC-2", "run": "INC-2:1"})


class TestPaging:
    def test_nobody_is_paged_less(self, world):
        stop(world)
        world.receive(group(alert(), key="other"))
        world.forward(minutes=6)
        assert len(world.texts("paged", "INC-1")) == 2
        assert len(world.texts("paged", "INC-2")) == 2
        assert world.press("ack:INC-2").ok


class TestWhatWaits:
    def test_without_a_pause_nothing_is_held(self, world):
        assert not hold(world)
        assert "held" not in world.kinds()

    def test_a_held_phase_goes_on_once_when_the_pause_ends(self, world):
        stop(world)
        assert hold(world)
        assert hold(world), "the same phase, run again after a kill"
        assert world.kinds().count("held") == 1
        go_on(world)
        assert held_runs(world) == [TRIAGE]
        stop(world)
        go_on(world)
        assert held_runs(world) == [TRIAGE], "what was let go is not let go again"

    def test_a_second_pause_holds_it_again_under_a_new_key(self, world):
        for _ in range(2):
            stop(world)
            assert hold(world)
            go_on(world)
        assert held_runs(world) == [TRIAGE, TRIAGE]

    def test_two_pauses_must_both_end(self, world):
        stop(world, "INC-1", "mine")
        stop(world)
        hold(world)
        assert "once the other pause ends" in go_on(world, "INC-1")
        assert held_runs(world) == []
        go_on(world)
        assert held_runs(world) == [TRIAGE]

    def test_the_other_way_round_as_well(self, world):
        stop(world, "INC-1", "mine")
        stop(world)
        hold(world)
        go_on(world)
        assert held_runs(world) == []
        go_on(world, "INC-1")
        assert held_runs(world) == [TRIAGE]

    async def test_a_metric_tells_of_it(self, world):
        inbox = Inbox(world.path / "inbox.db", world.clock, max_pending=5)
        try:
            for change, value in ((stop, 1.0), (go_on, 0.0)):
                change(world)
                await Gauges(world.store, inbox).refresh()
                assert REGISTRY.get_sample_value("nightshift_paused") == value
        finally:
            inbox.close()

    def test_what_waits_for_a_pause_is_no_backlog(self, world):
        with world.unit() as work:
            before, _ = work.effects.backlog()
        stop(world)
        with world.unit() as work:
            paused, _ = work.effects.backlog()
        hold(world)
        with world.unit() as work:
            assert work.effects.backlog()[0] == paused >= before


class TestPushes:
    def test_an_approval_counts_and_its_push_is_refused_until_the_end(self, world):
        digest = world.propose().digest
        stop(world)
        reply = world.press(f"approve:INC-1:{digest[:12]}")
        assert reply.ok
        assert reply.text.startswith("Approved, and not pushed yet. Nightshift is paused by Ada")
        with pytest.raises(Refused, match="deploying by hand") as refusal, world.unit() as work:
            rollout.recheck(work, "INC-1", digest, world.rules)
        assert refusal.value.reason is Reason.PAUSED
        args = {"incident": "INC-1", "digest": digest}
        assert hold(world, "execute", args)
        assert world.texts("held")[0].startswith("Not pushed yet: Nightshift is paused by Ada")
        go_on(world)
        assert held_runs(world, "execute") == [args]
        with world.unit() as work:
            rollout.recheck(work, "INC-1", digest, world.rules)

    def test_what_may_not_be_pushed_any_more_is_said_first(self, world):
        digest = world.propose().digest
        world.press(f"approve:INC-1:{digest[:12]}")
        stop(world)
        world.clock.advance(minutes=61)
        with pytest.raises(Refused) as refusal, world.unit() as work:
            rollout.recheck(work, "INC-1", digest, world.rules)
        assert refusal.value.reason is Reason.EXPIRED


class TestWords:
    def test_off_and_on_by_command(self, world):
        assert world.say("/incident agent off INC-1 I look at it myself", "cleo@web").ok
        assert "I look at it myself" in world.say("/incident status INC-1", "vic@web").text
        with world.unit() as work:
            assert str(find_pause(work, "INC-1")).startswith("The agent is off for INC-1: paused by Cleo Vance")
        assert world.say("agent on", incident="INC-1").ok is False, "only below /incident"
        assert world.say("/incident agent on", "cleo@web", incident="INC-1").ok
        assert world.kinds().count("paused") == world.kinds().count("resumed") == 1

    @pytest.mark.parametrize(
        ("text", "account"),
        [
            ("/incident agent off INC-1", "vic@web"),
            ("/incident agent off INC-1", "mallory@web"),
            ("/incident agent INC-1", "ada@web"),
            ("/incident agent off INC-99", "ada@web"),
            ("/incident agent on INC-1", "ada@web"),
        ],
    )
    def test_what_is_refused_changes_nothing(self, world, text, account):
        before = world.kinds()
        assert not world.say(text, account).ok
        assert world.kinds() == before

    def test_card_and_status_say_so(self, world):
        composer = Composer(world.store, world.rules, Links(base=""))
        stop(world)
        card = composer.compose(world.promised("card")[-1], "web")
        status = composer.compose(world.promised("status")[-1], "web")
        assert card is not None
        assert status is not None
        assert "Nightshift is paused by Ada" in str(card.blocks[0])
        assert status.headline.startswith("Investigation waits: Nightshift is paused by Ada")
        go_on(world)
        card = composer.compose(world.promised("card")[-1], "web")
        assert "paused" not in str(card)


class TestARunningPhase:
    async def test_is_stopped_and_goes_on_after_the_pause(self, world):
        begun, stopped, runs = asyncio.Event(), asyncio.Event(), []

        async def run(args):
            runs.append(args)
            begun.set()
            if len(runs) > 1:
                return
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        guarded = Pausing(world.store, look=0.01).guard(Phase(name="triage", run=run, failed=run))
        task = asyncio.create_task(guarded.run(TRIAGE))
        await begun.wait()
        stop(world)
        await task
        assert stopped.is_set()
        assert world.kinds()[-1] == "held"
        go_on(world)
        await guarded.run(held_runs(world)[0])
        assert runs == [TRIAGE, TRIAGE]
        assert world.incident().run_state is RunState.QUEUED

    async def test_one_that_meets_the_pause_itself_is_held_too(self, world):
        async def run(args):
            with world.unit() as work:
                require_running(work, args["incident"])
            stop(world)
            with world.unit() as work:
                require_running(work, args["incident"])

        await Pausing(world.store).guard(Phase(name="triage", run=run, failed=run)).run(TRIAGE)
        assert world.kinds()[-1] == "held"

    async def test_its_failure_is_passed_on(self, world):
        async def run(_args):
            raise Refused("no", Reason.NOT_FOUND)

        with pytest.raises(Refused, match="no"):
            await Pausing(world.store).guard(Phase(name="model", run=run, failed=run)).run(TRIAGE)

    async def test_phases_of_paging_are_not_guarded(self, world):
        async def run(_args):
            return None

        for name in ("escalate", "expire", "execute", "ci"):
            phase = Phase(name=name, run=run, failed=run)
            assert Pausing(world.store).guard(phase) is phase
