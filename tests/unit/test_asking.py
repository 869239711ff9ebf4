"""What the model asks people: posted once, answered once, by a press, by words, or by the clock; nothing is parked."""

import contextlib
import json
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest

from bot.agent.loop import Agent, Head
from bot.agent.replay import Match, replay_run
from bot.agent.tools.every import TOOLS
from bot.agent.tools.toolbox import Toolbox
from bot.domain.ask import MAX_ANSWER, MAX_ASKS, MAX_QUESTION, Inquiry, bound_ask, choose_answer, read_ask
from bot.domain.incident import RunState
from bot.domain.runs.progress import fold_progress
from bot.domain.runs.transcript import Budget
from bot.engine.compose import Composer
from bot.errors import Refused
from bot.ports.model import ModelPlace
from bot.render.links import Links
from bot.services import asking, modelling, paging
from bot.services.run_story import read_story
from bot.web.run_page import describe_run
from tests.agent_world import AgentWorld, ScriptedModel, say
from tests.model_phase_kit import make_model_phase
from tests.worldkit import make_world

RUN = "INC-1:1"
PLACE = ModelPlace(url="http://gpu:30000", name="m")
QUESTION = {"question": "Was the cache flushed today?", "answers": ["Yes", "No", "Not sure"]}
ASK = ("ask_user", QUESTION)


class Asked:
    """The phase with the real loop and a scripted model, over a real store."""

    def __init__(self, path):
        self.world = make_world(path, opened=True)
        with self.world.unit() as work:
            modelling.start_model(work, "INC-1", RUN)
        self.hands = AgentWorld(model=ScriptedModel(script=[]), has_people=True).hands()
        self.requests: list[bytes] = []
        self.script = [say("", ASK), say("No patch can help."), say("No patch can help.")]
        self.world.rules = replace(self.world.rules, has_model=True)
        self.composer = Composer(self.world.store, self.world.rules, Links(base=""))

    async def complete(self, request, *, on_delta=None, deadline):
        """Answer by what the conversation holds: one that a kill lost is given again."""
        self.requests.append(request)
        told = sum(message["role"] == "assistant" for message in json.loads(request)["messages"])
        return self.script[told]

    async def draft(self, job, store, *, ask, on_try):
        assert job.has_people
        agent = Agent(model=self, tools=Toolbox(self.hands), head=Head(PLACE, Budget()), budget=Budget(), append=store)
        await agent.run(RUN, job.steps, lambda: "Mend it.")

    async def run(self, number=0):
        """Do the phase that was queued as the number-th."""

        phase = make_model_phase(self.world, self, folder=self.world.path)
        await phase.phase().run(self.queued[number].args)

    @property
    def queued(self):
        return self.world.phases.of("model")

    def expire(self, number="1"):
        with self.world.unit() as work:
            asking.expire_question(work, "INC-1", number, self.world.rules)

    def press(self, choice, person="ada@web", event=""):
        return self.world.press(f"answer:INC-1:{choice}", person, event=event or f"press-{choice}-{person}")

    def shown(self):
        with self.world.unit() as work:
            effects = [each for each in work.effects.next_of("chat:web") if each.payload["what"] == "question"]
        return self.composer.compose(effects[-1], "web") if effects else None

    @property
    def state(self):
        with self.world.unit() as work:
            return fold_progress(read_story(work, RUN).happenings)


@pytest.fixture
async def asked(tmp_path):
    asked = Asked(tmp_path)
    await asked.run()
    return asked


async def test_a_question_names_who_is_on_call_and_offers_its_answers(asked):
    message = asked.shown()
    assert message.headline == "Ada Lovelace: the model asks: Was the cache flushed today?"
    assert message.rings == ("ada",)
    assert [(button.id, button.label) for button in message.buttons] == [
        ("answer:INC-1:1.1", "Yes"),
        ("answer:INC-1:1.2", "No"),
        ("answer:INC-1:1.3", "Not sure"),
    ]
    assert any("After 15 min the model goes on without" in getattr(block, "text", "") for block in message.blocks)


async def test_while_it_waits_nothing_runs_and_the_run_says_which_tool_it_waits_for(asked):
    assert len(asked.requests) == 1
    assert len(asked.queued) == 1
    assert (asked.state.status, asked.state.tool) == ("TOOL_INVOKED", "ask_user")
    assert asked.world.texts("model_ended") == []


async def test_a_press_goes_to_the_model_and_the_run_goes_on(asked):
    assert asked.press("1.2").ok
    await asked.run(1)
    assert "Ada Lovelace answered: No" in asked.requests[1].decode()
    assert asked.world.texts("model_ended")
    message = asked.shown()
    assert message.headline == 'Ada Lovelace answered "No".'
    assert message.buttons == ()


