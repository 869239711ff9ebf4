"""A workflow that fails on the default branch is an alert: GitHub's signed webhook opens an incident and closes it."""

import asyncio
import time
from collections.abc import Callable

from tests.e2e.hub import SECRET, Hub, Way, open_hub
from tests.e2e.walk import LOOK, new_session
from tests.forge.state import Delivery

ROUTE = '\n[[routes]]\nmatch = { alertname = "CIFailed", repository = "octo/shop" }\nservice = "shop"\n'


def incidents(hub: Hub) -> list[tuple[str, str, str]]:
    fields = "json_extract(body, '$.service'), json_extract(body, '$.title'), state"
    return hub.walk.query(f"SELECT {fields} FROM incident ORDER BY number")


async def until(claim: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline
        await asyncio.sleep(LOOK)


async def push(hub: Hub, outcome: str, branch: str = "main") -> None:
    """Push a commit whose workflow ends like that, and wait until the webhook of its end was taken."""
    hub.shop.origin.git("fetch", "-q", "origin", "main")
    hub.shop.origin.git("checkout", "-q", "--detach", "origin/main")
    hub.shop.origin.commit(f"{outcome} it", {"outcome": outcome}, branch)
    runs = len(hub.forge.runner.runs)
    hub.forge.notice_pushes()
    assert len(hub.forge.runner.runs) == runs + 1
    run = hub.forge.runner.runs[-1]
    await until(lambda: run.told[1] == "completed" and not hub.forge.waiting)


async def test_a_failed_run_of_the_default_branch_is_an_incident_until_the_next_green_one(tmp_path):
    async with open_hub(tmp_path, Way(hooked=True, connection=ROUTE), patches=0) as hub:
        hub.walk.start()
        async with new_session() as session:
            await hub.walk.wait_ready(session)
            await push(hub, "fail", "nightshift/INC-9/0123456789ab")
            await push(hub, "fail", "feature")
            await push(hub, "fail")
            await until(lambda: len(incidents(hub)) > 0)
            failed = hub.forge.runner.runs[-1]
            page = await (await hub.lane.sign_in(session)).open("/incidents/INC-1")
            assert f"/octo/shop/actions/runs/{failed.id}" in page, "the link to the run is shown"
            await push(hub, "pass", "nightshift/INC-9/fedcba987654")
            assert [state for *_, state in incidents(hub)] == ["triggered"]
            await push(hub, "pass")
            await until(lambda: [state for *_, state in incidents(hub)] == ["resolved"])
            forge_hook(hub)
            await until(lambda: not hub.forge.waiting)
            await asyncio.sleep(0.5)
            assert len(incidents(hub)) == 1, "one incident: neither other branches nor a forged webhook open any"
            ((service, title, _),) = incidents(hub)
            assert service == "shop"
            assert "CI" in title


def forge_hook(hub: Hub) -> None:
    """Deliver the failure once more as if it were another workflow's, under a signature of another secret."""
    failure = next(one for one in hub.forge.deliveries if b'"conclusion": "failure"' in one.body)
    hub.forge.hook_secret = SECRET[::-1]
    body = failure.body.replace(b'"name": "CI"', b'"name": "Other"')
    hub.forge.waiting.append(Delivery(event="workflow_run", id="forged", body=body))
