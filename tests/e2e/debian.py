"""Prometheus and Alertmanager from Debian's packages: unpacked, not installed, so that no service of theirs starts."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bot.demo.monitoring import Programs, find_programs

PACKAGES = ("prometheus", "prometheus-alertmanager")
#: Debian's programs read templates from /usr/share/prometheus, so the unpacked ones see theirs in that place.
WRAPPER = """\
#!/bin/sh
exec bwrap --die-with-parent --dev-bind / / --tmpfs /usr/share \\
    --ro-bind '{cache}/usr/share/prometheus' /usr/share/prometheus '{cache}/usr/bin/{program}' "$@"
"""


def need_programs(cache: Path) -> Programs:
    """Return the installed programs, else the packages', kept in `cache`; skip the test where neither is had."""
    found = find_programs() or find_programs(str(cache / "bin"))
    if found is not None:
        return found
    problem = _unpack(cache) or _wrap(cache)
    if problem:
        pytest.skip(f"needs the Debian packages {' and '.join(PACKAGES)}: {problem}")
    unpacked = find_programs(str(cache / "bin"))
    assert unpacked is not None
    return unpacked


def _unpack(cache: Path) -> str:
    """Download the packages and unpack them; return "" or why it cannot be done."""
    missing = [name for name in ("apt-get", "dpkg-deb", "bwrap") if shutil.which(name) is None]
    if missing:
        return f"there is no {missing[0]} here"
    problem = _run(cache, "apt-get", "download", "-q", *PACKAGES)
    if problem and os.geteuid() == 0:
        problem = _run(cache, "apt-get", "update", "-q") or _run(cache, "apt-get", "download", "-q", *PACKAGES)
    if problem:
        return problem
    for package in cache.glob("*.deb"):
        problem = problem or _run(cache, "dpkg-deb", "-x", str(package), str(cache))
        package.unlink()
    return problem


def _wrap(cache: Path) -> str:
    (cache / "bin").mkdir(exist_ok=True)
    for program in PACKAGES:
        script = cache / "bin" / program
        script.write_text(WRAPPER.format(cache=cache, program=program))
        script.chmod(0o755)
        problem = _run(cache, str(script), "--version")
        if problem:
            shutil.rmtree(cache / "bin")
            return problem
    return ""


def _run(folder: Path, *argv: str) -> str:
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return f"{' '.join(argv[:2])} took longer than 120 s"
    last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
    return f"{' '.join(argv[:2])}: {last}" if done.returncode else ""
