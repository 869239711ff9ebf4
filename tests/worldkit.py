"""A small world around the real store: a clock that a test moves, phases that are recorded, people, routes, alerts.

world = make_world(tmp_path)
world.receive(group(alert()))
world.forward(minutes=5)          # runs the timers that are due by then
assert world.texts("paged") == [...]
"""

import json
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlmodel import Session
from structlog.testing import capture_logs

from bot.domain.alert import Alert, AlertGroup, AlertStatus, fingerprint_labels
from bot.domain.approval import Approval, ApprovalPolicy
from bot.domain.chat import Press, Reply, Said
from bot.domain.evidence import Check, CheckRun
from bot.domain.incident import Incident
from bot.domain.investigation import Drafted, Verified
from bot.domain.oncall import EscalationPolicy, EscalationStep, Person, Role, Roster
from bot.domain.patches.patch import parse_patch
from bot.domain.playbook import Playbook
from bot.domain.routing import Matcher, Route
from bot.domain.service import Service
from bot.engine.chat_inbox import StoreInbox
from bot.ports.work import Effect, UnitOfWork
from bot.services import approval, drafting, paging, triage
from bot.services.intake import receive_alerts
from bot.services.rulebook import Rulebook
from bot.store.database import SqlStore, migrate, open_engine

NOW = datetime(2026, 3, 4, 3, 12, 5, tzinfo=UTC)
CHANNELS = ("web", "console")
ESCALATE_AFTER = timedelta(minutes=5)
BASE = "b" * 40
NEVER = "0001-01-01T00:00:00Z"


@pytest.fixture(autouse=True)
def quiet():
    """Import it to keep the log, whose colours and tracebacks cost more than what is tested, to a list."""
    with capture_logs() as said:
        yield said


class FixedClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def advance(self, **by: float) -> None:
        self.at += timedelta(**by)


@dataclass(frozen=True, kw_only=True)
class Enqueued:
    """A phase that was asked for; `due` is when it may begin."""

    phase: str
    key: str
    args: Mapping[str, str]
    due: datetime


class PhaseLog:
    """Records phases as they are committed; the same (phase, key) twice is one phase."""

    def __init__(self, clock: FixedClock) -> None:
        self._clock = clock
        self.committed: dict[tuple[str, str], Enqueued] = {}

    def of_session(self, session: Session) -> "_SessionPhases":
        return _SessionPhases(session, self, self._clock)

    def of(self, phase: str) -> list[Enqueued]:
        return [item for item in self.committed.values() if item.phase == phase]

    def keys(self, phase: str) -> list[str]:
        return [item.key for item in self.of(phase)]

    def take_due(self) -> list[Enqueued]:
        """Remove and return the timers whose time has come, in order."""
        due = sorted(
            (item for item in self.of("escalate") + self.of("expire") if item.due <= self._clock.now()),
            key=lambda item: item.due,
        )
        for item in due:
            del self.committed[item.phase, item.key]
        return due


class _SessionPhases:
    """`bot.ports.work.Phases` of one transaction: what was asked for counts when it commits."""

    def __init__(self, session: Session, log: PhaseLog, clock: FixedClock) -> None:
        self._asked: list[Enqueued] = []
        self._clock = clock

        def commit(_session: Session) -> None:
            for item in self._asked:
                log.committed.setdefault((item.phase, item.key), item)
            self._asked.clear()

        event.listen(session, "after_commit", commit)

    def enqueue(self, phase: str, key: str, args: Mapping[str, str], *, delay: timedelta | None = None) -> None:
        due = self._clock.now() + (delay or timedelta())
        self._asked.append(Enqueued(phase=phase, key=key, args=dict(args), due=due))


@cache
def _empty_database() -> Path:
    path = Path(tempfile.mkdtemp(prefix="nightshift-tests-")) / "empty.db"
    engine = open_engine(f"sqlite:///{path}")
    migrate(engine)
    engine.dispose()
    return path


def make_store(path: Path, clock: FixedClock, phases: PhaseLog | None = None, *, fresh: bool = True) -> SqlStore:
    """Open the store in folder `path`, empty where `fresh`. It skips fsync: these tests kill no machine."""
    file = path / "nightshift.db"
    if fresh:
        shutil.copyfile(_empty_database(), file)
    engine = open_engine(f"sqlite:///{file}")
    event.listen(engine, "connect", lambda connection, _record: connection.execute("PRAGMA synchronous=OFF"))
    store = SqlStore(engine, clock, (phases or PhaseLog(clock)).of_session)
    weakref.finalize(store, engine.dispose)
    return store


