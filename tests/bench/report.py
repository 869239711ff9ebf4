"""What a benchmark found: rows of a table, on the terminal and in docs/benchmarks.md."""

import math
import os
import platform
import sqlite3
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

VERDICTS = {True: "kept", False: "**missed**", None: ""}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure. `promise` is one of those we publish, or empty; `kept` is None where there is no limit."""

    promise: str = ""
    what: str
    value: str
    limit: str = ""
    kept: bool | None = None


def note(what: str, value: str) -> Row:
    """Return the row of a figure without a limit."""
    return Row(what=what, value=value)


def exactly(promise: str, what: str, value: int, wanted: int) -> Row:
    """Return the row of a count that must be this one."""
    return Row(promise=promise, what=what, value=str(value), limit=str(wanted), kept=value == wanted)


def within(promise: str, what: str, value: float, limit: float, unit: str) -> Row:
    """Return the row of a figure that must not be above its limit."""
    return Row(
        promise=promise,
        what=what,
        value=f"{show(value)} {unit}",
        limit=f"≤ {show(limit)} {unit}",
        kept=value <= limit,
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


def print_rows(title: str, rows: Sequence[Row]) -> None:
    print(f"\n{title}")
    for row in rows:
        verdict = {True: "ok", False: "MISSED", None: ""}[row.kept]
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


def write_document(path: Path, sections: Sequence[tuple[str, Sequence[Row]]], loads: tuple[float, float]) -> None:
    """Write the tables, the machine and the day."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`, which takes about five minutes; do not edit. It runs the real program as a process",
        "beside the benchmark on one machine. Times depend on the machine and what else runs; where that decides,",
        "the limit is a ratio to something measured in the same run.",
        "",
        f"- Machine: {describe_machine()}.",
        f"- Day: {datetime.now(UTC):%Y-%m-%d}. Load average before the run {loads[0]:.1f}, after it {loads[1]:.1f}.",
        "- Repeat: `make bench`, or one part: `make bench ARGS=intake`; the parts are the headings below.",
        "",
    ]
    for title, rows in sections:
        lines += [f"## {title}", "", "| promise | what | measured | limit | |", "|---|---|---|---|---|"]
        lines += [f"| {r.promise} | {r.what} | {r.value} | {r.limit} | {VERDICTS[r.kept]} |" for r in rows]
        lines.append("")
    path.write_text("\n".join(lines), encoding="utf-8")
