"""`/incident why`: what the agent did, short in the answer, whole in a file and on a page."""

import asyncio
import json
import re
from dataclasses import replace

import pytest

from bot.domain.runs.account import ASIDE, StepLine, tell_steps, write_short
from bot.domain.runs.transcript import Budget
from bot.engine.compose import Composer
from bot.render.links import Links
from bot.services import modelling
from bot.services.why import WIDTH, read_account, write_account, write_file
from bot.web.run_page import describe_run, write_seconds
from tests.agent_world import AgentWorld, ScriptedModel, propose, say
from tests.worldkit import alert, group, make_rules, make_world

LOOKS = [
    say("", ("grep", {"pattern": "percent"}), ("read_file", {"path": "shop/coupons.py"})),
    say("", propose()),
    say("The rate is read from a number. Mended in shop/coupons.py."),
]


@pytest.fixture
def steps():
    async def run():
        world = AgentWorld(model=ScriptedModel(script=LOOKS))
        await world.run()
        return world.rows

    return asyncio.run(run())


@pytest.fixture
def world(tmp_path):
    return make_world(tmp_path, opened=True)


def work_on(world, steps, run="INC-1:1"):
    """Let the model's run have these rows."""
    with world.unit() as work:
        modelling.start_model(work, "INC-1", run)
    for step in steps:
        assert world.store.append(replace(step, run=run))


def test_each_step_is_one_line_that_a_phone_shows_whole(world, steps):
    work_on(world, steps)
    reply = world.say("/incident why INC-1")
    assert reply.ok
    head, *lines = reply.text.split("\n")
    assert head.startswith("INC-1:1 ")
    assert all(len(line) <= WIDTH for line in [head, *lines])
    shown = "\n".join(lines)
    for part in ("1 grep percent →", "2 read_file", "3 propose_patch", "4 answers", "1.0k/900", "90 % cached"):
        assert part in shown


def test_of_many_steps_the_newest_are_told_and_how_many_were_before():
    many = [StepLine(call="grep", arguments=f'{{"pattern": "p{n}"}}', result="x", seconds=1) for n in range(60)]
    lines = [write_short(number, line, WIDTH) for number, line in enumerate(many, start=1)]
    assert lines[-1] == "60 grep p59 → x 1s"


def test_what_the_model_did_for_a_question_is_told_too_under_the_question(world, steps):
    work_on(world, steps)
    asked = {"run": "INC-1:1?1", "number": "1", "question": "Why?"}
    with world.unit() as work:
        work.timeline.append("INC-1", "question_asked", "ada", "Ada Lovelace asked: Why?", asked)
    for step in steps[:3]:
        assert world.store.append(replace(step, run="INC-1:1?1"))
    with world.unit() as work:
        account = read_account(work, "INC-1")
    assert account.parts == ("The model is looking for a fix", "Ada Lovelace asked: Why?")
    assert [line.call for line in account.lines][-2:] == ["grep", "read_file"]
    assert account.end.startswith("done: "), "a question that is being answered does not begin the run anew"
    aside = StepLine(call=f"{ASIDE}: title, severity", part=account.parts[0])
    assert replace(account, lines=(*account.lines, aside)).end == account.end
    assert account.course[-1].text == "Ada Lovelace asked: Why?"
    assert "— Ada Lovelace asked: Why? —" in write_file(account)


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_line_keeps_to_its_width_whatever_stands_in_it(width):
    line = StepLine(
        call="x" * 60, arguments='{"a": "' + "y" * 300 + '"}', result="z" * 300, prompt=99_999, cached=9_999, seconds=99
    )
    assert len(write_short(123, line, width)) <= width


def test_without_a_model_the_course_of_the_investigation_is_told(world):
    world.propose()
    text = world.say("/incident why INC-1").text
    assert "No model worked on it." in text
    assert re.search(r"\d\d:\d\d:\d\d Patch [0-9a-f]{12}: ", text)


def test_where_nothing_was_investigated_that_is_said(tmp_path):
    world = make_world(tmp_path, make_rules(services={}))
    world.receive(group(alert()))
    assert "Not investigated" in world.say("/incident why INC-1").text
    assert not world.say("/incident why INC-7").ok


