"""Contacts wake people until somebody has the incident: each after its time, once, and the next where one is dead."""

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain.oncall import Contact, EscalationPolicy, EscalationStep, Role, Roster
from bot.engine import contacts as module
from bot.engine.compose import Composer
from bot.engine.contacts import ContactDispatcher
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.pager import PageText
from bot.render.links import Links
from tests.worldkit import PEOPLE, World, alert, group, make_rules, make_world, quiet  # noqa: F401 -- a fixture

PUSH, SMS = Contact(name="push"), Contact(name="sms", after=timedelta(minutes=3))
CALL = Contact(name="call", after=timedelta(minutes=4))
DOWN = Unavailable("ntfy://… answered 503", Reason.SERVER_ERROR)
DEAD = Rejected("twilio://… answered 401", Reason.REVOKED)


class Phone:
    """A contact's service in memory. `faults` are raised by the next calls, one each."""

    def __init__(self) -> None:
        self.pages: list[PageText] = []
        self.faults: list[Exception] = []
        self.calls = 0

    async def send(self, page: PageText) -> None:
        self.calls += 1
        if self.faults:
            raise self.faults.pop(0)
        self.pages.append(page)


class Rig:
    """A dispatcher for the phones of a world, driven by hand."""

    def __init__(self, world: World, phones: dict[tuple[str, str], Phone]) -> None:
        self.world = world
        self.phones = phones
        self.dispatcher = ContactDispatcher(
            world.store, world.rules, phones, links=Links(base="https://night.example.org"), sweep=10
        )

    async def settle(self) -> float:
        """Send everything that is due and return how long the dispatcher would sleep."""
        while True:
            async with asyncio.TaskGroup() as group:
                pause = await self.dispatcher.look(group)
                is_idle = not self.dispatcher._busy
            if is_idle:
                return pause

    async def forward(self, **by: float) -> None:
        self.world.forward(**by)
        await self.settle()

    @property
    def rung(self) -> list[str]:
        """Who was reached how, in the words of the timeline."""
        return self.world.texts("contacted")


def make_people(**contacts: tuple[Contact, ...]) -> Roster:
    people = {key: replace(person, contacts=contacts.get(key, ())) for key, person in PEOPLE.items()}
    return Roster(people=people)


def open_world(path: Path, roster: Roster, **changes: object) -> World:
    """Return a world in which one alert has just opened INC-1."""
    world = make_world(path, rules=make_rules(roster=roster, **changes))
    world.receive(group(alert()))
    return world


@pytest.fixture
def world(tmp_path) -> World:
    return open_world(tmp_path, make_people(ada=(PUSH, SMS, CALL), ben=(PUSH, SMS)))


@pytest.fixture
async def rig(world) -> Rig:
    return Rig(world, {(who, how): Phone() for who in ("ada", "ben") for how in ("push", "sms", "call")})


