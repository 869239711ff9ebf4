"""How long a model thinks: efforts by model, and thinking that goes back to the server under the name it wants."""

import json
from dataclasses import replace

import pytest

from bot.agent.replay import replay_run
from bot.bootstrap.model_profiles import find_profile, find_reasoning, list_models
from bot.bootstrap.profiles import find_efforts
from bot.domain.models.reasoning import Effort, Reasoning
from bot.domain.runs.profile import AgentProfile
from bot.errors import ConfigError
from bot.settings import Settings
from tests.agent_world import AgentWorld, ScriptedModel, propose, say

KIMI = find_reasoning("kimi-k2.6", "default")


@pytest.mark.parametrize(
    ("model", "effort", "fields"),
    [
        ("mistral-medium-3.5", "high", {"reasoning_effort": "high"}),
        ("deepseek-v4-pro", "none", {"chat_template_kwargs": {"thinking": False}}),
        ("deepseek-v4-flash", "max", {"chat_template_kwargs": {"thinking": True}, "reasoning_effort": "max"}),
        ("kimi-k2.6", "high", {"chat_template_kwargs": {"thinking": True, "preserve_thinking": True}}),
        ("gpt-oss-120b", "low", {"reasoning_effort": "low"}),
        ("devstral-2", "high", {}),
    ],
)
def test_an_effort_is_what_the_model_s_server_understands(model, effort, fields):
    assert json.loads(find_profile(model).reasoning.add_to("{}", effort) or "{}") == fields


def test_what_the_configuration_adds_stays_beside_it():
    extra = json.dumps({"priority": 10, "chat_template_kwargs": {"date": "x", "thinking": False}})
    assert json.loads(KIMI.add_to(extra, "high")) == {
        "priority": 10,
        "chat_template_kwargs": {"date": "x", "thinking": True, "preserve_thinking": True},
    }
    assert Reasoning().add_to(extra, "") == extra, "of a model of which nothing is known not a byte changes"
    assert json.loads(KIMI.add_to("", "")) == {"chat_template_kwargs": {"preserve_thinking": True}}


def test_the_next_effort_is_one_that_the_model_has():
    deepseek = find_profile("deepseek-v4-pro").reasoning
    assert [deepseek.find_harder(effort) for effort in ("none", "", "high", "max")] == ["high", "high", "max", None]
    assert Reasoning().find_harder("") is None
    only_none = Reasoning(efforts={Effort.NONE: "{}"})
    assert only_none.find_harder("") is None


def test_a_model_is_known_by_its_profile_or_by_its_name():
    assert find_reasoning("", "MoonshotAI/Kimi-K2.6") == KIMI
    assert find_reasoning("", "something else") == Reasoning()
    assert all(find_profile(name).reasoning.field == "reasoning_content" for name in list_models())


def settings(**model) -> Settings:
    return Settings(_env_file=None, model={"url": "http://gpu", **model})


def test_an_effort_that_the_model_has_not_stops_the_start():
    patch, big = AgentProfile(effort="high"), AgentProfile(name="big", model="x")
    known = find_efforts(settings(profile="kimi-k2.6"), {"patch": patch, "big": big})
    assert known == {"patch": KIMI, "big": Reasoning()}
    assert find_efforts(Settings(_env_file=None), {"patch": patch}) == {}, "nothing is asked without a model"
    with pytest.raises(ConfigError) as wrong:
        find_efforts(
            settings(profile="kimi-k2.6"), {"patch": replace(patch, effort="max"), "big": replace(big, effort="low")}
        )
    assert [problem.what for problem in wrong.value.problems] == [
        '"max" is not known of the model default: there is none, high',
        '"low" is not known of the model x: there is nothing; model.profile names the model\'s file',
    ]


def test_a_profile_that_there_is_not_stops_the_start():
    with pytest.raises(ConfigError, match=r"model\.profile"):
        find_efforts(settings(profile="kimi"), {"patch": AgentProfile()})


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", ""])
async def test_thinking_goes_back_word_for_word_where_the_server_wants_it(name):
    thinking = "  I think:\n\n\ttwice. \u00fc "
    script = [replace(say("", propose()), reasoning=thinking), say("Done.")]
    shop = AgentWorld(model=ScriptedModel(script=script))
    agent = shop.agent()
    agent._head.reasoning_field = name
    await agent.run("INC-1:1", (), lambda: "The shop fails")
    answer = json.loads(shop.model.requests[1])["messages"][2]
    assert {key: value for key, value in answer.items() if "reasoning" in key} == ({name: thinking} if name else {})
    assert replay_run("INC-1:1", shop.rows).requests[0].reasoning == thinking
