"""The doctor's look at this machine: the store, the inbox, the engine, files, disk, clock, and whether it runs."""

import asyncio
import contextlib
import importlib.metadata
import os
import shutil
import sqlite3
import stat
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from bot.bootstrap.doctor.checks import Found, mend, ok
from bot.bootstrap.state import INBOX_FILE, STORE_FILE, open_for_reading
from bot.errors import Refused
from bot.settings import Settings
from bot.store.database import NEWEST, read_revision

MIN_FREE: Final = 1024**3
LATE: Final = 120.0
SKEW: Final = 0.2
_SECRETS: Final = ("admin.token", "redaction.key")
_ENGINE: Final = "3.4."


async def check_running(settings: Settings) -> Sequence[Found]:
    return [await asyncio.to_thread(_ask_ready, settings)]


def _ask_ready(settings: Settings) -> Found:
    server = settings.server
    host = server.host if server.host not in {"0.0.0.0", "::"} else "127.0.0.1"  # noqa: S104 -- compared
    holder = find_holder(server.state_dir / "lock")
    where = f"{host}:{server.port}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{where}/readyz", timeout=3):
            return ok("running", f"Nightshift is ready at {where}")
    except urllib.error.HTTPError as error:
        said = error.read(500).decode(errors="replace").strip()
        return mend(
            "running", f"not ready at {where}: {said or error.code}", "mend what it names; it goes on by itself"
        )
    except (OSError, ValueError) as error:
        if holder is None:
            return ok("running", "Nightshift does not run; start it with `nightshift run`")
        how = f"look at its log; if it hangs, stop process {holder} and start it again"
        return mend("running", f"process {holder} holds the state, but nothing answers at {where} ({error})", how)


def find_holder(lock: Path, table: Path = Path("/proc/locks")) -> int | None:
    """Return the process that holds the lock of a state folder, without taking it."""
    try:
        inode = lock.stat().st_ino
        lines = table.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if len(words) > 5 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode):
            return int(words[4])
    return None


async def check_store(settings: Settings) -> Sequence[Found]:
    return [await asyncio.to_thread(_look_at_store, settings)]


def _look_at_store(settings: Settings) -> Found:
    path = settings.server.state_dir / STORE_FILE
    if settings.database_url is None and not path.exists():
        return _look_at_folder(settings.server.state_dir)
    try:
        database = open_for_reading(settings)
        try:
            with database.begin() as connection:  # on SQLite this takes the turn of a writer, and gives it back
                revision = read_revision(connection)
                damage = connection.scalar(text("PRAGMA quick_check(1)")) if settings.database_url is None else "ok"
        finally:
            database.dispose()
    except (SQLAlchemyError, Refused) as error:
        reason = str(error.__cause__ or error)
        return mend("store", f"cannot be used: {reason}", "mend its permissions or its disk, or restore a backup")
    if damage != "ok":
        return mend("store", f"{path} is damaged: {damage}", "stop Nightshift and `nightshift restore` a backup")
    if revision != NEWEST:
        return _tell_revision(revision, is_file=settings.database_url is None)
    where = f"{path}, {path.stat().st_size / 1e6:.1f} MB" if settings.database_url is None else "PostgreSQL"
    return ok("store", f"{where}, writable, revision {revision}, no damage")


def _tell_revision(revision: str, *, is_file: bool) -> Found:
    if not revision and is_file:
        return mend("store", "no tables are in its file", "restore a backup, or move it away to begin anew")
    if not revision:
        return ok("store", "no tables yet; the first start makes them")
    if revision > NEWEST:
        return mend("store", f"its tables are newer ({revision}) than this Nightshift", "install the newer one")
    return ok("store", f"its tables are of revision {revision}; the next start brings them to {NEWEST}")


def _look_at_folder(folder: Path) -> Found:
    nearest = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        how = f"give this user the right to write to {nearest}, or set server.state_dir"
        return mend("store", f"{folder} cannot be made", how)
    return ok("store", f"none yet; the first start makes it in {folder}")


async def check_inbox(settings: Settings) -> Sequence[Found]:
    path = settings.server.state_dir / INBOX_FILE
    if settings.database_url is not None or not path.exists():
        return [ok("inbox", "in PostgreSQL" if settings.database_url else "none yet; the first start makes it")]
    return [await asyncio.to_thread(_look_at_inbox, path)]


def _look_at_inbox(path: Path) -> Found:
    try:
        with _open(path) as connection:
            (damage,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            pending, oldest = connection.execute(
                "SELECT COUNT(*), MIN(received_at) FROM delivery WHERE state = 'pending'"
            ).fetchone()
            (dead,) = connection.execute("SELECT COUNT(*) FROM delivery WHERE state = 'dead'").fetchone()
    except sqlite3.Error as error:
        return mend("inbox", f"{path} cannot be used: {error}", "mend its permissions or its disk")
    if damage != "ok":
        return mend("inbox", f"{path} is damaged: {damage}", "stop Nightshift and `nightshift restore` a backup")
    age = time.time() - oldest if oldest is not None else 0.0
    if age > LATE:
        how = "start Nightshift; if it runs, look at its log"
        return mend("inbox", f"{pending} deliveries wait, the oldest since {age:.0f} s", how)
    letters = f", {dead} dead letters (`nightshift alert dead-letters`)" if dead else ""
    return ok("inbox", f"{pending} deliveries wait{letters}")


@contextlib.contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=5)
    try:
        yield connection
    finally:
        connection.close()


