"""Patches that several clients decide on at the same moment, and what must be true of each one afterwards.

Every incident has a patch, some a second one that supersedes it. A handful of events is drawn for each patch (approve,
reject, ask again, run out); every client delivers some of them, in an order of its own: the same event id arrives from
several sides at once, as platforms do it. In between the clients carry out what was approved.

    python -m tests.races URL COUNT SEED      eight clients, each a process of its own
"""

import hashlib
import json
import multiprocessing
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

from sqlalchemy import Engine, text
from sqlmodel import Session

from bot.domain.chat import Press
from bot.domain.ci import CIRun, CIState
from bot.domain.draft import Draft, DraftState, Risk
from bot.domain.patches.patch import parse_patch
from bot.engine.chat_inbox import StoreInbox
from bot.errors import Refused, Unavailable
from bot.ports.work import UnitOfWork
from bot.services import approval, drafting, rollout
from bot.services.intake import receive_alerts
from bot.store.database import SqlStore, open_engine
from bot.store.postgres import Member
from tests.worldkit import BASE, NOW, FixedClock, alert, diff, group, make_rules, verified

Ended = tuple[list[float], float, float]
CLIENTS = 8
EVENTS = 6
EACH = 4
EACH_PROCESS = 2
LATE = NOW + timedelta(minutes=61)
END = NOW + timedelta(days=1)
RULES = make_rules()
TABLES = (
    "CREATE TABLE race_phase (phase TEXT, name TEXT, incident TEXT, digest TEXT, taken INTEGER DEFAULT 0)",
    "CREATE TABLE race_far_side (what TEXT, sha TEXT)",
)


class StoredPhases:
    """`bot.ports.work.Phases` that writes down every request, the repeated ones too."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def enqueue(self, phase: str, key: str, args: Mapping[str, str], *, delay: timedelta | None = None) -> None:
        values = {"p": phase, "k": key, "i": args.get("incident", ""), "d": args.get("digest", "")}
        sql = "INSERT INTO race_phase (phase, name, incident, digest) VALUES (:p, :k, :i, :d)"
        self._session.execute(text(sql), values)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One patch of one incident. `is_second` is proposed while the first is being decided."""

    incident: str
    draft: Draft
    is_second: bool = False


@dataclass(frozen=True, kw_only=True)
class Event:
    id: str
    verb: str
    account: str


@dataclass
class Client:
    """One of those who press at once, on a store of its own or a shared one."""

    engine: Engine
    seed: int
    number: int
    each: int = EACH
    member: Member | None = None
    waits: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.now, self.later = self._store(NOW), self._store(LATE)
        self._chance = random.Random(f"{self.seed}/{self.number}")

    def _store(self, at: datetime) -> SqlStore:
        return SqlStore(self.engine, FixedClock(at), StoredPhases, self.member)

    def run(self, subjects: Sequence[Subject]) -> None:
        for subject in subjects:
            events = draw_events(self.seed, subject)
            for event in self._chance.sample(events, self.each):
                self._deliver(subject, event)
            self.carry_out()

    def _deliver(self, subject: Subject, event: Event) -> None:
        began = time.perf_counter()
        store = self.now if event.verb in {"approve", "reject", "propose"} else self.later
        if event.verb == "propose":
            self._in_unit(store, lambda work: propose(work, subject))
        elif event.verb == "expire":
            self._in_unit(store, lambda work: approval.expire_due(work, subject.incident, subject.draft.digest))
        else:
            press(store, subject, event)
            self.waits.append(time.perf_counter() - began)

    def _in_unit(self, store: SqlStore, act) -> None:
        try:
            with store.begin() as work:
                act(work)
        except Refused:
            pass  # it is decided already, or not proposed yet

    def carry_out(self) -> None:
        """Take one phase that waits, as the engine gives it to one process only, and do what it does."""
        for incident, digest in take_phase(self.engine):
            store = self.now
            with store.begin() as work:
                plan = rollout.plan_push(work, incident, digest)
            if plan is None or plan.done_sha:
                raise AssertionError(f"{incident} {digest[:12]} was carried out before")
            try:
                with store.begin() as work:
                    rollout.recheck(work, incident, digest, RULES)
            except Refused as refusal:
                with store.begin() as work:
                    rollout.give_up_push(work, incident, digest, str(refusal))
                continue
            sha = hashlib.sha1(f"{plan.plan}".encode()).hexdigest()
            note_far_side(self.engine, "push", sha)
            with store.begin() as work:
                rollout.record_push(work, incident, digest, sha=sha, moved=False)
            note_far_side(self.engine, "ci", sha)
            state = CIState.FAILED if int(sha, 16) % 4 == 0 else CIState.PASSED
            with store.begin() as work:
                rollout.record_ci(work, incident, digest, CIRun(id=sha[:12], sha=sha, state=state))


