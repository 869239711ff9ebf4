"""R4: several front processes on one PostgreSQL, killed, frozen, cut off: nothing is lost, nothing is doubled."""

import asyncio
import shutil
import signal
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from bot.engine.lease import EXIT_CODE
from tests.e2e.fleet import LEASE_SECONDS, Fleet, Front
from tests.e2e.test_kill_walker import CULPRIT
from tests.e2e.walk import HANGS, TOKEN, Ground, make_ground, new_session, shop_service
from tests.playbooks.world import run_git
from tests.postgres import PASSWORD, PostgresServer, serve_postgres

TAKEN_OVER_WITHIN = 60.0
ENDS_WITHIN = 20.0


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with serve_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def ground(tmp_path_factory) -> Ground:
    return make_ground(tmp_path_factory.mktemp("ground"), CULPRIT)


@pytest.fixture
def make_fleet(server, ground, tmp_path):
    fleets = []

    def make(size: int = 2) -> Fleet:
        shutil.copytree(ground.repository.folder, tmp_path / "shop.git")
        shutil.copy(ground.log, tmp_path / "app.log")
        url = server.new_database()
        fleets.append(Fleet(folder=tmp_path, service=shop_service(tmp_path), database_url=url, size=size))
        return fleets[-1]

    yield make
    for fleet in fleets:
        fleet.stop()


def check_outcome(fleet: Fleet, *, crashes: int = 0) -> None:
    assert [state for (state,) in fleet.query("SELECT state FROM incident")] == ["resolved"], "one incident"
    assert len(list((fleet.folder / "ci" / "runs").iterdir())) == 1, "one CI run"
    branches = run_git(fleet.repository, "for-each-ref", "--format=%(objectname)", "refs/heads/nightshift/").split()
    assert len(branches) == 1, "one push"
    assert fleet.query("SELECT COUNT(*) FROM effect WHERE state != 'done'") == [(0,)]
    assert fleet.query("SELECT COUNT(*) FROM delivery WHERE state != 'done'") == [(0,)]
    kinds = [kind for (kind,) in fleet.query("SELECT kind FROM timeline ORDER BY seq")]
    for once in ("opened", "triage_ended", "patch_ready", "approved", "pushed", "ci_passed", "resolved"):
        assert kinds.count(once) == 1, f"{once}: {kinds}"
    assert fleet.log_text().count('"event": "posted"') <= kinds.count("posted") + crashes
    audit = fleet.verify_audit()
    assert audit.returncode == 0, audit.stdout + audit.stderr
    everything = fleet.log_text() + (fleet.folder / "console.txt").read_text(errors="replace") + audit.stdout
    assert PASSWORD not in everything
    assert quote(PASSWORD, safe="") not in everything


async def test_one_alert_at_two_processes_is_one_incident(make_fleet):
    fleet = make_fleet()
    await fleet.start_all()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    urls = [f"http://127.0.0.1:{front.port}/v1/alerts/alertmanager" for front in fleet.fronts]
    async with new_session() as session:
        answers = await asyncio.gather(
            *(session.post(url, data=fleet.body("firing"), headers=headers) for url in urls * 10)
        )
        assert [answer.status for answer in answers] == [200] * 20
    deadline = time.monotonic() + HANGS
    while fleet.query("SELECT COUNT(*) FROM delivery WHERE state = 'done'") != [(20,)]:
        assert time.monotonic() < deadline, fleet.tail()
        await asyncio.sleep(0.1)
    assert fleet.query("SELECT COUNT(*), MAX(body ->> 'alerts_seen') FROM incident") == [(1, "20")]
    assert fleet.query("SELECT COUNT(*) FROM timeline WHERE kind = 'paged'") == [(1,)]


def long(name: str) -> object:
    """What is alike is left to `make test-long`: each of these walks waits until a lease has run out."""
    return pytest.param(name, marks=pytest.mark.long)


@pytest.mark.parametrize(
    "point", [long("intake.received"), long("effect.settled"), "push.after", long("ci.start.after")]
)
async def test_a_process_killed_at_an_exact_point_is_replaced_by_a_new_one(make_fleet, point):
    fleet = make_fleet(1)
    await fleet.run(point)
    assert fleet.starts == 2
    check_outcome(fleet, crashes=1)


def victim_at(fleet: Fleet, moment: str) -> Front | None:
    """Return the process that is at a moment of the walk, once it has come."""
    if moment == "ci":
        running = fleet.query("SELECT COUNT(*) FROM ci_run WHERE state IN ('queued', 'running')") != [(0,)]
        return fleet.owner_of("follow") if running else None
    return fleet.owner_of(moment)


@pytest.mark.parametrize("moment", [long("triage"), "execute", long("ci")])
async def test_another_process_finishes_what_a_killed_one_did(make_fleet, moment):
    fleet = make_fleet()
    killed: list[float] = []

    def kill(fleet: Fleet) -> bool:
        victim = victim_at(fleet, moment)
        if victim is None:
            return False
        victim.process.send_signal(signal.SIGKILL)
        victim.process.wait()
        killed.append(time.monotonic())
        return True

    await fleet.walk(kill)
    assert time.monotonic() - killed[0] < TAKEN_OVER_WITHIN
    assert [front.is_alive for front in fleet.fronts].count(True) == 1
    check_outcome(fleet, crashes=1)


@pytest.mark.parametrize("moment", ["triage", long("execute")])
async def test_a_frozen_process_is_replaced_and_does_no_harm_when_it_wakes_up(make_fleet, moment):
    fleet = make_fleet()
    frozen: list[Front] = []

    def freeze(fleet: Fleet) -> bool:
        victim = victim_at(fleet, moment)
        if victim is None:
            return False
        victim.process.send_signal(signal.SIGSTOP)
        victim.is_stopped = True
        frozen.append(victim)
        return True

    await fleet.walk(freeze)
    (zombie,) = frozen
    zombie.process.send_signal(signal.SIGCONT)
    assert await asyncio.to_thread(zombie.process.wait, ENDS_WITHIN) == EXIT_CODE
    check_outcome(fleet, crashes=1)


@pytest.mark.long
async def test_a_process_that_was_frozen_alone_goes_on(make_fleet):
    fleet = make_fleet(1)

    def freeze(fleet: Fleet) -> bool:
        victim = victim_at(fleet, "triage")
        if victim is None:
            return False
        victim.process.send_signal(signal.SIGSTOP)
        time.sleep(LEASE_SECONDS + 1)
        victim.process.send_signal(signal.SIGCONT)
        return True

    await fleet.walk(freeze)
    assert fleet.fronts[0].is_alive
    check_outcome(fleet, crashes=1)


async def test_postgresql_restarts_in_the_middle(make_fleet, server):
    fleet = make_fleet()
    moments = ["triage", "execute"]

    def restart(fleet: Fleet) -> bool:
        if victim_at(fleet, moments[0]) is not None:
            moments.pop(0)
            server.restart(outage=LEASE_SECONDS + 1)
        return not moments

    await fleet.walk(restart)
    assert [front.is_alive for front in fleet.fronts] == [True, True], "an outage is nobody's death"
    check_outcome(fleet, crashes=4)


async def test_a_calm_stop_hands_over_at_once(make_fleet):
    fleet = make_fleet()

    def stop(fleet: Fleet) -> bool:
        victim = victim_at(fleet, "triage")
        if victim is None:
            return False
        victim.process.send_signal(signal.SIGTERM)
        victim.is_stopped = True
        return True

    await fleet.walk(stop)
    check_outcome(fleet)
