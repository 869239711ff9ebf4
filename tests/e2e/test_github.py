"""From Approve to green over GitHub, with the real bot, real git over smart HTTP and a forge in the test's hands."""

import asyncio

import pytest

from tests.e2e.hub import Way, open_hub

MERGING = 'merge = "green"\ndeploy_job = "ship.yml"\nwatch_minutes = 600\n'


@pytest.mark.parametrize(
    "way",
    [
        Way(trigger="push"),
        Way(trigger="pull_request", hooked=True),
        Way(trigger="dispatch", hooked=True, service=MERGING),
    ],
    ids=["push, polled", "pull request, told by webhooks", "dispatch, told by webhooks, merged and deployed"],
)
async def test_an_approval_is_one_commit_one_change_one_run_and_one_verdict(way, tmp_path):
    async with open_hub(tmp_path, way, patches=2, dispatch_seconds=5) as hub:
        base = hub.shop.head("main")
        await hub.run()
        await asyncio.to_thread(hub.check)
        if way.service != MERGING:
            assert hub.shop.head("main") == base, "nothing is merged where the policy does not say so"
            return
        merged = [pull.merged_sha for pull in hub.shop.pulls]
        assert all(merged)
        assert hub.shop.head("main") in merged
        ships = [run for run in hub.forge.runner.runs if run.workflow.file == "ship.yml"]
        assert len(ships) == len(merged), "each merge is deployed once"
