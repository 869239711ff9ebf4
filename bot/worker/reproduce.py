"""The bench: runs a failing request, or a check, at any commit or tree, in the sandbox, each pair at most once."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from bot.domain.evidence import Check, CheckRun, FailingRequest
from bot.domain.service import Service
from bot.errors import LimitReached, Rejected, Unavailable
from bot.ports.sandbox import SandboxJob, SandboxLimits, SandboxResult
from bot.ports.workspace import Checkout
from bot.worker.tools import Tools

REPRODUCTION: Final = "reproduction"
MARK: Final = "nightshift-report"
MAX_OUTPUT: Final = 4_000
MAX_CANDIDATES: Final = 5
START_SECONDS: Final = 20.0
REQUEST_SECONDS: Final = 10.0
SIDE_BY_SIDE: Final = 2


@cache
def _harness() -> bytes:
    return Path(__file__).with_name("harness.py").read_bytes()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What tells good from bad: a request to the service (sent up to `repeat` times), or one of its checks."""

    request: FailingRequest | None = None
    check: str = ""
    repeat: int = 1

    @property
    def name(self) -> str:
        return self.check or REPRODUCTION

    @property
    def subject(self) -> str:
        """Return what fails, in words."""
        if self.request is None:
            return f"the check {self.check}"
        return f"{self.request.method} {self.request.target[:120]}"

    @property
    def key(self) -> tuple[str, ...]:
        if self.request is None:
            return (self.check,)
        return (REPRODUCTION, self.request.method, self.request.target, self.request.body, str(self.repeat))


class Bench:
    """Runs things of one service. Results are kept: a stage that asks again gets the same answer for nothing."""

    def __init__(self, *, tools: Tools, service: Service, checkout: Checkout, seconds: float) -> None:
        self.tools = tools
        self.service = service
        self.checkout = checkout
        self.toolchain: Path | None = None
        self.fault = "" if tools.sandbox.rung != "none" else "no sandbox can run on this machine"
        self._seconds = seconds
        self._is_prepared = False
        self._results: dict[tuple[str, tuple[str, ...]], CheckRun] = {}
        self._asked: dict[tuple[str, tuple[str, ...]], None] = {}
        self._archives: dict[str, bytes] = {}
        self._turns = asyncio.Semaphore(SIDE_BY_SIDE)

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

    async def run(self, trial: Trial, at: str) -> CheckRun:
        """Run a trial at a commit or tree."""
        key = (at, trial.key)
        self._asked.setdefault(key)
        if key not in self._results:
            if trial.request is None:
                self._results[key] = await self._run_check(trial.check, at)
            else:
                self._results[key] = (await self._send([trial.request], at, trial.repeat))[0]
        return self._results[key]

    async def find_red(self, requests: Sequence[FailingRequest], at: str, *, repeat: int = 1) -> Trial | None:
        """Send requests in order, each to a fresh service, until one is red; None where none is."""
        candidates = requests[:MAX_CANDIDATES]
        if not candidates or not self.service.run:
            return None
        runs = await self._send(candidates, at, repeat)
        for request, run in zip(candidates, runs, strict=False):
            trial = Trial(request=request, repeat=repeat)
            self._asked.setdefault((at, trial.key))
            self._results[(at, trial.key)] = run
            if run.verdict is Check.RED:
                return trial
        return None

    async def _run_check(self, name: str, at: str) -> CheckRun:
        result = await self._sandboxed(at, tuple(self.service.checks[name]), {}, self._seconds)
        if isinstance(result, str):
            return self._record(name, at, Check.UNKNOWN, 0.0, result)
        text = result.output.decode("utf-8", "replace")
        if result.exit_code is None:
            text += f"\nended by its limit of {result.ended_by}"
        verdict = Check.RED
        if result.exit_code in {None, 126, 127}:
            verdict = Check.UNKNOWN
        elif result.exit_code == 0:
            verdict = Check.GREEN
        return self._record(name, at, verdict, result.seconds, text)

    async def _send(self, requests: Sequence[FailingRequest], at: str, repeat: int) -> list[CheckRun]:
        plan = {
            "mark": MARK,
            "run": list(self.service.run),
            "scratch": "/tmp",  # noqa: S108 - the sandbox's own
            "repeat": repeat,
            "start_seconds": START_SECONDS,
            "request_seconds": REQUEST_SECONDS,
            "requests": [
                {"method": r.method, "target": r.target, "headers": dict(r.headers), "body": r.body} for r in requests
            ],
        }
        files = {"harness.py": _harness(), "plan.json": json.dumps(plan).encode()}
        argv = ("python3", "-I", "-S", "/nightshift/harness.py", "/nightshift/plan.json")
        seconds = min(len(requests) * (START_SECONDS + repeat * REQUEST_SECONDS), self._seconds)
        result = await self._sandboxed(at, argv, files, seconds)
        if isinstance(result, str):
            return [self._record(REPRODUCTION, at, Check.UNKNOWN, 0.0, result)]
        reports = _read_reports(result.output)
        if not reports:
            why = f"ended by its limit of {result.ended_by}" if result.ended_by else "the harness gave no report"
            text = f"{why}\n{result.output.decode('utf-8', 'replace')}"
            return [self._record(REPRODUCTION, at, Check.UNKNOWN, result.seconds, text)]
        share = result.seconds / len(reports)
        return [
            self._record(REPRODUCTION, at, _judge(report), share, _tell(request, report))
            for request, report in zip(requests, reports, strict=False)
        ]

    async def _sandboxed(
        self, at: str, argv: Sequence[str], files: Mapping[str, bytes], seconds: float
    ) -> SandboxResult | str:
        """Run in the sandbox, or return in words why that was not possible."""
        if self.fault:
            return f"not run: {self.fault}"
        async with self._turns:
            try:
                job = SandboxJob(
                    argv=argv,
                    tree=await self.archive(at),
                    files=files,
                    toolchain=self.toolchain,
                    env=self.service.env,
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
        )


def _read_reports(output: bytes) -> list[dict[str, Any]]:
    """Return what the harness said. The repository's code could forge it, just as it can answer as it likes."""
    line = next((line for line in reversed(output.splitlines()) if line.startswith(MARK.encode() + b" ")), b"")
    try:
        reports = json.loads(line.partition(b" ")[2] or b"[]")
    except ValueError:
        return []
    sound = isinstance(reports, list) and all(isinstance(report, dict) for report in reports)
    return reports if sound else []


def _judge(report: Mapping[str, Any]) -> Check:
    answer = report.get("answer")
    if report.get("started") is not True or not isinstance(answer, dict) or answer.get("invalid"):
        return Check.UNKNOWN
    return Check.RED if report.get("red") is True else Check.GREEN


def _tell(request: FailingRequest, report: Mapping[str, Any]) -> str:
    """Say what came back, and end with what the service wrote."""
    log = str(report.get("log", ""))
    answer = report.get("answer")
    if report.get("started") is not True or not isinstance(answer, dict):
        return f"{log}\n{report.get('why', 'the service did not start')}"
    said = answer.get("error") or f"{answer.get('status')}"
    statuses = report.get("statuses")
    often = f" (try {len(statuses)})" if isinstance(statuses, list) and len(statuses) > 1 else ""
    body = f"\n{answer.get('body')}" if answer.get("body") else ""
    return f"{log}\n{request.method} {request.target[:200]} → {said}{often}{body}"