def test_the_whole_follows_as_a_file_in_the_thread_where_it_was_asked_for(world, steps):
    work_on(world, steps)
    world.say("/incident why INC-1")
    (effect,) = [e for e in world.promised("notice") if e.payload["arg"] == "why.1"]
    message = Composer(world.store, world.rules, Links()).compose(effect, "web")
    assert message is not None
    assert message.rings == ()
    (file,) = message.files
    assert file.name == "INC-1-run1.txt"
    for part in ('> {"pattern": "percent"}', 'return TABLE[code]["percent"]', "1,000 prompt tokens (900 cached)"):
        assert part in file.text
    world.say("/incident why INC-1")
    assert len([e for e in world.promised("notice") if e.payload["arg"] == "why.1"]) == 1


def test_a_call_that_has_no_answer_yet_is_said_to_wait(steps):
    (line, *_) = tell_steps(steps[:2])
    assert line.is_waiting
    assert write_short(1, line, WIDTH).startswith("1 grep percent → …")


def test_hostile_text_cannot_move_a_cursor_or_break_a_line(world, steps):
    evil = replace(steps[2], body=steps[2].body.replace("percent", "\\u001b[2J\\u202epercent\\nforged 9 line"))
    work_on(world, [*steps[:2], evil])
    with world.unit() as work:
        account = read_account(work, "INC-1")
    for text in (write_account(account), write_file(account)):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "\nforged" not in write_account(account)


def test_what_was_said_with_a_call_who_answered_and_what_it_cost_are_told(world):
    async def run():
        first = replace(say("The rate first.", ("grep", {"pattern": "percent"})), by="small")
        agent = AgentWorld(model=ScriptedModel(script=[first, say("No patch can help."), say("No patch can help.")]))
        await agent.run()
        return agent.rows

    rows = asyncio.run(run())
    body = json.loads(rows[1].body)
    body["gpu_seconds"], body["usage"]["reasoning"] = 92.5, 40
    rows[1] = replace(rows[1], body=json.dumps(body))
    work_on(world, rows)
    with world.unit() as work:
        modelling.end_model(work, "INC-1", "INC-1:1", "No patch")
        modelling.start_wished(work, work.incidents.get("INC-1"), "INC-1:1+h1", text="The model thinks harder")
    for step in rows[:3]:
        assert world.store.append(replace(step, run="INC-1:1+h1"))
    with world.unit() as work:
        account = read_account(work, "INC-1")
    short, whole, screen = write_account(account), write_file(account), describe_run(account)
    for part in ("model m", "2 by the second, small", "185 GPU s"):
        assert part in short
    for part in ("\n  The rate first.\n", "by small, ", "— The model thinks harder —", "80 of them thinking"):
        assert part in whole
    facts = dict(screen.facts)
    assert (facts["Model"], facts["Second model"], facts["GPU time"]) == ("m", "small, 2 answers", "3 min 05 s")
    assert [step.part for step in screen.steps if step.part] == [
        "The model is looking for a fix",
        "The model thinks harder",
    ]
    assert (screen.steps[0].words, screen.steps[0].by) == ("The rate first.", "small")


def test_a_run_that_ended_says_why_and_a_refused_call_stands_out(world):
    async def run():
        again = [say("", ("grep", {"pattern": "x"}))] * 2
        agent = AgentWorld(model=ScriptedModel(script=again), budget=Budget(steps=2))
        await agent.run()
        return agent.rows

    work_on(world, asyncio.run(run()))
    with world.unit() as work:
        screen = describe_run(read_account(work, "INC-1"))
    assert dict(screen.facts)["Ended"] == "limit: its budget of 2 answers is used up"
    assert [step.is_refused for step in screen.steps] == [False, True, False]
    assert screen.steps[1].came.startswith("Not done again")
    assert [step.part for step in screen.steps] == ["", "", ""], "one work needs no title"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.04, "0.0 s"), (59.4, "59.4 s"), (59.7, "1 min 00 s"), (412, "6 min 52 s"), (3840, "1 h 04 min")],
)
def test_long_times_are_told_in_minutes_and_hours(seconds, told):
    assert write_seconds(seconds) == told


def test_the_page_has_every_step_with_its_share_of_cached_tokens(world, steps):
    work_on(world, steps)
    with world.unit() as work:
        screen = describe_run(read_account(work, "INC-1"))
    assert [(step.name, step.share) for step in screen.steps][:3] == [
        ("grep", 90),
        ("read_file", None),
        ("propose_patch", 90),
    ]
    assert ("From the cache", "2,700 tokens, 90 %") in screen.facts
