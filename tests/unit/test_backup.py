"""One file that holds the whole store at one moment, taken under load; and the way back, all or nothing."""

import io
import json
import os
import tarfile
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain.timeline import parse_anchor, verify_chain
from bot.errors import Refused, Unavailable
from bot.store.backup import FILES, MANIFEST, restore_backup, write_backup
from bot.store.database import lock_state
from bot.store.inbox import Inbox
from tests.worldkit import NOW, FixedClock, World, alert, body, group, make_store, make_world


@pytest.fixture
def state(tmp_path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture
def world(state) -> World:
    world = make_world(state)
    world.receive(group(alert()))
    inbox = Inbox(state / "inbox.db", world.clock, max_pending=10)
    inbox.close()
    return world


def head(world: World) -> tuple[int, str]:
    with world.unit() as work:
        return work.timeline.head()


def open_restored(folder: Path):
    return make_store(folder, FixedClock(), fresh=False)


def repack(archive: Path, change) -> None:
    """Write the archive again after `change` has been at its list of (name, content)."""
    with tarfile.open(archive) as tar:
        members = [(item.name, tar.extractfile(item).read()) for item in tar]
    with tarfile.open(archive, "w") as tar:
        for entry in change(members):
            name, content = entry[:2]
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if len(entry) > 2:
                info.type, info.linkname, info.size = entry[2], "/etc/passwd", 0
            tar.addfile(info, io.BytesIO(content))


class TestUnderLoad:
    async def test_it_is_one_consistent_moment(self, world, state, tmp_path):
        """Writers never stop; each copy's chain holds, and it has every incident that its inbox calls taken in."""
        inbox = Inbox(state / "inbox.db", world.clock, max_pending=10**6)
        stop, fault = threading.Event(), []

        def write() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                try:
                    with world.unit() as work:
                        work.timeline.append("INC-1", "note", "ada", f"note {number}")
                except Unavailable as error:
                    fault.append(error)

        threads = [threading.Thread(target=write) for _ in range(3)]
        for thread in threads:
            thread.start()
        kept = []
        try:
            for number in range(3):
                kept.append(await inbox.keep("alertmanager", body(alert())))
                before = head(world)[0]
                manifest = write_backup(state, tmp_path / f"copy-{number}", NOW)
                assert before <= parse_anchor(manifest.audit)[0] <= head(world)[0]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            inbox.close()
        assert not fault
        target = tmp_path / "elsewhere"
        target.mkdir()
        manifest, old = restore_backup(tmp_path / "copy-2", target, NOW)
        assert old is None
        with open_restored(target).begin() as work:
            events = work.timeline.all()
            assert verify_chain(events, [parse_anchor(manifest.audit)]) is None
            assert work.incidents.get("INC-1").service == "checkout"
        restored = Inbox(target / "inbox.db", world.clock, max_pending=10)
        try:
            assert [item.id for item in await restored.next()] == kept
        finally:
            restored.close()


class TestWriting:
    def test_nobody_else_may_read_it(self, world, state, tmp_path):
        write_backup(state, tmp_path / "copy", NOW)
        assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600

    def test_nothing_is_overwritten_and_nothing_is_left_behind(self, world, state, tmp_path):
        (tmp_path / "copy").write_text("mine")
        with pytest.raises(Refused, match="exists already"):
            write_backup(state, tmp_path / "copy", NOW)
        assert (tmp_path / "copy").read_text() == "mine"
        with pytest.raises(Unavailable, match="not written"):
            write_backup(state, tmp_path / "none" / "copy", NOW)
        assert sorted(item.name for item in tmp_path.iterdir()) == ["copy", "state"]

    def test_there_must_be_a_store(self, tmp_path):
        with pytest.raises(Refused, match="no store"):
            write_backup(tmp_path, tmp_path / "copy", NOW)

    def test_a_trail_that_does_not_hold_is_said_at_once(self, world, state, tmp_path):
        with world.store.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE timeline SET text = 'nothing happened' WHERE seq = 1")
        with pytest.raises(Refused, match="row 1 was changed"):
            write_backup(state, tmp_path / "copy", NOW)
        assert not (tmp_path / "copy").exists()


class TestRestoring:
    def test_the_old_store_is_kept_aside_whole(self, world, state, tmp_path):
        write_backup(state, tmp_path / "copy", NOW)
        world.receive(group(alert(), key="later"))
        later = head(world)
        world.store.engine.dispose()
        manifest, old = restore_backup(tmp_path / "copy", state, NOW)
        assert old is not None
        with open_restored(state).begin() as work:
            assert work.timeline.head() == parse_anchor(manifest.audit)
            assert [item.id for item in work.incidents.recent()] == ["INC-1"]
        with open_restored(old).begin() as work:
            assert work.timeline.head() == later
        assert old.stat().st_mode & 0o077 == 0
        restore_backup(tmp_path / "copy", state, NOW + timedelta(seconds=1))

    def test_never_under_a_running_nightshift(self, world, state, tmp_path):
        write_backup(state, tmp_path / "copy", NOW)
        before = (state / "nightshift.db").read_bytes()
        with lock_state(state), pytest.raises(Refused, match="Another Nightshift runs"):
            restore_backup(tmp_path / "copy", state, NOW)
        assert (state / "nightshift.db").read_bytes() == before

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (lambda m: m[:2], "nightshift.db is not where"),
            (lambda m: m[1:], "manifest.json is not where"),
            (lambda m: [m[0], m[2], m[1]], "inbox.db is not where"),
            (lambda m: [*m, ("../../etc/cron.d/x", b"x")], "more in it"),
            (lambda m: [m[0], ("../inbox.db", m[1][1]), m[2]], "inbox.db is not where"),
            (lambda m: [m[0], ("inbox.db", b"", tarfile.SYMTYPE), m[2]], "inbox.db is not where"),
            (lambda m: [m[0], ("inbox.db", b"", tarfile.LNKTYPE), m[2]], "inbox.db is not where"),
            (lambda m: [m[0], m[1], ("nightshift.db", m[2][1][:-1] + b"!")], "not as it was written"),
            (lambda m: [(MANIFEST, b"{"), *m[1:]], "manifest cannot be read"),
            (lambda m: [(MANIFEST, b"[" * 5000), *m[1:]], "manifest cannot be read"),
            (lambda m: [(MANIFEST, b"[]"), *m[1:]], "manifest cannot be read"),
            (lambda m: [(MANIFEST, b" " * 70_000), *m[1:]], "too large"),
            (lambda m: [(MANIFEST, m[0][1].replace(b'"audit": "', b'"audit": "9')), *m[1:]], "does not end where"),
            (lambda m: [(MANIFEST, m[0][1].replace(b'"format": 1', b'"format": 2')), *m[1:]], "newer Nightshift"),
            (lambda m: [(MANIFEST, m[0][1].replace(b'"revision": "0', b'"revision": "9')), *m[1:]], "newer Nightshift"),
        ],
    )
    def test_what_is_not_whole_changes_nothing(self, world, state, tmp_path, change, why):
        write_backup(state, tmp_path / "copy", NOW)
        repack(tmp_path / "copy", change)
        world.store.engine.dispose()
        before = {name: (state / name).read_bytes() for name in FILES}
        with pytest.raises(Refused, match=why):
            restore_backup(tmp_path / "copy", state, NOW)
        assert {name: (state / name).read_bytes() for name in FILES} == before
        assert {item.name for item in state.iterdir()} <= {*FILES, "lock"}

    @pytest.mark.parametrize("content", [b"", b"not a tar at all" * 100, os.urandom(2048)])
    def test_what_is_no_archive_is_refused(self, state, tmp_path, content):
        (tmp_path / "copy").write_bytes(content)
        with pytest.raises(Refused, match="not a whole backup"):
            restore_backup(tmp_path / "copy", state, NOW)

    def test_the_manifest_says_what_is_in_it(self, world, state, tmp_path):
        manifest = write_backup(state, tmp_path / "copy", NOW)
        with tarfile.open(tmp_path / "copy") as tar:
            written = json.loads(tar.extractfile(MANIFEST).read())
        assert written["audit"] == manifest.audit
        assert set(written["sha256"]) == set(FILES)
        assert parse_anchor(manifest.audit) == head(world)
