"""The wheel holds everything that the running program reads."""

import subprocess
import sys
import zipfile
from pathlib import Path

from tests.architecture.sources import ROOT, place, tracked_files


def test_the_wheel_holds_every_file_of_the_product(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("nightshift-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        place(path) for path in tracked_files() if place(path).split("/")[0] in {"bot", "connectors", "playbooks"}
    }
    assert wanted - held == set()
    assert "connectors/chat/slack/manifest.yaml" in held
    ours = [name for name in map(place, tracked_files()) if name.startswith("infra/sglang/")]
    assert len(ours) > 10
    assert {name.replace("infra/", "bot/bootstrap/") for name in ours} - held == set()
    assert "nightshift" in zipfile.ZipFile(wheel).read(next(n for n in held if n.endswith("entry_points.txt"))).decode()