PEOPLE = {
    "ada": Person(id="ada", name="Ada Lovelace", role=Role.APPROVER, accounts={"web": "ada@web", "console": "ada"}),
    "ben": Person(id="ben", name="Ben Okri", role=Role.APPROVER, accounts={"web": "ben@web"}),
    "cleo": Person(id="cleo", name="Cleo Vance", role=Role.RESPONDER, accounts={"web": "cleo@web"}),
    "vic": Person(id="vic", name="Vic Moss", role=Role.VIEWER, accounts={"web": "vic@web"}),
}
PLAYBOOK = Playbook(name="http-5xx", title="A service answers with HTTP 5xx", when={"alertname": "HighErrorRate"})


def make_rules(**changes: object) -> Rulebook:
    """Ada is paged at once, Ben and Cleo five minutes later; Ada and Ben may approve."""
    rules = Rulebook(
        roster=Roster(people=PEOPLE),
        services={"checkout": Service(name="checkout", repository="/srv/git/checkout.git", run=("serve", "{port}"))},
        routes=(
            Route(
                matchers=(Matcher(label="service", pattern="checkout"),),
                service="checkout",
                escalation="default",
                channels=CHANNELS,
            ),
        ),
        escalations={
            "default": EscalationPolicy(
                name="default",
                steps=(
                    EscalationStep(people=("ada",)),
                    EscalationStep(people=("ben", "cleo"), after=ESCALATE_AFTER),
                    EscalationStep(people=("ada", "ben", "cleo"), after=ESCALATE_AFTER),
                ),
            )
        },
        policy=ApprovalPolicy(version="v1", approvers=("ada", "ben")),
        channels=CHANNELS,
        playbooks=(PLAYBOOK,),
    )
    return replace(rules, **changes)  # type: ignore[arg-type]  # tests name real fields


def alert(
    name: str = "HighErrorRate",
    *,
    firing: bool = True,
    starts_at: datetime = NOW - timedelta(minutes=2),
    annotations: Mapping[str, str] | None = None,
    **labels: str,
) -> Alert:
    """Return an alert of the checkout service, firing for two minutes."""
    all_labels = {"alertname": name, "service": "checkout", "severity": "critical", **labels}
    return Alert(
        fingerprint=fingerprint_labels(all_labels),
        status=AlertStatus.FIRING if firing else AlertStatus.RESOLVED,
        labels=all_labels,
        annotations=annotations or {"summary": "checkout answers 38 % of requests with 500"},
        starts_at=starts_at,
        ends_at=None if firing else starts_at + timedelta(minutes=3),
    )


def group(*alerts: Alert, key: str = "{}:{service=checkout}", truncated: int = 0) -> AlertGroup:
    return AlertGroup(source="alertmanager", group_key=key, alerts=alerts, truncated=truncated)


def body(*alerts: Alert, key: str = "{}:{service=checkout}", **fields: object) -> bytes:
    """Return the body that Alertmanager would send for these alerts."""
    return json.dumps(
        {
            "version": "4",
            "groupKey": key,
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "nightshift",
            "alerts": [
                {
                    "status": item.status.value,
                    "labels": dict(item.labels),
                    "annotations": dict(item.annotations),
                    "startsAt": item.starts_at.isoformat(),
                    "endsAt": item.ends_at.isoformat() if item.ends_at else NEVER,
                    "generatorURL": item.source_url,
                    "fingerprint": item.fingerprint,
                }
                for item in alerts
            ],
            **fields,
        }
    ).encode()


