"""Runs over HTTP: their state, and a stream that goes on where its reader left off."""

import asyncio
import json

import pytest

from bot.domain.incident import RunState
from bot.services import triage
from tests.served import AS_ADMIN, serve
from tests.worldkit import alert, group, make_world, quiet  # noqa: F401 -- `quiet` is a fixture

PATHS = ("/v1/runs/INC-1:1", "/v1/runs/INC-1:1/events", "/v1/incidents/INC-1/runs")


@pytest.fixture
async def served(tmp_path):
    async with serve(make_world(tmp_path)) as served:
        served.world.receive(group(alert()))
        yield served


def finish(world):
    with world.unit() as work:
        triage.plan_job(work, "INC-1", run="INC-1:1", folder="x", rules=world.rules)
        triage.finish_triage(work, "INC-1", state=RunState.DONE)


async def read_stream(served, last="", *, until=b"event: end"):
    headers = AS_ADMIN | ({"Last-Event-ID": last} if last else {})
    async with served.client.get("/v1/runs/INC-1:1/events", headers=headers) as answer:
        assert answer.content_type == "text/event-stream"
        got = b""
        async with asyncio.timeout(5):
            async for chunk in answer.content.iter_any():
                got += chunk
                if until in got:
                    break
    events = [dict(line.split(": ", 1) for line in block.split("\n")) for block in got.decode().strip().split("\n\n")]
    return [(event["id"], json.loads(event["data"])) for event in events if event.get("event") == "run"]


async def test_nothing_is_told_without_the_token_or_of_other_runs(served):
    for path in PATHS:
        assert (await served.client.get(path)).status == 401
    for path in ("/v1/runs/INC-1:2", "/v1/runs/INC-9:1/events", "/v1/incidents/INC-9/runs", "/v1/runs/x"):
        assert (await served.client.get(path, headers=AS_ADMIN)).status == 404


async def test_a_run_is_told_with_its_state(served):
    told = await (await served.client.get(PATHS[0], headers=AS_ADMIN)).json()
    assert (told["id"], told["incident"], told["state"], told["tool"]) == ("INC-1:1", "INC-1", "PROCESSING", None)
    digest = served.world.propose().digest
    told = await (await served.client.get(PATHS[2], headers=AS_ADMIN)).json()
    assert [run["state"] for run in told["runs"]] == ["WAITING_APPROVAL"]
    assert told["runs"][0]["patches"] == {digest[:12]: "waiting"}


async def test_a_stream_tells_every_row_and_ends_with_the_run(served):
    finish(served.world)
    told = await read_stream(served)
    assert [row["kind"] for _, row in told][-1] == "triage_ended"
    assert told[-1][1]["state"] == "COMPLETED"
    for place, (last, _) in enumerate(told):
        assert await read_stream(served, last) == told[place + 1 :]


async def test_a_stream_goes_on_with_what_happens_later(served):
    finish_soon = asyncio.create_task(asyncio.to_thread(finish, served.world))
    told = await read_stream(served)
    await finish_soon
    assert told[-1][1]["state"] == "COMPLETED"


async def test_an_id_of_another_stream_is_refused(served):
    answer = await served.client.get(PATHS[1], headers=AS_ADMIN | {"Last-Event-ID": "seventeen"})
    assert answer.status == 400
