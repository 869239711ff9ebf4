"""A person asks for changes, and the model's better patch is the one that is approved and pushed."""

import asyncio
import json

from bot.domain.patches.patch import parse_patch
from tests.e2e.test_kill_walker import check_trail
from tests.e2e.test_model import ENGINEER, FIX, ground, has_ended, make_walk, timeline  # noqa: F401 -- fixtures
from tests.model_server import Say, serve_model
from tests.playbooks.world import run_git

WISH = "Please keep both names of the rate"


def listen(request: dict, _number: int):
    """Give up at first; mend it once the conversation holds the person's wish."""
    told = sum(1 for message in request["messages"] if message["role"] == "assistant")
    if WISH not in json.dumps(request["messages"]):
        return Say(text="The revert is as good as anything I could propose.")
    return ENGINEER[told]


async def test_asking_for_changes_leads_to_a_better_patch_that_is_pushed(make_walk):  # noqa: F811 -- the fixture
    async with serve_model(listen) as server:
        walk = make_walk(server.url, wish=WISH, may_approve=has_ended)
        await walk.run()
    (asked,) = timeline(walk, "changes_asked")
    assert asked.startswith("Ana asked for changes to patch ")
    assert asked.endswith(WISH)
    rows = walk.query("SELECT d.patch, d.state, a.state, a.body FROM draft d JOIN approval a USING (digest) ORDER BY 4")
    states = {(draft, approval): (patch, json.loads(body)) for patch, draft, approval, body in rows}
    assert set(states) == {("superseded", "superseded"), ("proposed", "executed")}
    patch, approval = states["proposed", "executed"]
    assert FIX["new"].encode() in patch
    assert approval["requester"] == "ana"
    briefed = next(body for body in server.seen if WISH.encode() in body)
    assert b"wants this patch changed" in briefed
    await asyncio.to_thread(check_pushed, walk, patch)
    await asyncio.to_thread(check_trail, walk)


def check_pushed(walk, patch: bytes) -> None:
    (sha,) = run_git(walk.repository, "for-each-ref", "--format=%(objectname)", "refs/heads/nightshift/").split()
    name = sha.decode()
    assert parse_patch(run_git(walk.repository, "diff", "--full-index", f"{name}^", name)).text == patch
