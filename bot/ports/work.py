"""The unit of work: one transaction over the store, the timeline, the effects and the phases.

Services are synchronous and reach the store through this port alone. Everything a service writes becomes
visible at once when the `with` block of `Store.begin()` ends, or not at all.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from bot.domain.alert import Alert, LastWord
from bot.domain.approval import Approval
from bot.domain.chat import Reply
from bot.domain.ci import CIRun
from bot.domain.ci_logs.jobs import GreenLog
from bot.domain.draft import Draft
from bot.domain.incident import Incident, IncidentState
from bot.domain.investigation import StageResult
from bot.domain.linking import CodeOffer, LinkedAccount
from bot.domain.models.spending import Spent
from bot.domain.past import PastIncident
from bot.domain.runs.transcript import Step
from bot.domain.suspects.happened import Happened
from bot.domain.suspects.told_change import ToldChange
from bot.domain.timeline import TimelineEvent


class Incidents(Protocol):
    def add(self, incident: Incident) -> Incident:
        """Store a new incident and return it with its id ("INC-7")."""
        ...

    def get(self, incident: str) -> Incident:
        """Return an incident. Raises `Refused` (not_found)."""
        ...

    def latest(self, key: str) -> Incident | None:
        """Return the newest incident of a merge key, open or not."""
        ...

    def save(self, incident: Incident) -> None:
        """Write everything but the state."""
        ...

    def advance(self, incident: str, to: IncidentState, now: datetime) -> bool:
        """Move to a state if the one it is in allows it (compare-and-set). False = it does not."""
        ...

    def recent(self, limit: int = 100) -> Sequence[Incident]:
        """Return open incidents first, newest first."""
        ...

    def count_open(self) -> Mapping[IncidentState, int]:
        """Return how many incidents are in each state but resolved."""
        ...


class Alerts(Protocol):
    def put(self, incident: str, alerts: Sequence[Alert]) -> Sequence[Alert]:
        """Record what alerts say now, in order; return those that say something new, and not older than is known."""
        ...

    def firing(self, incident: str) -> int:
        """Return how many of the incident's alerts fire now."""
        ...

    def known(self, key: str, alerts: Sequence[Alert]) -> Mapping[str, LastWord]:
        """Return by fingerprint the newest word of each alert in the incidents of a merge key, or kept without one."""
        ...

    def keep(self, key: str, alerts: Sequence[Alert]) -> None:
        """Record, in order, what alerts of a merge key say for which there is no incident."""
        ...


class Investigations(Protocol):
    """The stored stages of each run; a run is one round of one incident."""

    def add(self, run: str, result: StageResult) -> bool:
        """Store a stage's result, in the place of one that is preliminary; False when a whole one is stored already."""
        ...

    def drop(self, run: str) -> None:
        """Forget a run's stages: what it rested on is known better now."""
        ...

    def of(self, run: str) -> tuple[StageResult, ...]: ...


class Transcripts(Protocol):
    """The rows of model runs. They are appended one by one: see `Store.append`."""

    def of(self, run: str) -> tuple[Step, ...]:
        """Return a run's rows in order."""
        ...

    def times(self, run: str) -> Mapping[int, datetime]:
        """Return when each row of a run was stored, by its `seq`."""
        ...


class Drafts(Protocol):
    def add(self, draft: Draft) -> None: ...

    def get(self, incident: str, digest: str) -> Draft:
        """Return the draft whose digest begins with `digest`. Raises `Refused` (not_found)."""
        ...

    def of(self, incident: str) -> Sequence[Draft]:
        """Return an incident's drafts, oldest first."""
        ...

    def supersede(self, incident: str, digest: str) -> None: ...

    def restore(self, incident: str, digest: str) -> None:
        """Let a superseded draft be proposed again."""
        ...


class Approvals(Protocol):
    def add(self, approval: Approval) -> None: ...

    def get(self, incident: str, digest: str) -> Approval:
        """Return the approval of a patch digest (or its first 12 characters). Raises `Refused` (not_found)."""
        ...

    def of(self, incident: str) -> Sequence[Approval]: ...

    def waiting(self) -> Sequence[Approval]:
        """Return those of all incidents that nobody has decided, the oldest first."""
        ...

    def replace(self, before: Approval, after: Approval) -> bool:
        """Write `after` if the stored state and votes are still those of `before` (compare-and-set)."""
        ...


