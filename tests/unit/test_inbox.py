"""The inbox: what a sender was told is stored is on disk, whatever happens next; what is not stored is a 503."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from bot.errors import Reason, Refused, Unavailable
from bot.store.inbox import KEEP_SECONDS, Inbox
from tests.worldkit import FixedClock, quiet  # noqa: F401 -- `quiet` is a fixture

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def inbox(tmp_path, clock):
    box = Inbox(tmp_path / "inbox.db", clock, max_pending=1000)
    yield box
    box.close()


def bodies(deliveries) -> list[bytes]:
    return [delivery.body for delivery in deliveries]


async def test_deliveries_come_out_as_they_came_in_and_in_order(inbox, clock):
    first = await inbox.keep("alertmanager", b"\x00\xff raw")
    clock.advance(seconds=3)
    second = await inbox.keep("grafana", b"")
    assert second == first + 1
    waiting = await inbox.next()
    assert [(item.id, item.source, item.body) for item in waiting] == [
        (first, "alertmanager", b"\x00\xff raw"),
        (second, "grafana", b""),
    ]
    assert (waiting[1].received_at - waiting[0].received_at).total_seconds() == 3
    assert bodies(await inbox.next(1)) == [b"\x00\xff raw"]


async def test_what_was_settled_is_not_handed_out_again(inbox):
    numbers = [await inbox.keep("a", b"%d" % n) for n in range(3)]
    await inbox.settle(numbers[:2])
    await inbox.settle(numbers[:2])
    assert bodies(await inbox.next()) == [b"2"]
    assert (await inbox.depth()).pending == 1


async def test_everything_is_there_after_a_restart(inbox, tmp_path, clock):
    await inbox.settle([await inbox.keep("a", b"one")])
    await inbox.keep("a", b"two")
    inbox.close()
    again = Inbox(tmp_path / "inbox.db", clock, max_pending=2)
    try:
        assert bodies(await again.next()) == [b"two"]
        await again.keep("a", b"three")
        with pytest.raises(Unavailable):
            await again.keep("a", b"the one that waited before the restart counts too")
    finally:
        again.close()


async def test_deliveries_that_arrive_together_share_one_commit(inbox):
    commits: list[None] = []
    inbox.on_delivery(lambda: commits.append(None))
    numbers = await asyncio.gather(*(inbox.keep("a", b"%d" % n) for n in range(300)))
    assert len(set(numbers)) == 300
    assert len(commits) < 150


async def test_a_full_inbox_says_come_back_later_and_takes_more_once_there_is_room(tmp_path, clock):
    box = Inbox(tmp_path / "inbox.db", clock, max_pending=2)
    try:
        numbers = [await box.keep("a", b"x") for _ in range(2)]
        with pytest.raises(Unavailable) as refusal:
            await box.keep("a", b"x")
        assert refusal.value.reason is Reason.OVERLOADED
        assert refusal.value.retry_after
        await box.settle(numbers[:1])
        await box.keep("a", b"x")
    finally:
        box.close()


async def test_a_full_disk_is_unavailable_and_recovers_by_itself(tmp_path, clock):
    box = Inbox(tmp_path / "inbox.db", clock, max_pending=20)
    try:
        kept = await box.keep("a", b"before")
        (pages,) = await box._do(lambda connection: connection.execute("PRAGMA page_count").fetchone())
        await box._do(lambda connection: connection.execute(f"PRAGMA max_page_count={pages + 2}").fetchone())
        for _ in range(30):
            with pytest.raises(Unavailable):
                await box.keep("a", b"x" * 50_000)
        assert [item.id for item in await box.next()] == [kept], "what was stored before can be read"
        await box._do(lambda connection: connection.execute("PRAGMA max_page_count=1000000").fetchone())
        await box.keep("a", b"x" * 50_000)
        assert len(await box.next()) == 2, "failures did not count against the limit"
    finally:
        box.close()


async def test_one_that_cannot_be_written_does_not_end_the_inbox(inbox):
    with pytest.raises(Unavailable):
        await inbox.keep("lone surrogate \ud800", b"x")
    await inbox.keep("a", b"y")
    assert bodies(await inbox.next()) == [b"y"]


async def test_a_locked_file_is_unavailable(inbox, tmp_path):
    await inbox._do(lambda connection: connection.execute("PRAGMA busy_timeout=1").fetchone())
    other = sqlite3.connect(tmp_path / "inbox.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Unavailable):
        await inbox.keep("a", b"x")
    other.execute("ROLLBACK")
    other.close()
    await inbox.keep("a", b"x")


async def test_a_sender_that_hangs_up_neither_blocks_nor_leaks(tmp_path, clock):
    box = Inbox(tmp_path / "inbox.db", clock, max_pending=3)
    try:
        for _ in range(10):
            asking = asyncio.create_task(box.keep("a", b"x"))
            await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await box.settle([item.id for item in await box.next()])
        await box.keep("a", b"last")
        assert bodies(await box.next()) == [b"last"]
    finally:
        box.close()


async def test_after_closing_nothing_hangs(tmp_path, clock):
    box = Inbox(tmp_path / "inbox.db", clock, max_pending=3)
    box.close()
    with pytest.raises(Unavailable):
        await box.keep("a", b"x")


def test_a_file_that_cannot_be_opened_says_so(tmp_path, clock):
    with pytest.raises(Unavailable, match="cannot be opened"):
        Inbox(tmp_path / "no" / "such" / "folder" / "inbox.db", clock, max_pending=3)


class TestDeadLetters:
    async def test_are_kept_with_the_reason_and_not_handed_out(self, inbox):
        number = await inbox.keep("a", b"junk")
        await inbox.bury(number, "byte 0: not JSON")
        assert not await inbox.next()
        (letter,) = await inbox.dead_letters()
        assert (letter.id, letter.body, letter.error) == (number, b"junk", "byte 0: not JSON")
        depth = await inbox.depth()
        assert (depth.pending, depth.dead) == (0, 1)

    async def test_can_be_put_back_in_line_once(self, inbox):
        number = await inbox.keep("a", b"junk")
        await inbox.bury(number, "why")
        await inbox.revive(number)
        assert [(item.id, item.error) for item in await inbox.next()] == [(number, "")]
        with pytest.raises(Refused) as refusal:
            await inbox.revive(number)
        assert refusal.value.reason is Reason.NOT_FOUND

    @pytest.mark.parametrize("number", [0, 99, 10**17])
    async def test_that_do_not_exist_cannot_be_revived(self, inbox, number):
        with pytest.raises(Refused):
            await inbox.revive(number)

    async def test_what_was_settled_cannot_be_buried(self, inbox):
        number = await inbox.keep("a", b"fine")
        await inbox.settle([number])
        await inbox.bury(number, "late")
        assert not await inbox.dead_letters()


async def test_the_tail_shows_the_last_ones_or_those_after_a_number(inbox):
    numbers = [await inbox.keep("a", b"%d" % n) for n in range(5)]
    assert bodies(await inbox.tail(-2)) == [b"3", b"4"]
    assert bodies(await inbox.tail(numbers[2])) == [b"3", b"4"]
    assert bodies(await inbox.tail(0, limit=2)) == [b"0", b"1"]


async def test_depth_tells_the_age_of_the_oldest(inbox, clock):
    assert (await inbox.depth()).oldest_seconds == 0
    await inbox.keep("a", b"x")
    clock.advance(seconds=90)
    await inbox.keep("a", b"y")
    depth = await inbox.depth()
    assert (depth.pending, depth.oldest_seconds) == (2, 90)


async def test_only_what_was_taken_in_long_ago_is_forgotten(inbox, clock):
    settled, buried, _waiting = [await inbox.keep("a", b"%d" % n) for n in range(3)]
    await inbox.settle([settled])
    await inbox.bury(buried, "why")
    clock.advance(seconds=KEEP_SECONDS + 1)
    await inbox.settle([await inbox.keep("a", b"new")])
    await inbox.prune()
    assert bodies(await inbox.tail(0)) == [b"1", b"2", b"new"]


SENDER = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from bot.ports.clock import SystemClock
    from bot.store.inbox import Inbox

    async def main():
        box = Inbox(Path(sys.argv[1]), SystemClock(), max_pending=1000)
        for number in range(5):
            await box.keep("a", b"%d" % number)
            print(number, flush=True)

    asyncio.run(main())
    """
)


@pytest.mark.parametrize(("point", "stored"), [("inbox.commit.before", 2), ("inbox.commit.after", 3)])
async def test_killed_in_the_middle_nothing_acknowledged_is_lost(tmp_path, clock, point, stored):
    faults = {"NIGHTSHIFT_FAULT_POINT": f"{point}:3", "NIGHTSHIFT_ALLOW_FAULTS": "1"}
    killed = subprocess.run(
        [sys.executable, "-c", SENDER, str(tmp_path / "inbox.db")],
        cwd=ROOT,
        env={**os.environ, **faults},
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    acknowledged = killed.stdout.split()
    assert acknowledged == [b"0", b"1"]

    box = Inbox(tmp_path / "inbox.db", clock, max_pending=1000)
    try:
        found = bodies(await box.next())
    finally:
        box.close()
    assert found[:2] == acknowledged
    assert len(found) == stored
