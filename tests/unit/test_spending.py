"""Budgets that runs share: counted once, reserved before each call, and said where they end a run."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
from prometheus_client import generate_latest

from bot.agent.budget import find_limit, find_shared_limit
from bot.agent.transcript import Answer, Rows, State, advance, fold
from bot.bootstrap.model import publish_budgets
from bot.domain.models.spending import Budgets, DayLimits, Scope, Spent
from bot.domain.runs.transcript import Budget, EndReason, Step
from bot.engine.gauges import Gauges
from bot.engine.spending import Spending, end_of
from bot.errors import ConfigError
from bot.metrics import REGISTRY
from bot.ports.model import Completion, Finish, ToolCall, Usage
from bot.settings import load_settings
from bot.settings_budgets import build_budgets
from tests.worldkit import FixedClock, make_store

HOLD = timedelta(minutes=15)
USAGE = Usage(prompt=1000, cached=900, completion=50, reasoning=20)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def store(tmp_path, clock):
    return make_store(tmp_path, clock)


class Run:
    """A run whose rows a test writes, as the loop would."""

    def __init__(self, spending: Spending, name: str = "INC-1:1", service: str = "shop") -> None:
        self.spending, self.name, self.service = spending, name, service
        self.write, self.rows, self.calls = Rows(name), [], count()

    @property
    def state(self) -> State:
        return fold(self.rows)

    def begin(self) -> str:
        return self.spending.begin(self.name, self.service, tuple(self.rows))

    def take(self, row: Step) -> State:
        self.rows.append(self.spending.take(row))
        return self.state

    def task(self) -> State:
        self.begin()
        return self.take(self.write.task(self.state, "The shop fails", "head"))

    def ask(self) -> State:
        call = ToolCall(id=f"c{next(self.calls)}", name="grep", arguments="{}")
        completion = Completion(text="I look.", reasoning="", calls=(call,), finish=Finish.TOOL_CALLS, usage=USAGE)
        answer = Answer(completion=completion, asked_with="", seconds=2.0, gpu_seconds=8.0)
        return self.take(self.write.model(self.state, answer))

    def answer(self) -> State:
        return self.take(self.write.tool(self.state, "found", 0.5))

    def step(self) -> State:
        self.ask()
        return self.answer()


def today(store) -> dict[str, Spent]:
    with store.begin() as work:
        return dict(work.model_spend.today())


def limited(store, **limits) -> Spending:
    return Spending(store, Budgets(day=DayLimits(**limits)), hold=HOLD)


def test_a_run_is_counted_by_service_with_all_its_measures(store):
    run = Run(Spending(store, Budgets(), hold=HOLD))
    run.task()
    run.step()
    run.spending.end(run.name)
    assert today(store) == {
        "shop": Spent(
            steps=1, prompt=100, cached=900, completion=50, reasoning=20, gpu_seconds=8.0, seconds=2.5, tool_bytes=5
        )
    }


def test_a_killed_run_is_counted_once(store):
    run = Run(Spending(store, Budgets(), hold=HOLD))
    run.task()
    run.step()
    again = Run(Spending(store, Budgets(), hold=HOLD))
    again.rows = list(run.rows)
    assert again.begin() == ""
    again.step()
    again.spending.end(run.name)
    assert today(store)["shop"].steps == 2


def test_what_is_reserved_counts_until_the_call_is_counted_or_its_time_is_over(store, clock):
    run = Run(limited(store, steps=10))
    run.task()
    assert today(store)["shop"].steps == 1, "the first call is set aside"
    run.ask()
    assert today(store)["shop"].steps == 1, "it was made"
    run.answer()
    reserved = today(store)["shop"]
    assert (reserved.steps, reserved.completion, reserved.gpu_seconds) == (2, 100, 16.0)
    clock.advance(minutes=16)
    assert today(store)["shop"].steps == 1, "a process that died holds nothing for ever"


def test_a_used_up_day_ends_the_run_with_its_words_so_far(store):
    run = Run(limited(store, steps=2))
    run.task()
    assert run.step().refused == ""
    state = run.step()
    assert state.refused == "today's budget of 2 answers for all services is used up"
    ended = advance(state, end_of(run.rows, state.refused))
    assert ended.conclusion.why is EndReason.LIMIT
    assert (ended.conclusion.text, ended.conclusion.so_far) == (state.refused, "I look.")


def test_a_run_that_is_taken_up_again_is_refused_before_it_asks(store):
    run = Run(limited(store, steps=1))
    run.task()
    run.step()
    again = Run(limited(store, steps=1))
    again.rows = [run.rows[0]]
    assert "1 answers for all services" in again.begin()


def test_the_next_day_begins_at_nothing(store, clock):
    run = Run(limited(store, steps=1))
    run.task()
    run.step()
    run.spending.end(run.name)
    clock.advance(days=1)
    assert today(store) == {}
    another = Run(limited(store, steps=1), "INC-2:1")
    assert another.task().refused == ""


def test_services_and_teams_have_limits_of_their_own():
    budgets = Budgets(
        services={"shop": DayLimits(steps=5)},
        teams=(Scope(name="the team pay", limits=DayLimits(steps=8), services=frozenset({"shop", "bank"})),),
    )
    assert find_shared_limit({"shop": Spent(steps=5)}, "shop", budgets).endswith("answers for shop is used up")
    used = {"shop": Spent(steps=4), "bank": Spent(steps=4), "mail": Spent(steps=90)}
    assert find_shared_limit(used, "shop", budgets).endswith("for the team pay is used up")
    assert find_shared_limit(used, "bank", budgets).endswith("for the team pay is used up")
    assert find_shared_limit(used, "mail", budgets) == ""


@pytest.mark.parametrize("measure", ["reasoning_tokens", "gpu_seconds", "tool_bytes"])
def test_every_measure_can_be_limited(measure):
    spent = Spent(reasoning=7, gpu_seconds=7.0, tool_bytes=7)
    assert find_shared_limit({"shop": spent}, "shop", Budgets(day=DayLimits(**{measure: 7})))
    assert not find_shared_limit({"shop": spent}, "shop", Budgets(day=DayLimits(**{measure: 8})))


def test_a_run_has_limits_on_reasoning_and_gpu_seconds_of_its_own():
    assert "9 reasoning tokens" in find_limit(Spent(reasoning=9), Budget(reasoning_tokens=9))
    assert "60 GPU seconds" in find_limit(Spent(gpu_seconds=60.5), Budget(gpu_seconds=60))


async def test_twenty_runs_at_once_pass_the_limit_by_no_call(store):
    spending = limited(store, steps=30)
    runs = [Run(spending, f"INC-{number}:1") for number in range(20)]
    made = 0
    for run in runs:
        run.task()
    while going := [run for run in runs if not run.state.refused and not run.state.pending]:
        await asyncio.gather(*(asyncio.to_thread(run.ask) for run in going))
        made += len(going)
        await asyncio.gather(*(asyncio.to_thread(run.answer) for run in going))
    assert made == 30


async def test_metrics_show_what_was_used_and_the_limits(store):
    run = Run(limited(store, steps=30))
    run.task()
    run.step()
    run.spending.end(run.name)
    publish_budgets(Budgets(day=DayLimits(steps=30)))

    class Box:
        async def depth(self):
            return type("Depth", (), {"pending": 0, "oldest_seconds": 0, "dead": 0})

    await Gauges(store, Box()).refresh()
    text = generate_latest(REGISTRY).decode()
    assert 'nightshift_model_spent_today{kind="reasoning",service="shop"} 20.0' in text
    assert 'nightshift_model_budget_of_a_day{kind="steps",scope="all services"} 30.0' in text


SHOP = '[services.shop]\nrepository = "/srv/shop.git"\n'


def test_budgets_are_read_and_a_wrong_name_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "nightshift.toml"
    file.write_text(
        SHOP + "[model.budgets.day]\nsteps = 100\n[model.budgets.teams.pay]\nservices = ['shop']\ngpu_seconds = 60\n"
    )
    budgets = build_budgets(load_settings(file).model.budgets)
    assert [scope.name for scope in budgets.scopes("shop")] == ["the team pay", "all services"]
    assert budgets.teams[0].limits == replace(DayLimits(), gpu_seconds=60)
    file.write_text(SHOP + "[model.budgets.services.shoop]\nsteps = 1\n[model.budgets.teams.x]\nservices = ['bank']\n")
    with pytest.raises(ConfigError) as wrong:
        load_settings(file)
    assert [problem.where for problem in wrong.value.problems] == [
        "model.budgets.services.shoop",
        "model.budgets.teams.x.services",
    ]
