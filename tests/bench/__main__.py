"""python -m tests.bench [PART…]: measure what is promised and print it; without parts, write docs/benchmarks.md too."""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

from tests.bench import (
    agent,
    approval,
    ci_logs,
    drain,
    footprint,
    incidents,
    intake,
    logs,
    on_postgres,
    parts,
    suspects,
)
from tests.bench.report import Row, Section, measure_slowdown, print_section, write_section
from tests.e2e.walk import ROOT

DOCUMENT = ROOT / "docs" / "benchmarks.md"
PARTS: dict[str, tuple[str, Callable[[Path], Coroutine[None, None, list[Row]]]]] = {
    "footprint": ("Footprint", footprint.measure),
    "intake": ("Intake", intake.measure),
    "postgres": ("Intake on PostgreSQL", on_postgres.measure),
    "incidents": ("Incidents", incidents.measure),
    "drain": ("Many chats", drain.measure),
    "approval": ("From the press to the verdict", approval.measure),
    "suspects": ("Suspects", suspects.measure),
    "parts": ("Parts", parts.measure),
    "ci_logs": ("CI logs", ci_logs.measure),
    "agent": ("Agent loop", agent.measure),
    "logs": ("Reading logs", logs.measure),
}
#: What a part reads that lies beside the checkout. Without it the other rows are measured.
DATA: dict[str, str] = {
    "ci_logs": "Of the rows Jenkins, GitHub Actions and labelled logs the data is `../shared/samples/ci-logs.tar.xz`.",
    "logs": "Of the rows of LogHub-2k sets the data is `../shared/samples/loghub.tar.xz`, raw lines and their truth.",
}


def main(chosen: Sequence[str]) -> int:
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        print(f"There is no part {unknown[0]}; there are {', '.join(PARTS)}.", file=sys.stderr)
        return 2
    began, sections = time.monotonic(), []
    for name in chosen or PARTS:
        title, measure = PARTS[name]
        before = measure_slowdown()
        with tempfile.TemporaryDirectory(prefix=f"nightshift-bench-{name}-") as folder:
            rows = asyncio.run(measure(Path(folder)))
        slowdown = statistics.mean((before, measure_slowdown()))
        sections.append(Section(title=f"{title} (`{name}`)", rows=rows, slowdown=slowdown, data=DATA.get(name, "")))
        print_section(sections[-1])
        write_section(DOCUMENT, sections[-1], [f"{title} (`{part}`)" for part, (title, _) in PARTS.items()])
    print(f"\n{time.monotonic() - began:.0f} s")
    print(f"Written: {DOCUMENT.relative_to(ROOT)}")
    return 1 if any(section.verdict(row) == "**missed**" for section in sections for row in section.rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