class CIRuns(Protocol):
    def put(self, incident: str, digest: str, run: CIRun) -> bool:
        """Store a run's newest word, one row per SHA; False when nothing changed or it was final already."""
        ...

    def of(self, incident: str) -> Sequence[tuple[str, CIRun]]:
        """Return (patch digest, run) of an incident, oldest first."""
        ...

    def find(self, sha: str) -> tuple[str, str] | None:
        """Return (incident, patch digest) of a commit that was pushed, None for one of somebody else."""
        ...


class GreenLogs(Protocol):
    """What each job of a repository wrote when it was last green: one row for each."""

    def put(self, repository: str, logs: Sequence[GreenLog]) -> None:
        """Keep logs in the place of older ones; a newer one stays. The oldest beyond `MAX_JOBS` are forgotten."""
        ...

    def of(self, repository: str, jobs: Sequence[str]) -> Mapping[str, GreenLog]:
        """Return by their keys those that are kept."""
        ...


class EffectState(StrEnum):
    INTENDED = "intended"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One promise to do something outside. `seq` orders the effects of a target; `key` is unique for ever."""

    key: str
    target: str
    seq: int
    state: EffectState
    payload: Mapping[str, str] = field(default_factory=dict)
    not_before: datetime | None = None
    attempts: int = 0


class Effects(Protocol):
    def intend(self, key: str, target: str, payload: Mapping[str, str], *, not_before: datetime | None = None) -> bool:
        """Write the promise; False when the key exists (it was promised before).

        One that waits for its time without having been tried is overtaken by what is due.
        """
        ...

    def get(self, key: str) -> Effect | None: ...

    def next_of(self, target: str, limit: int = 50) -> Sequence[Effect]:
        """Return a target's intended effects in order."""
        ...

    def promised(self, target: str, incident: str) -> Sequence[Mapping[str, str]]:
        """Return what was ever promised to a target about an incident, whatever became of it: each payload once, in
        order."""
        ...

    def targets(self, prefix: str) -> Sequence[str]:
        """Return the targets with something intended."""
        ...

    def settle(self, key: str, state: EffectState, error: str = "") -> bool:
        """Say how a promise ended; False when it was settled before (compare-and-set)."""
        ...

    def hold(self, target: str) -> bool:
        """Become, or stay, the only process that sends to a target; False while another living one holds it."""
        ...

    def release(self, target: str) -> None:
        """Let any process send to a target. In the unit that found nothing to send, so that nothing is overlooked."""
        ...

    def backlog(self) -> tuple[int, float]:
        """Return how many effects are due, and for how many seconds the oldest is: before its time nothing is late."""
        ...

    def defer(self, key: str, until: datetime, error: str) -> None:
        """Count a failed attempt and wait."""
        ...


class Deliveries(Protocol):
    def take(self, numbers: Sequence[int], *, error: str = "") -> Sequence[int]:
        """Mark deliveries as taken in, or with `error` as dead, in this commit; return those nobody took before.

        All of them where the inbox is a file of its own: it is marked after the commit, and taking in may repeat.
        """
        ...


class Postings(Protocol):
    """Which message stands in which slot of which channel."""

    def ref(self, incident: str, channel: str, slot: str) -> str | None: ...

    def put(self, incident: str, channel: str, slot: str, ref: str) -> None: ...


class Timeline(Protocol):
    def append(
        self, incident: str, kind: str, actor: str, text: str, data: Mapping[str, str] | None = None
    ) -> TimelineEvent:
        """Append and seal one event at the unit's time."""
        ...

    def head(self) -> tuple[int, str]:
        """Return the newest row's number and hash."""
        ...

    def of(self, incident: str) -> Sequence[TimelineEvent]: ...

    def since(self, seq: int, limit: int) -> Sequence[TimelineEvent]:
        """Return the rows after `seq`, of all incidents, oldest first."""
        ...

    def all(self) -> Sequence[TimelineEvent]: ...

    def anchors(self) -> Sequence[tuple[int, str]]:
        """Return the heads that were published outside (approval cards, commit trailers)."""
        ...


class ChatEvents(Protocol):
    """Event ids of chat platforms, kept at least 30 days: the same event twice is one event."""

    def claim(self, channel: str, event: str) -> Reply | None:
        """Claim an event; returns the stored reply when it was seen before."""
        ...

    def answer(self, channel: str, event: str, reply: Reply) -> None: ...


