"""Builds the repository of a case: a long history around one commit that broke something, and the log of it."""

import contextlib
import itertools
import random
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.worlds.regressions.cases import CASES, Case, Edit, Step
from tests.worlds.regressions.features import read_features
from tests.worlds.regressions.noise import make_noise
from tests.worlds.regressions.story import Story

HERE = Path(__file__).parent
MAX_FEATURES, COMMITS_A_FEATURE = 4, 20
_FLAKY = """import os
import unittest


class WeatherTest(unittest.TestCase):
    def test_it_is_dry(self):
        self.assertGreater(os.urandom(1)[0], 80)
"""
_SERVICE = """import logging, sys, unittest
logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
log = logging.getLogger("service")
for number in range(200):
    log.info("request %d answered 200 in %d ms", number, number * 7 % 90)
class Result(unittest.TestResult):
    def addError(self, test, error):
        log.error("request %d failed", 201, exc_info=error)
    addFailure = addError
unittest.defaultTestLoader.loadTestsFromName(sys.argv[1]).run(Result())
for number in range(202, 300):
    log.info("request %d answered 200 in %d ms", number, number * 7 % 90)
"""


@dataclass(frozen=True, kw_only=True)
class Regression:
    """A built case. `good` is the first commit, `log` what its head wrote when it failed."""

    case: Case
    repository: Path
    commits: tuple[str, ...]
    culprit: str
    log: Path

    @property
    def good(self) -> str:
        return self.commits[0]

    @property
    def command(self) -> str:
        return command_of(self.case)


class Untold(Exception):  # noqa: N818 -- what happened to the story
    """The noise before a step changed the lines that it is about."""


def command_of(case: Case) -> str:
    if case.runner == "pytest":
        module, name, test = case.test.rsplit(".", 2)
        quick = "-p no:cacheprovider -p no:hypothesispytest -p no:asyncio -p no:xdist"
        return f"python -m pytest -q {quick} {module.replace('.', '/')}.py::{name}::{test}"
    return f"python -m unittest {case.test}"


def find_case(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


def build_regression(case: Case, folder: Path, *, seed: int = 1) -> Regression:
    """Tell the story of a case and let its head fail once. Of the seeds that follow, the first that works out."""
    for number in itertools.count(seed * 1_000):
        try:
            return _build(case, folder, number)
        except Untold:
            continue
    raise AssertionError


def _build(case: Case, folder: Path, seed: int) -> Regression:
    chance = random.Random(f"{case.name} {seed}")
    step = timedelta(hours=6)
    now = datetime.now(UTC).replace(microsecond=0)
    story = Story(chance=chance, at=now - step * (case.length + 12), step=step)
    story.commit("Begin", _read_project(case.project))
    if case.has_flaky_test:
        story.commit("Test the weather", {"tests/test_weather.py": _FLAKY})
    culprit = _tell(story, case, chance)
    commits = story.write(folder / "repository")
    log = folder / "failure.log"
    log.write_text(_fail(case, folder / "repository"))
    return Regression(
        case=case,
        repository=folder / "repository",
        commits=tuple(commits),
        culprit=commits[culprit - 1],
        log=log,
    )


def _read_project(name: str) -> dict[str, str]:
    parts = re.split(r"^=== (\S+)\n", (HERE / f"{name}.project").read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _tell(story: Story, case: Case, chance: random.Random) -> int:
    """Tell the commits of people and machines in turn; returns the culprit's number."""
    planned = sorted((*case.also, case.culprit), key=lambda step: step.at)
    wanted = read_features(case.project)
    chance.shuffle(wanted)
    count = min(MAX_FEATURES, max(2, case.length // COMMITS_A_FEATURE))
    del wanted[count:]
    culprit = 0
    while len(story.entries) < case.length or planned:
        place = len(story.entries) / case.length
        if planned and place >= planned[0].at:
            step = planned.pop(0)
            if step is case.culprit:
                culprit = _tell_culprit(story, case, chance)
            else:
                _end_branch(story, chance)
                story.commit(step.message, _apply(story.files, step))
        elif wanted and chance.random() < 2 * count / case.length:
            _tell_feature(story, wanted.pop())
        elif not story.is_on_side and chance.random() < 0.06:
            story.fork()
            story.commit(*make_noise(story.files, chance))
        elif story.is_on_side and chance.random() < 0.35:
            _end_branch(story, chance)
        else:
            story.commit(*make_noise(story.files, chance))
    _end_branch(story, chance)
    story.commit(*make_noise(story.files, chance))
    return culprit


def _tell_feature(story: Story, step: Step) -> None:
    """Tell a commit that does something new, where the lines that it is about still stand."""
    with contextlib.suppress(Untold):
        story.commit(step.message, _apply(story.files, step))


def _tell_culprit(story: Story, case: Case, chance: random.Random) -> int:
    if case.on_branch and not story.is_on_side:
        story.fork()
        story.commit(*make_noise(story.files, chance))
    if not case.on_branch:
        _end_branch(story, chance)
    changes = _apply(story.files, case.culprit)
    files = {**story.files, **{path: text for path, text in changes.items() if text is not None}}
    for _ in range(case.busy):
        _, more = make_noise(files, chance)
        changes |= more
        files |= {path: text for path, text in more.items() if text is not None}
    number = story.commit(case.culprit.message, changes)
    if case.on_branch:
        story.commit(*make_noise(story.files, chance))
        _end_branch(story, chance)
    return number


def _end_branch(story: Story, chance: random.Random) -> None:
    if not story.is_on_side:
        return
    if chance.random() < 0.5:
        name = f"docs/notes-{len(story.entries)}.md"
        story.meanwhile("Write down what was decided", name, f"Decided in week {len(story.entries)}.\n")
    story.merge(f"{chance.choice(('feature', 'fix', 'chore'))}/{len(story.entries)}")


def _apply(files: dict[str, str], step: Step) -> dict[str, str | None]:
    changes: dict[str, str | None] = dict(step.files)
    for old, new in step.moves:
        changes |= {old: None, new: files[old]}
    for path, old, new in step.edits:
        if old == new:
            continue
        text = changes.get(path) or files.get(path, "")
        changes[path] = _replace(text, (path, old, new))
    if step.moves:
        for old, new in step.moves:
            before, after = (name.removesuffix(".py").replace("/", ".") for name in (old, new))
            for path, text in files.items():
                if path.endswith(".py") and f"from {before} import" in text and path not in changes:
                    changes[path] = text.replace(f"from {before} import", f"from {after} import")
    return changes


def _replace(text: str, edit: Edit) -> str:
    path, old, new = edit
    if old in text:
        return text.replace(old, new)
    raise Untold(f"{path} has no {old!r}")


def _fail(case: Case, repository: Path) -> str:
    """Run the failing test as its runner does, and return what it wrote."""
    argv = [sys.executable, *command_of(case).split()[1:]]
    if case.runner == "service":
        argv = [sys.executable, "-c", _SERVICE, case.test]
    done = subprocess.run(
        argv, cwd=repository, capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": "."},
    )  # fmt: skip
    return done.stdout + done.stderr
