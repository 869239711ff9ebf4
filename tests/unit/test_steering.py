"""Words in the thread reach the model as the next user turn: once, durably, with the prefix byte for byte."""

import json

import pytest

from bot.agent.loop import Agent, Head
from bot.agent.replay import Match, replay_run
from bot.agent.said import list_said
from bot.agent.tools.toolbox import Toolbox
from bot.domain.runs.transcript import Budget
from bot.errors import Reason, Unavailable
from bot.ports.model import ModelPlace
from bot.services import modelling
from tests.agent_world import AgentWorld, ScriptedModel, say
from tests.model_phase_kit import make_model_phase
from tests.worldkit import alert, group, make_world

RUN, HINT = "INC-1:1", "look at redis first"
PLACE = ModelPlace(url="http://gpu:30000", name="m")
READ = ("read_file", {"path": "shop/cart.py"})


class Steered:
    """The phase with the real loop and a scripted model; `talk` says what happens when the model is asked."""

    def __init__(self, path):
        self.world = make_world(path)
        self.world.receive(group(alert()))
        with self.world.unit() as work:
            modelling.start_model(work, "INC-1", RUN)
        self.agent_world = AgentWorld(model=ScriptedModel(script=[]))
        self.requests: list[bytes] = []
        self.phase = self.make_phase()
        self.talk = lambda number: None
        self.script = [say("", READ, ("grep", {"pattern": "x"})), say("No patch can help."), say("No patch can help.")]

    def make_phase(self):
        return make_model_phase(self.world, self, folder=self.world.path)

    async def complete(self, request, *, on_delta=None, deadline):
        self.requests.append(request)
        number = len(self.requests)
        self.talk(number)
        with self.world.unit() as work:
            self.phase._listen(work, modelling.read_args(self.args))
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def draft(self, job, store, *, ask, on_try) -> None:
        toolbox = Toolbox(self.agent_world.hands())
        agent = Agent(model=self, tools=toolbox, head=Head(PLACE, Budget()), budget=Budget(), append=store)
        await agent.run(RUN, job.steps, lambda: "Mend it.")

    @property
    def args(self):
        return {"incident": "INC-1", "run": RUN, "attempt": "0", "since": self.world.clock.now().isoformat()}

    async def run(self):
        await self.phase.phase().run(self.args)

    @property
    def rows(self):
        with self.world.unit() as work:
            return work.transcripts.of(RUN)

    def messages(self, number):
        return [(m["role"], m["content"]) for m in json.loads(self.requests[number])["messages"]]


@pytest.fixture
def steered(tmp_path):
    return Steered(tmp_path)


def speak(steered, text=HINT, at=1):
    def talk(number):
        if number == at:
            assert steered.world.say(text, event=f"e{number}-{text}", incident="INC-1").ok

    steered.talk = talk


async def test_words_come_after_the_last_answer_and_before_the_next_question(steered):
    speak(steered)
    await steered.run()
    roles = [role for role, _ in steered.messages(1)]
    assert roles == ["system", "user", "assistant", "tool", "tool", "user"]
    assert steered.messages(1)[-1][1].endswith(f"told the model: {HINT}")
    assert len([row for row in steered.rows if list_said([row])]) == 1


async def test_each_request_begins_with_the_bytes_of_the_one_before_and_is_replayed(steered):
    speak(steered)
    await steered.run()
    for before, after in zip(steered.requests, steered.requests[1:], strict=False):
        assert after.startswith(before.removesuffix(b"]}"))
    again = replay_run(RUN, steered.rows)
    assert [asked.request.body for asked in again.requests] == steered.requests
    assert {asked.request.match for asked in again.requests} == {Match.SAME}


async def test_a_conclusion_is_thought_over_when_somebody_spoke_meanwhile(steered):
    steered.script = [say("Nothing to do."), say("Redis is full."), say("Redis is full.")]
    speak(steered)
    await steered.run()
    assert [role for role, _ in steered.messages(1)][-2:] == ["assistant", "user"]
    assert "Redis is full" in steered.world.texts("model_ended")[0]


async def test_what_was_said_while_the_process_was_dead_is_read_once_it_goes_on(steered):
    steered.script = [say("", READ), Unavailable("gone", Reason.TIMEOUT), *[say("No patch.")] * 3]
    await steered.run()
    assert steered.world.say(HINT, incident="INC-1").ok
    steered.phase = steered.make_phase()
    await steered.run()
    told = [text for number in range(len(steered.requests)) for _, text in steered.messages(number)[-1:]]
    assert any(HINT in text for text in told)
    assert sum(HINT in str(row.body) for row in steered.rows) == 1


async def test_secrets_that_only_this_process_knows_are_taken_out(steered):
    speak(steered, "the password is hunter2")
    await steered.run()
    assert b"hunter2" not in steered.requests[1]


def test_only_responders_steer_and_only_while_the_model_works(steered):
    world = steered.world
    assert not world.say(HINT, "vic@web", incident="INC-1").ok
    assert not world.say(HINT).ok
    assert not world.say(f"/{HINT}", incident="INC-1").ok
    assert not world.say("x" * 1001, incident="INC-1").ok
    assert world.texts("steered") == []
    world.say("/incident cancel INC-1")
    world.say(HINT, event="later", incident="INC-1")
    assert world.texts("steered") == [], "after it, words are a question"