async def test_words_in_the_thread_are_an_answer_and_no_steering(asked):
    assert asked.world.say("it was, at noon", "cleo@web", event="w1", incident="INC-1").ok
    await asked.run(1)
    assert "Cleo Vance answered: it was, at noon" in asked.requests[1].decode()
    assert asked.world.texts("steered") == []


async def test_a_number_or_the_answer_s_own_words_choose_it(asked):
    assert asked.world.say(" 3 ", "cleo@web", event="w1", incident="INC-1").text.endswith('"Not sure".')
    assert choose_answer(("Yes", "No"), "yes!") == "Yes"
    assert choose_answer(("Yes", "No"), "5") == ""


async def test_after_a_while_the_model_goes_on_without(asked):
    (timer,) = asked.world.phases.of(asking.TIMER)
    assert timer.due - asked.world.clock.now() == timedelta(minutes=15)
    asked.expire()
    asked.expire()
    await asked.run(1)
    assert "Nobody answered within 15 minutes. Go on without an answer." in asked.requests[1].decode()
    assert len(asked.queued) == 2


async def test_of_two_answers_and_the_clock_the_first_counts(asked):
    assert asked.press("1.1").ok
    second = asked.press("1.2", "ben@web")
    assert not second.ok
    assert 'Ada Lovelace answered "Yes" already' in second.text
    asked.expire()
    assert len(asked.queued) == 2
    assert asked.world.texts("model_told") == ['Ada Lovelace answered "Yes"']


async def test_the_phase_again_after_a_kill_asks_nothing_twice_and_answers_once(asked):
    await asked.run()
    assert len(asked.world.texts("model_asked")) == 1
    assert len(asked.requests) == 1
    asked.press("1.1")
    await asked.run(0)
    await asked.run(1)
    assert sum(b"answered: Yes" in row.body.encode() for row in rows_of(asked)) == 1
    assert len(asked.requests) == 3


async def test_a_run_with_a_question_is_replayed_byte_for_byte(asked):
    asked.press("1.1")
    await asked.run(1)
    again = replay_run(RUN, rows_of(asked))
    assert {each.request.match for each in again.requests} == {Match.SAME}
    assert again.is_sound
    assert any(getattr(event, "text", "").startswith("Was the cache flushed today? [Yes") for event in again.events)


async def test_a_run_asks_three_times_at_most(tmp_path):
    asked = Asked(tmp_path)
    asks = [("ask_user", QUESTION | {"question": f"Question {number}?"}) for number in range(MAX_ASKS + 1)]
    asked.script = [say("", ask) for ask in asks] + asked.script[1:]
    for number in range(MAX_ASKS):
        await asked.run(number)
        assert asked.press(f"{number + 1}.1").ok
    await asked.run(MAX_ASKS)
    assert len(asked.world.texts("model_asked")) == MAX_ASKS
    assert "Not asked: 3 questions" in asked.requests[MAX_ASKS + 1].decode()


async def test_only_responders_answer_and_only_what_was_offered(asked):
    assert not asked.press("1.1", "vic@web").ok
    assert not asked.press("1.4").ok
    assert not asked.press("2.1").ok
    assert not asked.press("1.5").ok
    assert len(asked.queued) == 1


async def test_once_the_incident_is_over_nobody_s_answer_is_taken(asked):
    with asked.world.unit() as work:
        paging.resolve(work, "INC-1", "ada", asked.world.rules)
    assert not asked.press("1.1").ok
    asked.expire()
    assert len(asked.queued) == 1
    assert asked.shown().headline == "The model does not wait for an answer any more."


async def test_cancelled_work_takes_the_buttons_from_its_question(asked):
    asked.world.say("/incident cancel INC-1")
    assert any(key.endswith(":over") for key in (each.key for each in asked.world.promised("question")))
    assert asked.shown().buttons == ()


async def test_the_run_is_waiting_until_the_answer(tmp_path):
    asked = Asked(tmp_path)
    set_state(asked, RunState.DONE)
    await asked.run()
    assert state_of(asked) is RunState.WAITING
    asked.press("1.1")
    assert state_of(asked) is RunState.DONE


async def test_a_question_is_redacted_before_anybody_reads_it(tmp_path):
    asked = Asked(tmp_path)
    asked.script[0] = say("", ("ask_user", QUESTION | {"question": "Is hunter2 right?"}))
    await asked.run()
    assert "hunter2" not in str(asked.shown())
    assert all("hunter2" not in row.body for row in rows_of(asked) if row.kind == "ask")


