"""Think harder: one press starts another run at the next effort, audited, and never two at a time."""

import json
from dataclasses import replace

import pytest

from bot.bootstrap.model_profiles import find_profile
from bot.domain.ask import Inquiry
from bot.domain.runs.profile import AgentProfile
from bot.engine.compose import Composer
from bot.errors import Reason, Rejected
from bot.ports.model import ModelPlace
from bot.render.links import Links
from bot.services import asking, modelling, paging
from tests.model_phase_kit import make_model_phase
from tests.unit.test_services_modelling import RUN, answer
from tests.worldkit import World, alert, group, make_world

DEEPSEEK = find_profile("deepseek-v4-flash").reasoning


@pytest.fixture
def world(tmp_path) -> World:
    world = make_world(tmp_path)
    profiles = {"patch": AgentProfile()}
    world.rules = replace(world.rules, has_model=True, profiles=profiles, reasoning={"patch": DEEPSEEK})
    world.receive(group(alert()))
    with world.unit() as work:
        modelling.start_model(work, "INC-1", RUN)
    return world


def end(world: World, run: str = RUN, **more: str) -> None:
    with world.unit() as work:
        modelling.conclude_model(work, "INC-1", run, answer(**more), world.rules)


def labels(world: World) -> list[str]:
    composer = Composer(world.store, world.rules, Links(base=""))
    with world.unit() as work:
        message = composer._status(work, work.incidents.get("INC-1"), "")
    return [button.label for button in message.buttons]


def test_it_is_offered_when_the_model_has_answered_as_long_as_there_is_more(world):
    assert labels(world) == []
    assert not world.press("think:INC-1").ok, "the model is still at work"
    end(world)
    assert labels(world) == ["Think harder"]
    assert world.press("think:INC-1").ok
    assert labels(world) == []
    end(world, f"{RUN}+h1", line="newer")
    assert world.say("/incident think INC-1").ok
    end(world, f"{RUN}+h2", line="newest")
    assert labels(world) == []
    assert world.press("think:INC-1").text == "The model cannot think any harder than it did."


def test_while_the_model_waits_for_an_answer_it_is_not_offered_and_says_what_to_do(world):
    args = modelling.ModelArgs(incident="INC-1", run=RUN, attempt=0, since=world.clock.now())
    with world.unit() as work:
        asking.ask_people(work, args, Inquiry(key="1.0", question="Which?", answers=("a", "b")), world.rules)
    assert labels(world) == []
    refused = world.press("think:INC-1")
    assert (refused.ok, refused.text) == (False, "The model waits for an answer to its question. Answer that first.")
    assert world.press("answer:INC-1:1.2").ok
    assert "still at work" in world.press("think:INC-1").text
    end(world)
    assert labels(world) == ["Think harder"]


def test_it_stands_in_the_timeline_with_who_asked(world):
    end(world)
    world.press("think:INC-1")
    (told,) = world.texts("think_harder")
    assert told == "Ada Lovelace asked the model to think harder (high)"
    assert world.texts("model_queued")[-1] == "The model thinks harder (high), as Ada Lovelace asked"
    assert world.phases.keys("model") == [RUN, f"{RUN}+h1"]
    end(world, f"{RUN}+h1", line="newer")
    with world.unit() as work:
        assert work.approvals.of("INC-1")[-1].requester == "ada", "so its rules on one's own wishes hold"


def test_the_same_press_twice_is_one_run(world):
    end(world)
    for _ in range(2):
        world.press("think:INC-1", event="one")
    assert world.phases.keys("model") == [RUN, f"{RUN}+h1"]


def test_a_resolved_incident_and_a_bot_without_a_model_are_refused(world):
    end(world)
    with_model = world.rules
    world.rules = replace(with_model, has_model=False)
    assert "No model is configured" in world.press("think:INC-1").text
    world.rules = with_model
    with world.unit() as work:
        paging.resolve(work, "INC-1", "ada", world.rules)
    assert "is resolved" in world.press("think:INC-1").text
    assert labels(world) == []


def test_a_model_without_efforts_is_not_offered(world):
    world.rules = replace(world.rules, reasoning={})
    end(world)
    assert labels(world) == []
    assert world.press("think:INC-1").text == "The model cannot think any harder than it did."


def test_once_a_patch_is_approved_it_is_said_that_no_other_answer_is_needed(world):
    end(world)
    with world.unit() as work:
        (approval,) = work.approvals.of("INC-1")
    assert world.press(f"approve:INC-1:{approval.digest[:12]}").ok
    assert "A patch of INC-1 is approved already" in world.press("think:INC-1").text


def test_where_the_model_did_not_work_that_is_said(tmp_path):
    world = make_world(tmp_path)
    world.rules = replace(world.rules, has_model=True, profiles={"patch": AgentProfile()})
    world.receive(group(alert()))
    assert world.press("think:INC-1").text == "The model did not work on INC-1."


class Script:
    """Notes what it was asked for, and does nothing."""

    def __init__(self) -> None:
        self.jobs = []

    async def draft(self, job, store, *, ask, on_try) -> None:
        self.jobs.append(job)
        raise Rejected("enough", Reason.NOT_FOUND)


async def test_the_run_asks_at_that_effort_and_keeps_it(world):
    end(world)
    world.press("think:INC-1")
    script = Script()
    place = ModelPlace(url="http://gpu", name="m", extra='{"priority": 10}')
    phase = make_model_phase(world, script, place=place).phase()
    with pytest.raises(Rejected):
        await phase.run(dict(world.phases.of("model")[-1].args))
    (job,) = script.jobs
    assert job.profile == AgentProfile(effort="high")
    assert job.place.extra == (
        '{"chat_template_kwargs": {"thinking": true}, "priority": 10, "reasoning_effort": "high"}'
    )


async def test_the_second_model_thinks_in_its_own_way(world):
    end(world)
    world.press("think:INC-1")
    script = Script()
    second = ModelPlace(url="http://small", name="s", extra='{"top_p": 0.9}')
    kimi = replace(find_profile("kimi-k2.6").reasoning, field="reasoning")
    world.rules = replace(world.rules, second_reasoning=kimi)
    phase = make_model_phase(world, script, place=ModelPlace(url="http://gpu", name="m", second=second)).phase()
    with pytest.raises(Rejected):
        await phase.run(dict(world.phases.of("model")[-1].args))
    asked = script.jobs[0].place
    assert asked.extra == '{"chat_template_kwargs": {"thinking": true}, "reasoning_effort": "high"}'
    assert json.loads(asked.second.extra) == {
        "top_p": 0.9,
        "chat_template_kwargs": {"thinking": True, "preserve_thinking": True},
    }
    assert (asked.reasoning_field, asked.second.reasoning_field) == ("reasoning_content", "reasoning")
