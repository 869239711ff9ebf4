"""A run again from its rows: the very requests, the calls, and what is said where rows or settings changed."""

import json
from dataclasses import replace

import pytest

from bot.agent.loop import Head
from bot.agent.redaction import load_redactor
from bot.agent.replay import Called, Match, Proposed, replay_run
from bot.agent.row_redaction import redact_step
from bot.agent.transcript import dump
from bot.bootstrap.commands.replay import replay_stored
from bot.domain.evidence import Check, CheckRun
from bot.domain.investigation import Collected, Confirmed, Drafted, Suspected, Verified
from bot.domain.runs.transcript import Budget, EndReason, StepKind
from bot.errors import Refused
from bot.ports.model import ModelPlace, Usage
from bot.services.modelling import QUEUED
from bot.services.questions import ASKED
from bot.settings import Settings
from tests.agent_world import AgentWorld, ScriptedModel, propose, say
from tests.unit.test_agent_loop import GOOD
from tests.worldkit import World, alert, group, make_world

HOSTILE = "\x1b[2J\x1b]0;owned\x07 \u202egnp.exe \u200b @everyone\r\nended: done\x00 \ud800"


def world(*script, **more) -> AgentWorld:
    return AgentWorld(model=ScriptedModel(script=list(script) or GOOD), **more)


def change(rows, seq: int, **body) -> list:
    row = rows[seq]
    return [*rows[:seq], replace(row, body=dump(json.loads(row.body) | body)), *rows[seq + 1 :]]


async def test_every_request_is_made_again_byte_for_byte():
    shop = world()
    state = await shop.run()
    again = replay_run("INC-1:1", shop.rows)
    assert [asked.request.body for asked in again.requests] == shop.model.requests
    assert {asked.request.match for asked in again.requests} == {Match.SAME}
    assert again.is_sound
    assert (again.ended, again.text, again.spent) == (EndReason.DONE, state.text, state.spent)
    called = [event for event in again.events if isinstance(event, Called)]
    assert [event.name for event in called] == ["grep", "read_file", "read_log", "propose_patch"]
    assert json.loads(called[1].arguments) == {"path": "shop/coupons.py"}
    assert [event.result for event in called] == shop.answers()
    (patch,) = [event for event in again.events if isinstance(event, Proposed)]
    assert patch.is_verified
    assert patch.patch == state.conclusion.best.patch


async def test_redaction_changes_nothing_about_the_bytes_that_were_sent():
    """The real rules leave the opening alone, and what they take out was never sent."""
    redact = load_redactor(["hunter2-hunter2"], b"k" * 32).redact
    shop = world(say("password=hunter2-hunter2", ("read_file", {"path": "shop/coupons.py"})), say("Enough."))
    kept = []

    async def store(step):
        kept.append(redact_step(step, redact))
        return kept[-1]

    shop.store = store
    await shop.run()
    again = replay_run("INC-1:1", kept)
    assert [asked.request.body for asked in again.requests] == shop.model.requests
    assert again.is_sound
    assert {asked.request.match for asked in again.requests} == {Match.SAME}
    assert "hunter2" not in "".join(row.body for row in kept)


@pytest.mark.parametrize("cut", range(1, 11))
async def test_a_run_that_goes_on_is_replayed_as_far_as_it_is(cut):
    shop = world()
    await shop.run()
    again = replay_run("INC-1:1", shop.rows[:cut])
    assert again.ended is None
    assert again.is_sound
    asked = sum(row.kind is StepKind.MODEL for row in shop.rows[:cut])
    assert [request.request.body for request in again.requests] == shop.model.requests[:asked]
    assert len(again.waiting) == {2: 2, 3: 1, 5: 1, 7: 1, 8: 1}.get(cut, 0)


async def test_a_changed_row_is_found_in_every_request_after_it():
    shop = world()
    await shop.run()
    message = json.loads(shop.rows[2].body)["message"] | {"content": "nothing to see"}
    again = replay_run("INC-1:1", change(shop.rows, 2, message=message))
    assert [asked.request.match for asked in again.requests] == [Match.SAME, *[Match.DIFFERS] * 3]
    assert not again.is_sound
    assert "not those that were sent" in again.requests[1].request.why


async def test_rows_of_an_older_version_are_not_compared_or_need_the_configuration():
    shop = world()
    await shop.run()
    old = []
    for row in shop.rows:
        body = {key: item for key, item in json.loads(row.body).items() if key not in {"opening", "asked_with"}}
        old.append(replace(row, body=dump(body)))
    bare = replay_run("INC-1:1", old)
    assert {asked.request.match for asked in bare.requests} == {Match.UNKNOWN}
    assert bare.requests[0].request.body == b""
    assert bare.is_sound
    opening = Head(ModelPlace(url="http://model", name="m"), Budget()).text
    known = replay_run("INC-1:1", old, opening=opening)
    assert [asked.request.body for asked in known.requests] == shop.model.requests
    assert {asked.request.match for asked in known.requests} == {Match.UNKNOWN}


