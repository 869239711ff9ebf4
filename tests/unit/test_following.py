"""Webhook and polling at once: whichever comes first ends the wait, and the verdict is told once."""

import asyncio
from dataclasses import replace

import pytest

from bot.domain.approval import ApprovalState
from bot.domain.ci import CIState
from bot.engine.commit_news import CommitNews
from tests.rollout_world import RolloutWorld


@pytest.fixture
def night(tmp_path, monkeypatch) -> RolloutWorld:
    night = RolloutWorld(tmp_path, monkeypatch)
    night.tools = replace(night.tools, news=CommitNews(), poll_seconds=600.0)
    return night


async def until_asked(night: RolloutWorld) -> None:
    """Wait until CI was asked for the first time: the phase waits now, for ten minutes or news."""
    while "ci.started" not in night.points:
        await asyncio.sleep(0.01)


async def test_a_webhook_ends_the_wait_at_once(night):
    digest = night.approve()
    playing = asyncio.create_task(night.play())
    async with asyncio.timeout(20):
        await until_asked(night)
        night.world.clock.advance(minutes=2)
        night.tools.news.tell(night.git.pushes)
        await playing
    assert night.world.approval(digest).state is ApprovalState.EXECUTED


async def test_webhooks_that_come_twice_or_too_early_tell_one_verdict(night):
    night.ci.verdict = CIState.FAILED
    digest = night.approve()
    playing = asyncio.create_task(night.play())
    async with asyncio.timeout(20):
        await until_asked(night)
        for minutes in (0.1, 0.1, 2, 0):
            night.world.clock.advance(minutes=minutes)
            night.tools.news.tell(night.git.pushes)
            await asyncio.sleep(0.05)
        await playing
    assert night.world.approval(digest).state is ApprovalState.FAILED
    assert len(night.world.texts("ci_failed")) == 1
    assert len(night.world.promised("verdict")) == 1


async def test_what_ci_refuses_to_do_for_a_person_is_told_without_ringing(tmp_path, monkeypatch):
    night = RolloutWorld(tmp_path, monkeypatch)
    night.approve()
    await night.play()
    assert night.world.say("/ci rerun INC-1").ok
    await night.play()
    (told,) = night.shown("notice")
    assert told.headline == f"CI did not rerun {night.git.pushes[0][:12]}: not here"
    assert not told.rings
