"""A title and a severity from the model: asked for behind a finished run, shown as its opinion, never acted on."""

import json
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from bot.agent.loop import Agent, Head
from bot.agent.replay import Match, replay_run
from bot.agent.suggesting import SUGGEST, find_answer, read_answer
from bot.agent.tools.toolbox import NoTools
from bot.agent.transcript import fold
from bot.domain.incident import Severity
from bot.domain.models.spending import Budgets, DayLimits
from bot.domain.runs.account import tell_steps
from bot.domain.runs.suggestion import Suggestion, read_suggestion
from bot.domain.runs.transcript import Budget
from bot.engine.compose import Composer
from bot.engine.suggest_phase import SuggestPhase
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.model import Finish, ModelPlace
from bot.render.links import Links
from bot.services import modelling, paging, suggesting, why
from bot.worker.drafting import ModelDrafting
from tests.agent_world import AgentWorld, ScriptedModel, propose, say
from tests.model_phase_kit import make_model_tools
from tests.worldkit import World, alert, group, make_world

RUN = "INC-1:1"
GOOD = {"title": "Gutscheine ohne Satz brechen den Kauf ab", "severity": "critical", "reason": "Niemand kann zahlen."}
ANSWER = json.dumps(GOOD, ensure_ascii=False)


async def ended_run(*more) -> AgentWorld:
    shop = AgentWorld(model=ScriptedModel(script=[say("", propose()), say("The rate was read wrongly."), *more]))
    state = await shop.run()
    assert state.ended
    return shop


def agent_of(shop: AgentWorld, budget: Budget | None = None) -> Agent:
    head = Head(ModelPlace(url="http://model", name="m"), Budget())
    return Agent(model=shop.model, tools=NoTools(), head=head, budget=budget or Budget(), append=shop.store)


async def ask(shop: AgentWorld, budget: Budget | None = None) -> None:
    await agent_of(shop, budget).ask_aside(RUN, list(shop.rows), SUGGEST)


class TestTheQuestion:
    async def test_begins_with_the_bytes_of_the_last_request(self):
        shop = await ended_run(say(ANSWER))
        await ask(shop)
        *_, last, aside = shop.model.requests
        assert aside.startswith(last.removesuffix(b"]}"))
        sent = json.loads(aside)
        assert sent["messages"][-1] == {"role": "user", "content": SUGGEST.text}
        assert sent["messages"][-2]["content"] == "The rate was read wrongly."
        assert sent["response_format"]["json_schema"]["schema"]["properties"]["severity"]["enum"] == list(Severity)

    async def test_is_no_part_of_the_conversation_and_is_counted(self):
        shop = await ended_run(say(ANSWER))
        before = fold(shop.rows)
        await ask(shop)
        after = fold(shop.rows)
        assert after.messages == before.messages
        assert after.conclusion == before.conclusion
        assert (after.spent.steps, after.spent.completion) == (before.spent.steps + 1, before.spent.completion + 50)

    async def test_is_replayed_byte_for_byte(self):
        shop = await ended_run(say(ANSWER))
        await ask(shop)
        replay = replay_run(RUN, shop.rows)
        asked = replay.requests[-1]
        assert (replay.is_sound, asked.request.match, asked.is_aside) == (True, Match.SAME, True)
        assert (asked.request.body, asked.text) == (shop.model.requests[-1], ANSWER)

    async def test_is_asked_without_a_form_where_the_server_knows_none(self):
        shop = await ended_run(Rejected("response_format is not known", Reason.BAD_INPUT), say(ANSWER))
        await ask(shop)
        assert "response_format" not in json.loads(shop.model.requests[-1])
        assert replay_run(RUN, shop.rows).is_sound
        assert read_answer(find_answer(shop.rows)).severity is Severity.CRITICAL

    @pytest.mark.parametrize(
        "error", [Rejected("no key", Reason.NOT_ALLOWED), Unavailable("down", Reason.TIMEOUT, None)]
    )
    async def test_leaves_no_row_where_nobody_answers(self, error):
        shop = await ended_run(error)
        rows = len(shop.rows)
        with pytest.raises(type(error)):
            await ask(shop)
        assert len(shop.rows) == rows

    async def test_is_not_asked_over_the_run_s_budget(self):
        shop = await ended_run(say(ANSWER))
        requests = len(shop.model.requests)
        await ask(shop, Budget(steps=requests))
        assert len(shop.model.requests) == requests

    async def test_stands_in_the_account_of_the_run(self):
        shop = await ended_run(say(ANSWER))
        await ask(shop)
        line = tell_steps(shop.rows)[-1]
        assert (line.call, line.result, line.prompt, line.cached) == ("asked apart: title, severity", ANSWER, 1000, 900)