class TestWhen:
    async def test_each_contact_is_used_after_its_time_while_nobody_has_the_incident(self, rig):
        assert await rig.settle() == 10
        assert rig.rung == ["Paged Ada Lovelace by push"]
        await rig.forward(minutes=2, seconds=59)
        assert len(rig.rung) == 1
        await rig.forward(seconds=1)
        assert rig.rung[1:] == ["Paged Ada Lovelace by sms"]
        await rig.forward(minutes=1)
        assert rig.rung[2:] == ["Paged Ada Lovelace by call"]
        await rig.forward(hours=1)
        assert rig.phones["ada", "push"].calls == 1

    async def test_it_sleeps_exactly_until_the_next_is_due(self, rig):
        await rig.settle()
        await rig.forward(minutes=2, seconds=58)
        assert await rig.settle() == 2

    @pytest.mark.parametrize("button", ["ack:INC-1", "resolve:INC-1", "silence:INC-1:1h"])
    async def test_a_press_ends_what_has_not_gone_out(self, rig, button):
        await rig.settle()
        assert rig.world.press(button).ok
        await rig.settle()
        with rig.world.unit() as work:
            assert not work.effects.targets("contact:"), "nothing waits for its time any more"
        await rig.forward(hours=2)
        assert rig.phones["ada", "sms"].calls == 0

    async def test_a_press_before_the_first_contact_keeps_even_that_one_quiet(self, rig):
        rig.world.press("ack:INC-1")
        await rig.settle()
        assert not rig.rung

    async def test_a_press_while_the_page_is_made_ready_keeps_it_quiet(self, rig):
        with rig.world.unit() as work:
            due, _ = rig.dispatcher._find(work)
        rig.world.press("ack:INC-1")
        await rig.dispatcher._send(due[0])
        assert rig.phones["ada", "push"].calls == 0

    async def test_an_escalation_rings_the_next_level_and_goes_on_with_this_one(self, rig):
        await rig.settle()
        rig.world.press("escalate:INC-1:0")
        await rig.settle()
        assert rig.rung == ["Paged Ada Lovelace by push", "Paged Ben Okri by push"]
        await rig.forward(minutes=3)
        assert set(rig.rung[2:]) == {"Paged Ada Lovelace by sms", "Paged Ben Okri by sms"}

    async def test_whoever_is_called_to_an_incident_that_somebody_has_is_woken_once(self, rig):
        rig.world.press("ack:INC-1")
        rig.world.press("escalate:INC-1:0")
        await rig.settle()
        await rig.forward(minutes=10)
        assert rig.rung == ["Paged Ben Okri by push"]
        (page,) = rig.phones["ben", "push"].pages
        assert page.body.startswith("Ben Okri, since 03:10 UTC. Ada Lovelace has it, help is wanted: ")

    async def test_a_reopened_incident_rings_again(self, rig):
        await rig.settle()
        rig.world.receive(group(alert(firing=False)))
        await rig.forward(minutes=2)
        rig.world.receive(group(alert(starts_at=rig.world.clock.now())))
        await rig.settle()
        assert rig.phones["ada", "push"].calls == 2
        assert rig.phones["ada", "sms"].calls == 0

    async def test_new_counts_and_findings_end_nothing(self, rig):
        await rig.settle()
        rig.world.receive(group(alert(instance="b")))
        await rig.forward(minutes=3)
        assert "Paged Ada Lovelace by sms" in rig.rung


