from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from bot.demo.api import CIStatus, IncidentStatus, PatchStatus, read_incident, read_timeline
from bot.demo.history import git, grow_repository, parse_step
from bot.demo.proof import find_faults, find_milestones
from bot.domain.patches.patch import parse_patch

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HEAD = "Subject: {}\nFrom: Ana B <a@x.example>\nAge: {}d\nBranch: {}\n\n"
FIRST = "diff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+one\n"
SECOND = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-one\n+two\n"
BRANCH = "nightshift/INC-1/0123456789ab"


@dataclass(frozen=True, kw_only=True)
class Case:
    repository: Path
    status: IncidentStatus
    shown: bytes


@pytest.fixture
def case(tmp_path: Path) -> Case:
    steps = [parse_step(HEAD.format("One", 2, "main") + FIRST), parse_step(HEAD.format("Two", 1, "main") + SECOND)]
    history = grow_repository(steps, tmp_path / "r.git", now=NOW)
    base, pushed = history.commits
    git("branch", BRANCH, pushed, cwd=history.repository)
    shown = parse_patch(SECOND.encode()).text
    status = IncidentStatus(
        id="INC-1",
        state="resolved",
        run_state="done",
        patches=(PatchStatus(digest=sha256(shown).hexdigest(), base=base, state="executed"),),
        ci=(CIStatus(sha=pushed, state="passed"),),
    )
    return Case(repository=history.repository, status=status, shown=shown)


def test_all_holds(case: Case) -> None:
    assert find_faults(case.repository, case.status, case.shown) == []


def two_runs(case: Case) -> Case:
    return replace(case, status=replace(case.status, ci=case.status.ci * 2))


def other_bytes(case: Case) -> Case:
    return replace(case, shown=case.shown.replace(b"+two", b"+tvo"))


def another_push(case: Case) -> Case:
    git("branch", f"{BRANCH}c", BRANCH, cwd=case.repository)
    return case


def not_executed(case: Case) -> Case:
    return replace(case, status=replace(case.status, patches=()))


def other_base(case: Case) -> Case:
    patch = replace(case.status.patches[0], base="0" * 40)
    return replace(case, status=replace(case.status, patches=(patch,)))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (two_runs, "2 CI runs"),
        (other_bytes, "is not the diff that was shown"),
        (another_push, "2 branches"),
        (not_executed, "0 approvals were executed"),
        (other_base, "approved base"),
    ],
)
def test_says_what_does_not_hold(case: Case, spoil: Callable[[Case], Case], said: str) -> None:
    spoiled = spoil(case)
    assert any(said in fault for fault in find_faults(spoiled.repository, spoiled.status, spoiled.shown))


def test_milestones_are_the_first_of_their_kind() -> None:
    rows = [
        ("opened", 0.2, {}),
        ("posted", 0.4, {"slot": "page-0"}),
        ("posted", 0.5, {"slot": "card"}),
        ("posted", 0.9, {"slot": "card"}),
        ("stage", 3, {"stage": "collected"}),
        ("stage", 4, {"stage": "suspected"}),
        ("patch_ready", 9, {}),
        ("ci_passed", 15, {}),
    ]
    events = read_timeline(
        {
            "events": [
                {"at": (NOW + timedelta(seconds=at)).isoformat(), "kind": kind, "text": "", "data": data}
                for kind, at, data in rows
            ]
        }
    )
    assert [(step.name, step.seconds) for step in find_milestones(events, NOW)] == [
        ("first card", 0.5),
        ("suspect named", 4),
        ("verified patch shown", 9),
        ("verdict: CI passed", 15),
    ]


def test_reads_an_incident_and_nothing_more() -> None:
    status = read_incident(
        {
            "id": "INC-1",
            "state": "triggered",
            "run_state": "running",
            "approvals": [{"digest": "d", "base": "b", "state": "pending", "approved_by": []}],
            "ci": [],
        }
    )
    assert (status.patches[0].state, status.ci) == ("pending", ())
