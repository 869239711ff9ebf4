"""The folder in which the bot and the runner of the local CI meet.

    runs/<sha>/       one folder per run, there or not there as a whole: to count runs, count these
        request.json  what was asked, with the operator's plan; never changes
        state.json    how the run stands; replaced as a whole, and only by whoever holds runner.lock
        cancel-<n>, rerun-<n>   wishes of the bot for round n (a rerun begins a round)
        log-<n>.txt   the log of attempt n (a rerun and a runner's death begin an attempt)
        events.jsonl  what happened, a line each
    queue/<sha>       there is work to do on this run
    repos/<hash>      bare clones
    runner.lock       held by the one runner for as long as it lives; its process id inside

Everything here is synchronous and takes milliseconds.
"""

import fcntl
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from pydantic import TypeAdapter

from bot.domain.ci import CIRequest, CIRun, CIState
from bot.errors import Reason, Unavailable
from bot.ports.sandbox import SandboxLimits

T = TypeVar("T")

LOG_BYTES: Final = 4 * 1024 * 1024
_SHA: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class LocalPlan:
    """How one repository is checked, from the operator's configuration and never from a patch.

    `checks` run in the sandbox, in order. `deploy` is the operator's own command: it runs outside the sandbox,
    after every check was green. `toolchain` is the folder that the service's setup command filled.
    """

    url: str
    checks: Mapping[str, tuple[str, ...]]
    deploy: tuple[str, ...] = ()
    toolchain: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    limits: SandboxLimits = field(default_factory=lambda: SandboxLimits(seconds=600.0))
    deploy_seconds: float = 300.0


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """What stands in request.json."""

    request: CIRequest
    plan: LocalPlan
    asked_at: datetime


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What stands in state.json. `round` counts wishes to run again, `crashes` runners that died at it."""

    state: CIState = CIState.QUEUED
    attempt: int = 1
    round: int = 0
    crashes: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failed_step: str = ""
    log_tail: str = ""

    def as_run(self, sha: str) -> CIRun:
        return CIRun(
            id=sha,
            sha=sha,
            state=self.state,
            attempt=self.attempt,
            started_at=self.started_at,
            finished_at=self.finished_at,
            failed_step=self.failed_step,
            log_tail=self.log_tail,
        )


_TICKET: Final = TypeAdapter(Ticket)
_RECORD: Final = TypeAdapter(RunRecord)


def is_sha(text: str) -> bool:
    """Return whether a text is a whole commit id; nothing else ever names a folder here."""
    return _SHA.fullmatch(text) is not None


class Spool:
    """Reads and writes of that folder. Raises `Unavailable` where a file is unreadable, `OSError` as it comes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._runs, self._queue, self._new = root / "runs", root / "queue", root / "new"
        for folder in (self._runs, self._queue, self._new, root / "repos"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def create(self, ticket: Ticket) -> bool:
        """Create the run of a SHA; False where it is already there, whoever made it."""
        sha = ticket.request.sha
        if (self._runs / sha).exists():
            return False
        draft = self._new / uuid.uuid4().hex
        draft.mkdir(mode=0o700)
        _write(draft / "request.json", _TICKET.dump_json(ticket, indent=1))
        _write(draft / "state.json", _RECORD.dump_json(RunRecord()))
        try:
            draft.rename(self._runs / sha)  # fails on a folder that has content: one creator wins
        except OSError:
            for file in draft.iterdir():
                file.unlink()
            draft.rmdir()
            if not (self._runs / sha).is_dir():
                raise
            return False
        _sync_folder(self._runs)
        return True

    def ticket(self, sha: str) -> Ticket:
        return _parse(_TICKET, self._runs / sha / "request.json")

    def read(self, sha: str) -> RunRecord | None:
        """Return how a run stands, None where there is none. A wish to run again counts at once."""
        try:
            record = _parse(_RECORD, self._runs / sha / "state.json")
        except FileNotFoundError:
            return None
        if record.state.is_final and self.has_wish(sha, "rerun", record.round + 1):
            return RunRecord(attempt=record.attempt + 1, round=record.round + 1)
        return record

    def write(self, sha: str, record: RunRecord) -> None:
        """Replace the state. Only for the holder of the lock."""
        folder = self._runs / sha
        fresh = folder / "state.json.new"
        _write(fresh, _RECORD.dump_json(record))
        fresh.replace(folder / "state.json")
        _sync_folder(folder)

    def wish(self, sha: str, kind: str, number: int) -> None:
        """Leave a wish for round `number`; the same wish twice is one."""
        (self._runs / sha / f"{kind}-{number}").touch(mode=0o600)

    def has_wish(self, sha: str, kind: str, number: int) -> bool:
        return (self._runs / sha / f"{kind}-{number}").exists()

    def ring(self, sha: str) -> None:
        """Put a run in the queue; one that is there keeps its place."""
        with suppress(FileExistsError):
            (self._queue / sha).touch(mode=0o600, exist_ok=False)

    def waiting(self) -> list[str]:
        """Return the runs with work to do, longest waiting first."""
        found = [(entry.stat().st_mtime_ns, entry.name) for entry in os.scandir(self._queue) if is_sha(entry.name)]
        return [name for _, name in sorted(found)]

    def leave_queue(self, sha: str) -> None:
        """Take a run out of the queue, and put it back if a wish came in meanwhile."""
        self.drop(sha)
        record = self.read(sha)
        if record is not None and not record.state.is_final:
            self.ring(sha)

    def drop(self, sha: str) -> None:
        (self._queue / sha).unlink(missing_ok=True)

    def append_log(self, sha: str, attempt: int, data: bytes) -> None:
        with (self._runs / sha / f"log-{attempt}.txt").open("ab") as log:
            log.write(data)

    def read_log(self, sha: str, attempt: int) -> str:
        """Return one attempt's log, its end where it is long; "" where there is none yet."""
        try:
            with (self._runs / sha / f"log-{attempt}.txt").open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(0, size - LOG_BYTES))
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def note(self, sha: str, at: datetime, kind: str, text: str = "") -> None:
        """Append to the run's events."""
        line = json.dumps({"at": at.isoformat(), "kind": kind, "text": text}) + "\n"
        with (self._runs / sha / "events.jsonl").open("a", encoding="utf-8") as events:
            events.write(line)

    def clone_folder(self, url: str) -> Path:
        return self._root / "repos" / hashlib.sha256(url.encode()).hexdigest()[:16]

    def output_file(self, sha: str, name: str) -> Path:
        """Return where a command that may leave processes behind writes: they would keep a pipe open for ever."""
        return self._runs / sha / name

    def count_runs(self) -> int:
        return sum(1 for entry in self._runs.iterdir() if is_sha(entry.name))

    def runner(self) -> int | None:
        """Return the process id of the runner that lives now, None where there is none, 0 where it just starts."""
        with self._open_lock() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who look do not see each other
            except BlockingIOError:
                text = os.pread(lock, 20, 0)
                return int(text) if text.isdigit() else 0
            return None

    @contextmanager
    def hold(self) -> Iterator[bool]:
        """Try to become the one runner; False where another is, or where somebody looks just now."""
        with self._open_lock() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            os.truncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            yield True

    @contextmanager
    def _open_lock(self) -> Iterator[int]:
        lock = os.open(self._root / "runner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield lock
        finally:
            os.close(lock)


def after_crash(record: RunRecord) -> RunRecord:
    """Return the attempt that continues a run whose runner died."""
    return replace(record, attempt=record.attempt + 1, crashes=record.crashes + 1)


def _parse(adapter: TypeAdapter[T], file: Path) -> T:
    try:
        return adapter.validate_json(file.read_bytes())
    except ValueError as error:
        raise Unavailable(f"The local CI cannot read {file.parent.name}/{file.name}.", Reason.BAD_INPUT) from error


def _write(file: Path, data: bytes) -> None:
    with file.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
