"""What every CI system must do, whatever its service: subclass `CIContract` and give it a world.

    class TestCILocal(CIContract):
        @pytest.fixture
        async def world(self, tmp_path): ...     # yields a CIWorld

A world is the connector together with the far side of its service in the test's hands.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest

from bot.domain.ci import CIRequest, CIRun, CIState
from bot.errors import NotSent, Rejected, Unavailable
from bot.ports.ci import CIProvider, FindsOrders, Platform
from tests.contract.far_side import NOBODY

UNKNOWN = "0123456789abcdef" * 2 + "01234567"
PATIENCE = 90.0


@dataclass(kw_only=True)
class CIWorld:
    """`passing` prints "all is well"; `failing` prints "expected 2" and fails in the step "tests"; `slow` takes a
    minute. `count_runs` asks the far side how many runs were ever created.

    Where it takes orders, `count_orders` says how many; `unreached` is a provider of a service that nobody answers for,
    `restarted` a new one of this service, and `lose_answer` has the next order carried out and its answer lost, where
    the far side can do that.
    """

    provider: CIProvider
    passing: CIRequest
    failing: CIRequest
    slow: CIRequest
    count_runs: Callable[[], int]
    count_orders: Callable[[], int] | None = None
    unreached: CIProvider | None = None
    restarted: CIProvider | None = None
    lose_answer: Callable[[], None] | None = None


@asynccontextmanager
async def open_ci(connect: Callable[[str], Platform], url: str, **more: Any) -> AsyncIterator[CIWorld]:
    """Yield a world of three connectors: at a service, at the same one after a restart, and where nobody listens."""
    made = [connect(at) for at in (url, url, NOBODY)]
    providers = [one.ci for one in made]
    try:
        yield CIWorld(provider=providers[0], restarted=providers[1], unreached=providers[2], **more)
    finally:
        for one in made:
            await one.close()


async def wait_for(world: CIWorld, sha: str, claim: Callable[[CIRun], bool]) -> CIRun:
    """Poll as the bot does, which bears a lost answer, until the run is as claimed."""
    deadline = time.monotonic() + PATIENCE
    while True:
        run = None
        with suppress(Unavailable):
            run = await world.provider.status(sha)
        if run is not None and claim(run):
            return run
        assert time.monotonic() < deadline, f"still {run}; log:\n{run and await world.provider.log(sha)}"
        await asyncio.sleep(0.05)


async def wait_for_order(provider: FindsOrders, order: CIRequest) -> CIRun:
    """Poll as the bot does until the run of an order has ended."""
    deadline = time.monotonic() + PATIENCE
    while True:
        run = None
        with suppress(Unavailable):
            run = await provider.find_order(order)
        if run is not None and run.state.is_final:
            return run
        assert time.monotonic() < deadline, f"still {run}"
        await asyncio.sleep(0.05)


def is_final(run: CIRun) -> bool:
    return run.state.is_final


class CIContract:
    async def test_it_says_whether_it_can_be_used(self, world: CIWorld):
        health = await world.provider.check()
        assert health.ok, health.text
        assert health.text

    async def test_it_knows_nothing_of_a_sha_it_was_never_asked_for(self, world: CIWorld):
        assert await world.provider.status(UNKNOWN) is None
        for ask in (world.provider.log, world.provider.cancel, world.provider.rerun):
            with pytest.raises(Rejected):
                await ask(UNKNOWN)
        assert world.count_runs() == 0

    async def test_a_green_run_passes_and_keeps_its_log(self, world: CIWorld):
        sha = world.passing.sha
        started = await world.provider.start(world.passing)
        assert (started.sha, started.attempt) == (sha, 1)
        run = await wait_for(world, sha, is_final)
        assert (run.state, run.attempt, run.failed_step, run.id) == (CIState.PASSED, 1, "", started.id)
        assert run.started_at is not None
        assert run.finished_at is not None
        assert run.started_at.utcoffset() is not None
        assert run.started_at <= run.finished_at
        assert "all is well" in await world.provider.log(sha)

    async def test_a_red_run_names_the_step_and_shows_its_last_lines(self, world: CIWorld):
        await world.provider.start(world.failing)
        run = await wait_for(world, world.failing.sha, is_final)
        assert (run.state, run.failed_step) == (CIState.FAILED, "tests")
        assert "expected 2" in run.log_tail
        assert "expected 2" in await world.provider.log(world.failing.sha)

    async def test_asking_again_is_the_same_run(self, world: CIWorld):
        first = await world.provider.start(world.passing)
        again = await world.provider.start(world.passing)
        await wait_for(world, world.passing.sha, is_final)
        late = await world.provider.start(world.passing)
        assert first.id == again.id == late.id
        assert (late.state, late.attempt) == (CIState.PASSED, 1)
        assert world.count_runs() == 1

    async def test_an_order_that_is_no_check_is_given_although_the_commit_has_a_run(self, world: CIWorld):
        if world.count_orders is None:
            return  # nothing is ordered here
        await world.provider.start(world.passing)
        await wait_for(world, world.passing.sha, is_final)
        before = world.count_orders()
        deployment = replace(world.passing, is_check=False, key="nightshift-INC-1-0123456789ab-deploy")
        assert (await world.provider.start(deployment)).state is CIState.QUEUED
        deadline = time.monotonic() + PATIENCE
        while world.count_orders() == before:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert world.count_orders() == before + 1

    async def test_the_run_of_an_order_is_found_by_its_key_and_its_end_is_told(self, world: CIWorld):
        if world.count_orders is None:
            return  # nothing is ordered here
        assert world.restarted is not None
        good = replace(world.passing, is_check=False, key="nightshift-INC-1-0123456789ab-deploy")
        bad = replace(world.failing, is_check=False, key=f"{good.key}-2")
        for provider in (world.provider, world.restarted):
            assert isinstance(provider, FindsOrders)
            assert await provider.find_order(good) is None
        for order, state, step in ((good, CIState.PASSED, ""), (bad, CIState.FAILED, "tests")):
            await world.provider.start(order)
            for provider in (world.restarted, world.provider):
                run = await wait_for_order(provider, order)
                assert (run.state, run.failed_step, run.sha) == (state, step, order.sha)
            assert await provider.find_order(replace(order, key=f"{order.key}-3")) is None

    @pytest.mark.parametrize("is_check", [True, False])
    async def test_an_order_that_did_not_leave_is_said_to_be_not_sent(self, world: CIWorld, *, is_check: bool):
        if world.count_orders is None:
            return  # nothing is ordered here
        assert world.unreached is not None
        with pytest.raises(NotSent):
            await world.unreached.start(replace(world.passing, is_check=is_check))
        assert world.count_runs() == 0

    @pytest.mark.parametrize("is_check", [True, False])
    async def test_an_order_whose_answer_is_lost_is_never_said_to_be_not_sent(self, world: CIWorld, *, is_check: bool):
        if world.count_orders is None or world.lose_answer is None:
            return  # nothing is ordered here, or nothing gets lost
        world.lose_answer()
        with pytest.raises(Unavailable) as caught:
            await world.provider.start(replace(world.passing, is_check=is_check))
        assert not isinstance(caught.value, NotSent)
        assert world.count_orders() == 1

    async def test_asking_at_once_from_many_sides_is_one_run(self, world: CIWorld):
        runs = await asyncio.gather(*(world.provider.start(world.passing) for _ in range(16)))
        assert len({run.id for run in runs}) == 1
        assert (await wait_for(world, world.passing.sha, is_final)).attempt == 1
        assert world.count_runs() == 1

    async def test_runs_of_different_commits_do_not_mix(self, world: CIWorld):
        await world.provider.start(world.failing)
        await world.provider.start(world.passing)
        red, green = [await wait_for(world, r.sha, is_final) for r in (world.failing, world.passing)]
        assert (red.state, green.state) == (CIState.FAILED, CIState.PASSED)
        assert world.count_runs() == 2

    async def test_a_running_run_can_be_cancelled(self, world: CIWorld):
        await world.provider.start(world.slow)
        await wait_for(world, world.slow.sha, lambda run: run.state is CIState.RUNNING)
        await world.provider.cancel(world.slow.sha)
        run = await wait_for(world, world.slow.sha, is_final)
        assert run.state is CIState.CANCELLED

    async def test_a_finished_run_stays_as_it_is_when_cancelled(self, world: CIWorld):
        await world.provider.start(world.passing)
        run = await wait_for(world, world.passing.sha, is_final)
        assert await world.provider.cancel(world.passing.sha) == run
        assert await world.provider.status(world.passing.sha) == run

    async def test_a_rerun_is_the_next_attempt_of_the_same_run(self, world: CIWorld):
        sha = world.failing.sha
        first = await world.provider.start(world.failing)
        await wait_for(world, sha, is_final)
        again = await world.provider.rerun(sha)
        assert not again.state.is_final
        assert (again.id, again.attempt) == (first.id, 2)
        run = await wait_for(world, sha, is_final)
        assert (run.state, run.attempt) == (CIState.FAILED, 2)
        assert (await world.provider.log(sha)).count("expected 2") >= 2
        assert world.count_runs() == 1

    async def test_a_rerun_of_an_unfinished_run_adds_nothing(self, world: CIWorld):
        await world.provider.start(world.slow)
        assert (await world.provider.rerun(world.slow.sha)).attempt == 1
        await world.provider.cancel(world.slow.sha)
        assert (await wait_for(world, world.slow.sha, is_final)).attempt == 1

    async def test_a_cancelled_run_can_be_run_again(self, world: CIWorld):
        await world.provider.start(world.slow)
        await world.provider.cancel(world.slow.sha)
        await wait_for(world, world.slow.sha, is_final)
        await world.provider.rerun(world.slow.sha)
        await wait_for(world, world.slow.sha, lambda run: run.state is CIState.RUNNING and run.attempt == 2)
        await world.provider.cancel(world.slow.sha)
        assert (await wait_for(world, world.slow.sha, is_final)).state is CIState.CANCELLED
