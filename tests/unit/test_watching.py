"""A watch: who may begin it, what each look gets, what is told of it, and that nothing ends it before its time."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.agent.briefing import write_task
from bot.agent.transcript import Rows, fold
from bot.domain.chat import Tone
from bot.domain.runs.transcript import EndReason
from bot.domain.watch import MOST_LOOKS, TOLD_LOOKS, Verdict, read_look, read_watch, write_length
from bot.engine.compose import Composer
from bot.engine.pausing import Pausing
from bot.errors import Reason, Refused, Unavailable
from bot.render.links import Links
from bot.services import paging, watching
from bot.services.why import read_account, write_account
from bot.store.board import SqlBoard
from bot.worker.drafting import errand_of
from tests.model_phase_kit import make_model_phase
from tests.worldkit import NOW, World, make_rules, make_world

QUIET = "SAME\nNo time-out since 03:00, app.log:8."
LOUD = "CHANGED\nThe time-outs are back, app.log:912."


class KilledError(BaseException):
    """The process is no more."""


class Script:
    """Ends each run with what it says of its number. It may be away, or be killed with its rows half written."""

    def __init__(self, say=lambda _number: QUIET, why: EndReason = EndReason.DONE) -> None:
        self.say, self.why, self.down, self.jobs, self.dies_after = say, why, False, [], -1

    async def draft(self, job, store, *, ask, on_try) -> None:
        self.jobs.append(job.job)
        if self.down:
            raise Unavailable("The model server does not answer", Reason.TIMEOUT)
        write, rows = Rows(job.job.run), list(job.steps)
        if not rows:
            rows.append(await store(write.task(fold(rows), "the task", "head")))
            self._die(0)
        await store(write.end(fold(rows), self.why, self.say(job.job.look.number if job.job.look else 0)))
        self._die(1)

    def _die(self, row: int) -> None:
        if self.dies_after == row:
            self.dies_after = -1
            raise KilledError


@pytest.fixture
def world(tmp_path) -> World:
    return make_world(tmp_path, replace(make_rules(), has_model=True), opened=True)


async def serve(world: World, script: Script) -> None:
    """Do what is due, as a process does that is awake."""
    while due := sorted(
        (one for one in world.phases.of("model") + world.phases.of("watching") if one.due <= world.clock.now()),
        key=lambda one: one.due,
    ):
        for one in due:
            if one.phase == "model":
                await Pausing(world.store).guard(make_model_phase(world, script).phase()).run(dict(one.args))
            else:
                with world.unit() as work:
                    watching.take_look(work, one.args, world.rules)
            del world.phases.committed[one.phase, one.key]


async def wait(world: World, script: Script, **span: float) -> None:
    """Let time go by, and do on the way what becomes due."""
    end = world.clock.now() + timedelta(**span)
    while world.clock.now() < end:
        timers = [one.due for one in world.phases.of("watching") + world.phases.of("model")]
        until = min([end, *(due for due in timers if due > world.clock.now())])
        world.clock.advance(seconds=(until - world.clock.now()).total_seconds())
        await serve(world, script)


def begin(world: World, text: str = "30m 2h are the time-outs back?", who: str = "ada@web"):
    return world.say(f"/incident watch INC-1 {text}", who)


def show(world: World, what: str = "watch"):
    return [Composer(world.store, world.rules, Links(base="")).compose(one, "web") for one in world.promised(what)]


def looks(world: World, number: str = "1"):
    with world.unit() as work:
        return watching.list_looks(work, "INC-1", number)


async def test_a_watch_looks_at_once_and_then_on_its_schedule_until_its_time_is_over(world):
    reply = begin(world)
    assert (reply.ok, reply.text) == (
        True,
        "The model looks now and every 30 min for 2 h. What changed comes here. To end it: /incident watch stop INC-1",
    )
    script = Script()
    await serve(world, script)
    await wait(world, script, hours=5)
    assert [look.at - NOW for look in looks(world)] == [timedelta(minutes=30 * place) for place in range(5)]
    message = show(world)[-1]
    assert message.headline == "Watch over: nothing changed, 05:12 UTC (look 5)"
    assert [block.text for block in message.blocks] == [
        "No time-out since 03:00, app.log:8.",
        "Ada Lovelace asked: are the time-outs back?",
        "The time of the watch is over.",
        "From the model: check what it cites before you rely on it.",
    ]
    assert not message.buttons
    assert not message.rings
    assert not world.promised("answer"), "what is the same is told nobody"


async def test_what_changed_is_told_in_a_message_of_its_own_to_who_asked(world):
    begin(world)
    script = Script(lambda number: LOUD if number == 2 else QUIET)
    await serve(world, script)
    await wait(world, script, hours=1)
    (told,) = show(world, "answer")
    assert told.headline == "INC-1 changed at 03:42 UTC (look 2 of the watch)"
    assert [block.text for block in told.blocks][:2] == [
        "The time-outs are back, app.log:912.",
        "Watched for: are the time-outs back?",
    ]
    assert (told.tells, told.rings, told.tone) == (("ada",), (), Tone.WARN)
    message = show(world)[-1]
    assert message.headline == "Watch: nothing changed, 04:12 UTC (look 3)"
    assert message.blocks[1].text == "Last change, look 2 at 03:42 UTC: The time-outs are back, app.log:912."
    assert [button.id for button in message.buttons] == ["unwatch:INC-1:1"]


async def test_a_look_gets_the_looks_before_it_and_what_the_timeline_says_since(world):
    begin(world)
    script = Script()
    await serve(world, script)
    with world.unit() as work:
        paging.acknowledge(work, "INC-1", "ben", world.rules)
    world.clock.advance(minutes=30)
    await serve(world, script)
    first, second = (write_task(job, head="a" * 40, checks=(), clean=str) for job in script.jobs)
    assert "It is the first look." in first
    assert "CHANGED" not in first
    assert "## Look 2 of a watch" in second
    assert "Now the incident is acknowledged, alerts so far: 1." in second
    assert "On the timeline since the look before, at 04 Mar 03:12:05 UTC:\n- 04 Mar 03:12:05 Ben Okri" in second
    assert f"Ada Lovelace asks: are the time-outs back?\nYou answered: {QUIET}" in second
    assert "Begin with a line of one word, in capitals: CHANGED" in second
    assert [errand_of(job).priority for job in script.jobs] == [0, 0], "nobody waits for a look"


async def test_a_look_knows_the_first_the_newest_changes_and_the_last(world):
    """What is known is not told as new, however long ago it was."""
    begin(world, "30m 5h")
    script = Script(lambda number: f"CHANGED\n{number}" if number in {2, 3, 4} else f"SAME\n{number}")
    await serve(world, script)
    await wait(world, script, hours=5)
    known = [[one.answer.split("\n")[-1] for one in job.questions[:-1]] for job in script.jobs]
    assert known[:5] == [[], ["1"], ["1", "2"], ["1", "2", "3"], ["1", "2", "3", "4"]]
    assert known[10] == ["1", "3", "4", "10"]


async def test_a_person_s_question_gets_of_the_looks_what_changed_alone(world):
    begin(world)
    script = Script(lambda number: LOUD if number == 2 else QUIET)
    await serve(world, script)
    await wait(world, script, hours=1)
    world.say("and why?", "ben@web", incident="INC-1")
    await serve(world, script)
    assert [one.answer for one in script.jobs[-1].questions] == [LOUD, ""]
    assert script.jobs[-1].look is None


async def test_looks_leave_the_three_questions_of_people_free(world):
    begin(world)
    script = Script()
    script.down = True
    await serve(world, script)
    assert all(world.say("why?", incident="INC-1").ok for _ in range(3))


async def test_a_model_that_is_away_is_asked_again_at_the_next_look(world):
    begin(world)
    script = Script()
    script.down = True
    await serve(world, script)
    await wait(world, script, minutes=29)
    message = show(world)[-1]
    assert message.headline == "Watch: the model gave no answer, 03:12 UTC (look 1)"
    assert message.blocks[0].text.startswith("The model gave no answer: The model server does not answer.")
    script.down, script.say = False, lambda _number: "One time-out a minute."
    await wait(world, script, minutes=1)
    assert show(world)[-1].headline == "Watch: this is how it stands, 03:42 UTC (look 2)"
    assert script.jobs[-1].look.before is None, "the first that sees something is what later ones are compared with"
    assert [one.answer for one in script.jobs[-1].questions] == [""]
    script.say = lambda _number: QUIET
    await wait(world, script, minutes=30)
    assert [one.answer for one in script.jobs[-1].questions] == ["One time-out a minute.", ""]
    assert show(world)[-1].headline == "Watch: nothing changed, 04:12 UTC (look 3)"


async def test_while_the_model_is_at_a_look_there_is_no_other(world):
    begin(world, "5m 1h")
    (run,) = world.phases.of("model")
    del world.phases.committed["model", run.key]  # as one that is held, or at work
    await wait(world, Script(), minutes=20)
    assert not world.phases.of("model")
    world.phases.committed["model", run.key] = run
    script = Script()
    await serve(world, script)
    await wait(world, script, minutes=5)
    assert [look.number for look in looks(world)] == [1, 2]


async def test_a_pause_holds_the_look_that_is_due_and_its_end_lets_it_go_on(world):
    begin(world)
    script = Script()
    await serve(world, script)
    world.say("/incident pause INC-1 hands off", "ben@web")
    await wait(world, script, hours=1)
    assert (len(script.jobs), len(looks(world))) == (1, 1), "one look is held, and none after it is asked for"
    world.say("/incident continue INC-1", "ben@web")
    await serve(world, script)
    await wait(world, script, minutes=30)
    assert [look.at - NOW for look in looks(world)][1:] == [timedelta(minutes=30), timedelta(minutes=90)]


async def test_after_a_long_stop_there_is_one_look_and_not_those_that_were_missed(world):
    begin(world, "30m 2d")
    script = Script()
    await serve(world, script)
    world.clock.advance(hours=24)
    await serve(world, script)
    assert len(looks(world)) == 2
    await wait(world, script, minutes=30)
    assert [look.at - NOW for look in looks(world)][1:] == [timedelta(hours=24), timedelta(hours=24, minutes=30)]


async def test_a_watch_that_was_missed_to_its_end_is_over_without_a_look(world):
    begin(world)
    script = Script()
    await serve(world, script)
    world.clock.advance(days=3)
    await serve(world, script)
    assert len(looks(world)) == 1
    assert show(world)[-1].headline.startswith("Watch over: ")


async def test_a_clock_that_goes_back_ends_no_watch(world):
    begin(world, "30m 1d")
    script = Script()
    await serve(world, script)
    await wait(world, script, hours=2)
    world.clock.advance(seconds=-3601)
    due = world.phases.of("watching")
    assert len(due) == 1
    await wait(world, script, hours=3)
    assert len(looks(world)) > 5
    assert len({look.number for look in looks(world)}) == len(looks(world))


async def test_a_timer_that_comes_a_little_early_ends_no_watch(world):
    begin(world, "30m 2h")
    script = Script()
    await serve(world, script)
    (timer,) = world.phases.of("watching")
    world.clock.advance(minutes=30, seconds=-0.001)
    world.phases.committed["watching", timer.key] = replace(timer, due=world.clock.now())
    await serve(world, script)
    assert [one.key for one in world.phases.of("watching")] == ["INC-1:1:2"]
    assert len(looks(world)) == 2


@pytest.mark.parametrize("how", ["/incident watch stop INC-1", "unwatch:INC-1:1"])
async def test_whoever_may_respond_ends_it(world, how):
    begin(world)
    script = Script()
    await serve(world, script)
    reply = world.press(how, "cleo@web") if how.startswith("unwatch") else world.say(how, "cleo@web")
    assert (reply.ok, reply.text) == (True, "INC-1 is not watched any more.")
    await wait(world, script, hours=3)
    assert len(looks(world)) == 1
    message = show(world)[-1]
    assert message.blocks[-2].text == "Cleo Vance ended the watch."
    assert not message.buttons
    again = world.say("/incident watch stop INC-1")
    assert (again.ok, again.text) == (False, "INC-1 is not watched any more. Nothing was changed.")


async def test_another_watch_takes_the_place_of_the_first_and_an_old_button_does_not_end_it(world):
    begin(world)
    begin(world, "1h 5h is it slow?", "ben@web")
    script = Script()
    await serve(world, script)
    await wait(world, script, hours=3)
    assert (len(looks(world, "1")), len(looks(world, "2"))) == (1, 4)
    assert not world.press("unwatch:INC-1:1", "ada@web").ok
    with world.unit() as work:
        assert watching.find_watch(work, "INC-1").question == "is it slow?"


async def test_it_goes_on_when_the_incident_is_resolved(world):
    begin(world)
    script = Script()
    await serve(world, script)
    with world.unit() as work:
        paging.resolve(work, "INC-1", "ada", world.rules)
    await wait(world, script, minutes=30)
    assert script.jobs[-1].look.state == "resolved, alerts so far: 1"
    assert any("resolved" in line for line in script.jobs[-1].look.news)


def test_who_may_not_respond_may_not_watch(world):
    assert not begin(world, who="vic@web").ok
    assert not world.say("/incident watch stop INC-1", "vic@web").ok


def test_without_a_model_nobody_looks(tmp_path):
    world = make_world(tmp_path, opened=True)
    assert begin(world).text.startswith("No model is configured")


async def test_five_days_with_twenty_kills_miss_no_look_and_repeat_none(world):
    """Each kill loses what was not committed, and whatever ran is run again by the next process."""
    begin(world, "2h 5d")
    script, chance = Script(lambda number: LOUD if number % 10 == 0 else QUIET), random.Random(7)
    deaths = set(chance.sample(range(1, 60), 20))
    died = 0
    for place in range(61):
        if place in deaths:
            died += await die_once(world, script, chance.randrange(4))
            world = world.reopen()
        await serve(world, script)
        world.clock.advance(hours=2)
    await serve(world, script)
    assert died == 20
    taken = looks(world)
    assert [look.at - NOW for look in taken] == [timedelta(hours=2 * place) for place in range(61)]
    assert [look.number for look in taken] == list(range(1, 62))
    assert [look.number for look in taken if look.verdict is Verdict.CHANGED] == [10, 20, 30, 40, 50, 60]
    assert len(show(world, "answer")) == 6
    with world.unit() as work:
        for question in range(1, 62):
            assert [row.seq for row in work.transcripts.of(f"INC-1:1?{question}")] == [0, 1]
        assert watching.find_watch(work, "INC-1") is None


async def die_once(world: World, script: Script, moment: int) -> int:
    """Die where a look is asked for, after that, or with one or two rows of its run written."""
    (timer,) = world.phases.of("watching")
    try:
        if moment == 0:
            with world.unit() as work:
                watching.take_look(work, timer.args, world.rules)
                raise KilledError
        if moment == 1:
            with world.unit() as work:
                watching.take_look(work, timer.args, world.rules)
            raise KilledError
        script.dies_after = moment - 2
        await serve(world, script)
    except KilledError:
        return 1
    return 0


async def test_of_hundreds_of_looks_the_newest_are_told(world):
    begin(world, "1h 2d")
    script = Script()
    await serve(world, script)
    await wait(world, script, hours=40)
    with world.unit() as work:
        account = read_account(work, "INC-1", "INC-1:1")
    assert len(account.parts) == TOLD_LOOKS
    assert f"{41 - TOLD_LOOKS} older looks are left out here" in [row.text for row in account.course]
    assert account.parts[-1].startswith("Look 41 for Ada Lovelace")
    assert "steps" in write_account(account)
    page = SqlBoard(world.store, world.clock).page("INC-1")
    asked = [event.text for event in page.timeline if event.text.startswith("Look ")]
    assert len(asked) == TOLD_LOOKS
    assert sum(event.text == "The model looked: the same" for event in page.timeline) == TOLD_LOOKS


@pytest.mark.parametrize(
    ("words", "every", "lasts", "question"),
    [
        ("", 30 * 60, 4 * 3600, "Is anything different from before?"),
        ("every 10m for 2h", 600, 7200, "Is anything different from before?"),
        ("10min 2h is it slow?", 600, 7200, "is it slow?"),
        ("2h", 7200, 4 * 3600, "Is anything different from before?"),
        ("8h", 8 * 3600, 8 * 3600, "Is anything different from before?"),
        ("for 5d are the 30m averages up?", 30 * 60, 5 * 86400, "are the 30m averages up?"),
        ("every day counts", 30 * 60, 4 * 3600, "every day counts"),
    ],
)
def test_how_a_watch_is_asked_for(words, every, lasts, question):
    assert read_watch(words.split()) == (timedelta(seconds=every), timedelta(seconds=lasts), question)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("1m", "every 5 min at most, and once in 1 day at least"),
        ("2d 5d", "every 5 min at most, and once in 1 day at least"),
        ("1h 30m", "lasts for one look at least, and 7 days at most"),
        ("1h 8d", "lasts for one look at least, and 7 days at most"),
        ("5m 7d", f"2,016 looks; {MOST_LOOKS} are the most"),
        ("999999d", "every 5 min at most, and once in 1 day at least"),
        ("1h 2h " + "x" * 1001, "1001 characters"),
    ],
)
def test_a_watch_that_makes_no_sense_is_refused_with_what_does(words, says):
    with pytest.raises(Refused, match=says):
        read_watch(words.split())


@pytest.mark.parametrize(
    ("text", "verdict", "words"),
    [
        ("CHANGED\nBack.", Verdict.CHANGED, "Back."),
        ("**CHANGED**: back.", Verdict.CHANGED, "back."),
        ("SAME. Quiet.", Verdict.SAME, "Quiet."),
        ("SAME", Verdict.SAME, ""),
        ("Nothing has CHANGED", Verdict.UNCLEAR, "Nothing has CHANGED"),
        ("changed: no", Verdict.UNCLEAR, "changed: no"),
        ("CHANGEDLY", Verdict.UNCLEAR, "CHANGEDLY"),
        ("", Verdict.UNCLEAR, ""),
    ],
)
def test_what_a_look_says_is_read_from_its_first_word_alone(text, verdict, words):
    assert read_look(text) == (verdict, words)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(90, "90 s"), (300, "5 min"), (3600, "1 h"), (5400, "90 min"), (86400, "1 day"), (172800, "2 days")],
)
def test_a_length_is_written_as_people_say_it(seconds, text):
    assert write_length(timedelta(seconds=seconds)) == text
