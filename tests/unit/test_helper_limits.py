"""Helpers where other things of a run meet them: budgets of a day, GPU seconds, a long conversation, questions."""

import json
from datetime import timedelta

import pytest

from bot.agent.profiles import choose_tools
from bot.agent.replay import Match, replay_run
from bot.agent.tools.toolbox import Toolbox
from bot.agent.transcript import Rows, fold
from bot.bootstrap.profiles import load_profiles
from bot.domain.models.spending import Budgets, DayLimits
from bot.domain.runs.account import tell_steps
from bot.domain.runs.transcript import Budget, EndReason, StepKind
from bot.engine.spending import Spending
from tests.agent_world import FILES, AgentWorld, ScriptedModel, say
from tests.unit.test_context import Counting
from tests.worldkit import FixedClock, make_store

RUN = "INC-1:1"
READ = ("read_file", {"path": "shop/cart.py"})
HELP = ("sub_agent", {"task": "Find out who calls total()."})
LONG = {f"f{number}.txt": "one more line of a long file\n" * 200 for number in range(9)}
ALL_OF_IT = [say(f"Part {number}.", ("read_file", {"path": f"f{number}.txt"})) for number in range(9)]


class TestADayBudget:
    @pytest.mark.parametrize("steps", [1, 2, 3])
    async def test_it_ends_the_helper_and_then_the_run_and_is_named(self, tmp_path, steps):
        store = make_store(tmp_path, FixedClock())
        budgets = Budgets(day=DayLimits(steps=steps))
        spending = Spending(store, budgets, hold=timedelta(minutes=1))
        assert spending.begin(RUN, "shop", ()) == ""
        world = AgentWorld(model=ScriptedModel(script=[say("Look.", HELP), *[say("", READ)] * 9]))
        keep = world.store

        async def count(step):
            return await keep(spending.take(step))

        world.store = count
        state = await world.run()
        assert len(world.model.requests) == steps
        assert (state.ended, state.so_far) == (EndReason.LIMIT, "Look.")
        assert state.text == f"today's budget of {steps} answers for all services is used up"
        assert "The helper came to no end (today's budget" in world.answers()[-1]
        spending.end(RUN)
        with store.begin() as work:
            assert work.model_spend.today()["shop"].steps == steps
        assert fold(world.rows) == state


class TestGpuSeconds:
    async def test_those_of_a_helper_are_the_run_s_and_it_gets_what_is_left(self):
        world = AgentWorld(model=ScriptedModel(script=[say("", HELP), say("", READ), say("Nobody."), say("No.")]))
        world.proposes = False
        world.budget = Budget(gpus=4)
        state = await world.run()
        told = [json.loads(row.body) for row in world.rows]
        inner = [body["row"]["body"] for body in told if "row" in body]
        own = [body["gpu_seconds"] for body in [*told, *inner] if "gpu_seconds" in body]
        assert len(own) == 4
        assert state.spent.gpu_seconds == pytest.approx(sum(own))
        assert all(each["gpu_seconds"] >= 4 * each["seconds"] - 0.01 for each in inner if "gpu_seconds" in each)


class TestALongConversation:
    def world(self, script, **more) -> AgentWorld:
        budget = Budget(context_tokens=6_000, tool_bytes=1_000_000)
        return AgentWorld(model=Counting(script=script), files=FILES | LONG, budget=budget, proposes=False, **more)

    async def test_a_helper_s_is_shortened_too_and_replayed_and_resumed_byte_for_byte(self):
        script = [say("", HELP), *ALL_OF_IT, say("Nobody calls it."), say("No patch.")]
        whole = self.world(script)
        state = await whole.run()
        assert state.ended is EndReason.DONE
        kinds = [json.loads(row.body)["row"]["kind"] for row in whole.rows if row.kind is StepKind.HELPER]
        assert "compact" in kinds
        assert all(row.kind is not StepKind.COMPACT for row in whole.rows), "the run's own is short"
        assert "helper: shortened" in [line.call for line in tell_steps(whole.rows)]
        replay = replay_run(RUN, whole.rows)
        assert [asked.request.body for asked in replay.requests] == whole.model.requests
        assert {asked.request.match for asked in replay.requests} == {Match.SAME}
        at = next(n for n, row in enumerate(whole.rows) if '"kind":"compact"' in row.body)
        for cut in (at, at + 1, at + 2):
            told = sum('"completion"' in row.body for row in whole.rows[:cut])
            again = self.world(script[told:], rows=list(whole.rows[:cut]))
            await again.run()
            assert again.model.requests == whole.model.requests[told:]


async def test_a_run_that_only_looks_for_the_cause_may_ask_people_and_goes_on_with_their_answer():
    ask = ("ask_user", {"question": "Which region?", "answers": ["east", "west"]})
    world = AgentWorld(model=ScriptedModel(script=[say("", ask), say("It is the east.")]), has_people=True)
    tools = choose_tools(load_profiles((), [])["triage"])

    async def go_on():
        agent = world.agent()
        agent._tools = Toolbox(world.hands(), tools, proposes=False)
        return await agent.run(RUN, world.rows, lambda: "The shop fails")

    asked = await go_on()
    assert (asked.waits.question, asked.ended) == ("Which region?", None)
    await world.store(Rows(RUN).tool(asked, "Ada answered: east", 0.0))
    ended = await go_on()
    assert (ended.ended, ended.text, ended.proposals) == (EndReason.DONE, "It is the east.", ())
    assert json.loads(world.model.requests[-1])["messages"][-1]["content"] == "Ada answered: east"
