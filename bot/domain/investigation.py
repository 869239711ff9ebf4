"""What an investigation yields, stage by stage. Each result is stored when it is there, so that a
restart goes on with the stage after it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Final

from bot.domain.approvals.feedback import Feedback
from bot.domain.checks.reproduction import Reproduce
from bot.domain.ci_logs.log import CILog
from bot.domain.evidence import Check, CheckRun, ErrorRecord, Evidence, FailingRequest, LogLine, Suspect
from bot.domain.metrics.metric import Metric, MetricRead
from bot.domain.playbook import Playbook
from bot.domain.question import Question
from bot.domain.service import LogPlace, Service
from bot.domain.suspects.drift import Drift
from bot.domain.suspects.happened import Happened
from bot.domain.watch import Look

SKEW = timedelta(minutes=1)
UNREAD: Final = " could not be read"
"""Between a source and the reason, in a note that says that nothing of it could be had."""


class Stage(StrEnum):
    COLLECT = "collect"
    SUSPECT = "suspect"
    CONFIRM = "confirm"
    DRAFT = "draft"
    VERIFY = "verify"


@dataclass(frozen=True, kw_only=True)
class Collected:
    """Read from the logs. `notes` says in words what was missing ("no log line between … and …").

    `requests` are worth sending again: they failed, or were slow. `reproduce` is what the playbook will run;
    `began_at` is when the logs show that it began, where they say so better than their errors. `ci_job` is the job that
    CI's log shows failing, `ci_records` are the errors in it. `missing` are those notes that name a source of which
    nothing could be read, `pending` the sources that may still answer: until then this is a first look. `metrics`
    are what was read of each query with values.
    """

    records: tuple[ErrorRecord, ...]
    requests: tuple[FailingRequest, ...]
    evidence: tuple[Evidence, ...]
    lines_read: int
    notes: tuple[str, ...] = ()
    reproduce: Reproduce = Reproduce.REQUEST
    began_at: datetime | None = None
    ci_job: str = ""
    ci_records: tuple[ErrorRecord, ...] = ()
    metrics: tuple[Metric, ...] = ()
    missing: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()

    @property
    def has_lead(self) -> bool:
        """Say whether there is something to run: a start or a check needs no log to be found in."""
        return self.reproduce in {Reproduce.START, Reproduce.CHECK} or bool(self.requests)


@dataclass(frozen=True, kw_only=True)
class Suspected:
    """The commits that may have caused it, most likely first; `head` is the deployed commit looked at.

    `code` shows the lines on the stack as they are at the head, innermost first; their ids are given later. `changed`
    is everything that changed, not commits alone, most suspect first. `is_early`: ranked before the check that is red
    was run, which says more. `drift` is an installed package that may have changed
    although no commit says so.
    """

    head: str
    suspects: tuple[Suspect, ...]
    notes: tuple[str, ...] = ()
    code: tuple[Evidence, ...] = ()
    changed: tuple[Happened, ...] = ()
    drift: Drift | None = None
    is_early: bool = False


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """Which commit the reproduction blames: red at `culprit`, green at its parent. `how` is in words.

    Without a culprit, `left` are the commits that it can be and that cannot be judged, the most suspect first.
    """

    culprit: str | None
    request: FailingRequest | None
    runs: tuple[CheckRun, ...]
    how: str
    reproduce: Reproduce = Reproduce.REQUEST
    left: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Drafted:
    """A patch in canonical form on `base`; empty `patch` when none could be drafted, and `notes` says why.

    `existing` are hidden characters of its added lines that the worker found in the base: (path, code point). They are
    looked for again when the patch is applied for the push.
    `scope` says how much of the culprit it takes back: "whole", "sources" (its tests and documents stay), "part" (later
    commits changed the rest), "settings" or "pin" (nothing but `put_back`, "http.timeout in app.toml": it is no revert
    then, and has no `culprit`), or "none"; "" where it takes nothing back.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"ser_json_bytes": "base64", "val_json_bytes": "base64"}

    base: str
    patch: bytes
    title: str
    culprit: str | None
    notes: tuple[str, ...] = ()
    existing: tuple[tuple[str, int], ...] = ()
    scope: str = ""
    put_back: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What the sandbox said about the patch: reproduction before and after, then every check of the service.

    Checks that are red without the patch too are named in `already_red` and do not count against it, nor do those
    that are not required. `base_runs` are the runs without the patch that this rests on; `newly_failing` are tests that
    fail with it and not without it, as far as the checks name them.
    """

    before: Check
    after: Check
    runs: tuple[CheckRun, ...]
    already_red: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    rung: str = ""
    reproduce: Reproduce = Reproduce.REQUEST
    base_runs: tuple[CheckRun, ...] = ()
    newly_failing: tuple[str, ...] = ()

    @property
    def broken(self) -> tuple[CheckRun, ...]:
        """Return what counts against the patch."""
        runs = (r for r in self.runs if r.verdict is not Check.GREEN and r.required)
        return tuple(run for run in runs if run.name not in self.already_red)

    @property
    def tolerated(self) -> tuple[CheckRun, ...]:
        """Return what is red with the patch alone and does not count against it, for it is not required."""
        runs = (run for run in self.runs if run.verdict is Check.RED and not run.required)
        return tuple(run for run in runs if run.name not in self.already_red)

    @property
    def counted(self) -> str:
        """Name the checks of which none turned red: where one that is not required did, only the others."""
        return "required check" if self.tolerated else "check"

    @property
    def is_verified(self) -> bool:
        """Reproduction red → green and no check turned red by the patch, all of it really run."""
        return self.before is Check.RED and self.after is Check.GREEN and bool(self.runs) and not self.broken


StageResult = Collected | Suspected | Confirmed | Drafted | Verified


def is_preliminary(result: StageResult) -> bool:
    """Say whether a stage's result was shown early and gives way to the one that is whole."""
    if isinstance(result, Collected):
        return bool(result.pending)
    return isinstance(result, Suspected) and result.is_early


