"""What tells a bad commit from a good one, and how the harness's reports are judged and told. Nothing runs here."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from bot.domain.checks.reproduction import REPRODUCTION, Reproduce, Wording, say_seconds, word
from bot.domain.evidence import Check, FailingRequest

MARK: Final = "nightshift-report"
MAX_SECONDS: Final = 3_600
_PLAIN_GET: Final = FailingRequest(method="GET", target="/", status=0)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Seconds: a median up to `green_to` is green, from `red_from` red, between them nobody knows. `base` is the
    median they were made from, `status` its answer: another kind of answer is not comparable."""

    base: float
    status: int
    green_to: float
    red_from: float

    @classmethod
    def above(cls, timing: "Timing", *, factor: float, floor: float) -> "Bounds":
        """Return red from `factor` times the median and `floor` more than it; green up to half the way there."""
        base = timing.median
        red_from = max(base * factor, base + floor)
        return cls(base=base, status=timing.status, green_to=(base + red_from) / 2, red_from=red_from)

    def judge(self, timing: "Timing") -> Check:
        """Return the verdict. No answer at all is red if it took long; an answer of another kind is not comparable."""
        is_alike = timing.status // 100 == self.status // 100
        if timing.median >= self.red_from and (is_alike or timing.status == 0):
            return Check.RED
        return Check.GREEN if timing.median <= self.green_to and is_alike else Check.UNKNOWN


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long one request took at one commit. `status` is its answer, 0 where there was none."""

    times: tuple[float, ...]
    status: int

    @property
    def median(self) -> float:
        return median(self.times)

    def note(self) -> str:
        return f"median {say_seconds(self.median)} of {len(self.times)}"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What tells good from bad: a request to the service (sent up to `repeat` times, or timed where there are
    `bounds`), one of its checks, or, with neither, its start."""

    request: FailingRequest | None = None
    check: str = ""
    repeat: int = 1
    bounds: Bounds | None = None

    @property
    def kind(self) -> Reproduce:
        if self.check:
            return Reproduce.CHECK
        if self.request is None:
            return Reproduce.START
        return Reproduce.SLOW if self.bounds else Reproduce.REQUEST

    @property
    def name(self) -> str:
        return self.check or REPRODUCTION

    @property
    def words(self) -> Wording:
        return word(self.kind)

    @property
    def sent(self) -> FailingRequest:
        """Return what the harness sends: the request, or a plain GET that shows whether anybody answers."""
        return self.request or _PLAIN_GET

    @property
    def subject(self) -> str:
        """Return what fails, in words."""
        if self.check:
            return f"the check {self.check}"
        return f"{self.request.method} {self.request.target[:120]}" if self.request else "the service"

    @property
    def key(self) -> tuple[str, ...]:
        if self.request is None:
            return (self.name,)
        return (REPRODUCTION, self.kind, self.request.method, self.request.target, self.request.body, str(self.repeat))


def read_reports(output: bytes) -> list[dict[str, Any]]:
    """Return what the harness said. The repository's code could forge it, just as it can answer as it likes."""
    line = next((line for line in reversed(output.splitlines()) if line.startswith(MARK.encode() + b" ")), b"")
    try:
        reports = json.loads(line.partition(b" ")[2] or b"[]")
    except (ValueError, RecursionError):
        return []
    sound = isinstance(reports, list) and all(isinstance(report, dict) for report in reports)
    return reports if sound else []


def judge(trial: Trial, report: Mapping[str, Any]) -> Check:
    """Return the verdict of one report; `Check.UNKNOWN` for a timed request, which needs its bounds."""
    if trial.kind is Reproduce.START:
        if "why" not in report or "red" not in report or (report.get("started") is not True and not report["red"]):
            return Check.UNKNOWN
        return Check.RED if report["red"] is True else Check.GREEN
    answer = report.get("answer")
    if report.get("started") is not True or not isinstance(answer, dict) or answer.get("invalid"):
        return Check.UNKNOWN
    return Check.RED if report.get("red") is True else Check.GREEN


def read_timing(report: Mapping[str, Any]) -> Timing | None:
    """Return the times of a report, None where the request was not answered alike each time."""
    times, statuses = report.get("times"), report.get("statuses")
    if report.get("started") is not True or not isinstance(times, list) or not isinstance(statuses, list):
        return None
    if not times or not all(type(each) in {int, float} and 0 <= each < MAX_SECONDS for each in times):
        return None
    kinds = {each // 100 if type(each) is int else None for each in statuses}
    if len(kinds) != 1 or None in kinds:
        return None
    return Timing(times=tuple(float(each) for each in times), status=int(statuses[-1]))


def tell(request: FailingRequest, report: Mapping[str, Any]) -> str:
    """Say what came back, and end with what the service wrote."""
    log = str(report.get("log", ""))
    answer = report.get("answer")
    why = report.get("why")
    if why or report.get("started") is not True or not isinstance(answer, dict):
        return f"{log}\n{why or 'the service did not start'}"
    said = answer.get("error") or f"{answer.get('status')}"
    body = f"\n{answer.get('body')}" if answer.get("body") else ""
    return f"{log}\n{request.method} {request.target[:200]} → {said}{_count(report)}{body}"


def _count(report: Mapping[str, Any]) -> str:
    statuses = report.get("statuses")
    if isinstance(report.get("times"), list):
        return ""
    return f" (try {len(statuses)})" if isinstance(statuses, list) and len(statuses) > 1 else ""


def tell_repeats(verdicts: Sequence[Check]) -> str:
    reds, count = verdicts.count(Check.RED), len(verdicts)
    return f"failed in {reds} of {count} runs" if reds else f"passed in {verdicts.count(Check.GREEN)} of {count} runs"