async def check_engine(settings: Settings) -> Sequence[Found]:
    version = importlib.metadata.version("dbos")
    if not version.startswith(_ENGINE):
        return [mend("engine", f"dbos {version} was never tried with this Nightshift", f"install dbos {_ENGINE}*")]
    return [await asyncio.to_thread(_count_phases, settings, version)]


def _count_phases(settings: Settings, version: str) -> Found:
    path = settings.server.state_dir / STORE_FILE
    if settings.database_url is not None or not path.exists():
        return ok("engine", f"dbos {version}, Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}")
    try:
        with _open(path) as connection:
            query = "SELECT status, COUNT(*) FROM workflow_status GROUP BY status"
            counts = dict(connection.execute(query).fetchall())
    except sqlite3.Error as error:
        return mend("engine", f"its tables cannot be read: {error}", "start Nightshift once; it makes them")
    states = {"PENDING": "running", "ENQUEUED": "next", "DELAYED": "timers"}
    now = ", ".join(f"{counts.get(state, 0)} {word}" for state, word in states.items())
    if counts.get("ERROR") or counts.get("MAX_RECOVERY_ATTEMPTS_EXCEEDED"):
        lost = counts.get("ERROR", 0) + counts.get("MAX_RECOVERY_ATTEMPTS_EXCEEDED", 0)
        return mend("engine", f"{lost} phases ended without an outcome", "report it with the log of that time")
    return ok("engine", f"dbos {version}: phases {now}")


async def check_permissions(settings: Settings) -> Sequence[Found]:
    folder = settings.server.state_dir
    if not folder.exists():
        return [ok("permissions", "nothing is there yet; the first start makes it for this user alone")]
    status = folder.stat()
    if status.st_uid != os.geteuid():
        how = f"run this command as the user that Nightshift runs as, or: chown -R $USER {folder}"
        return [mend("permissions", f"{folder} belongs to user {status.st_uid}, not to this one", how)]
    if stat.S_IMODE(status.st_mode) & 0o077:
        return [
            mend("permissions", f"others may look into {folder} ({status.st_mode & 0o777:o})", f"chmod 700 {folder}")
        ]
    open_ones = [path for name in _SECRETS if (path := folder / name).exists() and path.stat().st_mode & 0o077]
    if open_ones:
        names = " ".join(str(path) for path in open_ones)
        return [mend("permissions", f"others may read {names}", f"chmod 600 {names}")]
    return [ok("permissions", f"{folder} is this user's alone")]


async def check_disk(settings: Settings) -> Sequence[Found]:
    folder = settings.server.state_dir.absolute()
    nearest = next(one for one in (folder, *folder.parents) if one.exists())
    usage, nodes = shutil.disk_usage(nearest), os.statvfs(nearest)
    free = f"{usage.free / 1e9:.1f} GB free at {nearest}"
    if usage.free < MIN_FREE:
        return [mend("disk", free, "make room; below this, alerts are answered 503 before long")]
    if nodes.f_files and nodes.f_favail < nodes.f_files / 50:
        return [mend("disk", f"{free}, but hardly a file can be made", "delete small files; the inodes are used up")]
    return [ok("disk", free)]


async def check_clock(settings: Settings) -> Sequence[Found]:
    wall, steady = time.time(), time.monotonic()
    await asyncio.sleep(0.25)
    drift = (time.time() - wall) - (time.monotonic() - steady)
    if abs(drift) > SKEW:
        how = "let chrony or systemd-timesyncd slew it"
        return [mend("clock", f"it jumped by {drift:+.1f} s within a quarter of a second", how)]
    newest = await asyncio.to_thread(_newest_event, settings)
    ahead = newest - datetime.now(UTC) if newest else timedelta()
    if ahead > timedelta(seconds=5):
        text_ = f"the newest event of the timeline lies {ahead.total_seconds():.0f} s in the future"
        return [mend("clock", text_, "set the clock; it was ahead before, or is behind now")]
    return [ok("clock", f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, steady")]


def _newest_event(settings: Settings) -> datetime | None:
    path = settings.server.state_dir / STORE_FILE
    if settings.database_url is not None or not path.exists():
        return None
    with contextlib.suppress(sqlite3.Error, ValueError), _open(path) as connection:
        row = connection.execute("SELECT at FROM timeline ORDER BY seq DESC LIMIT 1").fetchone()
        return datetime.fromisoformat(row[0]).replace(tzinfo=UTC) if row else None
    return None