@dataclass(frozen=True, kw_only=True)
class LogRead:
    """What was read of a log place. `fault` says why nothing of it could be had, `is_pending` that it still may."""

    place: LogPlace
    lines: tuple[LogLine, ...] = ()
    notes: tuple[str, ...] = ()
    fault: str = ""
    is_pending: bool = False


@dataclass(frozen=True, kw_only=True)
class Job:
    """One investigation, as the worker gets it. `folder` is the worker's own, kept between restarts; `labels` are the
    alert's, and hostile; `feedback` is what people said about earlier patches. `ci_log` is of the commit that the
    alert carries, `green_sha` the one that it names as green last; `far_logs` and `metrics` were read where the
    credentials are; `told` are changes that other systems told of; `source_url` is where the alert says it is from.
    Something is to be shown `within` so many seconds; `awaited` are sources that have not answered yet.
    `is_first_look`: what is not in by then is taken in later, and what can be said early is said. With
    `wants_revert` nothing smaller than the revert will do. With `questions` nothing is to be patched: the last one is
    to be answered, those before it have their answers; a `look` says that a watch asks, and not a person.
    `playbooks` are the titles of all that there are, by their names."""

    run: str
    incident: str
    service: Service
    playbook: Playbook
    title: str
    alert_started_at: datetime
    now: datetime
    folder: str
    labels: Mapping[str, str] = field(default_factory=dict)
    done: tuple[StageResult, ...] = field(default_factory=tuple)
    feedback: tuple[Feedback, ...] = ()
    questions: tuple[Question, ...] = ()
    look: Look | None = None
    playbooks: Mapping[str, str] = field(default_factory=dict)
    ci_log: CILog | None = None
    green_sha: str = ""
    far_logs: tuple[LogRead, ...] = ()
    told: tuple[Happened, ...] = ()
    wants_revert: bool = False
    source_url: str = ""
    metrics: tuple[MetricRead, ...] = ()
    within: float = 10.0
    awaited: tuple[str, ...] = ()
    is_first_look: bool = False

    @property
    def reproduce(self) -> Reproduce:
        """Return what is run: what the playbook says, or what the log showed where the playbook leaves it to that."""
        said = self.playbook.reproduce
        shown = next((result.reproduce for result in reversed(self.done) if isinstance(result, Collected)), said)
        return shown if said is Reproduce.LOG else said

    @property
    def log_span(self) -> tuple[datetime, datetime]:
        """Return the time to read: around the alert's start, and never past what can have been written yet."""
        since = self.alert_started_at - timedelta(seconds=self.playbook.look_back)
        until = min(self.alert_started_at + timedelta(seconds=self.playbook.look_ahead), self.now + SKEW)
        return since, max(until, since + SKEW)
