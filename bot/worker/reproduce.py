"""The bench: runs a request, a start or a check at any commit or tree, in the sandbox, each pair at most once."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from bot.domain.checks.named import FILE, CheckSpec, parse_checks, plan_checks
from bot.domain.checks.reproduction import REPRODUCTION, Reproduce
from bot.domain.checks.testing import (
    find_failing,
    name_files,
    name_test,
    name_test_files,
    ran_nothing,
    read_verdict,
    stops_early,
)
from bot.domain.evidence import Check, CheckRun, FailingRequest
from bot.domain.playbook import Playbook
from bot.domain.service import Service
from bot.errors import LimitReached, Rejected, Unavailable
from bot.ports.sandbox import SandboxJob, SandboxLimits, SandboxResult
from bot.ports.workspace import Checkout
from bot.worker.coverage import WATCHER, Seen, is_watched, take_executed, watch_env, watch_files
from bot.worker.overlay import lay_over, read_members
from bot.worker.tools import Tools
from bot.worker.trial import MARK, Timing, Trial, judge, read_reports, read_timing, tell, tell_repeats

MAX_OUTPUT: Final = 4_000
MAX_CANDIDATES: Final = 5
REQUEST_SECONDS: Final = 10.0
SIDE_BY_SIDE: Final = 2
MAX_KEPT: Final = 128 * 1024
_NOTHING: Final[Mapping[str, bytes]] = MappingProxyType({})


@cache
def _harness() -> bytes:
    return Path(__file__).with_name("harness.py").read_bytes()


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to run in the sandbox: `laid` goes over the tree, `files` beside it."""

    argv: Sequence[str]
    laid: Mapping[str, bytes] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)