def answer_with(**changes: object) -> str:
    return json.dumps(GOOD | changes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Title: the shop fails",
        f"```json\n{ANSWER}\n```",
        f"{ANSWER} And now I will page everybody.",
        "[]",
        "null",
        "[" * 100_000,
        '{"title": "a", "title": "b", "severity": "info", "reason": "c"}',
        answer_with(title="x" * 241),
        answer_with(title=""),
        answer_with(title="\u202e\u200b"),
        answer_with(title=["a"]),
        answer_with(severity="SEV0"),
        answer_with(severity=["critical"]),
        answer_with(severity=None),
        answer_with(resolve=True),
        answer_with(reason="y" * 801),
        answer_with(title="See https://evil.example/x"),
        answer_with(title="See evil.example/x"),
        answer_with(reason="Ask @here to approve"),
        answer_with(title="<!channel> all is well"),
        answer_with(title="[Approve](javascript:1)"),
        answer_with(reason="Run `rm -rf /`"),
    ],
)
async def test_an_answer_that_is_not_what_was_asked_for_is_dropped(text):
    shop = await ended_run(say(text))
    await ask(shop)
    assert read_answer(find_answer(shop.rows)) is None


async def test_calls_and_endless_words_are_dropped_and_bounded():
    for answer in (say(ANSWER, ("run_check", {"name": "tests"})), say("x" * 1_000_000, finish=Finish.LENGTH)):
        shop = await ended_run(answer)
        await ask(shop)
        row = find_answer(shop.rows)
        assert read_answer(row) is None
        assert len(row.body) < 10_000


def test_what_is_kept_is_one_line_without_anything_unseen():
    read = read_suggestion(GOOD | {"title": " Checkout\n fails\x1b[31m \u202enow ", "reason": "List<String> is null."})
    assert read == Suggestion(title="Checkout fails now", severity=Severity.CRITICAL, reason="List<String> is null.")


@pytest.mark.parametrize(
    ("title", "kept"),
    [
        ("Checkout " * 7 + "fails", "Checkout " * 5 + "Checkout…"),
        ("x" * 61, "x" * 59 + "…"),
        ("word " * 12 + "y" * 99, ("word " * 12).rstrip() + "…"),
        ("é" * 60, "é" * 60),
    ],
)
def test_what_is_somewhat_too_long_is_cut_at_a_word(title, kept):
    """Models count letters badly, and a server that does it for them cuts inside of words."""
    assert read_suggestion(GOOD | {"title": title}).title == kept
    assert len(kept) <= 60


def test_no_text_is_bounded_by_the_form():
    """SGLang's grammar for a bounded text has no quotation marks, and control characters instead."""
    assert "maxLength" not in SUGGEST.form


# In the bot -----------------------------------------------------------------------------------------------------------
@pytest.fixture
def world(tmp_path) -> World:
    world = make_world(tmp_path)
    world.rules = replace(world.rules, has_model=True, has_titles=True)
    world.receive(group(alert(severity="warning")))
    with world.unit() as work:
        modelling.start_model(work, "INC-1", RUN)
    return world


async def finish(world: World) -> None:
    """End the model's run as its phase does."""
    shop = await ended_run()
    for row in shop.rows:
        assert world.store.append(row)
    with world.unit() as work:
        modelling.conclude_model(work, "INC-1", RUN, fold(shop.rows).conclusion, world.rules)


