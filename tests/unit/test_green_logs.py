"""The last green log of each job: kept when a run is seen green, compared with when one is red, never waited for."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.ci import CIState
from bot.domain.ci_logs.log import CIFailure, CILog
from bot.engine.green_logs import GreenLogs
from bot.errors import Reason, Unavailable
from bot.worker.ci_log import CILogs
from bot.worker.tools import Tools
from tests.contract.test_ci_gitlab_hooks import read
from tests.rollout_world import RolloutWorld
from tests.worldkit import NOW, alert, group, quiet  # noqa: F401 -- `quiet` is a fixture

GREEN = "=== CI, tests, attempt 1 ===\ntest_add ... ok\nRan 1 test in 0.1s\n"
RED = "=== CI, tests: make, attempt 1 ===\ntest_add ... ok\nKeyError: 'hunter2'\nRan 2 tests in 0.2s\n"
READER = CILogs(
    Tools(
        log_source=None, workspaces=None, sandbox=None, prepare_toolchain=None, redact=str, redact_lines=list,
    )
)  # fmt: skip


@pytest.fixture
def night(tmp_path, monkeypatch) -> RolloutWorld:
    night = RolloutWorld(tmp_path, monkeypatch)
    redact = lambda text: text.replace("hunter2", "[redacted]")  # noqa: E731 -- short, and used once
    night.tools = replace(night.tools, ci_reader=READER, redact=redact)
    return night


def kept(night: RolloutWorld, *jobs: str) -> dict[str, str]:
    with night.world.unit() as work:
        found = work.green_logs.of("/srv/git/checkout.git", jobs or ("CI, tests",))
    return {job: log.text for job, log in found.items()}


async def keep(night: RolloutWorld, text: str = GREEN, sha: str = "a" * 40) -> None:
    await GreenLogs(night.world.store, night.world.rules, night.tools).keep("checkout", sha, text)


async def play(night: RolloutWorld, text: str, verdict: CIState) -> None:
    """Let CI end what Ada approves with a verdict and a log."""
    night.ci.verdict = verdict
    night.ci.said = _Always(text)
    night.approve()
    await night.play()


class _Always(dict):
    def __init__(self, text: str) -> None:
        self._text = text

    def get(self, _key, _default=None):
        return self._text


class TestOurOwnRuns:
    async def test_the_log_of_a_green_one_is_kept_redacted(self, night):
        await play(night, GREEN.replace("0.1s", "hunter2"), CIState.PASSED)
        assert kept(night) == {"CI, tests": "test_add ... ok\nRan 1 test in [redacted]\n"}

    async def test_a_red_one_is_told_with_what_the_green_one_has_not(self, night):
        await keep(night)
        await play(night, RED, CIState.FAILED)
        text = str(night.shown("verdict")[-1])
        assert "What the last green run did not write:\\nKeyError: '[redacted]'" in text
        assert "test_add" not in text
        assert kept(night) == {"CI, tests": "test_add ... ok\nRan 1 test in 0.1s\n"}

    async def test_a_red_one_of_a_job_that_was_never_green_is_told_with_its_error(self, night):
        await play(night, RED, CIState.FAILED)
        assert "CI log of CI, attempt 1, line 1" in str(night.shown("verdict")[-1])

    @pytest.mark.parametrize("fault", [Unavailable("the worker died", Reason.UNREACHABLE), None], ids=["died", "hangs"])
    async def test_a_verdict_never_waits_for_the_worker(self, night, fault, monkeypatch):
        class Reader:
            async def read_ci(self, log: CILog, *, workflow: str = "") -> CIFailure | None:
                if fault is not None:
                    raise fault
                await asyncio.Event().wait()

        monkeypatch.setattr("bot.engine.green_logs.READ_SECONDS", 0.01)
        night.tools = replace(night.tools, ci_reader=Reader())
        await play(night, RED, CIState.FAILED)
        assert "KeyError: '[redacted]'" in str(night.shown("verdict")[-1])

    async def test_a_cancelled_one_is_neither_kept_nor_compared(self, night):
        await play(night, GREEN, CIState.CANCELLED)
        assert kept(night) == {}


class TestTheDefaultBranch:
    def passed(self, **labels: str):
        return alert(firing=False, workflow="CI", sha="a" * 40, **labels)

    def test_a_run_that_passed_has_its_log_fetched_once(self, night):
        for _ in range(2):
            night.world.receive(group(self.passed()))
        (queued,) = night.world.phases.of("green")
        assert queued.args == {"service": "checkout", "sha": "a" * 40, "workflow": "CI"}

    def test_a_pipeline_that_names_no_workflow_counts_too(self, night):
        night.world.receive(group(alert(firing=False, check="pipeline", sha="a" * 40)))
        assert len(night.world.phases.of("green")) == 1

    def test_a_green_pipeline_of_gitlab_names_only_its_commit(self, night):
        [green] = read(status="success").alerts
        night.world.receive(group(replace(green, labels={**green.labels, "service": "checkout"})))
        assert [queued.args["sha"] for queued in night.world.phases.of("green")] == [green.labels["sha"]]

    @pytest.mark.parametrize("verdict", CIState)
    async def test_where_no_workflow_is_named_ci_says_whether_the_commit_passed(self, night, verdict):
        night.ci.verdict, night.ci.said = verdict, _Always(GREEN)
        night.ci.begin("a" * 40)
        night.world.clock.at += timedelta(minutes=5)
        (phase,) = GreenLogs(night.world.store, night.world.rules, night.tools).phases()
        for sha in ("a" * 40, "b" * 40):
            await phase.run({"service": "checkout", "sha": sha, "workflow": ""})
        assert bool(kept(night)) is (verdict is CIState.PASSED)

    @pytest.mark.parametrize("labels", [{"sha": "main"}, {"workflow": ""}, {"service": "unknown"}])
    def test_what_is_no_run_of_a_service_of_ours_is_not_fetched(self, night, labels):
        night.world.receive(group(alert(firing=False, **{"workflow": "CI", "sha": "a" * 40, **labels})))
        assert night.world.phases.of("green") == []

    def test_a_red_run_is_not_taken_for_a_green_one(self, night):
        night.world.receive(group(alert(workflow="CI", sha="a" * 40)))
        assert night.world.phases.of("green") == []

    async def test_the_phase_keeps_the_jobs_of_that_workflow(self, night):
        night.ci.said = _Always(
            GREEN + "=== Nightly, tests, attempt 1 ===\nred\n##[error]Process completed with exit code 1."
        )
        (phase,) = GreenLogs(night.world.store, night.world.rules, night.tools).phases()
        for _ in range(2):
            await phase.run({"service": "checkout", "sha": "a" * 40, "workflow": "CI"})
        assert set(kept(night, "CI, tests", "Nightly, tests")) == {"CI, tests"}
        await phase.run({"service": "gone", "sha": "a" * 40, "workflow": "CI"})
        await phase.failed({"sha": "a" * 40}, "it never answered")

    async def test_the_failed_attempt_of_a_run_that_passed_later_is_not_kept(self, night):
        red = "=== CI, style: lint, attempt 1 ===\nbad\n##[error]Process completed with exit code 1.\n"
        await keep(night, red + GREEN.replace("attempt 1", "attempt 2"))
        assert set(kept(night, "CI, tests", "CI, style")) == {"CI, tests"}


class TestBesideARedLog:
    async def test_the_commit_that_the_alert_names_as_green_is_fetched_where_nothing_is_kept(self, night):
        night.ci.said = {"b" * 40: GREEN}
        green = GreenLogs(night.world.store, night.world.rules, night.tools)
        found = await green.add(CILog(ci="cloud", sha="c" * 40, text=RED), "checkout", green_sha="b" * 40)
        assert set(found.green) == {"CI, tests"}

    async def test_a_ci_that_does_not_answer_leaves_it_alone(self, night):
        night.ci.loses_logs = True
        green = GreenLogs(night.world.store, night.world.rules, night.tools)
        log = CILog(ci="cloud", sha="c" * 40, text=RED)
        assert await green.add(log, "checkout", green_sha="b" * 40) == log

    async def test_a_newer_green_log_is_not_overwritten_by_a_late_one(self, night):
        await keep(night)
        night.world.clock.at = NOW - timedelta(hours=1)
        await keep(night, "=== CI, tests, attempt 1 ===\nlate\n")
        assert "late" not in kept(night)["CI, tests"]