async def test_a_run_resumed_with_other_settings_says_so():
    first = world()
    await first.run()
    second = world(*GOOD[1:], rows=list(first.rows[:4]), budget=Budget(answer_tokens=99))
    await second.run()
    now = Head(ModelPlace(url="http://model", name="m"), second.budget).text
    again = replay_run("INC-1:1", second.rows, opening=now)
    assert [asked.request.match for asked in again.requests] == [Match.SAME] * 4
    assert again.requests[0].request.why == ""
    assert "other model settings" in again.requests[1].request.why
    assert [asked.request.body for asked in again.requests[1:]] == second.model.requests
    unknown = replay_run("INC-1:1", second.rows)
    assert [asked.request.match for asked in unknown.requests] == [Match.SAME, *[Match.DIFFERS] * 3]


async def test_a_changed_opening_is_not_taken_for_what_was_sent():
    shop = world()
    await shop.run()
    opening = json.loads(shop.rows[0].body)["opening"].replace("read_file", "rm_file")
    again = replay_run("INC-1:1", change(shop.rows, 0, opening=opening))
    assert {asked.request.match for asked in again.requests} == {Match.UNKNOWN}
    assert again.requests[0].request.body == b""


BROKEN = {
    "no JSON": lambda rows: [*rows[:4], replace(rows[4], body="{"), *rows[5:]],
    "a list": lambda rows: [*rows[:4], replace(rows[4], body="[]"), *rows[5:]],
    "nested without end": lambda rows: [*rows[:4], replace(rows[4], body="[" * 200_000), *rows[5:]],
    "no usage": lambda rows: change(rows, 4, usage=None),
    "text that is none": lambda rows: change(rows, 4, message={"role": "assistant", "content": {"a": 1}}),
    "a number that is none": lambda rows: change(rows, 4, seconds="soon"),
    "an unknown end": lambda rows: change(rows, 10, why="tired"),
    "a missing row": lambda rows: [*rows[:4], *rows[5:]],
    "a row twice": lambda rows: [*rows[:5], *rows[4:]],
    "another order": lambda rows: [*rows[:2], rows[3], rows[2], *rows[4:]],
    "a patch that is none": lambda rows: change(rows, 7, patch=7),
    "an answer to no call": lambda rows: [*rows[:4], replace(rows[2], seq=4), *rows[5:]],
}


@pytest.mark.parametrize("name", BROKEN)
async def test_rows_that_cannot_be_read_are_named_and_what_came_before_is_shown(name):
    shop = world()
    await shop.run()
    again = replay_run("INC-1:1", BROKEN[name](shop.rows))
    assert "cannot be read" in again.broken
    assert not again.is_sound
    assert again.requests[0].request.match is Match.SAME


# The command ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def place(tmp_path) -> World:
    world = make_world(tmp_path)
    world.receive(group(alert(alertname="HighErrorRate" + HOSTILE.encode("utf-8", "replace").decode())))
    return world


def settings(tmp_path, **more) -> Settings:
    return Settings(server={"state_dir": tmp_path}, **more)


def show(tmp_path, name: str = "INC-1:1", *, as_json: bool = False, with_requests: bool = False, **more):
    return replay_stored(settings(tmp_path, **more), name, as_json=as_json, with_requests=with_requests)


def keep(place: World, rows) -> None:
    assert all(place.store.append(row) for row in rows)


def is_harmless(text: str) -> bool:
    return all(character == "\n" or character.isprintable() for character in text)


async def test_a_stored_run_is_printed_harmlessly(place, tmp_path):
    shop = world(
        replace(say(HOSTILE, ("grep", {"pattern": HOSTILE}), (HOSTILE, {})), reasoning=HOSTILE, usage=Usage(prompt=5)),
        say("", propose(title="Mend it" + "\u202e")),
        say("Done." + HOSTILE),
        say("Done." + HOSTILE),
        files={"shop/coupons.py": "x = 1  # \x1b[31m\n"},
    )
    await shop.run()
    keep(place, shop.rows)
    report = show(tmp_path, with_requests=True, model_url="http://gpu", model={"name": "m"})
    assert report.ok
    assert is_harmless(report.text)
    assert "<U+202E>" in report.text
    lines = report.text.split("\n")
    assert [line for line in lines if line.startswith("ended")] == ["ended: done"], "no quoted text stands for ours"
    assert f"{len(shop.model.requests)} of {len(shop.model.requests)} requests made again byte for byte" in report.text
    assert "cached unknown" in report.text


