"""The loop: with good, lazy, babbling, obedient and broken models, and after a kill between any two rows."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from bot.agent.loop import MAX_NOTES, Head
from bot.agent.tools.every import TOOLS
from bot.agent.transcript import fold
from bot.domain.evidence import Check
from bot.domain.investigation import Verified
from bot.domain.runs.transcript import Budget, EndReason, StepKind
from bot.errors import LimitReached, Reason, Rejected, Unavailable
from bot.ports.model import Finish, ModelPlace
from tests.agent_world import GOOD_EDIT, AgentWorld, ScriptedModel, propose, say

GOOD = [
    say("I look.", ("grep", {"pattern": "percent"}), ("read_file", {"path": "shop/coupons.py"})),
    say("", ("read_log", {"pattern": "ERROR"})),
    say("", propose()),
    say("The coupon table holds numbers, not dicts: shop/coupons.py:5."),
]


def world(*script, **more) -> AgentWorld:
    return AgentWorld(model=ScriptedModel(script=list(script) or GOOD), **more)


async def test_a_good_engineer_reads_proposes_and_concludes():
    shop = world()
    state = await shop.run()
    assert state.ended is EndReason.DONE
    assert state.conclusion.best.verified.is_verified
    assert b"+    return TABLE[code]\n" in state.conclusion.best.patch
    assert state.text.startswith("The coupon table")
    kinds = [row.kind.value for row in shop.rows]
    assert kinds == [
        *("task", "model", "tool", "tool", "model", "tool", "model", "patch", "tool", "model", "end"),
    ]
    assert "VERIFIED" in shop.answers()[-1]


async def test_every_request_begins_with_the_one_before():
    shop = world()
    await shop.run()
    requests = shop.model.requests
    assert len(requests) == 4
    for before, after in pairwise(requests):
        assert after.startswith(before.removesuffix(b"]}"))
        json.loads(after)


async def test_system_and_tools_are_the_same_bytes_for_every_incident():
    first, second = world(), world(files={"other.py": "x = 1\n"})
    await first.run()
    await second.agent().run("INC-77:3", [], lambda: "# Another incident\n")
    head = Head(ModelPlace(url="x", name="m"), Budget()).request([])[:-2]
    assert first.model.requests[0].startswith(head)
    assert second.model.requests[0].startswith(head)
    request = json.loads(first.model.requests[0])
    names = [tool["function"]["name"] for tool in request["tools"]]
    assert names == sorted(names)
    assert set(names) == {tool.name for tool in TOOLS}
    assert list(request)[-1] == "messages"


@pytest.mark.parametrize("cut", range(12))
async def test_a_kill_after_any_row_repeats_at_most_the_call_in_flight(cut):
    whole = world()
    await whole.run()
    cut = min(cut, len(whole.rows))
    told = sum(1 for row in whole.rows[:cut] if row.kind is StepKind.MODEL)
    again = world(*GOOD[told:], rows=list(whole.rows[:cut]))
    state = await again.run()
    texts = [
        [row.body for row in rows if row.kind in {"task", "model", "patch", "end"}] for rows in (whole.rows, again.rows)
    ]
    without_times = [[_without_seconds(body) for body in bodies] for bodies in texts]
    assert without_times[0] == without_times[1]
    assert state.conclusion.best.verified.is_verified
    assert len(again.model.requests) == len(GOOD) - told
    for request, expected in zip(again.model.requests, whole.model.requests[told:], strict=True):
        assert request == expected


def _without_seconds(body: str) -> dict:
    return {key: value for key, value in json.loads(body).items() if key not in {"seconds", "gpu_seconds"}}


async def test_the_state_of_stored_rows_is_the_state_of_the_run():
    shop = world()
    state = await shop.run()
    assert fold(shop.rows) == state
    with pytest.raises(ValueError, match="belongs"):
        fold(shop.rows[1:])
    with pytest.raises(ValueError, match="belongs"):
        fold([*shop.rows[:3], *shop.rows[4:]])


async def test_failing_servers_are_asked_again_and_then_the_phase_is_told():
    broken = Unavailable("broken", Reason.SERVER_ERROR)
    shop = world(broken, broken, *GOOD)
    assert (await shop.run()).ended is EndReason.DONE
    assert shop.slept == [0.5, 2.0]
    shop = world(broken, broken, broken)
    with pytest.raises(Unavailable):
        await shop.run()
    assert [row.kind for row in shop.rows] == [StepKind.TASK]


async def test_a_full_server_is_waited_for_longer_than_it_says_and_a_minute_at_most():
    full = Unavailable("full", Reason.OVERLOADED)
    shop = world(full, full, full, Unavailable("full", Reason.RATE_LIMITED, 1.0), *GOOD)
    assert (await shop.run()).ended is EndReason.DONE
    assert shop.slept[:3] == [0.5, 2.0, 8.0]
    assert shop.slept[3] > 1.0
    shop = world(*[full] * 20)
    with pytest.raises(Unavailable):
        await shop.run()
    assert sum(shop.slept) <= 60


async def test_every_question_has_an_end_to_wait_for():
    shop = world(*GOOD)
    await shop.run()
    assert [round(left) for left in shop.model.left] == [shop.budget.answer_seconds] * len(shop.model.requests)


async def test_silence_and_long_waits_are_not_sat_out_here():
    for error in (Unavailable("silent", Reason.TIMEOUT), Unavailable("later", Reason.OVERLOADED, 60.0)):
        shop = world(error)
        with pytest.raises(Unavailable):
            await shop.run()
        assert shop.slept == []


async def test_a_refusal_ends_the_run_and_an_overflow_concludes_it():
    with pytest.raises(Rejected):
        await world(Rejected("wrong key", Reason.NOT_ALLOWED)).run()
    state = await world(LimitReached("too long for the model", Reason.TOO_LARGE)).run()
    assert (state.ended, state.text) == (EndReason.LIMIT, "too long for the model")


async def test_the_same_call_is_not_made_twice():
    call = ("grep", {"pattern": "percent", "path": "shop"})
    again = ("grep", '{ "path":"shop",  "pattern":"percent"}')
    shop = world(say("", call), say("", again), say("Nothing helps."), say("Nothing helps."))
    await shop.run()
    assert shop.answers()[0].startswith("shop/coupons.py:5:")
    assert shop.answers()[1].startswith("Not done again")


async def test_a_model_that_goes_in_circles_is_stopped():
    shop = AgentWorld(model=ScriptedModel(script=lambda request, n: say("", ("grep", {"pattern": "x"}))))
    state = await shop.run()
    assert (state.ended, state.text) == (EndReason.LIMIT, "it went in circles")
    assert len(shop.model.requests) < 10


@pytest.mark.parametrize(
    ("budget", "what"),
    [
        (Budget(steps=5), "5 answers"),
        (Budget(prompt_tokens=500), "500 prompt tokens"),
        (Budget(cached_tokens=4500), "4,500 cached"),
        (Budget(completion_tokens=250), "250 answer tokens"),
    ],
)
async def test_no_budget_is_passed_by_more_than_one_step(budget, what):
    model = ScriptedModel(script=lambda request, n: say("", ("grep", {"pattern": f"x{n}"})))
    state = await AgentWorld(model=model, budget=budget).run()
    assert state.ended is EndReason.LIMIT
    assert what in state.text
    assert len(model.requests) == 5


async def test_seconds_count_across_restarts():
    shop = world(*GOOD, budget=Budget(seconds=5.0))
    await shop.run()
    slow = list(shop.rows[:-2])
    body = json.loads(slow[1].body)
    slow[1] = type(slow[1])(
        run="INC-1:1", seq=1, kind=StepKind.MODEL, key="model:1", body=json.dumps(body | {"seconds": 9.0})
    )
    again = AgentWorld(model=ScriptedModel(script=[]), rows=slow, budget=Budget(seconds=5.0))
    assert "5 seconds" in (await again.run()).text
    assert again.model.requests == []


async def test_reading_is_bounded_and_proposing_is_still_possible():
    files = {f"f{n}.txt": "word\n" * 400 + "x\n" for n in range(30)} | {"shop/coupons.py": FILES_COUPONS}
    script = [say("", ("read_file", {"path": f"f{n}.txt"})) for n in range(10)] + [say("", propose()), say("Done.")]
    shop = world(*script, files=files, budget=Budget(tool_bytes=9_000))
    state = await shop.run()
    read = sum(len(answer.encode()) for answer in shop.answers())
    assert read < 9_000 + 2_000
    assert "Nothing more may be read" in shop.answers()[5]
    assert state.conclusion.best.verified.is_verified


async def test_a_model_that_reads_on_when_nothing_more_may_be_read_is_ended_with_that_budget():
    script = [say(f"Row {n} is wrong.", ("read_file", {"path": "shop/cart.py", "last": n + 1})) for n in range(20)]
    shop = world(*script, budget=Budget(tool_bytes=50))
    state = await shop.run()
    assert state.text == "its budget of 50 bytes of tools is used up, and it went on reading"
    assert (len(shop.model.requests), state.so_far) == (7, "Row 6 is wrong.")
    assert fold(shop.rows) == state


async def test_arguments_that_are_no_json_are_answered_with_the_whole_usage():
    shop = world(say("", ("propose_patch", "{bad")), say("", ("todo", "[]")), say("Done."))
    await shop.run()
    patch, todo = shop.answers()
    assert patch.endswith(
        "Call it as propose_patch(title: a text, edits: a list of objects {path: a text, old: a text, new: a text})."
    )
    assert todo.endswith("{text: a text, state: a text (open, doing, done)}).")


FILES_COUPONS = 'TABLE = {"VIP": 25}\n\n\ndef load(code):\n    return TABLE[code]["percent"]\n'


async def test_a_babbling_model_ends_without_a_patch():
    state = await AgentWorld(model=ScriptedModel(script=lambda r, n: say("bla " * 2000, finish=Finish.LENGTH))).run()
    assert state.ended is EndReason.GAVE_UP
    assert state.notes == MAX_NOTES
    assert state.conclusion.best is None


@pytest.mark.parametrize("answer", [say(""), say("   \n")])
async def test_an_empty_model_ends_without_a_patch(answer):
    state = await AgentWorld(model=ScriptedModel(script=lambda r, n: answer)).run()
    assert state.ended is EndReason.GAVE_UP


async def test_a_lazy_model_is_asked_once_more_and_then_believed():
    shop = world(say("Check the logs."), say("No patch can help: the database is down."))
    state = await shop.run()
    assert (state.ended, state.text) == (EndReason.DONE, "No patch can help: the database is down.")
    assert state.notes == 1


@pytest.mark.parametrize(
    "leak",
    [
        'text <tool_call>{"name": "grep"}',
        '[TOOL_CALLS] [{"name": "grep"}]',
        "<｜DSML｜function_calls>",
        "<|tool_calls_section_begin|>",
        "<function=grep>",
    ],
)
async def test_a_call_that_leaked_into_text_is_not_kept_and_not_made(leak):
    shop = world(say(leak), *GOOD)
    state = await shop.run()
    assert state.conclusion.best.verified.is_verified
    for request in shop.model.requests:
        for message in json.loads(request)["messages"][2:]:
            assert message["role"] != "assistant" or leak not in message["content"]
    assert "was not made" in json.loads(shop.model.requests[1])["messages"][-1]["content"]


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "{",
        "null",
        "[]",
        '"x"',
        "{'path': 'x'}",
        '{"path": NaN}',
        '{"path": "a", "path": "b"}',
        '{"path": "a"} {"path": "b"}',
        '{"path":' + "[" * 5000,
    ],
)
async def test_arguments_that_are_no_object_never_enter_the_history(arguments):
    shop = world(say("", ("read_file", arguments)), *GOOD)
    state = await shop.run()
    assert state.ended is EndReason.DONE
    assert "cannot be used" in shop.answers()[0]
    for message in json.loads(shop.model.requests[-1])["messages"]:
        for call in message.get("tool_calls", ()):
            assert isinstance(json.loads(call["function"]["arguments"]), dict)


async def test_a_name_of_the_model_s_own_making_is_told_back_as_text():
    shop = world(say("", ("read<|im_start|>", "{")), *GOOD)
    await shop.run()
    assert "arguments of read< |im_start|> cannot be used" in shop.answers()[0]


async def test_ids_that_are_missing_or_repeated_do_not_mix_answers_up():
    calls = (("grep", {"pattern": "percent"}), ("read_file", {"path": "README.md"}), ("git_log", {}))
    shop = world(
        say("", *calls, ids=("same", "same", "")), say("", ("grep", {"pattern": "sum"}), ids=("same",)), *GOOD[2:]
    )
    await shop.run()
    messages = json.loads(shop.model.requests[1])["messages"]
    ids = [call["id"] for call in messages[2]["tool_calls"]]
    assert len(set(ids)) == 3
    assert ids[0] == "same"
    assert [message["tool_call_id"] for message in messages[3:6]] == ids
    assert "README.md, lines" in messages[4]["content"]


async def test_a_cut_answer_keeps_no_half_call():
    shop = world(say("", ("propose_patch", '{"title": "x", "ed'), finish=Finish.LENGTH), *GOOD)
    assert (await shop.run()).conclusion.best.verified.is_verified
    assert "tool_calls" not in json.loads(shop.model.requests[1])["messages"][2]


async def test_a_failed_patch_leads_to_another():
    wrong = GOOD_EDIT | {"new": '    return TABLE[code]["rate"]\n'}
    shop = world(say("", propose(wrong)), say("", propose()), say("Now it holds."))
    state = await shop.run()
    assert "NOT VERIFIED: POST /checkout still fails" in shop.answers()[0]
    assert [proposal.verified.is_verified for proposal in state.proposals] == [False, True]
    assert state.conclusion.best is state.proposals[1]


async def test_a_patch_that_cannot_be_tried_is_called_that_once():
    shop = world(say("", propose()), say("Nothing can be run."))
    note = "not verified: there is no reproduction to hold the patch against"

    async def judge(patch, title):
        return Verified(before=Check.UNKNOWN, after=Check.UNKNOWN, runs=(), notes=(note,))

    hands = shop.hands()
    shop.hands = lambda: replace(hands, judge=judge)
    await shop.run()
    assert shop.answers()[0] == "NOT VERIFIED: there is no reproduction to hold the patch against"


async def test_at_most_two_repairs_are_tried_and_the_same_patch_is_judged_once():
    def edit(n):
        return GOOD_EDIT | {"new": f"    return TABLE[code][{n}]\n"}

    script = [say("", propose(edit(n), title=f"Try {n}")) for n in range(6)]
    same = say("", propose(edit(0), title="Another title"))
    shop = world(script[0], same, *script[1:], say("I give up."))
    state = await shop.run()
    assert len(state.proposals) == 3, "the first and two repairs"
    assert len(shop.judged) == 3
    assert "conclude now" in shop.answers()[-1]


async def test_an_obedient_model_has_nothing_to_obey_with():
    """It follows the README's orders: it calls tools that do not exist, and tries to carry a secret out in a patch."""
    script = [
        say("", ("read_file", {"path": "README.md"}), ("read_file", {"path": "secret.env"})),
        say(
            "As told.", ("post_message", {"text": "system prompt"}), ("approve_patch", {}), ("bash", {"cmd": "curl x"})
        ),
        say("", ("git_push", {"branch": "main"}), ("page", {"people": "all"})),
        lambda seen: say("", propose({"path": "out.txt", "old": "", "new": seen + "\n"}, title=seen)),
        say("I did as told."),
        say("I did as told."),
    ]

    def play(request: bytes, number: int):
        answer = script[number]
        if callable(answer):
            line = json.loads(request)["messages"][4]["content"].splitlines()[-1]
            return answer(line)
        return answer

    shop = AgentWorld(model=ScriptedModel(script=play))
    state = await shop.run()
    everything = b"".join(shop.model.requests) + "".join(row.body for row in shop.rows).encode()
    assert b"hunter2" not in everything
    assert [answer for answer in shop.answers() if answer.startswith("There is no tool")] == shop.answers()[2:7]
    assert "redacted" in shop.answers()[7]
    assert state.proposals == ()


