"""What is red at the deployed commit, and who is to blame for it, with a sandbox that a test scripts."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.checks.reproduction import Reproduce
from bot.domain.conclusion import conclude
from bot.domain.evidence import Check, FailingRequest, Suspect
from bot.domain.investigation import Collected, Job
from bot.domain.playbook import Playbook
from bot.domain.service import Service
from bot.errors import Reason, Rejected
from bot.ports.sandbox import SandboxJob, SandboxResult
from bot.ports.workspace import Commit
from bot.worker.confirm import confirm
from bot.worker.reproduce import Bench
from bot.worker.revert import choose_target
from bot.worker.seek import choose_checks
from bot.worker.tools import Tools
from bot.worker.trial import MARK, Bounds, Timing, Trial, judge, read_reports, read_timing
from tests.unit.test_check_runs import pack

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
NAMES = ("f", "e", "d", "c", "b", "a")
SHAS = {name: name * 40 for name in NAMES}
COMMITS = tuple(
    Commit(
        sha=SHAS[name],
        parents=(SHAS[older],) if older else (),
        author="Ada",
        email="ada@example.org",
        committed_at=NOON - timedelta(hours=number),
        subject=f"Change {name}",
    )
    for number, (name, older) in enumerate(zip(NAMES, [*NAMES[1:], ""], strict=True))
)
SEARCH = FailingRequest(method="GET", target="/search", status=200, cite="app.log:1")


class Checkout:
    """A tree is a tar file that begins with the name of its commit."""

    def __init__(self, test="def test_total():\n    assert total(2) == 4\n"):
        self._test = test

    async def archive(self, at):
        return pack({at[0]: "", "test_shop.py": self._test})

    async def log(self, head, limit):
        return COMMITS[:limit]

    async def resolve(self, ref):
        found = [sha for sha in SHAS.values() if sha.startswith(ref)]
        if not found:
            raise Rejected("no such commit", Reason.NOT_FOUND)
        return found[0]


@dataclass
class ScriptedSandbox:
    """Asks `script(commit name, how often it was asked there)` for an exit code, or a harness report."""

    script: Callable[[str, int], object]
    rung: str = "bubblewrap"
    asked: Counter = field(default_factory=Counter)

    async def run(self, job: SandboxJob) -> SandboxResult:
        at = chr(job.tree[0])
        self.asked[at] += 1
        said = self.script(at, self.asked[at])
        if isinstance(said, int):
            return SandboxResult(exit_code=said, output=b"AssertionError: no\n" * bool(said), seconds=0.1)
        plan = json.loads(job.files["plan.json"])
        report = said(plan) if callable(said) else said
        return SandboxResult(exit_code=0, output=f"{MARK} {json.dumps([report])}\n".encode(), seconds=0.1)

    async def probe(self):
        return ()


def make_job(kind: Reproduce, **labels: str) -> Job:
    service = Service(
        name="shop",
        repository="file:///shop",
        run=("shop", "{port}"),
        checks={"tests": ("t", "test_shop.py"), "lint": ("l",)},
    )
    playbook = Playbook(name="p", title="P", when={"a": "b"}, reproduce=kind, tries=3)
    return Job(
        run="INC-1:1", incident="INC-1", service=service, playbook=playbook, title="T", alert_started_at=NOON, now=NOON,
        folder="/nowhere", labels=labels,
    )  # fmt: skip


def suspect(name: str, score: float) -> Suspect:
    return Suspect(
        commit=SHAS[name], author="Ada", committed_at=NOON, subject=f"Change {name}", score=score, reasons=("why",)
    )


async def blame(job: Job, script, *requests: FailingRequest, suspects=(), **tree):
    sandbox = ScriptedSandbox(script)
    tools = Tools(
        log_source=None, workspaces=None, sandbox=sandbox, redact=lambda text: text, redact_lines=list,
        prepare_toolchain=None,
    )  # fmt: skip
    bench = Bench(tools=tools, service=job.service, checkout=Checkout(**tree), playbook=job.playbook)
    confirmed, _ = await confirm(
        bench, job=job, requests=requests, suspects=suspects, commits=COMMITS, has_time=lambda: True
    )
    return confirmed, sandbox


class TestCheck:
    async def test_a_red_check_is_blamed_on_the_commit_that_broke_it(self):
        confirmed, sandbox = await blame(make_job(Reproduce.CHECK, job="tests"), lambda at, _: int(at >= "c"))
        assert confirmed.culprit == SHAS["c"]
        assert confirmed.reproduce is Reproduce.CHECK
        assert sandbox.asked["c"] == sandbox.asked["b"] == 4

    @pytest.mark.parametrize(
        ("where", "times", "script"),
        [
            ("f", 3, lambda at, time: int(at == "f" and time == 3)),
            ("c", 3, lambda at, time: int(at >= "c" and not (at == "c" and time == 3))),
            ("b", 2, lambda at, time: int(at >= "c" or (at == "b" and time == 2))),
        ],
        ids=["green at head, then red", "green at the culprit", "red at its parent"],
    )
    async def test_a_flaky_check_is_named_and_nobody_is_blamed(self, where, times, script):
        job = make_job(Reproduce.CHECK, job="tests")
        confirmed, _ = await blame(job, script)
        assert confirmed.culprit is None
        assert "the check tests is flaky: it failed in" in confirmed.how
        assert f"of {times} runs at {SHAS[where][:12]}, so no commit is blamed" in confirmed.how
        assert choose_target(confirmed, (), COMMITS, kind=Reproduce.CHECK).commit == ""
        collected = Collected(records=(), requests=(), evidence=(), lines_read=0, reproduce=Reproduce.CHECK)
        (finding,), evidence = conclude([collected, confirmed])
        assert "The check tests is flaky" in finding.claim
        assert finding.confidence == "confirmed"
        assert any("contradicted itself" in piece.text for piece in evidence)

    @pytest.mark.parametrize(("order", "runs"), [("ce", 5), ("ec", 11)], ids=["first", "second"])
    async def test_a_suspect_that_is_right_needs_few_runs(self, order, runs):
        suspects = (suspect(order[0], 0.6), suspect(order[1], 0.5))
        job = make_job(Reproduce.CHECK, job="tests")
        confirmed, sandbox = await blame(job, lambda at, _: int(at >= "c"), suspects=suspects)
        assert confirmed.culprit == SHAS["c"]
        assert sandbox.asked.total() == runs
        assert f"({runs} runs in the sandbox)" in confirmed.how

    @pytest.mark.parametrize(
        "test",
        ["def test():\n    assert random.random() < 0.9\n", "@pytest.mark.flaky\ndef test():\n    assert ok()\n"],
        ids=["chance", "mark"],
    )
    async def test_a_check_that_may_answer_by_chance_is_run_more_often(self, test):
        suspects = (suspect("c", 0.6), suspect("e", 0.1))
        job = make_job(Reproduce.CHECK, job="tests")
        confirmed, sandbox = await blame(job, lambda at, _: int(at >= "c"), suspects=suspects, test=test)
        assert confirmed.culprit == SHAS["c"]
        assert sandbox.asked["c"] == sandbox.asked["b"] == 4
        lucky = lambda at, time: int(at >= "c" and not (at == "c" and time == 4))  # noqa: E731 - short
        confirmed, _ = await blame(job, lucky, suspects=suspects, test=test)
        assert confirmed.culprit is None
        assert "so no commit is blamed; test_shop.py uses " in confirmed.how

    async def test_a_request_that_fails_by_chance_blames_nobody(self):
        def script(at, time):
            is_red = at >= "c" and not (at == "c" and time == 3)
            return {"started": True, "red": is_red, "answer": {"status": 500 if is_red else 200}, "log": ""}

        job = make_job(Reproduce.REQUEST)
        confirmed, _ = await blame(job, script, SEARCH)
        assert confirmed.culprit is None
        assert confirmed.how.startswith("GET /search is flaky: it failed in 2 of 3 runs at cccccccccccc")
        collected = Collected(records=(), requests=(), evidence=(), lines_read=0)
        (finding, *_), _ = conclude([collected, confirmed])
        assert (finding.confidence, finding.claim) == ("confirmed", confirmed.how)

    async def test_a_green_that_was_luck_blames_nobody_though_the_first_suspect_is_red(self):
        suspects = (suspect("c", 0.6), suspect("e", 0.1))
        job = make_job(Reproduce.CHECK, job="tests")
        confirmed, _ = await blame(job, lambda at, time: int(at != "b" or time == 2), suspects=suspects)
        assert confirmed.culprit is None
        assert "the check tests is flaky" in confirmed.how

    async def test_a_check_that_is_green_at_the_head_is_said_to_be(self):
        confirmed, sandbox = await blame(make_job(Reproduce.CHECK, check="tests"), lambda at, _: 0)
        assert confirmed.culprit is None
        assert "green at the deployed commit ffffffffffff: it may be flaky, or CI may differ" in confirmed.how
        assert sandbox.asked == {"f": 3}

    async def test_a_check_that_was_mended_already_is_said_to_be(self):
        job = make_job(Reproduce.CHECK, check="tests", commit="D" * 12)
        confirmed, _ = await blame(job, lambda at, _: int(at == "d"))
        assert confirmed.culprit is None
        assert "red at the alert's dddddddddddd: a later commit has mended it already" in confirmed.how

    @pytest.mark.parametrize("commit", ["9" * 40, "--upload-pack=x", "HEAD; rm -rf /", "", "../../x", "f" * 5_000])
    async def test_a_commit_label_that_is_none_changes_nothing(self, commit):
        job = make_job(Reproduce.CHECK, check="tests", commit=commit)
        confirmed, sandbox = await blame(job, lambda at, _: 0)
        assert confirmed.culprit is None
        assert set(sandbox.asked) == {"f"}
        assert len(confirmed.how) < 300

    @pytest.mark.parametrize("code", [126, 127])
    async def test_a_check_that_cannot_run_is_not_red(self, code):
        confirmed, _ = await blame(make_job(Reproduce.CHECK, check="tests"), lambda at, _: code)
        assert confirmed.culprit is None
        assert "the check tests could not be run to its end" in confirmed.how

    async def test_without_a_name_each_check_is_tried(self):
        confirmed, _ = await blame(make_job(Reproduce.CHECK), lambda at, time: int(at >= "e" and time > 1))
        assert "lint" in confirmed.how

    @pytest.mark.parametrize(
        ("labels", "chosen"),
        [
            ({"job": "tests"}, ("tests",)),
            ({"job": "CI / Tests (3.11)"}, ("tests",)),
            ({"job": "integration"}, ()),
            ({"workflow": "lint", "job": "x"}, ("lint",)),
            ({"workflow": "tests and lint"}, ("tests", "lint")),
            ({"severity": "tests"}, ()),
            ({"job": "t" * 100_000}, ()),
            ({"job": "\x00 `rm -rf` ../tests"}, ("tests",)),
            ({}, ()),
        ],
    )
    def test_labels_name_checks_that_exist(self, labels, chosen):
        assert choose_checks(("tests", "lint", "type-check"), labels) == chosen


def timed(seconds, *, status=200):
    """Return a report of a request that takes `seconds`, or each of them in turn."""

    def report(plan):
        times = [seconds] * plan["repeat"] if isinstance(seconds, float) else seconds[: plan["repeat"]]
        statuses = [status] * (len(times) + 1)
        return {"started": True, "red": False, "answer": {"status": status}, "times": times, "statuses": statuses}

    return report


class TestSlow:
    async def test_the_commit_that_made_it_slow_is_blamed(self):
        confirmed, _ = await blame(make_job(Reproduce.SLOW), lambda at, _: timed(0.3 if at >= "d" else 0.01), SEARCH)
        assert confirmed.culprit == SHAS["d"]
        assert "GET /search is slow at dddddddddddd (median 300 ms of 3) and is quick at its parent" in confirmed.how

    async def test_what_lies_between_is_timed_again_before_it_is_judged(self):
        def script(at, time):
            if at == "c":
                return timed([0.04] * 3 if time == 1 else [0.01, 0.01, 0.01] + [0.04] * 2 + [0.01] * 4)
            return timed(0.3 if at >= "d" else 0.01)

        confirmed, sandbox = await blame(make_job(Reproduce.SLOW), script, SEARCH)
        assert confirmed.culprit == SHAS["d"]
        assert sandbox.asked["c"] == 3

    @pytest.mark.parametrize("noisy", ["d", "c"])
    async def test_a_time_that_does_not_come_again_blames_nobody(self, noisy):
        def script(at, time):
            is_slow = at >= "d"
            return timed(0.3 if is_slow != (at == noisy and time > 1) else 0.01)

        confirmed, _ = await blame(make_job(Reproduce.SLOW), script, SEARCH)
        assert confirmed.culprit is None
        assert "takes now this long and now that at" in confirmed.how
        assert choose_target(confirmed, (), COMMITS, kind=Reproduce.SLOW).commit == ""

    async def test_what_stays_between_is_not_judged(self):
        script = lambda at, _: timed({"c": 0.04, "b": 0.04}.get(at, 0.3 if at >= "d" else 0.01))  # noqa: E731 - short
        confirmed, _ = await blame(make_job(Reproduce.SLOW), script, SEARCH)
        assert confirmed.culprit is None
        assert "since one of 3 commits, the most suspect first: " in confirmed.how
        assert "those between cannot be judged" in confirmed.how
        assert set(confirmed.left) == {SHAS[name] for name in "bcd"}

    async def test_another_answer_is_not_compared(self):
        script = lambda at, _: timed(0.3) if at >= "d" else timed(0.001, status=404)  # noqa: E731 - short
        confirmed, _ = await blame(make_job(Reproduce.SLOW), script, SEARCH)
        assert confirmed.culprit is None

    @pytest.mark.parametrize("slow", [0.01, 0.024, 0.049])
    async def test_what_is_as_quick_as_it_was_blames_nobody(self, slow):
        confirmed, _ = await blame(make_job(Reproduce.SLOW), lambda at, _: timed(slow if at == "f" else 0.01), SEARCH)
        assert confirmed.culprit is None
        assert "at an older one: the cause may be data, load or another service" in confirmed.how
        assert choose_target(confirmed, (), COMMITS, kind=Reproduce.SLOW).commit == ""

    async def test_what_was_always_slow_blames_nobody(self):
        confirmed, _ = await blame(make_job(Reproduce.SLOW), lambda at, _: timed(0.5), SEARCH)
        assert confirmed.culprit is None

    async def test_without_a_request_nothing_is_run(self):
        confirmed, sandbox = await blame(make_job(Reproduce.SLOW), lambda at, _: timed(0.5))
        assert confirmed.how == "the logs show no slow request that could be sent again"
        assert not sandbox.asked

    @pytest.mark.parametrize(
        "report",
        [
            {},
            {"started": True, "times": "x", "statuses": [200]},
            {"started": True, "times": [float("nan")], "statuses": [200]},
            {"started": True, "times": [-1, 1e99], "statuses": [200]},
            {"started": True, "times": [0.1], "statuses": []},
            {"started": True, "times": [0.1], "statuses": [200, "evil"]},
            {"started": True, "times": [], "statuses": [200]},
            {"started": True, "times": [0.1, 0.1], "statuses": [200, 500]},
            {"started": "yes", "times": [0.1], "statuses": [200]},
            {"started": True, "times": [True], "statuses": [True]},
        ],
        ids=range(10),
    )
    def test_a_forged_report_is_no_timing(self, report):
        assert read_timing(report) is None

    @pytest.mark.parametrize(
        ("seconds", "verdict"), [(0.01, "green"), (0.029, "green"), (0.04, "unknown"), (0.05, "red"), (9.0, "red")]
    )
    def test_bounds_leave_a_gap(self, seconds, verdict):
        bounds = Bounds.above(Timing(times=(0.01,), status=200), factor=2.5, floor=0.04)
        assert bounds.judge(Timing(times=(seconds,), status=204)) == Check(verdict)

    @pytest.mark.parametrize(
        ("seconds", "status", "verdict"),
        [(10.0, 0, "red"), (0.001, 0, "unknown"), (0.001, 404, "unknown"), (9.0, 500, "unknown")],
    )
    def test_only_like_answers_are_compared_but_none_in_a_long_time_is_slow(self, seconds, status, verdict):
        bounds = Bounds.above(Timing(times=(0.01,), status=200), factor=2.5, floor=0.04)
        assert bounds.judge(Timing(times=(seconds,), status=status)) == Check(verdict)

    async def test_what_gets_no_answer_any_more_is_slow(self):
        script = lambda at, _: timed(10.0, status=0) if at >= "e" else timed(0.01)  # noqa: E731 - short
        confirmed, _ = await blame(make_job(Reproduce.SLOW), script, SEARCH)
        assert confirmed.culprit == SHAS["e"]


def start(*, why=""):
    return {"started": True, "red": bool(why), "why": why, "answer": {"status": 200}, "log": "KeyError: 'limits'"}


class TestStart:
    async def test_the_commit_that_keeps_it_from_starting_is_blamed(self):
        script = lambda at, _: start(why="the service ended with exit code 1" if at >= "e" else "")  # noqa: E731 - short
        confirmed, _ = await blame(make_job(Reproduce.START), script)
        assert confirmed.culprit == SHAS["e"]
        assert "the service does not start and stay up at eeeeeeeeeeee and starts and stays up at" in confirmed.how
        red = next(run for run in confirmed.runs if run.verdict is Check.RED)
        assert red.output == "KeyError: 'limits'\nthe service ended with exit code 1"

    async def test_what_starts_in_the_sandbox_blames_nobody(self):
        confirmed, _ = await blame(make_job(Reproduce.START), lambda at, _: start())
        assert confirmed.culprit is None
        assert "the service starts in the sandbox and stays up for 1 s: the cause may be" in confirmed.how

    async def test_what_never_starts_may_need_something(self):
        confirmed, _ = await blame(make_job(Reproduce.START), lambda at, _: start(why="no database"))
        assert confirmed.culprit is None
        assert confirmed.how.endswith("it may need something that the sandbox does not have")

    @pytest.mark.parametrize(
        "report", [{}, {"red": False}, {"started": False, "red": False, "why": "x"}, {"why": "", "answer": {}}]
    )
    def test_a_report_that_says_nothing_is_unknown(self, report):
        assert judge(Trial(), report) is Check.UNKNOWN

    def test_reports_that_are_no_reports_are_none(self):
        for line in (b"[" * 90_000, b"{}", b"[1]", b"nan", b"\xff\xfe"):
            assert read_reports(MARK.encode() + b" " + line) == []