def diff(path: str = "shop/total.py", *, before: str = "a", after: str = "b") -> bytes:
    """Return a small patch in canonical form."""
    return (f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-{before}\n+{after}\n").encode()


def verified() -> Verified:
    run = CheckRun(name="tests", at=BASE, verdict=Check.GREEN, seconds=1.0)
    return Verified(before=Check.RED, after=Check.GREEN, runs=(run,), rung="bubblewrap")


@dataclass
class World:
    """The store with its clock, phases and rules, and what people and senders do to them."""

    path: Path
    clock: FixedClock
    phases: PhaseLog
    store: SqlStore
    rules: Rulebook
    _events: "count[int]" = field(default_factory=lambda: count(1))

    def unit(self) -> AbstractContextManager[UnitOfWork]:
        return self.store.begin()

    def reopen(self) -> "World":
        """Return a second world on the same file, as another process would have it."""
        return replace(self, store=make_store(self.path, self.clock, self.phases, fresh=False))

    def receive(self, *groups: AlertGroup) -> tuple[str, ...]:
        with self.unit() as work:
            return receive_alerts(work, groups, self.rules)

    def incident(self, incident: str = "INC-1") -> Incident:
        with self.unit() as work:
            return work.incidents.get(incident)

    def incidents(self) -> Sequence[Incident]:
        with self.unit() as work:
            return work.incidents.recent()

    def kinds(self, incident: str = "INC-1") -> list[str]:
        with self.unit() as work:
            return [item.kind for item in work.timeline.of(incident)]

    def texts(self, kind: str, incident: str = "INC-1") -> list[str]:
        with self.unit() as work:
            return [item.text for item in work.timeline.of(incident) if item.kind == kind]

    def promised(self, what: str, channel: str = "web") -> list[Effect]:
        """Return the effects of a kind that wait for a channel."""
        with self.unit() as work:
            return [item for item in work.effects.next_of(f"chat:{channel}", 10_000) if item.payload["what"] == what]

    def pages(self, channel: str = "web") -> list[str]:
        """Return the keys of the pages that ring (each is promised once per round and level)."""
        return [item.key for item in self.promised("page", channel) if ":round-" in item.key]

    def forward(self, **by: float) -> None:
        """Let time pass and run the timers that are due by then."""
        self.clock.advance(**by)
        for item in self.phases.take_due():
            with self.unit() as work:
                if item.phase == "escalate":
                    round_, level = int(item.args["round"]), int(item.args["level"])
                    paging.escalate_due(work, item.args["incident"], round_=round_, level=level, rules=self.rules)
                else:
                    approval.expire_due(work, item.args["incident"], item.args["digest"])

    def press(
        self, button: str, account: str = "ada@web", *, event: str = "", at: datetime | None = None, **values: str
    ) -> Reply:
        """Let somebody press a button on the web."""
        press = Press(
            event=event or f"event-{next(self._events)}",
            channel="web",
            account=account,
            button=button,
            values=values,
            pressed_at=at or self.clock.now(),
        )
        return StoreInbox(self.store, self.rules)._handle(press)

    def say(
        self,
        text: str,
        account: str = "ada@web",
        *,
        event: str = "",
        incident: str | None = None,
        is_addressed: bool = True,
    ) -> Reply:
        """Let somebody type a command on the web."""
        said = Said(
            event=event or f"event-{next(self._events)}",
            channel="web",
            account=account,
            text=text,
            incident=incident,
            said_at=self.clock.now(),
            is_addressed=is_addressed,
        )
        return StoreInbox(self.store, self.rules)._handle(said)

    def propose(self, patch: bytes = diff(), *, checked: Verified | None = None, incident: str = "INC-1") -> Approval:
        """Let the investigation of an incident end with a verified patch, and return its approval."""
        with self.unit() as work:
            run = work.incidents.get(incident).run
            assert triage.plan_job(work, incident, run=run, folder="/tmp/none", rules=self.rules) is not None
            drafted = Drafted(base=BASE, patch=patch, title="Revert the coupon change", culprit="c" * 40)
            triage.record_stage(work, incident, run=run, result=drafted)
            triage.record_stage(work, incident, run=run, result=checked or verified())
        with self.unit() as work:
            drafting.propose(work, incident, self.rules)
        return self.approval(parse_patch(patch).digest, incident)

    def approval(self, digest: str, incident: str = "INC-1") -> Approval:
        with self.unit() as work:
            return work.approvals.get(incident, digest)


@cache
def _opened_database() -> tuple[Path, dict[tuple[str, str], Enqueued]]:
    """Play the first alert once, for every test that begins after it."""
    folder = Path(tempfile.mkdtemp(prefix="nightshift-tests-"))
    world = make_world(folder)
    world.receive(group(alert()))
    world.store.engine.dispose()
    return folder / "nightshift.db", dict(world.phases.committed)


def make_world(path: Path, rules: Rulebook | None = None, *, opened: bool = False) -> World:
    """Return a world at 03:12 in the morning: nothing has happened yet, or (`opened`) one alert has opened INC-1."""
    clock = FixedClock()
    phases = PhaseLog(clock)
    if opened:
        file, committed = _opened_database()
        phases.committed.update(committed)
        shutil.copyfile(file, path / "nightshift.db")
        store = make_store(path, clock, phases, fresh=False)
        return World(path=path, clock=clock, phases=phases, store=store, rules=rules or make_rules())
    return World(
        path=path, clock=clock, phases=phases, store=make_store(path, clock, phases), rules=rules or make_rules()
    )
