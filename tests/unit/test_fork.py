"""A run forked from a step: another model or prompt is asked, no tool runs, nothing is stored."""

import asyncio
import json
from contextlib import nullcontext
from dataclasses import replace

import pytest

from bot.agent.fork import fork_run
from bot.agent.loop import Head
from bot.bootstrap.commands import fork as command
from bot.bootstrap.commands.fork import ForkOrder, fork_stored
from bot.bootstrap.commands.replay_options import replay_main
from bot.domain.runs.transcript import Budget
from bot.errors import Refused
from bot.ports.model import ModelPlace
from bot.settings import Settings
from tests.agent_world import AgentWorld, ScriptedModel, propose, say
from tests.unit.test_agent_loop import GOOD
from tests.worldkit import alert, group, make_world

PLACE = ModelPlace(url="http://gpu:30000", name="other")
HEAD = Head(PLACE, Budget())


@pytest.fixture
async def shop():
    world = AgentWorld(model=ScriptedModel(script=GOOD))
    await world.run()
    return world


async def fork(rows, script, at=1, head=HEAD):
    model = ScriptedModel(script=script)
    return model, await fork_run(rows, at=at, model=model, head=head, budget=Budget())


async def test_the_same_answers_come_to_the_same_end_without_a_tool(shop):
    judged = len(shop.judged)
    _, forked = await fork(shop.rows, GOOD)
    assert forked.stopped == ""
    assert all(answer.is_same for answer in forked.differences)
    assert len(forked.differences) == len(GOOD)
    assert len(shop.judged) == judged


async def test_the_prompt_before_the_step_is_what_was_sent_but_for_the_head(shop):
    model, _ = await fork(shop.rows, GOOD[2:], at=3)
    own = shop.model.requests[2].decode()
    assert (
        model.requests[0].decode().partition('"messages":[')[2].partition("},")[2]
        == (own.partition('"messages":[')[2].partition("},")[2])
    )


async def test_a_call_that_the_run_never_made_ends_the_fork_and_is_told(shop):
    _, forked = await fork(shop.rows, [GOOD[0], say("", ("git_log", {"limit": 3}))])
    assert forked.stopped == 'git_log {"limit": 3}'
    assert [answer.is_same for answer in forked.differences] == [True, False]
    assert forked.spent[0] == 2000


async def test_an_end_that_comes_sooner_or_in_other_words_differs(shop):
    _, forked = await fork(shop.rows, [say("No patch can help."), say("No patch can help.")])
    assert not any(answer.is_same for answer in forked.differences)
    assert forked.differences[-1].now is None


async def test_another_order_of_known_calls_goes_on(shop):
    _, forked = await fork(shop.rows, [say("", propose()), say("Done.")])
    assert forked.stopped == ""


@pytest.mark.parametrize("at", [0, -1, 99])
async def test_a_step_that_the_run_does_not_have_is_refused(shop, at):
    with pytest.raises(Refused, match="answers 1 to"):
        await fork(shop.rows, GOOD, at=at)


class Stored:
    """A store with a run in it, and a model at the address of the command."""

    def __init__(self, path, rows, monkeypatch):
        self.world = make_world(path)
        self.world.receive(group(alert()))
        self.rows = [replace(row, run="INC-1:1") for row in rows]
        for row in self.rows:
            assert self.world.store.append(row)
        self.settings = Settings(server={"state_dir": path}, model_url="http://gpu:1", model_api_key="k" * 20)
        self.model = ScriptedModel(script=[say("", ("git_log", {})), say("x")])
        self.places = []
        monkeypatch.setattr(command, "open_model", self.open)

    def open(self, place, errand, on_try):
        self.places.append(place)
        self.opened = ScriptedModel(script=self.model.script)
        return nullcontext(self.opened)

    def fork(self, **order):
        order = ForkOrder(**({"step": 1} | order))
        return fork_stored(self.settings, "INC-1:1", order, as_json=False).text


@pytest.fixture
def stored(tmp_path, monkeypatch, request):
    world = AgentWorld(model=ScriptedModel(script=GOOD))
    asyncio.run(world.run())
    return Stored(tmp_path, world.rows, monkeypatch)


def test_the_command_says_what_differs_and_stores_nothing(stored):
    text = stored.fork()
    assert "answer 1  DIFFERS" in text
    assert "now  git_log {}" in text
    assert "the run never made this call" in text
    with stored.world.unit() as work:
        assert list(work.transcripts.of("INC-1:1")) == stored.rows


def test_another_server_gets_another_prompt_and_never_the_configured_key(stored, tmp_path):
    prompt = tmp_path / "system.md"
    prompt.write_text("You are a careful engineer.\n")
    stored.fork(model_url="http://elsewhere:2", prompt=prompt)
    stored.fork()
    assert [(place.url, bool(place.api_key)) for place in stored.places] == [
        ("http://elsewhere:2", False),
        ("http://gpu:1", True),
    ]


def test_the_other_prompt_stands_in_the_request(stored, tmp_path):
    prompt = tmp_path / "system.md"
    prompt.write_text("You are a careful engineer.\n")
    stored.fork(prompt=prompt)
    sent = json.loads(stored.opened.requests[0])
    assert sent["messages"][0] == {"role": "system", "content": "You are a careful engineer."}


@pytest.mark.parametrize(
    "options", [["--model-url", "http://gpu:1"], ["--prompt", "x"], ["--from-step", "1", "--requests"], ["--nonsense"]]
)
def test_options_that_do_not_go_together_end_with_code_2(options, capsys, tmp_path):
    with pytest.raises(SystemExit) as caught:
        replay_main(["INC-1:1", *options], tmp_path / "none.toml")
    assert caught.value.code == 2
    assert "usage: nightshift replay" in capsys.readouterr().err


@pytest.mark.parametrize("order", [{"model_url": "gpu"}, {"step": 50}, {"model_url": "file:///etc/passwd"}])
def test_what_cannot_be_is_refused(stored, order):
    with pytest.raises(Refused):
        stored.fork(**order)