class TestWhatFails:
    async def test_is_tried_again_and_then_told_once(self, rig):
        rig.phones["ada", "push"].faults = [DOWN, DOWN]
        await rig.settle()
        assert not rig.rung
        await rig.forward(seconds=2)
        await rig.forward(seconds=8)
        assert rig.rung == ["Paged Ada Lovelace by push"]
        assert not rig.world.texts("not_contacted")

    async def test_three_times_is_dead_and_the_next_is_used_at_once(self, rig):
        rig.phones["ada", "push"].faults = [DOWN] * 9
        await rig.settle()
        await rig.forward(seconds=2)
        await rig.forward(seconds=8)
        assert rig.phones["ada", "push"].calls == 3
        assert rig.rung == ["Paged Ada Lovelace by sms"]
        (told,) = rig.world.texts("not_contacted")
        assert told == "Ada Lovelace was not reached by push: ntfy://… answered 503, 3 times"
        await rig.forward(minutes=3)
        assert rig.phones["ada", "call"].calls == 0, "the one after it was reached: the rest keep their time"

    async def test_a_final_no_is_not_repeated(self, rig):
        rig.phones["ada", "push"].faults = [DEAD]
        await rig.settle()
        assert (rig.phones["ada", "push"].calls, rig.phones["ada", "sms"].calls) == (1, 1)

    async def test_the_thread_says_what_is_done_and_who_can_mend_it_and_rings_nobody(self, rig):
        people = dict(rig.world.rules.roster.people)
        people["cleo"] = replace(people["cleo"], role=Role.ADMIN)
        rules = replace(rig.world.rules, roster=Roster(people=people))
        rig.phones["ada", "push"].faults = [DEAD]
        await rig.settle()
        (effect,) = rig.world.promised("notice")
        message = Composer(rig.world.store, rules, Links()).compose(effect, "web")
        assert message is not None
        assert message.headline == "Ada Lovelace was not reached by push: twilio://… answered 401"
        assert "sms, is used now. Cleo Vance: mend push of people.ada.contacts" in message.blocks[0].text
        assert not message.rings
        assert {item.payload["arg"] for item in rig.world.promised("notice", "console")} == {effect.payload["arg"]}

    async def test_all_dead_pages_the_next_level_at_once(self, rig):
        for how in ("push", "sms", "call"):
            rig.phones["ada", how].faults = [DEAD]
        await rig.settle()
        assert len(rig.world.texts("not_contacted")) == 3
        assert rig.rung == ["Paged Ben Okri by push"]
        assert rig.world.incident().page_level == 1

    async def test_all_dead_of_one_person_pages_nobody_else_where_another_is_reached(self, rig, tmp_path):
        steps = (EscalationStep(people=("ada", "cleo")), EscalationStep(people=("ben",)))
        escalations = {"default": EscalationPolicy(name="default", steps=steps)}
        (tmp_path / "other").mkdir()
        people = make_people(ada=(PUSH,), ben=(PUSH,))
        rig = Rig(open_world(tmp_path / "other", people, escalations=escalations), rig.phones)
        rig.phones["ada", "push"].faults = [DEAD]
        await rig.settle()
        assert rig.world.incident().page_level == 0, "Cleo has no contacts: chat is how she is reached"

    async def test_one_that_hangs_holds_up_no_other(self, rig, monkeypatch):
        monkeypatch.setattr(module, "SEND_SECONDS", 0.05)
        rig.world.press("escalate:INC-1:0")

        async def hang(_page: PageText) -> None:
            await asyncio.Event().wait()

        rig.phones["ada", "push"].send = hang
        await rig.settle()
        assert rig.rung == ["Paged Ben Okri by push"]
        with rig.world.unit() as work:
            (waits, *_) = work.effects.next_of("contact:ada/push")
        assert waits.attempts == 1

    async def test_a_mistake_in_a_connector_is_a_dead_contact(self, rig):
        rig.phones["ada", "push"].faults = [ZeroDivisionError("secret-in-the-text")]
        await rig.settle()
        (told,) = rig.world.texts("not_contacted")
        assert told.endswith("Nightshift made a mistake (ZeroDivisionError); its log says more")

    async def test_a_contact_that_left_the_configuration_is_told_and_passed_over(self, rig):
        del rig.phones["ada", "push"]
        await rig.settle()
        assert rig.world.texts("not_contacted") == [
            "Ada Lovelace was not reached by push: it is no longer in the configuration"
        ]
        assert rig.rung == ["Paged Ada Lovelace by sms"]


class TestOnce:
    async def test_what_waits_is_found_again_by_another_process(self, rig):
        await rig.settle()
        again = Rig(rig.world.reopen(), rig.phones)
        await again.forward(minutes=3)
        assert again.rung == ["Paged Ada Lovelace by push", "Paged Ada Lovelace by sms"]
        assert rig.phones["ada", "push"].calls == 1

    async def test_a_store_that_cannot_be_written_rings_nobody_twice(self, rig, monkeypatch):
        with rig.world.unit() as work:
            (effect,), _ = rig.dispatcher._find(work)
        record = module.record_reached

        def fail(*_args: object) -> None:
            raise Unavailable("disk is full", Reason.UNREACHABLE)

        monkeypatch.setattr(module, "record_reached", fail)
        for _ in range(3):
            with pytest.raises(Unavailable):
                await rig.dispatcher._guarded(effect)
        monkeypatch.setattr(module, "record_reached", record)
        await rig.settle()
        assert rig.phones["ada", "push"].calls == 1
        assert rig.rung == ["Paged Ada Lovelace by push"]

    async def test_the_loop_wakes_with_the_commit_that_pages(self, rig):
        rig.world.press("resolve:INC-1")
        await rig.settle()
        rig.world.store.on_commit(rig.dispatcher.wake)
        task = asyncio.create_task(rig.dispatcher.run())
        await asyncio.to_thread(rig.world.receive, group(alert("DiskFull")))
        async with asyncio.timeout(5):
            while not rig.phones["ada", "push"].pages:
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class File:
    """A contact whose service writes down every page it takes, also those of a process that is killed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def send(self, page: PageText) -> None:
        with self.path.open("a") as file:
            file.write(f"{page.title}\n")


CHILD = """
import asyncio, sys
from pathlib import Path
from tests.unit.test_contacts import PUSH, File, Rig, make_people
from tests.worldkit import FixedClock, PhaseLog, World, make_rules, make_store

