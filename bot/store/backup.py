"""A copy of the SQLite store in one file, made while Nightshift runs, and the way back.

The archive is a tar of `manifest.json` and the two databases. The inbox is copied first: a delivery that was taken in
between the two copies is in both, and taking it in again changes nothing; the other way round it would be in neither.
"""

import contextlib
import hashlib
import io
import json
import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote

from sqlalchemy import create_engine

from bot.domain.timeline import parse_anchor, verify_chain, write_anchor
from bot.errors import Reason, Refused, Unavailable
from bot.store.database import NEWEST, VERSION_TABLE, lock_state, open_session
from bot.store.outbox import SqlTimeline

STORE: Final = "nightshift.db"
FILES: Final = ("inbox.db", STORE)
MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
MAX_MANIFEST: Final = 64 * 1024
_CHUNK: Final = 1024 * 1024
_SIDES: Final = ("-wal", "-shm")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an archive holds: sha256 by file, the head of the audit trail, and the tables' revision."""

    created_at: datetime
    hashes: Mapping[str, str]
    audit: str
    revision: str

    def dump(self) -> bytes:
        fields = {"format": FORMAT, "created_at": self.created_at.isoformat(), "sha256": dict(self.hashes)}
        return json.dumps(fields | {"audit": self.audit, "revision": self.revision}, indent=2).encode()