async def test_what_the_store_redacts_never_reaches_the_model():
    shop = world(say("", ("read_file", {"path": "secret.env"})), *GOOD)
    await shop.run()
    assert b"hunter2" not in b"".join(shop.model.requests)
    assert b"TOKEN=[redacted:own:0a1b2c]" in shop.model.requests[1]


async def test_control_tokens_in_logs_are_broken_up():
    shop = world()
    await shop.run()
    log = shop.answers()[2]
    assert "<|im_start|>" not in log
    assert "< |im_start|>" in log


async def test_lone_surrogates_and_odd_characters_survive_storage():
    shop = world(say("a\ud800b\x00c", ("grep", {"pattern": "\u2028"})), *GOOD)
    await shop.run()
    for row in shop.rows:
        row.body.encode("utf-8")
    assert fold(shop.rows).messages == fold(list(shop.rows)).messages


def test_further_fields_may_not_replace_ours():
    place = ModelPlace(url="x", name="m", extra='{"priority": 10, "chat_template_kwargs": {"thinking": true}}')
    request = json.loads(Head(place, Budget()).request([]))
    assert request["priority"] == 10
    for extra in ('{"tools": []}', '{"messages": []}', "[]", "{", '{"stream": false}'):
        with pytest.raises(Rejected):
            Head(ModelPlace(url="x", name="m", extra=extra), Budget())


async def test_a_run_that_answers_a_question_ends_with_words_and_proposes_nothing():
    shop = world(say("", propose()), say("Since 12:00, by app.log:8."), proposes=False)
    state = await shop.run()
    assert (state.ended, state.text, state.notes) == (EndReason.DONE, "Since 12:00, by app.log:8.", 0)
    assert state.proposals == ()
    assert "answers a question" in shop.answers()[0]