class Killed(BaseException):
    """As after kill -9: nothing below catches it."""


DEATHS = 80
"""More than there are points on the way; those that are not reached change nothing."""
SAMPLE = (2, 7, 9, 12, 16)


@pytest.mark.parametrize(
    "death", [pytest.param(n, marks=() if n in SAMPLE else pytest.mark.long) for n in range(1, DEATHS)]
)
async def test_killed_at_any_point_it_is_asked_once_and_answered_once(death, tmp_path, monkeypatch):
    """It dies at the so manieth commit, or point beside one, and goes on as a new process would."""
    asked, reached, names, is_armed = Asked(tmp_path), count(1), [], [False]

    def reach(point):
        if is_armed[0]:
            names.append(point)
            if next(reached) == death:
                raise Killed(point)

    for module in ("bot.engine.model_phase", "bot.store.database"):
        monkeypatch.setattr(f"{module}.reach", reach)
    done: set[str] = set()
    for _ in range(9):
        if asked.world.texts("model_ended"):
            break
        is_armed[0] = True
        with contextlib.suppress(Killed):
            for number, phase in enumerate(asked.queued):
                if phase.key not in done:
                    await asked.run(number)
                    done.add(phase.key)
        is_armed[0] = False
        is_asked = bool(asked.world.texts("model_asked"))
        is_armed[0] = is_asked
        with contextlib.suppress(Killed):
            asked.press("1.1", event="the press") if is_asked else None
        is_armed[0] = False
    assert len(asked.world.texts("model_asked")) == 1
    assert asked.world.texts("model_told") == ['Ada Lovelace answered "Yes"']
    assert sum(b"answered: Yes" in row.body.encode() for row in rows_of(asked)) == 1
    assert len(asked.world.texts("model_ended")) == 1
    assert {"model.asked", "model.answered", "model.concluded"} <= set(names)
    assert len(names) < DEATHS


@pytest.mark.parametrize(
    ("question", "answers"),
    [
        ("", ["a", "b"]),
        ("x" * 301, ["a", "b"]),
        ("why?", ["a"]),
        ("why?", ["a", "b", "c", "d", "e"]),
        ("why?", ["a", "A"]),
        ("why?", ["a", " "]),
        ("why?", ["a", "x" * 41]),
    ],
)
def test_what_is_no_question_is_refused(question, answers):
    with pytest.raises(Refused):
        read_ask(question, answers)


def test_a_row_of_any_size_makes_a_question_of_its_bounds():
    ask = bound_ask(Inquiry(key="1.0", question="why\n" * 9_000, answers=("x" * 900, " ", *"abcdefgh")))
    assert len(ask.question) == MAX_QUESTION
    assert ask.answers == ("x" * MAX_ANSWER, "a", "b")


async def test_the_plan_stands_in_the_status_in_why_and_on_the_page(tmp_path):
    asked = Asked(tmp_path)
    items = [{"text": "Read the cart", "state": "done"}, {"text": "Ask about the cache", "state": "doing"}]
    asked.script = [say("", ("todo", {"items": items})), *asked.script]
    await asked.run()
    promised = [each for each in asked.world.promised("status") if ":todo-" in each.key]
    assert len(promised) == 1, "it is an edit of the one status message"
    shown = str(asked.composer.compose(promised[0], "web").blocks)
    assert "The model's plan, 1 of 2 done:" in shown
    assert "→ Ask about the cache" in shown
    why = asked.world.say("/incident why INC-1").text
    assert "Plan, 1 of 2 done:\n✓ Read the cart\n→ Ask about the cache" in why
    page = describe_run(asked.composer.show_run("INC-1", "1"))
    assert page.todo == ("✓ Read the cart", "→ Ask about the cache")
    asked.press("1.1")
    await asked.run(1)
    assert "plan" not in str(asked.composer.compose(promised[0], "web").blocks), "once the work is over it says nothing"


async def test_where_nobody_is_there_the_model_is_told_so():
    box = Toolbox(AgentWorld(model=ScriptedModel(script=[])).hands())
    assert "nobody is here" in (await box.call("ask_user", json.dumps(QUESTION), (), room=9_000)).text
    assert "ask_user" in {tool.name for tool in TOOLS}


def rows_of(asked):
    with asked.world.unit() as work:
        return work.transcripts.of(RUN)


def state_of(asked):
    with asked.world.unit() as work:
        return work.incidents.get("INC-1").run_state


def set_state(asked, state):
    with asked.world.unit() as work:
        work.incidents.save(replace(work.incidents.get("INC-1"), run_state=state))
