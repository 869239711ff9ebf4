"""The operator's setup command: run once, moved into place whole, readable for everybody."""

import asyncio
import stat
import sys

import pytest

from bot.errors import Unavailable
from connectors.sandboxes.toolchain import prepare_toolchain

FILL = 'echo run >> ../runs; mkdir "$NIGHTSHIFT_TOOLCHAIN/bin"; printf x > "$NIGHTSHIFT_TOOLCHAIN/bin/tool"'


def sh(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


async def test_no_setup_command_is_no_toolchain(tmp_path):
    assert await prepare_toolchain((), tmp_path, "shop") is None
    assert list(tmp_path.iterdir()) == []


async def test_setup_runs_once_per_repository_and_command(tmp_path):
    first = await prepare_toolchain(sh(FILL), tmp_path, "shop")
    again = await prepare_toolchain(sh(FILL), tmp_path, "shop")
    other = await prepare_toolchain(sh(FILL), tmp_path, "stock")
    changed = await prepare_toolchain(sh(FILL + "; true"), tmp_path, "shop")
    assert first == again
    assert len({first, other, changed}) == 3
    assert (first / "bin" / "tool").read_text() == "x"
    assert (tmp_path / "runs").read_text() == "run\n" * 3


async def test_two_at_once_run_it_once(tmp_path):
    script = FILL + "; sleep 0.1"
    places = await asyncio.gather(*(prepare_toolchain(sh(script), tmp_path, "shop") for _ in range(3)))
    assert len(set(places)) == 1
    assert (tmp_path / "runs").read_text() == "run\n"


async def test_everybody_may_read_it_and_nobody_becomes_someone_else(tmp_path):
    script = "umask 077; mkdir -p a/b; echo x > a/b/data; echo x > a/b/run; chmod 4700 a/b/run; ln -s /etc/shadow link"
    place = await prepare_toolchain(sh(script), tmp_path, "shop")
    modes = {name: stat.S_IMODE((place / name).stat().st_mode) for name in (".", "a", "a/b", "a/b/data", "a/b/run")}
    assert modes == {".": 0o755, "a": 0o755, "a/b": 0o755, "a/b/data": 0o644, "a/b/run": 0o755}


async def test_scripts_find_their_interpreter_after_the_move(tmp_path):
    script = 'mkdir bin; printf "#!%s/bin/python3\\nimport x\\n" "$NIGHTSHIFT_TOOLCHAIN" > bin/pytest'
    place = await prepare_toolchain(sh(script), tmp_path, "shop")
    assert (place / "bin" / "pytest").read_text() == "#!/usr/bin/env python3\nimport x\n"


async def test_failed_setup_tells_the_end_of_its_output_and_leaves_nothing(tmp_path):
    script = "seq 100000; echo no such package: frobnicate >&2; exit 7"
    with pytest.raises(Unavailable) as caught:
        await prepare_toolchain(sh(script), tmp_path, "shop")
    text = str(caught.value)
    assert "exit code 7" in text
    assert text.endswith("no such package: frobnicate")
    assert len(text) < 5000
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


async def test_setup_that_hangs_is_ended_with_its_children(tmp_path):
    with pytest.raises(Unavailable, match=r"took longer than 0\.2 s"):
        await prepare_toolchain(sh("sleep 60 & sleep 60"), tmp_path, "shop", seconds=0.2)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


async def test_missing_setup_program_is_told(tmp_path):
    with pytest.raises(Unavailable, match="no-such-program"):
        await prepare_toolchain(("no-such-program",), tmp_path, "shop")


async def test_setup_sees_the_running_python_and_no_credential(tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_SLACK_TOKEN", "hidden")
    monkeypatch.setenv("PIP_INDEX_URL", "http://mirror.test/simple")
    place = await prepare_toolchain(sh("env > env; python3 -V > version"), tmp_path, "shop")
    text = (place / "env").read_text()
    assert "hidden" not in text
    assert "PIP_INDEX_URL=http://mirror.test/simple" in text
    assert (place / "version").read_text().split()[1] == sys.version.split()[0]
