"""A watch in the real bot: killed at each of its points it misses and repeats nothing, and reads what is newest."""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from tests.e2e.fleet import Fleet
from tests.e2e.test_kill_walker import CULPRIT, check_trail, is_of_watch
from tests.e2e.test_model import timeline
from tests.e2e.walk import Walk, make_ground, shop_service
from tests.fault_points import read_fault_points
from tests.model_server import Say, Stream, serve_model, stream_of
from tests.postgres import serve_postgres

FOUND = "a brand new fault"
KILLS = ("chat.watch.before", "chat.watch.after", "phase.watching.before", "phase.watching.after")
"""In the order in which they come: the message is posted once, and edited from then on."""
TWENTY = (*KILLS, *(*KILLS[2:], "model.stored", "model.concluded") * 4)


OFTEN = {"NIGHTSHIFT_MODEL__WATCH_SECONDS": "1", "NIGHTSHIFT_MODEL__TITLES": "false"}


def test_each_point_of_a_watch_is_killed_at():
    assert sorted(KILLS) == sorted(point.name for point in read_fault_points() if is_of_watch(point))


def play(request: dict, _number: int) -> Say:
    """Look at the log, and say whether the new fault is in it; another run has nothing to add."""
    messages = request["messages"]
    task = messages[1]["content"]
    if "# Look " not in task:
        return Say(text="The revert is right.")
    if messages[-1]["role"] != "tool":
        return Say(calls=(("query_logs", json.dumps({"pattern": FOUND})),))
    if "It is the first look." in task:
        return Say(text="No new fault yet.")
    was_known = "CHANGED" in task.partition("You answered:")[2].partition("## Look ")[0]
    is_there = f"ERROR shop {FOUND}" in messages[-1]["content"]
    return Say(text=f"CHANGED\nThere is {FOUND}, app.log." if is_there and not was_known else "SAME\nAs before.")


def has_been_watched(walk: Walk) -> bool:
    return bool(timeline(walk, "watch_ended"))


class Watcher:
    """Begins the watch, lets the fault happen after the second look, and ends it when all the kills have come about."""

    def __init__(self, walk: Walk, are_done: Callable[[], bool]) -> None:
        self.walk, self.are_done, self.wrote = walk, are_done, False

    async def act(self, person, _incident: dict) -> bool:
        walk, looked = self.walk, timeline(self.walk, "question_answered")
        if not timeline(walk, "model_ended"):
            return False
        if not timeline(walk, "watch_begun"):
            await person.press("Send", text="/incident watch every 1s for 8m is there a new fault?")
        elif not self.wrote and len(looked) >= 2:
            self.wrote = True
            with (walk.folder / "app.log").open("a") as log:
                log.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S,000} ERROR shop {FOUND}\n")
        elif timeline(walk, "watch_ended"):
            return False
        elif "The model looked: changed" in looked and self.are_done():
            await person.press("Stop watching")
        return True


@pytest.mark.parametrize("kills", [KILLS, pytest.param(TWENTY, marks=pytest.mark.long)], ids=["four", "twenty"])
async def test_killed_at_each_point_a_watch_looks_on_and_tells_the_change_once(kills, tmp_path):
    make_ground(tmp_path, CULPRIT)
    async with serve_model(play) as server:
        walk = Walk(
            folder=tmp_path,
            service=shop_service(tmp_path),
            model_url=server.url,
            model_env=OFTEN,
            may_approve=has_been_watched,
        )
        walk.also = Watcher(walk, lambda: walk.starts > len(kills)).act
        try:
            assert await walk.run(*kills) == []
        finally:
            walk.stop()
    assert walk.starts == 1 + len(kills)
    await asyncio.to_thread(check_trail, walk)
    await asyncio.to_thread(check_looks, walk, server.seen, len(kills))


@pytest.fixture
def database() -> Iterator[str]:
    with serve_postgres() as server:
        yield server.new_database()


@pytest.mark.long
async def test_another_process_goes_on_with_the_watch_of_one_that_was_killed_in_a_look(database, tmp_path):
    make_ground(tmp_path, CULPRIT)
    killed: list[str] = []

    def kill(fleet: Fleet) -> bool:
        is_watched = len(killed) < 2 and bool(timeline(fleet, "watch_begun"))
        owner = fleet.owner_of("model") if is_watched else None
        if owner is not None:
            owner.process.send_signal(signal.SIGKILL)
            owner.process.wait()
            killed.append(owner.name)
        return len(killed) == 2

    def play_slowly(request: dict, number: int) -> Stream:
        return Stream(pieces=(0.5, *stream_of(play(request, number), number, 1000)))

    async with serve_model(play_slowly) as server:
        fleet = Fleet(
            folder=tmp_path,
            service=shop_service(tmp_path),
            database_url=database,
            size=3,
            model_url=server.url,
            model_env=OFTEN,
            may_approve=has_been_watched,
        )
        fleet.also = Watcher(fleet, lambda: len(killed) == 2).act
        try:
            await fleet.walk(kill)
            assert (await asyncio.to_thread(fleet.verify_audit)).returncode == 0
            await asyncio.to_thread(check_looks, fleet, server.seen, 2)
        finally:
            fleet.stop()
    assert len(set(killed)) == 2


def read_data(walk: Walk, kind: str) -> list[dict[str, str]]:
    """Return what rows of the timeline hold: text in SQLite, and read already from PostgreSQL."""
    rows = walk.query(f"SELECT data FROM timeline WHERE kind = '{kind}' ORDER BY seq")
    return [json.loads(data) if isinstance(data, str) else data for (data,) in rows]


def check_looks(walk: Walk, seen: list[bytes], kills: int) -> None:
    asked = read_data(walk, "question_asked")
    looks = [int(data["look"]) for data in asked]
    assert looks == list(range(1, len(looks) + 1)), "none twice, none left out"
    answered = read_data(walk, "question_answered")
    assert len(answered) in {len(looks), len(looks) - 1}, "each is answered, but for one that the end may overtake"
    assert Counter(data["verdict"] for data in answered)["changed"] == 1
    posted = [slot for (slot,) in walk.query("SELECT slot FROM posting WHERE channel = 'web'")]
    assert sorted(slot for slot in posted if slot.startswith(("watch:", "answer:"))) == [
        f"answer:{1 + next(number for number, data in enumerate(answered) if data['verdict'] == 'changed')}",
        "watch:1",
    ]
    steps = walk.query("SELECT run, seq, kind FROM step WHERE run LIKE '%?%' ORDER BY run, seq")
    assert max(Counter((run, seq) for run, seq, _ in steps).values()) == 1
    answers = sum(kind == "model" for _, _, kind in steps)
    asked_for = sum(b"# Look " in request for request in seen)
    assert answers <= asked_for <= answers + kills, "at most the call in flight is repeated"
