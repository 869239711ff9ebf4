"""The page of a run: every step with its tokens, nothing hostile live, nothing for who is not signed in."""

from datetime import timedelta

import pytest

from bot.domain.runs.account import StepLine
from bot.domain.runs.progress import Happening
from bot.services.run_story import Story
from bot.services.why import Account
from tests.web_html import read_html
from tests.web_world import NOW, fill, served

PATH = "/incidents/INC-12/runs/1"
EVIL = "<script>alert(1)</script>\u202eevil\x1b[2J"
STEPS = (
    StepLine(
        call="grep",
        arguments='{"pattern": "base"}',
        result=EVIL,
        prompt=4000,
        cached=3000,
        completion=20,
        seconds=1.5,
    ),
    StepLine(
        call="answers",
        result="It divides by zero.",
        is_left_out=True,
        prompt=5000,
        cached=None,
        completion=30,
        seconds=2,
    ),
    StepLine(call="run_check", is_waiting=True),
)
COURSE = (
    Happening(at=NOW - timedelta(minutes=3), seq=1, kind="triage_queued", text=f"Investigating {EVIL}"),
    Happening(at=NOW - timedelta(minutes=2), seq=2, kind="stage", text="Logs read"),
)


@pytest.fixture
async def world():
    async with served() as world:
        fill(world.board)
        story = Story(run="INC-12:1", incident="INC-12", transcripts=("INC-12:1",), happenings=COURSE)
        world.board.runs["INC-12", "1"] = Account(story=story, state="TOOL_INVOKED", lines=STEPS, course=COURSE)
        yield world


async def read(client, path=PATH, status=200):
    async with client.get(path) as answer:
        assert answer.status == status
        return await answer.text()


async def test_every_step_is_shown_with_its_tokens_and_its_cached_share(world):
    page = read_html(await read(await world.signed_in()))
    steps = [" ".join(item.text.split()) for item in page.one("ol", id="run-steps").all("li")]
    assert "1. grep base 4,000 prompt · 20 written · 1.5 s" in steps[0]
    assert "75 % cached" in steps[0]
    assert "cached" not in steps[1]
    assert "No answer yet" in steps[2]
    assert ["Left out of later prompts" in step for step in steps] == [False, True, False]
    assert [meter.attributes["value"] for meter in page.all("meter")] == ["75"]
    assert "3,000 tokens, 33 %" in page.one("section", id="run-facts").text
    assert "Logs read" in page.one("ol", id="course").text


async def test_hostile_text_is_shown_and_never_live(world):
    client = await world.signed_in()
    for path in (PATH, f"{PATH}/fragment"):
        text = await read(client, path)
        assert "<script>alert" not in text
        assert "\u202e" not in text
        assert "\x1b" not in text
    assert "\x1b" not in await read(client, f"{PATH}/account.txt")


async def test_only_who_is_signed_in_sees_it_and_only_what_there_is(world):
    await read(world.client(), PATH, 403)
    client = await world.signed_in()
    for path in ("/incidents/INC-12/runs/2", "/incidents/INC-12/runs/0", "/incidents/INC-99/runs/1"):
        await read(client, path, 404)