def phase_of(world: World, script, **changes):
    model = ScriptedModel(script=script)

    @asynccontextmanager
    async def open_model(_place, _errand, _on_try):
        yield model

    drafter = ModelDrafting(tools=None, open_model=open_model)  # no tool, no repository: none is needed
    return SuggestPhase(world.store, world.rules, make_model_tools(drafter, **changes)).phase(), model


def queued(world: World) -> list[dict[str, str]]:
    return [dict(each.args) for each in world.phases.of("suggest")]


async def test_a_finding_is_told_first_and_then_the_model_s_own_words_for_it(world):
    await finish(world)
    assert world.texts("model_ended"), "the finding does not wait"
    phase, model = phase_of(world, [say(ANSWER)])
    await phase.run(queued(world)[0])
    with world.unit() as work:
        incident = work.incidents.get("INC-1")
        found = suggesting.find_suggestion(work, incident)
        told = why.write_account(why.read_account(work, "INC-1"))
        shown = Composer(world.store, world.rules, Links(base=""))._card(work, incident, "")
    assert (found.title, incident.severity, incident.title != found.title) == (GOOD["title"], Severity.WARNING, True)
    assert shown.headline.endswith(incident.title)
    assert shown.blocks[0].text == f"The model calls it: {GOOD['title']} (suggested: critical — Niemand kann zahlen.)"
    assert "asked apart" in told
    await phase.run(queued(world)[0])
    assert len(model.requests) == 1, "it is asked once"


async def test_secrets_in_it_are_redacted_and_bad_answers_change_nothing(world):
    await finish(world)
    phase, _ = phase_of(world, [say(answer_with(title="The key hunter2 is wrong"))])
    await phase.run(queued(world)[0])
    assert "[redacted]" in world.texts("model_suggested")[0]


@pytest.mark.parametrize("answer", [say("I page everybody now."), say(answer_with(severity="apocalypse"))])
async def test_a_bad_answer_is_dropped_without_another_try(world, answer):
    await finish(world)
    phase, model = phase_of(world, [answer, say(ANSWER)])
    await phase.run(queued(world)[0])
    await phase.run(queued(world)[0])
    assert world.texts("model_suggested") == []
    assert len(model.requests) == 1


async def test_a_kill_between_the_answer_and_the_card_asks_nobody_again(world):
    await finish(world)
    phase, model = phase_of(world, [say(ANSWER)])
    with world.unit() as work:
        steps = work.transcripts.of(RUN)
    shop = AgentWorld(model=model, rows=list(steps))
    await ask(shop)
    world.store.append(shop.rows[-1])
    await phase.run(queued(world)[0])
    assert len(model.requests) == 1
    assert world.texts("model_suggested")


async def test_nobody_is_asked_where_it_is_off_or_over_or_spent(world):
    await finish(world)
    phase, model = phase_of(world, [say(ANSWER)], budgets=Budgets(day=DayLimits(steps=0)))
    await phase.run(queued(world)[0])
    assert model.requests == []
    with world.unit() as work:
        paging.resolve(work, "INC-1", "ada", world.rules)
    phase, model = phase_of(world, [say(ANSWER)])
    await phase.run(queued(world)[0])
    assert model.requests == []


async def test_a_run_that_found_nothing_or_is_not_to_be_asked_queues_nothing(world):
    world.rules = replace(world.rules, has_titles=False)
    await finish(world)
    assert queued(world) == []


async def test_a_server_that_is_down_is_not_waited_for(world):
    await finish(world)
    phase, _ = phase_of(world, [Unavailable("down", Reason.TIMEOUT)])
    with pytest.raises(Unavailable):
        await phase.run(queued(world)[0])
    assert phase.patience == 0
    await phase.failed(queued(world)[0], "down")
    assert world.texts("model_suggested") == []


async def test_what_it_costs_is_counted_for_the_service(world):
    await finish(world)
    phase, _ = phase_of(world, [say(ANSWER)], budgets=Budgets(day=DayLimits(steps=100)))
    await phase.run(queued(world)[0])
    with world.unit() as work:
        spent = sum(each.steps for each in work.model_spend.today().values())
        steps = fold(work.transcripts.of(RUN)).spent.steps
    assert spent == steps