async def main():
    clock = FixedClock()
    phases = PhaseLog(clock)
    store = make_store(Path(sys.argv[1]), clock, phases, fresh=False)
    rules = make_rules(roster=make_people(ada=(PUSH,)))
    world = World(path=Path(sys.argv[1]), clock=clock, phases=phases, store=store, rules=rules)
    await Rig(world, {("ada", "push"): File(Path(sys.argv[2]))}).settle()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("point", "times"),
    [
        pytest.param("contact.send.before", 1, marks=pytest.mark.long),
        ("contact.send.after", 2),
        pytest.param("contact.settled", 1, marks=pytest.mark.long),
    ],
)
async def test_a_kill_repeats_a_page_at_most_once(tmp_path, point, times):
    world = open_world(tmp_path, make_people(ada=(PUSH,)))
    rung = File(tmp_path / "rung")
    plan = {"NIGHTSHIFT_FAULT_POINT": point, "NIGHTSHIFT_ALLOW_FAULTS": "1"}
    command = [sys.executable, "-c", CHILD, str(tmp_path), str(rung.path)]
    killed = await asyncio.to_thread(subprocess.run, command, env={**os.environ, **plan}, check=False)
    assert killed.returncode == -signal.SIGKILL
    await Rig(world.reopen(), {("ada", "push"): rung}).settle()
    assert len(rung.path.read_text().splitlines()) == times
    with world.unit() as work:
        assert not work.effects.targets("contact:")
    assert world.texts("contacted") == ["Paged Ada Lovelace by push"]


class TestTests:
    async def test_a_test_rings_every_contact_at_once_and_says_what_each_answered(self, rig):
        rig.phones["ada", "sms"].faults = [DEAD]
        answers = await rig.dispatcher.test("ada")
        assert [(one.contact, one.ok, one.text) for one in answers] == [
            ("push", True, "taken"),
            ("sms", False, "twilio://… answered 401"),
            ("call", True, "taken"),
        ]
        (page,) = rig.phones["ada", "push"].pages
        assert page.title == "TEST page from Nightshift"
        assert await rig.dispatcher.test("cleo") == ()

    async def test_a_test_from_chat_is_for_oneself_and_once_a_minute(self, rig):
        await rig.settle()
        assert rig.world.say("/oncall test").text.startswith("A test is on its way to push, sms, call.")
        again = rig.world.say("/oncall test")
        assert (again.ok, again.text) == (False, "A test went to your contacts less than a minute ago.")
        await rig.settle()
        assert [page.title for page in rig.phones["ada", "sms"].pages] == ["TEST page from Nightshift"]
        assert rig.rung == ["Paged Ada Lovelace by push"], "a test belongs to no incident"

    async def test_a_failed_test_stands_on_no_timeline(self, rig):
        rig.phones["ada", "sms"].faults = [DEAD]
        rig.world.say("/oncall test")
        await rig.settle()
        assert not rig.world.texts("not_contacted")

    def test_who_has_no_contacts_is_told_so(self, world):
        reply = world.say("/oncall test", "cleo@web")
        assert (reply.ok, reply.text[:24]) == (False, "You have no contacts: yo")

    def test_a_viewer_tests_nothing(self, world):
        assert not world.say("/oncall test", "vic@web").ok
