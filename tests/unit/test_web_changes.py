"""`POST /v1/changes`: what other systems tell of is kept once, shown beside the commits, and never trusted."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.suspects.happened import Happened, WhatKind
from bot.domain.suspects.suspicion import Clues
from bot.domain.suspects.told_change import ToldChange, read_told
from bot.domain.suspects.what_changed import list_changes
from bot.errors import Refused
from bot.store.told import KEPT
from tests.served import BEARER, serve
from tests.worldkit import NOW, make_world, quiet  # noqa: F401 -- `quiet` is a fixture

FLAG = {"kind": "feature flag", "what": "new-cart on for all", "service": "shop", "who": "Mara", "id": "flags-17"}


@pytest.fixture
async def served(tmp_path):
    async with serve(make_world(tmp_path)) as served:
        yield served


async def post(served, body, headers=BEARER):
    async with served.client.post("/v1/changes", data=body, headers=headers) as response:
        return response.status, await response.text()


async def test_a_change_is_kept_once_and_found_for_its_service(served):
    assert await post(served, json.dumps(FLAG)) == (200, '{"stored": 1}')
    assert await post(served, json.dumps([FLAG, {"kind": "deploy", "what": "Release 12"}])) == (200, '{"stored": 1}')
    with served.world.store.begin() as work:
        span = (work.now - timedelta(hours=1), work.now + timedelta(hours=1))
        shop = [each.what for each in work.told_changes.between("shop", *span)]
        other = [each.what for each in work.told_changes.between("mail", *span)]
    assert sorted(shop) == ["Release 12", "new-cart on for all"]
    assert other == ["Release 12"]


async def test_strangers_are_refused_and_leave_nothing(served):
    assert (await post(served, json.dumps(FLAG), {}))[0] == 401
    with served.world.store.begin() as work:
        assert work.told_changes.between("shop", work.now - KEPT, work.now) == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("{", "not JSON"),
        ("[]", "1 to 100"),
        ('{"what": "x"}', "kind is one of"),
        ('{"kind": "deploy"}', "what changed is missing"),
        ('{"kind": "merge", "what": "x"}', "kind is one of"),
        ('{"kind": "deploy", "what": 7}', "what is a text"),
        ('{"kind": "deploy", "what": "x", "more": 1}', "and nothing else"),
        ('{"kind": "deploy", "what": "x", "at": "soon"}', "at is a time"),
        ('{"kind": "deploy", "what": "x", "at": "9999-01-01T00:00:00Z"}', "in the future"),
        ('{"kind": "deploy", "what": "\\ud800"}', "half a character"),
        ('{"kind": ["deploy"], "what": "x"}', "kind is one of"),
        ("[" * 100_000, "larger"),
    ],
)
async def test_what_is_no_change_is_named(served, body, why):
    status, text = await post(served, body)
    assert status in {400, 413}
    assert why in text or status == 413


def test_text_that_hides_is_shown_plainly():
    (told,) = read_told(json.dumps({**FLAG, "what": "a\u202eb\nc"}).encode(), NOW)
    assert told.happened.what == "ab c"


def test_a_time_without_a_zone_is_utc_and_the_same_content_is_one_key():
    body = json.dumps({"kind": "deploy", "what": "x", "at": "2020-01-01T10:00:00"}).encode()
    first, second = read_told(body, NOW)[0], read_told(body, NOW)[0]
    assert first == second
    assert first.happened.at == datetime(2020, 1, 1, 10, tzinfo=UTC)
    with pytest.raises(Refused):
        read_told(b"\xff", NOW)


async def test_old_changes_are_forgotten(served):
    old = ToldChange(
        key="old", service="", happened=Happened(kind=WhatKind.DEPLOY, what="x", who="", at=NOW - 2 * KEPT, source="s")
    )
    with served.world.store.begin() as work:
        assert work.told_changes.add(old)
        assert not work.told_changes.add(old)
        assert work.told_changes.add(replace(old, key="new", happened=replace(old.happened, at=work.now)))
    with served.world.store.begin() as work:
        assert len(work.told_changes.between("", work.now - 9 * KEPT, work.now)) == 1


def test_what_was_told_stands_among_the_commits_by_suspicion():
    deploy = Happened(kind=WhatKind.DEPLOY, what="Release the cart", who="", at=NOW - timedelta(minutes=7), source="ci")
    clues = Clues(words={"cart": 1.0}, first_error=NOW)
    (listed,) = list_changes([], [], [deploy], clues=clues)
    assert listed.score > 0.7
    assert listed.reasons == ("shares cart with the evidence", "7 min before it began")