def write_backup(state: Path, target: Path, now: datetime) -> Manifest:
    """Copy the store of a state folder to the file `target`. Raises `Refused` or `Unavailable`; leaves no half file."""
    if target.exists():
        raise Refused(f"{target} exists already; give another name.", Reason.CONFLICT)
    for name in FILES:
        if not (state / name).exists():
            raise Refused(f"There is no store in {state}: {name} is missing.", Reason.NOT_FOUND)
    with _explained(f"The backup was not written to {target}"), _folder_beside(target) as folder:
        for name in FILES:
            _copy_database(state / name, folder / name)
        manifest = Manifest(
            created_at=now,
            hashes={name: _hash_file(folder / name) for name in FILES},
            audit=_check_store(folder / STORE),
            revision=_revision(folder / STORE),
        )
        archive = folder / "archive"
        with open(os.open(archive, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:  # noqa: PTH123 -- a descriptor
            _write_archive(file, manifest, folder)
            file.flush()
            os.fsync(file.fileno())
        os.link(archive, target)  # unlike a rename it never overwrites
        _sync_folder(target.absolute().parent)
    return manifest


def restore_backup(archive: Path, state: Path, now: datetime) -> tuple[Manifest, Path | None]:
    """Put an archive in the place of a state folder's store; return what it holds and where the old store is now.

    Everything is checked before anything is changed. Raises `Refused`: a Nightshift runs there, or the archive is not
    whole. May be repeated.
    """
    with lock_state(state), _explained(f"{archive} was not restored"), _folder_beside(state / STORE) as folder:
        manifest = _unpack(archive, folder)
        if _check_store(folder / STORE) != manifest.audit:
            raise _broken(archive, "its audit trail does not end where the manifest says")
        kept = _set_aside(state, state / f"before-restore-{now:%Y%m%dT%H%M%SZ}")
        for name in FILES:
            os.replace(folder / name, state / name)  # noqa: PTH105 -- says that it overwrites
        _sync_folder(state)
    return manifest, kept


# Writing ------------------------------------------------------------------------------------------------------------
def _copy_database(source: Path, target: Path) -> None:
    """Copy through SQLite's backup API: one consistent moment, while others read and write.

    Not opened read-only: that would leave a `-wal` and a `-shm` file behind, perhaps of another user.
    """
    with (
        contextlib.closing(sqlite3.connect(f"file:{quote(str(source))}?mode=rw", uri=True, timeout=30)) as old,
        contextlib.closing(sqlite3.connect(target, isolation_level=None)) as new,
    ):
        old.backup(new)
        new.execute("PRAGMA journal_mode=DELETE")
        (verdict,) = new.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        raise Refused(f"{source} is damaged: {verdict}", Reason.CONFLICT)


def _write_archive(file: IO[bytes], manifest: Manifest, folder: Path) -> None:
    with tarfile.open(fileobj=file, mode="w") as tar:
        text = manifest.dump()
        head = tarfile.TarInfo(MANIFEST)
        head.size, head.mode = len(text), 0o600
        tar.addfile(head, io.BytesIO(text))
        for name in FILES:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = (folder / name).stat().st_size, 0o600
            with (folder / name).open("rb") as copy:
                tar.addfile(entry, copy)


# Reading ------------------------------------------------------------------------------------------------------------
def _unpack(archive: Path, folder: Path) -> Manifest:
    """Unpack exactly the files there must be, each as its hash says. Raises `Refused`."""
    try:
        with tarfile.open(archive, mode="r:") as tar:
            manifest = _read_manifest(tar, archive)
            for name in FILES:
                if _extract(tar, name, folder / name, archive) != manifest.hashes[name]:
                    raise _broken(archive, f"{name} is not as it was written")
            if tar.next() is not None:
                raise _broken(archive, "there is more in it than there should be")
    except tarfile.TarError as error:
        raise _broken(archive, str(error)) from error
    return manifest


def _read_manifest(tar: tarfile.TarFile, archive: Path) -> Manifest:
    text = _open_member(tar, MANIFEST, archive, MAX_MANIFEST).read()
    try:
        fields = json.loads(text)
        manifest = Manifest(
            created_at=datetime.fromisoformat(fields["created_at"]),
            hashes={name: str(fields["sha256"][name]) for name in FILES},
            audit=str(fields["audit"]),
            revision=str(fields["revision"]),
        )
        parse_anchor(manifest.audit)
    except (ValueError, KeyError, TypeError, RecursionError, Refused) as error:
        raise _broken(archive, "its manifest cannot be read") from error
    if fields.get("format") != FORMAT or manifest.revision > NEWEST:
        raise Refused(f"{archive} was made by a newer Nightshift; restore it with that one.", Reason.BAD_INPUT)
    return manifest


def _open_member(tar: tarfile.TarFile, name: str, archive: Path, limit: int | None = None) -> IO[bytes]:
    member = tar.next()
    if member is None or member.name != name or not member.isreg() or member.sparse is not None:
        raise _broken(archive, f"{name} is not where it should be")
    content = tar.extractfile(member)
    if content is None or (limit is not None and member.size > limit):
        raise _broken(archive, f"{name} is too large")
    return content


def _extract(tar: tarfile.TarFile, name: str, target: Path, archive: Path) -> str:
    digest = hashlib.sha256()
    content = _open_member(tar, name, archive)
    with open(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:  # noqa: PTH123 -- a descriptor
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _set_aside(state: Path, folder: Path) -> Path | None:
    """Keep the old store under another name; it also stays in place until the new one takes it in one step."""
    if not any((state / name).exists() for name in FILES):
        return None
    folder.mkdir(mode=0o700)
    for name in FILES:
        if not (state / name).exists():
            continue
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(state / name)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        os.link(state / name, folder / name)
        for side in _SIDES:
            if (state / f"{name}{side}").exists():
                (state / f"{name}{side}").rename(folder / f"{name}{side}")
    return folder


# Both ---------------------------------------------------------------------------------------------------------------
def _check_store(path: Path) -> str:
    """Return the head of a store's audit trail. Raises `Refused` where the trail does not hold."""
    engine = create_engine(f"sqlite:///{path}")
    try:
        with open_session(engine) as session:
            timeline = SqlTimeline(session, datetime.min)  # noqa: DTZ901 -- nothing is written
            fault = verify_chain(timeline.all(), timeline.anchors())
            head = write_anchor(*timeline.head())
    finally:
        engine.dispose()
    if fault is not None:
        raise Refused(f"The audit trail does not hold: {fault.what}. Nothing was changed.", Reason.CONFLICT)
    return head


def _revision(path: Path) -> str:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (revision,) = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608 -- a constant
    return str(revision)


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    """A folder that only we can read, on the same file system."""
    with tempfile.TemporaryDirectory(prefix=".nightshift-", dir=target.absolute().parent) as folder:
        yield Path(folder)


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(f"{what}: {error}", Reason.UNREACHABLE) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _broken(archive: Path, why: str) -> Refused:
    return Refused(f"{archive} is not a whole backup: {why}. Nothing was changed.", Reason.BAD_INPUT)
