"""P3: how well and how fast logs are read, beside drain3; what a large log takes; and what a reader is left with."""

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from csv import DictReader
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.bench.logs_corpus import FORMATS, stories, write_large, write_log
from tests.bench.report import Row, at_least, note, show, within
from tests.e2e.walk import ROOT

HERE = Path(__file__).parent
SAMPLES = ROOT.parent / "shared" / "samples" / "loghub.tar.xz"
MB = 1024 * 1024
SPEED = 192 * MB
PEER_LINES = 60_000
LARGE = (256 * MB, 1024 * MB, 2048 * MB)


class PeerError(Exception):
    """The peer could not be installed or did not end well; the text is the end of what it said."""


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a program took."""

    wall: float
    cpu: float
    memory_mb: float
    output: bytes


async def measure(folder: Path) -> list[Row]:
    return await asyncio.to_thread(_measure, folder)


def _measure(folder: Path) -> list[Row]:
    try:
        python, missing = _make_peer(folder / "venv"), ""
    except PeerError as failed:
        python, missing = "", str(failed)
    rows = _measure_groups(folder, python)
    rows += _measure_speed(folder, python)
    if missing:
        rows.append(note("peer drain3", f"not measured: {missing[:80]}"))
    return rows + _measure_large(folder) + _measure_stories(folder)


# Grouping -------------------------------------------------------------------------------------------------------------
def _measure_groups(folder: Path, python: str) -> list[Row]:
    rows = []
    for name, sets in (("own logs", _own_sets(folder)), ("LogHub-2k sets", _samples(folder))):
        for what, goal, must in (("messages", 0.85, 0.80), ("raw", 0.70, 0.70)):
            ours = [score(_group(path), kinds) for _set, kind, path, kinds in sets if kind == what]
            if not ours:
                continue
            row = f"grouping accuracy, {what}, mean of {len(ours)} {name} (aim {goal})"
            rows.append(at_least("P3", row, statistics.mean(ours), must))
            rows.append(note("… of each set, in alphabetical order", " ".join(f"{one:.2f}" for one in ours)))
            if python:
                peer = [
                    score(_run_peer(python, path)["lines"], kinds) for _set, kind, path, kinds in sets if kind == what
                ]
                rows.append(note("… drain3 with its defaults", f"{statistics.mean(peer):.3f}"))
    return rows


def score(groups: Sequence[object], kinds: Sequence[object]) -> float:
    """Return the share of lines whose group is exactly the lines of one kind."""
    by_group: dict[object, list[int]] = defaultdict(list)
    for place, group in enumerate(groups[: len(kinds)]):
        by_group[group].append(place)
    sizes = Counter(kinds)
    right = [
        len(places)
        for places in by_group.values()
        if len({kinds[place] for place in places}) == 1 and sizes[kinds[places[0]]] == len(places)
    ]
    return sum(right) / len(kinds)


def _own_sets(folder: Path, lines: int = 2_000) -> list[tuple[str, str, Path, Sequence[object]]]:
    sets: list[tuple[str, str, Path, Sequence[object]]] = []
    for seed, layout in enumerate(FORMATS):
        path = folder / f"{layout}.log"
        sets.append((layout, "raw", path, write_log(path, layout, lines, seed)))
    return sets


def _samples(folder: Path) -> list[tuple[str, str, Path, Sequence[object]]]:
    """Return the public sets that lie beside the repository, if they do."""
    if not SAMPLES.exists():
        return []
    (folder / "samples").mkdir()
    subprocess.run(["tar", "-xf", SAMPLES, "-C", folder / "samples"], check=True)
    sets: list[tuple[str, str, Path, Sequence[object]]] = []
    for truth in sorted((folder / "samples").rglob("*_structured.csv")):
        with truth.open(encoding="utf-8") as file:
            rows = list(DictReader(file))
        kinds = [row["EventId"] for row in rows]
        messages = truth.with_suffix(".messages")
        messages.write_text("".join(f"{row['Content']}\n" for row in rows), encoding="utf-8")
        name = truth.name.split("_")[0]
        sets.append((name, "raw", truth.with_name(truth.name.removesuffix("_structured.csv")), kinds))
        sets.append((name, "messages", messages, kinds))
    return sets


def _group(path: Path) -> list[int]:
    lines: list[int] = json.loads(_run([sys.executable, "-m", "bot", "logs", "templates", str(path), "--json"]).output)[
        "lines"
    ]
    return lines


# Speed ----------------------------------------------------------------------------------------------------------------
def _measure_speed(folder: Path, python: str) -> list[Row]:
    """Read each format, and each public set, written again and again with other digits; the peer its beginning."""
    rows = []
    own = {name: path for name, _kind, path, _kinds in _own_sets(folder, lines=200_000)}
    public = {name: path for name, kind, path, _kinds in _samples(folder) if kind == "raw"}
    for what, sets in (("own logs", own), ("LogHub-2k sets", public)):
        speeds, ratios, cpu_ratios = [], [], []
        for name, seed in sets.items():
            path = folder / f"{name}-long.log"
            lines = write_large(path, seed, SPEED)
            ours = _run([sys.executable, "-m", "bot", "logs", "templates", str(path), "--json"])
            speeds.append(lines / ours.wall)
            if python:
                peer = _run_peer(python, path)
                ratios.append(speeds[-1] * float(peer["wall"]) / PEER_LINES)
                cpu_ratios.append(lines / ours.cpu * float(peer["cpu"]) / PEER_LINES)
            path.unlink()
        if speeds:
            mean = f"{show(statistics.mean(speeds) / 1000)}k lines/s"
            rows.append(note(f"raw lines of {len(sets)} {what}, {SPEED // MB} MiB each, no two alike", mean))
        if ratios:
            row = at_least("P3", "… times drain3's in the same run, mean (aim 10)", statistics.mean(ratios), 5, "×")
            rows.append(replace(row, is_time=True))
            rows.append(note("… and on one core each, by CPU time", f"{show(statistics.mean(cpu_ratios))} ×"))
    return rows


# Large logs -----------------------------------------------------------------------------------------------------------
def _measure_large(folder: Path) -> list[Row]:
    seed, path = folder / "seed.log", folder / "large.log"
    write_log(seed, "service", 400_000, 9)
    found, rows = [], []
    for size in LARGE:
        lines = write_large(path, seed, size)
        use = _run([sys.executable, "-m", "bot", "logs", "templates", str(path)])
        found.append(use.cpu / lines)
        what = f"a log of {size // MB:,} MiB, {lines:,} lines"
        rows.append(note(what, f"{show(use.wall)} s, {show(use.cpu)} s CPU"))
        rows.append(within("P3", "… memory at most", use.memory_mb, 500, "MB"))
        if size == LARGE[0]:
            reduced = _run([sys.executable, "-m", "bot", "logs", "reduce", str(path)])
            rows.append(note(f"… reduced to {reduced.output.count(10)} lines", f"{show(reduced.cpu)} s CPU"))
            rows.append(within("P3", "… memory at most", reduced.memory_mb, 500, "MB"))
    path.unlink()
    rows.append(within("P3", "CPU per line of the largest, times the smallest's", found[-1] / found[0], 1.25, "×"))
    return rows


# What a reader is left with -------------------------------------------------------------------------------------------
def _measure_stories(folder: Path) -> list[Row]:
    told: dict[str, list[tuple[int, bool]]] = defaultdict(list)
    for story in stories():
        path = folder / f"{story.name}.story"
        path.write_text("".join(f"{line}\n" for line in story.lines), encoding="utf-8")
        since = next(number for number, line in enumerate(story.lines) if story.needed[0] in line)
        base = folder / f"{story.name}.base"
        base.write_text("".join(f"{line}\n" for line in story.lines[: since // 2]), encoding="utf-8")
        ways = {
            "nightshift logs reduce": [sys.executable, "-m", "bot", "logs", "reduce", str(path)],
            "… with a baseline": [sys.executable, "-m", "bot", "logs", "reduce", str(path), "--baseline", str(base)],
            "grep -iC3 error": ["grep", "-iC3", "error", str(path)],
            "tail -200": ["tail", "-200", str(path)],
        }
        for way, argv in ways.items():
            text = _run(argv).output.decode("utf-8", "replace")
            needed = story.needed[1:] if way == "nightshift logs reduce" else story.needed
            told[way].append((text.count("\n"), all(part in text for part in needed)))
    rows = []
    for way, results in told.items():
        kept = f"{sum(whole for _lines, whole in results)} of {len(results)} stories"
        lines = f"{statistics.median(lines for lines, _whole in results):,.0f} lines"
        if way == "… with a baseline":
            kept_all = all(whole and count <= 60 for count, whole in results)
            rows.append(
                Row(
                    promise="P3",
                    what=f"{way}: whole story kept",
                    value=f"{kept}, {lines}",
                    limit="all, ≤ 60 lines",
                    kept=kept_all,
                )
            )
        else:
            rows.append(note(f"{way}: whole story kept", f"{kept}, {lines}"))
    return rows


# Running --------------------------------------------------------------------------------------------------------------
def _run(argv: Sequence[str]) -> Use:
    """Run a program to its end and return what it took, its children included."""
    began = time.perf_counter()
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    output = process.stdout.read()
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode not in {0, 1}:
        raise RuntimeError(f"{argv[0]} ended with {process.returncode}")
    return Use(wall=wall, cpu=usage.ru_utime + usage.ru_stime, memory_mb=usage.ru_maxrss / 1024, output=output)


def _run_peer(python: str, path: Path) -> dict[str, Any]:
    done = subprocess.run(
        [python, str(HERE / "logs_drain.py"), str(path), str(PEER_LINES)], capture_output=True, check=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _make_peer(folder: Path) -> str:
    """Install the peer into an environment of its own, from hashed packages; return its Python."""
    python = str(folder / "bin" / "python")
    lock = ["--no-deps", "--require-hashes", "-q", "-r", str(HERE / "logs_peers.txt")]
    if shutil.which("uv"):
        steps = [
            ["uv", "venv", "-q", "--python", sys.executable, str(folder)],
            ["uv", "pip", "install", "--python", python, *lock],
        ]
    else:
        steps = [
            [sys.executable, "-m", "venv", str(folder)],
            [python, "-m", "pip", "install", "--disable-pip-version-check", *lock],
        ]
    for argv in steps:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PeerError((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    return python