async def test_json_gives_the_very_bytes_in_ascii(place, tmp_path):
    shop = world(say("Grüße" + HOSTILE, ("grep", {"pattern": "ä"})), say("Enough."), say("Enough."))
    await shop.run()
    keep(place, shop.rows)
    text = show(tmp_path, "inc-1", as_json=True, with_requests=True).text
    assert text.isascii()
    assert is_harmless(text)
    told = json.loads(text)
    bodies = [event["request"]["body"].encode() for event in told["events"] if event["event"] == "asked"]
    assert bodies == shop.model.requests
    assert (told["ended"], told["sound"], told["run"]) == ("done", True, "INC-1:1")
    assert all(event["at"].startswith("2026-03-04T03:12:05") for event in told["events"])
    plain = json.loads(show(tmp_path, as_json=True).text)
    assert "body" not in next(event for event in plain["events"] if event["event"] == "asked")["request"]


async def test_a_request_that_differs_is_said_and_fails_the_command(place, tmp_path):
    shop = world()
    await shop.run()
    keep(place, change(shop.rows, 1, asked_with="\x1b[31m" + "0" * 200))
    report = show(tmp_path)
    assert not report.ok
    assert "DIFFERS from what was sent" in report.text
    assert is_harmless(report.text)
    assert "3 of 4 requests made again byte for byte" in report.text


@pytest.mark.parametrize("part", ["?1", "+1", "+h2"])
async def test_the_model_s_other_work_in_a_run_is_named_there_and_replayed_by_its_name(part, place, tmp_path):
    shop = world(say("It began at 03:10."), say("It began at 03:10."))
    await shop.run()
    keep(place, [replace(row, run=f"INC-1:1{part}") for row in shop.rows])
    kind = ASKED if "?" in part else QUEUED
    with place.unit() as work:
        work.timeline.append("INC-1", kind, "ada", "Ada asked: since when?" + HOSTILE[:9], {"run": f"INC-1:1{part}"})
        work.timeline.append("INC-1", kind, "ada", "of another run", {"run": "INC-1:2?1"})
    report = show(tmp_path)
    assert is_harmless(report.text)
    assert f"\n  INC-1:1{part}  Ada asked: since when?" in report.text
    assert "of another run" not in report.text
    (other,) = json.loads(show(tmp_path, as_json=True).text)["others"]
    again = show(tmp_path, other["run"])
    assert again.ok
    assert f"{len(shop.model.requests)} of {len(shop.model.requests)} requests made again byte for byte" in again.text


def test_a_run_without_a_model_shows_its_stages(place, tmp_path):
    assert "Nothing of it is stored yet" in show(tmp_path).text
    red = CheckRun(name="tests" + HOSTILE[:9], at="x", verdict=Check.RED, seconds=1.0)
    with place.unit() as work:
        work.investigations.add(
            "INC-1:1", Collected(records=(), requests=(), evidence=(), lines_read=7, notes=("\x1b",))
        )
        work.investigations.add("INC-1:1", Suspected(head="a" * 40, suspects=()))
        work.investigations.add("INC-1:1", Confirmed(culprit=None, request=None, runs=(), how="nothing was red"))
        work.investigations.add("INC-1:1", Drafted(base="a" * 40, patch=b"", title="", culprit=None, notes=("no",)))
        work.investigations.add("INC-1:1", Verified(before=Check.RED, after=Check.RED, runs=(red,), rung="fake"))
    report = show(tmp_path)
    assert report.ok
    assert is_harmless(report.text)
    for part in ("No model worked", "2026-03-04 03:12:05 UTC  collect", "7 log lines", "nothing was red", "no patch",
                 "not verified: red before, red after (fake)"):  # fmt: skip
        assert part in report.text
    told = json.loads(show(tmp_path, as_json=True).text)
    assert [stage["stage"] for stage in told["stages"]] == ["collect", "suspect", "confirm", "draft", "verify"]
    assert told["model"] is False


@pytest.mark.parametrize(
    "name",
    ["", "INC-2", "INC-1:2", "INC-1:0", "INC-1:-1", "INC-1:x", "INC-01:1", "INC-1:1:1", "\x1b[2J", "1", "INC-\u0661",
     "x" * 5000, "INC-99999999999999999999", "INC-1 :1", "INC-1\n", "INC-1:1?1", "INC-1:1?0", "INC-1:1+h",
     "INC-1?1", "INC-1:1??1", "'; DROP TABLE step; --"],
)  # fmt: skip
def test_what_is_no_run_is_refused_in_harmless_words(name, place, tmp_path):
    with pytest.raises(Refused) as refusal:
        show(tmp_path, name)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 200


def test_without_a_store_it_says_where_it_looked(tmp_path):
    with pytest.raises(Refused, match="There is no store"):
        show(tmp_path)