def take_phase(engine: Engine) -> list[tuple[str, str]]:
    with engine.begin() as connection:
        sql = "SELECT name, incident, digest FROM race_phase WHERE phase = 'execute' AND taken = 0 LIMIT 1"
        found = connection.execute(text(sql)).first()
        if found is None:
            return []
        sql = "UPDATE race_phase SET taken = 1 WHERE name = :name AND phase = 'execute' AND taken = 0"
        done = connection.execute(text(sql), {"name": found[0]}).rowcount
    return [(found[1], found[2])] if done == 1 else []


def note_far_side(engine: Engine, what: str, sha: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO race_far_side VALUES (:what, :sha)"), {"what": what, "sha": sha})


def draw_events(seed: int, subject: Subject) -> list[Event]:
    """Return the same events for every client."""
    chance = random.Random(f"{seed}/{subject.incident}/{subject.draft.digest}")
    verbs = chance.choices(["approve", "reject", "renew", "expire"], [6, 1, 1, 1], k=EVENTS - 1)
    events = [
        Event(id=f"{subject.draft.digest[:12]}-{n}", verb=verb, account=chance.choice(["ada@web", "ben@web"]))
        for n, verb in enumerate(verbs)
    ]
    last = "propose" if subject.is_second else "approve"
    return [*events, Event(id=f"{subject.draft.digest[:12]}-last", verb=last, account="ben@web")]


def press(store: SqlStore, subject: Subject, event: Event) -> None:
    """Deliver one press; where the store was busy, again, as every platform does."""
    pressed = Press(
        event=event.id,
        channel="web",
        account=event.account,
        button=f"{event.verb}:{subject.incident}:{subject.draft.digest[:12]}",
        values={"reason": "Wrong cause"} if event.verb == "reject" else {},
        pressed_at=LATE if event.verb == "renew" else NOW,
    )
    while True:
        try:
            StoreInbox(store, RULES)._handle(pressed)
        except Unavailable:
            continue
        return


def propose(work: UnitOfWork, subject: Subject) -> None:
    drafting.ask_approval(work, work.incidents.get(subject.incident), subject.draft, RULES)


def make_draft(incident: str, number: int, *, is_second: bool) -> Draft:
    patch = parse_patch(diff(after=f"b{number}-{is_second}"))
    is_risky = number % 5 == 0
    return Draft(
        incident=incident,
        patch=patch,
        base=BASE,
        branch="main",
        title="Mend it",
        culprit=None,
        author="nightshift",
        verified=verified(),
        risk=Risk(reasons=("changes a CI file",) if is_risky else ()),
        state=DraftState.PROPOSED,
        created_at=NOW + timedelta(seconds=is_second),
    )


def open_patches(store: SqlStore, count: int) -> list[Subject]:
    """Open as many incidents as patches are wanted, four in five of the patches the first of theirs."""
    with store.engine.begin() as connection:
        for table in TABLES:
            connection.execute(text(table))
    subjects = list_subjects(count)
    firsts = [subject for subject in subjects if not subject.is_second]
    for start in range(0, len(firsts), 100):
        batch = firsts[start : start + 100]
        groups = [group(alert(f"Alert{start + n:05}"), key=f"key-{start + n}") for n in range(len(batch))]
        with store.begin() as work:
            assert receive_alerts(work, groups, RULES) == tuple(subject.incident for subject in batch)
            for subject in batch:
                propose(work, subject)
    return subjects


def list_subjects(count: int) -> list[Subject]:
    subjects = list[Subject]()
    number = 0
    while len(subjects) < count:
        number += 1
        incident = f"INC-{number}"
        for is_second in (False, True) if number % 4 == 0 else (False,):
            draft = make_draft(incident, number, is_second=is_second)
            subjects.append(Subject(incident=incident, draft=draft, is_second=is_second))
    return subjects[:count]


def finish(store: SqlStore, subjects: Sequence[Subject]) -> None:
    """Carry out what is left, then let everything that nobody decided run out."""
    last = Client(store.engine, 0, CLIENTS, member=store._member)
    while store_has_phases(store):
        last.carry_out()
    end = SqlStore(store.engine, FixedClock(END), StoredPhases, store._member)
    for start in range(0, len(subjects), 100):
        with end.begin() as work:
            for subject in subjects[start : start + 100]:
                if subject.draft.digest in {known.digest for known in work.approvals.of(subject.incident)}:
                    approval.expire_due(work, subject.incident, subject.draft.digest)


def store_has_phases(store: SqlStore) -> bool:
    with store.engine.begin() as connection:
        sql = "SELECT COUNT(*) FROM race_phase WHERE phase = 'execute' AND taken = 0"
        return bool(connection.execute(text(sql)).scalar())


def check_patches(store: SqlStore, subjects: Sequence[Subject]) -> Counter[str]:
    """Assert that each patch has one end, and one push, one phase and one CI run exactly where it was approved."""
    with store.engine.begin() as connection:
        phases = Counter(connection.execute(text("SELECT digest FROM race_phase WHERE phase = 'execute'")).scalars())
        pushes = Counter(connection.execute(text("SELECT sha FROM race_far_side WHERE what = 'push'")).scalars())
        runs = Counter(connection.execute(text("SELECT sha FROM race_far_side WHERE what = 'ci'")).scalars())
    assert set(pushes.values()) <= {1}
    assert pushes == runs
    ends = Counter[str]()
    with store.begin() as work:
        for subject in subjects:
            ends[check_one(work, subject, phases, runs)] += 1
    assert sum(runs.values()) == ends["executed"] + ends["failed after CI"]
    return ends


def check_one(work: UnitOfWork, subject: Subject, phases: Counter[str], runs: Counter[str]) -> str:
    digest = subject.draft.digest
    found = next((known for known in work.approvals.of(subject.incident) if known.digest == digest), None)
    if found is None:
        assert subject.is_second
        assert not phases[digest]
        return "never proposed"
    events = [item for item in work.timeline.of(subject.incident) if item.data.get("digest") == digest]
    kinds = Counter(item.kind for item in events)
    plans = [work.effects.get(f"push:{subject.incident}:{digest[:12]}{again}") for again in ("", ":1", ":2", ":3")]
    shas = {run.sha for known, run in work.ci_runs.of(subject.incident) if known == digest}
    was_approved = phases[digest] > 0
    assert phases[digest] == sum(plan is not None for plan in plans) == (1 if was_approved else 0)
    assert len(shas) == kinds["pushed"] == sum(runs[sha] for sha in shas) <= phases[digest]
    state = found.state.value
    assert state in ({"executed", "failed"} if was_approved else {"rejected", "expired", "superseded"}), state
    assert kinds["rejected"] == (state == "rejected")
    assert len(found.approved_by) >= found.needs or not was_approved
    assert len({(vote.person, vote.event) for vote in found.votes}) == len(found.votes)
    return "failed after CI" if state == "failed" and shas else state


@dataclass(frozen=True, kw_only=True)
class Raced:
    """How long each press took, and all of it."""

    waits: list[float]
    seconds: float


def say_race(raced: Raced) -> str:
    return f"{len(raced.waits)} presses in {raced.seconds:.1f} s"


def race(engine: Engine, subjects: Sequence[Subject], *, seed: int) -> Raced:
    """Let the clients of one process race, in threads."""
    clients = [Client(engine, seed, number) for number in range(CLIENTS)]
    start = threading.Barrier(CLIENTS)

    def run(client: Client) -> None:
        start.wait()
        client.run(subjects)

    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        for job in [pool.submit(run, client) for client in clients]:
            job.result()
    waits = [wait for client in clients for wait in client.waits]
    return Raced(waits=waits, seconds=time.perf_counter() - began)


def race_processes(url: str, subjects: Sequence[Subject], *, seed: int) -> Raced:
    """Let processes race on one database, each with its own connections."""
    argv = [sys.executable, "-m", "tests.races", url, str(len(subjects)), str(seed)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, timeout=1200, check=True)
    return Raced(**json.loads(done.stdout))


def main(url: str, count: int, seed: int) -> None:
    """Fork before anything is open, so that what costs is the race and not eight starts of Python."""
    context = multiprocessing.get_context("fork")
    barrier, ends = context.Barrier(CLIENTS), context.SimpleQueue()
    args = (url, list_subjects(count), seed)
    clients = [context.Process(target=race_alone, args=(*args, n, barrier, ends)) for n in range(CLIENTS)]
    for client in clients:
        client.start()
    found = [ends.get() for _ in clients]
    for client in clients:
        client.join()
        assert client.exitcode == 0
    waits = [wait for waits, _, _ in found for wait in waits]
    seconds = max(end for _, _, end in found) - min(began for _, began, _ in found)
    print(json.dumps({"waits": waits, "seconds": seconds}))


def race_alone(
    url: str, subjects: Sequence[Subject], seed: int, number: int, barrier: Barrier, ends: "SimpleQueue[Ended]"
) -> None:
    engine = open_engine(url)
    client = Client(engine, seed, number, EACH_PROCESS, Member(executor=f"client-{number}", lease_seconds=600))
    began = time.monotonic()
    try:
        barrier.wait(60)
        began = time.monotonic()
        client.run(subjects)
    finally:
        ends.put((client.waits, began, time.monotonic()))
    engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