class Phases(Protocol):
    def enqueue(self, phase: str, key: str, args: Mapping[str, str], *, delay: timedelta | None = None) -> None:
        """Start a durable phase when the transaction commits; the same (phase, key) twice is one run."""
        ...


class Switches(Protocol):
    def get(self, name: str) -> str: ...

    def set(self, name: str, value: str) -> None: ...


class ToldChanges(Protocol):
    """Changes that other systems told of."""

    def add(self, told: ToldChange) -> bool:
        """Keep a change; False where the same key is kept already."""
        ...

    def between(self, service: str, since: datetime, until: datetime) -> Sequence[Happened]:
        """Return the changes of a service and of all services, newest first."""
        ...


class PastIncidents(Protocol):
    """What is kept of incidents, found again by their words."""

    def keep(self, past: PastIncident) -> None:
        """Keep it, in the place of what was kept of the same incident."""
        ...

    def like(self, words: Sequence[str], *, but: str) -> Sequence[PastIncident]:
        """Return incidents that share any of the words, the closest first, without `but`."""
        ...


class AccountLinks(Protocol):
    """Accounts that people linked by a code; one of each channel."""

    def find(self, channel: str, account: str) -> LinkedAccount | None: ...

    def of(self, person: str) -> Sequence[LinkedAccount]: ...

    def all(self) -> Sequence[LinkedAccount]: ...

    def add(self, link: LinkedAccount) -> None:
        """Keep a link, in the place of what was linked of this account, or of this person in this channel."""
        ...

    def remove(self, channel: str, account: str) -> bool:
        """Forget a link; False where there is none."""
        ...


class LinkCodes(Protocol):
    """Codes that wait to be typed, by their digests, and who typed wrong ones."""

    def offer(self, offer: CodeOffer) -> None:
        """Keep a code, in the place of an older one of the same person."""
        ...

    def take(self, digest: str) -> CodeOffer | None:
        """Return the offer and forget it: a code is good once. None where there is none, or it is too old."""
        ...

    def count_wrong(self, channel: str, account: str, *, since: datetime) -> int:
        """Return how many wrong codes an account has typed since then."""
        ...

    def note_wrong(self, channel: str, account: str) -> None: ...


class ModelSpend(Protocol):
    """What runs of the model used by day (UTC) and service, and what is reserved for the calls that they are at."""

    def charge(self, run: str, service: str, spent: Spent) -> None:
        """Count for today what a run has used beyond what was counted of it, and give up what it had reserved."""
        ...

    def reserve(self, run: str, service: str, amount: Spent, until: datetime) -> None:
        """Set aside what a run's next call may use, until then at the latest."""
        ...

    def release(self, run: str) -> None:
        """Give up what a run has reserved."""
        ...

    def today(self) -> Mapping[str, Spent]:
        """Return by service what was used today, with what is reserved."""
        ...


class Images(Protocol):
    """Images that people posted about an incident, by the digest of their bytes. The oldest of all are forgotten beyond
    `MAX_STORED` bytes."""

    def put(self, incident: str, sha256: str, data: bytes) -> None:
        """Keep an image. May be repeated."""
        ...

    def of(self, incident: str, digests: Sequence[str]) -> Mapping[str, bytes]:
        """Return by their digests those that are kept."""
        ...


class UnitOfWork(Protocol):
    """One transaction. `now` is fixed for its whole length."""

    now: datetime
    incidents: Incidents
    alerts: Alerts
    investigations: Investigations
    transcripts: Transcripts
    drafts: Drafts
    approvals: Approvals
    ci_runs: CIRuns
    green_logs: GreenLogs
    effects: Effects
    deliveries: Deliveries
    postings: Postings
    timeline: Timeline
    chat_events: ChatEvents
    phases: Phases
    switches: Switches
    told_changes: ToldChanges
    past_incidents: PastIncidents
    account_links: AccountLinks
    link_codes: LinkCodes
    model_spend: ModelSpend
    images: Images


class Store(Protocol):
    """Where units of work come from."""

    def begin(self) -> AbstractContextManager[UnitOfWork]:
        """Open a unit; commits at the end of the `with` block, rolls back when it raises."""
        ...

    def append(self, step: Step) -> bool:
        """Append the next row of a model's run, in a transaction of its own.

        False when another stands in its place already, or one before it is missing.
        """
        ...
