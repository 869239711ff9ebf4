"""Landlock, under the user who runs the tests and under a plain user."""

import os
from pathlib import Path

import pytest

from bot.errors import Unavailable
from bot.ports.sandbox import SandboxJob, SandboxLimits
from connectors.sandboxes import landlock
from connectors.sandboxes.landlock import Landlock
from tests.contract.sandbox_suite import MIB, SandboxContract, make_tar, python
from tests.contract.sandbox_users import report_as_plain_user

NAME = "connectors.sandboxes.landlock:Landlock"


def _job_folders() -> list[Path]:
    return list(Path("/tmp").glob("nightshift-job-*"))


@pytest.fixture
async def usable():
    """Return the rung, or skip where this machine or this user's Python cannot have it."""
    try:
        await Landlock().run(SandboxJob(argv=("true",)))
    except Unavailable as error:
        pytest.skip(f"Landlock cannot be used by this user here: {error}")
    return Landlock()


class TestLandlock(SandboxContract):
    has_loopback = False
    counts_alone = os.geteuid() == 0
    variables = ("EXTRA", "HOME", "LANG", "PATH", "TMPDIR")

    @pytest.fixture
    def sandbox(self, usable):
        return usable

    async def test_job_that_hides_its_files_is_cleaned_up(self, sandbox):
        before = _job_folders()
        code = (
            "import os\n"
            "os.mkdir('closed', 0o000)\n"
            "for _ in range(1500):\n os.mkdir('d'); os.chdir('d')\n"
            "os.symlink('/etc', 'link')\n"
        )
        result = await python(sandbox, code)
        assert result.exit_code == 0
        assert _job_folders() == before

    async def test_mode_of_a_host_file_cannot_be_changed(self, sandbox, chain):
        target = chain / "bin"
        result = await sandbox.run(SandboxJob(argv=("chmod", "777", str(target))))
        assert result.exit_code != 0
        assert target.stat().st_mode & 0o777 == 0o755

    async def test_paths_of_the_port_are_translated_at_the_start_of_an_argument(self, sandbox):
        job = SandboxJob(
            argv=("cat", "/w/a", "/nightshift/b", "/work"), tree=make_tar(a=b"1"), files={"b": b"2"}, env={"X": "/w"}
        )
        result = await sandbox.run(job)
        assert result.output.startswith(b"12cat: /work:")


def test_every_probe_holds_for_a_plain_user_too():
    report = report_as_plain_user(NAME)
    assert report["user"] == 65534
    assert report["open"] == []
    assert report["probes"] >= 35
    assert report["tree"] == [0, "works\n"]


@pytest.mark.parametrize("version", [-1, 0, 5])
async def test_old_kernel_is_unavailable(monkeypatch, version):
    monkeypatch.setattr(landlock, "_landlock_version", lambda: version)
    with pytest.raises(Unavailable, match=r"Linux 6\.12"):
        await Landlock().run(SandboxJob(argv=("true",)))


async def test_disk_use_is_bounded_over_all_files(usable):
    code = "import time\nfor n in range(6): open(str(n), 'wb').write(bytes(1 << 20))\ntime.sleep(30)"
    result = await python(usable, code, limits=SandboxLimits(tree=2 * MIB, seconds=20))
    assert (result.exit_code, result.ended_by) == (None, "memory")
