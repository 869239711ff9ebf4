"""CI logs: how much of what failed is found, and how much else is shown, beside `diff`, `grep -C` and `tail`.

Own logs are made here, in the formats of six CI systems and eight tools; labelled pairs of others are read where they
are laid beside the checkout.
"""

import asyncio
import random
import re
import statistics
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bot.domain.ci_logs.excerpt import LIMIT, choose_excerpt
from bot.domain.ci_logs.text import CILine, mask, read_lines
from tests.bench.ci_corpus import make_corpus
from tests.bench.report import Row, note, show, within

SAMPLES: Final = Path(__file__).parents[2] / ".." / "shared" / "samples" / "ci-logs.tar.xz"
SPEED_LINES: Final = 60_000
_ERROR: Final = re.compile(r"error", re.IGNORECASE)
_GOALS: Final = {"Jenkins": 0.65, "GitHub Actions": 0.45}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A red log, the green one before it, and the numbers of the red lines that tell why."""

    system: str
    failed: str
    green: str
    wanted: frozenset[int]


Finder = Callable[[Sequence[CILine], Sequence[CILine]], set[int]]


async def measure(folder: Path) -> list[Row]:
    return await asyncio.to_thread(_measure, folder)


def _measure(folder: Path) -> list[Row]:
    own = [
        Pair(system=made.system, failed=made.failed, green=made.green, wanted=made.wanted) for made in make_corpus(7)
    ]
    rows = [*_judge("own logs", own, folder), *_measure_chunks("own logs", own), *_measure_speed(own)]
    if SAMPLES.exists():
        labelled = list(_read_samples(SAMPLES))
        for system in dict.fromkeys(pair.system for pair in labelled):
            rows += _judge(system, [pair for pair in labelled if pair.system == system], folder)
        rows += [replace(row, limit="", kept=None) for row in _measure_chunks("labelled logs", labelled)]
    return rows


# With the last green log ----------------------------------------------------------------------------------------------
def _judge(name: str, pairs: Sequence[Pair], folder: Path) -> list[Row]:
    recall, precision = _score(pairs, _find_ours)
    rows = [_at_least(f"{name}, {len(pairs)} pairs: with the green log, recall", recall, 0.99)]
    goal = _GOALS.get(name)
    what = "… precision"
    rows.append(_at_least(what, precision, goal) if goal else note(what, f"{precision:.3f}"))
    others: dict[str, Finder] = {
        "diff of masked lines": lambda failed, green: _find_by_diff(failed, green, folder),
        "grep -i -C 3 error": lambda failed, _: _grep(failed),
        "tail -100": lambda failed, _: {line.number for line in failed[-100:]},
    }
    for method, find in others.items():
        found = _score(pairs, find)
        rows.append(note(f"… {method}: recall / precision", f"{found[0]:.3f} / {found[1]:.3f}"))
    return rows


def _score(pairs: Sequence[Pair], find: Finder) -> tuple[float, float]:
    """Return recall and precision, each the mean over the pairs; blank lines count as nothing."""
    recalls, precisions = [], []
    for pair in pairs:
        failed = read_lines(pair.failed)
        told = {line.number for line in failed if line.text.strip()}
        found, wanted = find(failed, read_lines(pair.green)) & told, pair.wanted & told
        hits = len(found & wanted)
        recalls.append(hits / len(wanted) if wanted else 1.0)
        precisions.append(hits / len(found) if found else 0.0)
    return statistics.mean(recalls), statistics.mean(precisions)


def _find_ours(failed: Sequence[CILine], green: Sequence[CILine]) -> set[int]:
    return {failed[place].number for place in choose_excerpt(failed, green).relevant}


def _find_by_diff(failed: Sequence[CILine], green: Sequence[CILine], folder: Path) -> set[int]:
    """Compare masked lines with the program `diff`."""
    files = (folder / "green.txt", folder / "failed.txt")
    for file, lines in zip(files, (green, failed), strict=True):
        file.write_text("\n".join(mask(line.text) for line in lines) + "\n", encoding="utf-8")
    asked = ["diff", "--unchanged-line-format=", "--old-line-format=", "--new-line-format=%dn\n", *map(str, files)]
    return {int(number) for number in subprocess.run(asked, capture_output=True, check=False).stdout.split()}


def _grep(failed: Sequence[CILine]) -> set[int]:
    hits = (place for place, line in enumerate(failed) if _ERROR.search(line.text))
    return {line.number for place in hits for line in failed[max(0, place - 3) : place + 4]}


# Without one ----------------------------------------------------------------------------------------------------------
def _measure_chunks(name: str, pairs: Sequence[Pair]) -> list[Row]:
    """Count the logs whose first labelled stretch, if it is short enough, is wholly inside what is shown."""
    inside = dict.fromkeys(("ours", "tail -100", f"grep -i -C 3 error, first {LIMIT}"), 0)
    sizes, count = [], 0
    for pair in pairs:
        failed = read_lines(pair.failed)
        chunk = _first_stretch(pair.wanted, failed)
        if len(chunk) > LIMIT:
            continue
        count += 1
        ours = {failed[place].number for place in choose_excerpt(failed).shown}
        sizes.append(len(ours))
        shown = (ours, {line.number for line in failed[-100:]}, set(sorted(_grep(failed))[:LIMIT]))
        for method, lines in zip(inside, shown, strict=True):
            inside[method] += chunk <= lines
    rows = [
        _at_least(f"{name}, {count} logs: without a green log, the chunk is inside", inside["ours"] / count, 0.88),
        within("", "… lines shown, median", statistics.median(sizes), LIMIT, "lines"),
    ]
    rows += [note(f"… {method}", f"{inside[method] / count:.3f}") for method in inside if method != "ours"]
    return rows


def _first_stretch(wanted: frozenset[int], failed: Sequence[CILine]) -> set[int]:
    told = {line.number for line in failed if line.text.strip()}
    stretch, number = set[int](), min(wanted)
    while number in wanted:
        stretch.add(number)
        number += 1
    return stretch & told


def _measure_speed(pairs: Sequence[Pair]) -> list[Row]:
    text = "\n".join(pair.failed for pair in pairs)
    lines = (text + "\n") * (SPEED_LINES // text.count("\n") + 1)
    failed = "\n".join(lines.split("\n")[:SPEED_LINES])
    chance = random.Random(3)
    green = "\n".join(line for line in failed.split("\n") if chance.random() > 0.02)
    began = time.perf_counter()
    choose_excerpt(read_lines(failed), read_lines(green))
    seconds = time.perf_counter() - began
    what = f"a red and a green log of {SPEED_LINES:,} lines each are compared at"
    return [note(what, f"{show(2 * SPEED_LINES / seconds)} lines/s")]


# Labelled logs --------------------------------------------------------------------------------------------------------
def _read_samples(archive: Path) -> Iterator[Pair]:
    """Yield the pairs of an archive of folders with pass.log, fail.log and the marked lines as groundtruth."""
    with tarfile.open(archive) as tar:
        files = {member.name: member for member in tar.getmembers() if member.isfile()}
        for name in sorted(files):
            if not name.endswith("/groundtruth"):
                continue
            place = name.removesuffix("groundtruth")
            head, *marks = _text(tar, files[name]).split("\n")
            spans = [mark.split()[1].split("-") for mark in marks if mark.startswith("E ")]
            yield Pair(
                system="Jenkins" if head.strip() == "DEFAULT" else "GitHub Actions",
                failed=_text(tar, files[f"{place}fail.log"]),
                green=_text(tar, files[f"{place}pass.log"]),
                wanted=frozenset(n for span in spans for n in range(int(span[0]), int(span[-1]) + 1)),
            )


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = tar.extractfile(member)
    assert file is not None
    return file.read().decode("utf-8", "replace")


def _at_least(what: str, value: float, goal: float) -> Row:
    return Row(what=what, value=f"{value:.3f}", limit=f"≥ {goal:.2f}", kept=value >= goal)
