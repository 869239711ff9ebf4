"""What is no failing request goes the whole way too: a crash loop, slow requests and a red check, to green CI."""

import asyncio
import json

import pytest

from bot.domain.checks.reproduction import word
from tests.e2e.walk import Walk
from tests.playbooks.scenario import play


def long(name: str) -> object:
    """`make test-long` walks these; tests/playbooks investigates each."""
    return pytest.param(name, marks=pytest.mark.long)


@pytest.mark.parametrize("name", [long("crash-loop"), "latency", long("ci-failure")])
async def test_a_playbook_goes_the_whole_way(name, tmp_path):
    scenario = await asyncio.to_thread(play, name, tmp_path)
    walk = Walk(folder=tmp_path, service=scenario.world.service, labels=scenario.labels)
    try:
        await walk.run()
    finally:
        walk.stop()
    [(body,)] = walk.query("SELECT body FROM draft")
    assert scenario.world.culprit in body
    assert walk.query("SELECT state FROM ci_run") == [("passed",)]
    messages = [json.loads(body) for (body,) in walk.query("SELECT body FROM board_message")]
    posted = json.dumps(messages, ensure_ascii=False)
    assert f"Verified: {word(scenario.playbook.reproduce).trial} red → green" in posted
    assert "failing request" not in posted
