"""Questions in an incident's thread: who may ask what, what the model gets, and how the answer comes back."""

from dataclasses import replace

import pytest

from bot.agent.briefing import write_task
from bot.agent.transcript import Rows, fold
from bot.domain.runs.transcript import EndReason
from bot.engine.compose import Composer
from bot.errors import Reason, Unavailable
from bot.render.links import Links
from bot.services import paging, questions
from bot.services.run_story import read_story
from tests.model_phase_kit import make_model_phase
from tests.worldkit import World, make_rules, make_world

RUN = "INC-1:1?1"


@pytest.fixture
def world(tmp_path) -> World:
    return make_world(tmp_path, replace(make_rules(), has_model=True), opened=True)


class Script:
    """Ends a run with an answer, or does not answer at all."""

    def __init__(self, text: str = "It began at 03:10, app.log:8.", why: EndReason = EndReason.DONE) -> None:
        self.text, self.why, self.down, self.jobs = text, why, False, []

    async def draft(self, job, store, *, ask, on_try) -> None:
        self.jobs.append(job.job)
        if self.down:
            raise Unavailable("The model server does not answer", Reason.TIMEOUT)
        write, rows = Rows(job.job.run), list(job.steps)
        rows.append(await store(write.task(fold(rows), "the task", "head")))
        await store(write.end(fold(rows), self.why, self.text))


def phase_of(world: World, script: Script):
    return make_model_phase(world, script).phase()


async def work_off(world: World, script: Script) -> None:
    for phase in list(world.phases.of("model")):
        await phase_of(world, script).run(dict(phase.args))


def answer(world: World, number: int = 1):
    effect = [one for one in world.promised("answer") if one.payload["arg"] == str(number)][-1]
    return Composer(world.store, world.rules, Links(base="")).compose(effect, "web")


def ask(world: World, text: str, who: str = "ada@web"):
    return world.say(text, who, incident="INC-1")


async def test_what_is_asked_in_a_thread_is_answered_there(world):
    reply = ask(world, "since  when is it down?")
    assert (reply.ok, reply.text) == (True, "The model is looking it up. The answer comes here.")
    script = Script()
    await work_off(world, script)
    message = answer(world)
    assert message.headline == "Ada Lovelace asked: since when is it down?"
    assert message.blocks[0].text == "It began at 03:10, app.log:8."
    assert (message.tells, message.rings) == (("ada",), ())
    (job,) = script.jobs
    task = write_task(job, head="a" * 40, checks=(), clean=lambda text: text)
    assert "Ada Lovelace asks: since when is it down?" in task
    await work_off(world, script)
    assert len(script.jobs) == 1, "what has an answer is not asked again"


async def test_a_later_question_comes_with_the_answers_before_it(world):
    ask(world, "since when?")
    await work_off(world, Script())
    ask(world, "and why then?", "ben@web")
    script = Script("A deploy at 03:09.")
    await work_off(world, script)
    assert [(one.text, one.answer) for one in script.jobs[-1].questions] == [
        ("since when?", "It began at 03:10, app.log:8."),
        ("and why then?", ""),
    ]
    assert answer(world, 2).headline == "Ben Okri asked: and why then?"


async def test_a_question_about_a_resolved_incident_is_answered_too(world):
    with world.unit() as work:
        paging.resolve(work, "INC-1", "ada", world.rules)
    assert world.say("/incident ask INC-1 what was INC-2 about?").ok
    script = Script()
    await work_off(world, script)
    assert script.jobs[0].questions[-1].text == "what was INC-2 about?"


async def test_a_model_that_stays_away_is_told_after_ten_minutes(world):
    ask(world, "since when?")
    script = Script()
    script.down = True
    for _ in range(20):
        newest = world.phases.of("model")[-1]
        await phase_of(world, script).run(dict(newest.args))
        world.clock.advance(seconds=60)
    assert "gave no answer: The model server does not answer. Ask again later." in str(answer(world).blocks)
    assert len(script.jobs) < 20


async def test_a_run_that_ended_early_says_so(world):
    ask(world, "since when?")
    await work_off(world, Script("Perhaps 03:10.", EndReason.GAVE_UP))
    assert [block.text for block in answer(world).blocks][:2] == [
        "Perhaps 03:10.",
        "The model's run ended early; ask again, about less.",
    ]


async def test_a_run_at_its_limit_names_it(world):
    ask(world, "since when?")
    await work_off(world, Script("its budget of 40 answers is used up", EndReason.LIMIT))
    told = "The model's run ended early: its budget of 40 answers is used up. Ask again later, or about less."
    assert answer(world).blocks[0].text == told


def test_no_more_than_three_wait(world):
    for _ in range(questions.MAX_WAITING):
        assert ask(world, "why?").ok
    assert ask(world, "why?").text.startswith("3 questions wait for their answers already.")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("/incident ask INC-1", "Ask something"),
        ("/incident ask INC-1 " + "why " * 400, "ask in at most 1000"),
        ("/incident explode", "is not a command"),
    ],
)
def test_what_cannot_be_asked_is_said(world, text, says):
    reply = ask(world, text)
    assert (reply.ok, says in reply.text) == (False, True)


def test_without_a_model_nobody_looks(tmp_path):
    world = make_world(tmp_path, opened=True)
    reply = ask(world, "why?")
    assert not reply.ok
    assert reply.text.startswith("No model is configured, so nobody can look that up.")


def test_what_colleagues_say_to_each_other_is_nobody_s_question(world):
    reply = world.say("coffee?", incident="INC-1", is_addressed=False)
    assert (reply.ok, reply.text) == (True, "")
    assert not world.phases.of("model")
    assert world.say("incident status", incident="INC-1", is_addressed=False).text.startswith("INC-1 is")


async def test_a_question_belongs_to_the_investigation_it_is_about(world):
    ask(world, "since when?")
    await work_off(world, Script())
    with world.unit() as work:
        kinds = [row.kind for row in read_story(work, "INC-1:1").happenings]
    assert kinds[-2:] == ["question_asked", "question_answered"]
