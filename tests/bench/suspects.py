"""Sixteen regressions in generated repositories: how they are ranked, what confirms them, and what the reverts are."""

import asyncio
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.flaky import OPEN_TEST, PLAIN_TEST, RATES, share_misblamed
from tests.bench.report import Row, exactly, note, spread, within
from tests.worlds.regressions.build import Regression, build_regression
from tests.worlds.regressions.cases import CASES

SEEDS = (1, 2, 3)
#: How many flaky checks of each kind and rate are made up.
FLAKY = 200
TESTS = (OPEN_TEST, PLAIN_TEST)
TOLD = f"{FLAKY * 3 * len(RATES):,} checks that are red {100 * RATES[0]:.0f} to {100 * RATES[-1]:.0f} % of the time"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What `triage` said of one regression."""

    rank: int
    is_right: bool
    runs: int
    seconds: float
    patch: str


async def measure(folder: Path) -> list[Row]:
    ranks: list[int] = []
    outcomes: list[Outcome] = []
    for seed in SEEDS:
        for case in CASES:
            place = folder / f"{case.name}-{seed}"
            place.mkdir()
            made = await asyncio.to_thread(build_regression, case, place, seed=seed)
            ranks.append(_find_rank(await _run(made, "suspects"), made))
            if seed == SEEDS[0]:
                outcomes.append(_read(await _run(made, "triage", "--run", made.command), made))
    kinds = ("verified", "unverified", "none")
    flaky = {test: [await share_misblamed(rate, cases=FLAKY, test=test) for rate in RATES] for test in TESTS}
    patches = " / ".join(str(sum(each.patch == kind for each in outcomes)) for kind in kinds)
    return [
        note("regressions ranked / confirmed, with 20 to 200 commits", f"{len(ranks)} / {len(outcomes)}"),
        within("E5", "culprit not the first suspect, from log and history alone", _share(ranks, 1), 35, "%"),
        within("E5", "… not among the first three", _share(ranks, 3), 15, "%"),
        note("mean reciprocal rank", f"{statistics.mean(1 / rank if rank else 0 for rank in ranks):.2f}"),
        exactly("E5", "culprits not confirmed by execution", sum(not each.is_right for each in outcomes), 0),
        within("E5", "test runs to confirm, median", statistics.median(each.runs for each in outcomes), 5, "runs"),
        note("whole triage with the suite", spread([each.seconds for each in outcomes], "s")),
        note("reverts verified / not verified / none", patches),
        within("E5", f"{TOLD}: an innocent commit blamed, worst rate", max(flaky[OPEN_TEST]), 2, "%"),
        note("… where nothing in the code of the check says so", f"{max(flaky[PLAIN_TEST]):.1f} %"),
    ]


def _share(ranks: Sequence[int], limit: int) -> float:
    return 100 * sum(not 1 <= rank <= limit for rank in ranks) / len(ranks)


async def _run(made: Regression, command: str, *more: str) -> dict[str, object]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", command, "--repo", str(made.repository), "--log", str(made.log), "--good",
        made.good, "--json", *more, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    said = json.loads(output)
    assert isinstance(said, dict)
    return said


def _find_rank(said, made: Regression) -> int:
    return next((each["rank"] for each in said["suspects"] if each["commit"] == made.culprit), 0)


def _read(said, made: Regression) -> Outcome:
    culprit, patch = said["culprit"], said["patch"]
    return Outcome(
        rank=_find_rank(said, made),
        is_right=culprit is not None and culprit["commit"] == made.culprit,
        runs=culprit["test_runs"] if culprit else 99,
        seconds=said["seconds"]["whole"],
        patch="none" if patch is None else "verified" if patch["verified"] else "unverified",
    )