class Bench:
    """Runs things of one service. Results are kept: a stage that asks again gets the same answer for nothing.

    `head` is the commit that is looked at, once it is known, `older` those at which it is only asked whether the tests
    fail that fail there; `seen` is what each check ran there, and `outputs`
    what each one wrote, at more length than its run holds.
    """

    def __init__(self, *, tools: Tools, service: Service, checkout: Checkout, playbook: Playbook) -> None:
        self.tools = tools
        self.service = service
        self.checkout = checkout
        self.toolchain: Path | None = None
        self.fault = "" if tools.sandbox.rung != "none" else "no sandbox can run on this machine"
        self.playbook = playbook
        self.checks = plan_checks(service.checks, ())
        self._seconds = float(playbook.seconds)
        self._is_prepared = False
        self.head = ""
        self.older: frozenset[str] = frozenset()
        self.seen: dict[str, Seen] = {}
        self.outputs: dict[tuple[str, str], str] = {}
        self._red_codes: dict[str, int] = {}
        self._sought: dict[str, frozenset[str]] = {}
        self._results: dict[tuple[str, tuple[str, ...]], CheckRun] = {}
        self._asked: dict[tuple[str, tuple[str, ...]], None] = {}
        self._archives: dict[str, bytes] = {}
        self._timings: dict[tuple[str, tuple[str, ...]], Timing | None] = {}
        self._turns = asyncio.Semaphore(SIDE_BY_SIDE)
        self._alone = asyncio.Lock()

    @property
    def runs(self) -> tuple[CheckRun, ...]:
        """Return every run so far, in the order in which they were asked for."""
        return tuple(self._results[key] for key in self._asked if key in self._results)

    async def archive(self, at: str, *, keep: bool = False) -> bytes:
        """Return the tree at a commit as tar; `keep` the one that is asked for again."""
        if at in self._archives:
            return self._archives[at]
        archive = await self.checkout.archive(at)
        if keep:
            self._archives[at] = archive
        return archive

    async def prepare(self, folder: Path) -> None:
        """Fill the toolchain, once. Where that fails nothing can be verified, and `fault` says why."""
        if self.fault or self._is_prepared:
            return
        self._is_prepared = True
        try:
            self.toolchain = await self.tools.prepare_toolchain(self.service, folder)
        except (Unavailable, Rejected, LimitReached) as error:
            self.fault = f"the setup command of {self.service.name} failed: {self.tools.clean(str(error), 400)}"

    async def read_checks(self, base: str) -> str:
        """Add the checks that the repository names at a commit. Returns what is wrong with its file, else ""."""
        try:
            raw = await self.checkout.read(base, FILE)
            theirs = parse_checks(raw) if raw is not None else ()
        except (ValueError, Rejected, Unavailable) as error:
            self.checks = plan_checks(self.service.checks, ())
            return f"{FILE} is not used: {self.tools.clean(str(error), 200)}"
        self.checks = plan_checks(self.service.checks, theirs)
        return ""

    async def check(self, name: str, at: str) -> CheckRun:
        """Run a check; a red one as often as it says, to tell a flaky one, which counts as not judged."""
        first = await self.run(Trial(check=name), at)
        times = self.checks[name].repeat
        return await self.repeat(Trial(check=name), at, times) if times > 1 and first.verdict is Check.RED else first

    async def run(self, trial: Trial, at: str) -> CheckRun:
        """Run a trial at a commit or tree."""
        key = (at, trial.key)
        self._asked.setdefault(key)
        if key not in self._results:
            if trial.kind is Reproduce.CHECK:
                self._results[key] = await self._run_check(trial.check, at)
            elif trial.kind is Reproduce.SLOW:
                self._results[key] = await self._run_timed(trial, at)
            else:
                self._results[key] = (await self._send(trial, [trial.sent], at))[0]
        return self._results[key]

    def find_run(self, trial: Trial, at: str) -> CheckRun | None:
        """Return what is known already of a trial at a commit."""
        return self._results.get((at, trial.key))

    async def again(self, trial: Trial, at: str) -> CheckRun:
        """Run a check, a request or a start once more, whatever is known of it; what is known stays."""
        if trial.kind is Reproduce.CHECK:
            return await self._run_check(trial.check, at)
        return (await self._send(trial, [trial.sent], at))[0]

    async def repeat(self, trial: Trial, at: str, times: int) -> CheckRun:
        """Run a trial until it was run `times` times; where the runs disagree its verdict is unknown."""
        known = await self.run(trial, at)
        if known.verdict is Check.UNKNOWN or times <= known.attempts:
            return known
        more = await asyncio.gather(*(self.again(trial, at) for _ in range(times - known.attempts)))
        verdicts = [known.verdict] * known.attempts + [run.verdict for run in more]
        shown = next((run for run in (known, *more) if run.verdict is Check.RED), known)
        whole = replace(
            shown,
            verdict=known.verdict if len(set(verdicts)) == 1 else Check.UNKNOWN,
            seconds=round(sum(run.seconds for run in (known, *more)), 3),
            note=tell_repeats(verdicts),
            attempts=len(verdicts),
            greens=verdicts.count(Check.GREEN),
        )
        self._results[(at, trial.key)] = whole
        return whole

    async def time(self, request: FailingRequest, at: str, *, tries: int, is_again: bool = False) -> Timing | None:
        """Return how long a request takes at a commit, None where it cannot be told. Nothing else runs meanwhile.

        With `is_again` it is measured anew, whatever is known.
        """
        trial = Trial(request=request, repeat=tries)
        key = (at, trial.key)
        async with self._alone:
            if key not in self._timings or is_again:
                self._timings[key] = await self._measure(trial, at)
        return self._timings[key]

    async def find_red(self, requests: Sequence[FailingRequest], at: str, *, repeat: int = 1) -> Trial | None:
        """Send requests in order, each to a fresh service, until one is red; None where none is."""
        candidates = requests[:MAX_CANDIDATES]
        if not candidates or not self.service.run:
            return None
        trials = [Trial(request=request, repeat=repeat) for request in candidates]
        runs = await self._send(trials[0], candidates, at)
        for trial, run in zip(trials, runs, strict=False):
            self._asked.setdefault((at, trial.key))
            self._results[(at, trial.key)] = run
            if run.verdict is Check.RED:
                return trial
        return None

    async def _run_check(self, name: str, at: str, *, laid: Mapping[str, bytes] = _NOTHING) -> CheckRun:
        """Run a check; where a commit is older than the tests that it names, with those of the head laid over it."""
        spec = self.checks[name]
        watch = is_watched(spec.command) and at == self.head and name not in self.seen
        order = Order(argv=spec.command, laid=laid, files=watch_files() if watch else _NOTHING)
        result = await self._sandboxed(at, order, min(spec.seconds or self._seconds, self._seconds))
        if isinstance(result, str):
            return replace(self._record(name, at, Check.UNKNOWN, 0.0, result), kind=spec.kind, required=spec.required)
        text = result.output.decode("utf-8", "replace")
        if watch:
            text, self.seen[name] = take_executed(text)
        if result.exit_code is None:
            text += f"\nended by its limit of {result.ended_by}"
        elif not laid and ran_nothing(spec.command, result.exit_code, text) and (newer := await self._newer(at, spec)):
            return await self._run_check(name, at, laid=newer)
        red = self._red_codes.get(name)
        verdict = (
            Check.UNKNOWN
            if result.exit_code is None
            else read_verdict(spec.command, result.exit_code, text, red_code=red)
        )
        if verdict is Check.RED and result.exit_code is not None:
            self._red_codes.setdefault(name, result.exit_code)
        named = find_failing(text)
        verdict = await self._narrow(spec, at, verdict, named)
        run = self._record(name, at, verdict, result.seconds, text)
        self.outputs[name, at] = self.tools.clean(text, MAX_KEPT)
        if watch:
            self.seen[name] = replace(self.seen[name], failing=named)
        failing = tuple(sorted(self.tools.clean(test, 300) for test in named))
        return replace(run, exit_code=result.exit_code, kind=spec.kind, required=spec.required, failing=failing)

    async def _narrow(self, spec: CheckSpec, at: str, verdict: Check, failing: frozenset[str]) -> Check:
        """Return the verdict on what fails at the head: where only other tests fail, that passes, if it is there."""
        if at == self.head:
            self._sought[spec.name] = failing
        sought = self._sought.get(spec.name, frozenset())
        wanted = {name_test(test) for test in sought}
        if verdict is not Check.RED or at not in self.older or not wanted or not failing:
            return verdict
        if wanted & {name_test(test) for test in failing}:
            return verdict
        files = read_members(
            await self.archive(at), frozenset(path for test in sought for path in name_test_files(test))
        )
        text = b"\n".join(files.values()).decode("utf-8", "replace")
        is_there = all(f"def {name}(" in text for name in wanted)
        return Check.GREEN if is_there and not stops_early(spec.command) else Check.UNKNOWN

    async def _newer(self, at: str, spec: CheckSpec) -> dict[str, bytes]:
        """Return the files of the head that a check names."""
        if not self.head or at == self.head:
            return {}
        return read_members(await self.archive(self.head, keep=True), frozenset(name_files(spec.command)))

    async def _run_timed(self, trial: Trial, at: str) -> CheckRun:
        """Time the request; between the bounds, once more with three times the tries."""
        assert trial.request is not None
        assert trial.bounds is not None
        tries, verdict, note, seconds = self.playbook.tries, Check.UNKNOWN, "", 0.0
        for count in (tries, 3 * tries):
            timing = await self.time(trial.request, at, tries=count)
            if timing is None:
                note = "it cannot be timed there"
                break
            verdict, note = trial.bounds.judge(timing), timing.note()
            seconds += sum(timing.times)
            if verdict is not Check.UNKNOWN:
                break
            if timing.status // 100 != trial.bounds.status // 100:
                note = f"answered {timing.status} there, and {trial.bounds.status} at an older commit"
                break
        output = f"{trial.subject}: {note}"
        return replace(self._record(REPRODUCTION, at, verdict, seconds, output), note=note)

    async def _measure(self, trial: Trial, at: str) -> Timing | None:
        result = await self._harnessed("time", trial, [trial.sent], at)
        reports = [] if isinstance(result, str) else read_reports(result.output)
        return read_timing(reports[0]) if reports else None

    async def _send(self, trial: Trial, requests: Sequence[FailingRequest], at: str) -> list[CheckRun]:
        mode = "start" if trial.kind is Reproduce.START else "send"
        result = await self._harnessed(mode, trial, requests, at)
        if isinstance(result, str):
            return [self._record(REPRODUCTION, at, Check.UNKNOWN, 0.0, result)]
        reports = read_reports(result.output)
        if not reports:
            why = f"ended by its limit of {result.ended_by}" if result.ended_by else "the harness gave no report"
            text = f"{why}\n{result.output.decode('utf-8', 'replace')}"
            return [self._record(REPRODUCTION, at, Check.UNKNOWN, result.seconds, text)]
        share = result.seconds / len(reports)
        return [
            self._record(REPRODUCTION, at, judge(trial, report), share, tell(request, report))
            for request, report in zip(requests, reports, strict=False)
        ]

    async def _harnessed(
        self, mode: str, trial: Trial, requests: Sequence[FailingRequest], at: str
    ) -> SandboxResult | str:
        start = self.playbook.start_seconds
        plan = {
            "mark": MARK,
            "mode": mode,
            "run": list(self.service.run),
            "listens": any("{port}" in text for text in (*self.service.run, *self.service.env.values())),
            "scratch": "/tmp",  # noqa: S108 - the sandbox's own
            "repeat": trial.repeat,
            "start_seconds": start,
            "stay_up_seconds": self.playbook.stay_up_seconds,
            "request_seconds": REQUEST_SECONDS,
            "requests": [
                {"method": r.method, "target": r.target, "headers": dict(r.headers), "body": r.body} for r in requests
            ],
        }
        order = Order(
            argv=("python3", "-I", "-S", "/nightshift/harness.py", "/nightshift/plan.json"),
            files={"harness.py": _harness(), "plan.json": json.dumps(plan).encode()},
        )
        each = start + self.playbook.stay_up_seconds + (trial.repeat + 1) * REQUEST_SECONDS
        return await self._sandboxed(at, order, min(len(requests) * each, self._seconds), alone=mode == "time")

    async def _sandboxed(self, at: str, order: Order, seconds: float, *, alone: bool = False) -> SandboxResult | str:
        """Run in the sandbox, or return in words why that was not possible."""
        if self.fault:
            return f"not run: {self.fault}"
        async with AsyncExitStack() as stack:
            for _ in range(SIDE_BY_SIDE if alone else 1):
                await stack.enter_async_context(self._turns)
            try:
                tree = lay_over(await self.archive(at), {**order.laid, **self.tools.laid_over})
                job = SandboxJob(
                    argv=order.argv,
                    tree=tree,
                    files={**self.tools.files, **order.files},
                    toolchain=self.toolchain,
                    readable=self.tools.readable,
                    env=watch_env(self.service.env) if WATCHER in order.files else self.service.env,
                    limits=SandboxLimits(seconds=seconds),
                )
                return await self.tools.sandbox.run(job)
            except (Unavailable, Rejected, LimitReached) as error:
                return f"not run: {error}"

    def _record(self, name: str, at: str, verdict: Check, seconds: float, output: str) -> CheckRun:
        return CheckRun(
            name=name,
            at=at[:12],
            verdict=verdict,
            seconds=round(seconds, 3),
            output=self.tools.clean(output, MAX_OUTPUT),
            greens=1 if verdict is Check.GREEN else 0,
        )
