"""What a benchmark found: rows of a table, on the terminal and in docs/benchmarks.md."""

import math
import os
import platform
import re
import sqlite3
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

BUSY = 1.25
HEAD = f"""# Benchmarks

Written by `make bench`, which takes about 25 minutes; do not edit. It runs the real program as a process
beside the benchmark on one machine. Times depend on the machine and what else runs there; where that is all,
the limit is a ratio to something measured in the same run.

- Repeat: `make bench`, or some parts: `make bench ARGS="intake agent"`; the parts stand in brackets. A part that is
  measured takes the place of what was measured before.
- Busy: how many times its CPU time a program took that only computes, before and after each part. Above
  {BUSY} a time over its limit is not judged: other programs had much of the machine. CPU time is not judged where
  the least that the same work takes there, measured in the same run, is over the limit already.
- The promises (P1, R8, …) are those of the design: P1 intake, P2 footprint, P3 logs, P4 prompts, P5 agent loop,
  R2 approvals, R8 storms, S3 redaction, S4 sandbox.
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure. `promise` is one of those we publish, or empty; `kept` is None where there is no limit.

    `is_time` says that it grows on a busy machine; CPU time hardly does. `is_below_floor` says that the
    least that such a thing takes on this machine is above the limit.
    """

    promise: str = ""
    what: str
    value: str
    limit: str = ""
    kept: bool | None = None
    is_time: bool = False
    is_below_floor: bool = False


def note(what: str, value: str) -> Row:
    """Return the row of a figure without a limit."""
    return Row(what=what, value=value)


def exactly(promise: str, what: str, value: int, wanted: int) -> Row:
    """Return the row of a count that must be this one."""
    return Row(promise=promise, what=what, value=str(value), limit=str(wanted), kept=value == wanted)


def within(promise: str, what: str, value: float, limit: float, unit: str, *, floor: float = 0.0) -> Row:
    """Return the row of a figure that must not be above its limit.

    `floor` is the least that the same work takes on this machine: a limit below it is not judged.
    """
    return Row(
        promise=promise,
        what=what,
        value=f"{show(value)} {unit}",
        limit=f"≤ {show(limit)} {unit}",
        kept=value <= limit,
        is_time=unit in {"s", "ms"},
        is_below_floor=limit < floor,
    )


def at_least(promise: str, what: str, value: float, limit: float, unit: str = "") -> Row:
    """Return the row of a figure that must not be below its limit."""
    return Row(
        promise=promise,
        what=what,
        value=f"{show(value)} {unit}",
        limit=f"≥ {limit:g} {unit}".rstrip(),
        kept=value >= limit,
    )


def show(value: float) -> str:
    """Return a number with about three digits that mean something."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that is not below this share of them."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def spread(values: Sequence[float], unit: str) -> str:
    """Return "p50 / p95" of some times."""
    return f"{show(statistics.median(values))} / {show(quantile(values, 0.95))} {unit}"


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part's rows. `slowdown` is how many times its CPU time a program took that only computes, meanwhile;
    `data` says what it reads that the repository does not hold."""

    title: str
    rows: Sequence[Row]
    slowdown: float
    data: str = ""

    @property
    def repeat(self) -> str:
        """Say what measures it again: its part stands in the title's brackets."""
        part = self.title.rpartition("(`")[2].removesuffix("`)")
        return f"Repeat: `make bench ARGS={part}`.{self.data and ' '}{self.data}"

    def verdict(self, row: Row) -> str:
        """A time above its limit says nothing where other programs had much of the machine."""
        if row.kept is None:
            return ""
        if row.kept:
            return "kept"
        if row.is_below_floor:
            return "not judged: slow machine"
        return "not judged: busy" if row.is_time and self.slowdown > BUSY else "**missed**"


def measure_slowdown() -> float:
    """Compute now and then for a second, and return the time that took as a multiple of its CPU time."""
    wall = cpu = 0.0
    for _ in range(15):
        time.sleep(0.04)
        began, began_cpu = time.perf_counter(), time.process_time()
        while time.process_time() - began_cpu < 0.03:
            sum(range(1000))
        wall += time.perf_counter() - began
        cpu += time.process_time() - began_cpu
    return wall / cpu


def print_section(section: Section) -> None:
    print(f"\n{section.title} (a program that only computes takes {section.slowdown:.1f} × its CPU time)")
    for row in section.rows:
        verdict = section.verdict(row).strip("*")
        print(f"  {row.promise:3} {row.what:66.66} {row.value:>24}  {row.limit:26} {verdict}".rstrip(), flush=True)


def describe_machine() -> str:
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = int(Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0]) / 1024 / 1024
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB memory, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def write_section(path: Path, section: Section, titles: Sequence[str]) -> None:
    """Put a section in its place among `titles`; the others stay as they were measured."""
    written = dict(
        re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    )
    lines = [f"Measured on {datetime.now(UTC):%Y-%m-%d}: {describe_machine()}.", f"Busy: {section.slowdown:.1f} ×."]
    lines += [section.repeat, ""]
    lines += ["| promise | what | measured | limit | |", "|---|---|---|---|---|"]
    lines += [f"| {r.promise} | {r.what} | {r.value} | {r.limit} | {section.verdict(r)} |" for r in section.rows]
    written[section.title] = "\n" + "\n".join(lines) + "\n"
    parts = [f"## {title}\n\n{written[title].strip()}\n" for title in titles if title in written]
    path.write_text("\n".join([HEAD, *parts]), encoding="utf-8")
