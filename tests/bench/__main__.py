"""python -m tests.bench [PART…]: measure what is promised and print it; without parts, write docs/benchmarks.md too."""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from tests.bench import agent, footprint, incidents, intake, parts
from tests.bench.report import Row, print_rows, write_document
from tests.e2e.walk import ROOT

DOCUMENT = ROOT / "docs" / "benchmarks.md"
PARTS: dict[str, tuple[str, Callable[[Path], Awaitable[list[Row]]]]] = {
    "footprint": ("Footprint", footprint.measure),
    "intake": ("Intake", intake.measure),
    "incidents": ("Incidents", incidents.measure),
    "parts": ("Parts", parts.measure),
    "agent": ("Agent loop", agent.measure),
}


def main(chosen: Sequence[str]) -> int:
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        print(f"There is no part {unknown[0]}; there are {', '.join(PARTS)}.", file=sys.stderr)
        return 2
    began, load = time.monotonic(), os.getloadavg()[0]
    sections = []
    for name in chosen or PARTS:
        title, measure = PARTS[name]
        with tempfile.TemporaryDirectory(prefix=f"nightshift-bench-{name}-") as folder:
            rows = asyncio.run(measure(Path(folder)))  # type: ignore[arg-type] # each is a coroutine
        print_rows(title, rows)
        sections.append((f"{title} (`{name}`)", rows))
    print(f"\n{time.monotonic() - began:.0f} s")
    if not chosen:
        write_document(DOCUMENT, sections, (load, os.getloadavg()[0]))
        print(f"Written: {DOCUMENT.relative_to(ROOT)}")
    return 1 if any(row.kept is False for _, rows in sections for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
