"""Each playbook has a scenario folder: an alert that it answers, and the investigation that must come of it."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.conclusion import conclude
from bot.domain.incident import Incident, IncidentState, Severity
from bot.domain.investigation import Collected, Confirmed, Drafted, Job, Suspected, Verified
from bot.domain.playbook import choose_playbook
from bot.domain.service import LogPlace, Service
from bot.render.progress import render_findings, render_status
from bot.worker.collect import collect
from bot.worker.tools import Tools
from connectors.logs.file import Source
from tests.playbooks.scenario import HERE, PLAYBOOKS, play

CANNED = sorted(folder.parent.name for folder in HERE.glob("*/canned"))


@pytest.mark.parametrize("name", [playbook.name for playbook in PLAYBOOKS])
async def test_a_playbook_leads_from_its_alert_to_a_verified_revert(name, tmp_path):
    scenario = await asyncio.to_thread(play, name, tmp_path)
    assert scenario.playbook.name == name
    results = await scenario.investigate()
    collected, suspected, confirmed, drafted, verified = results
    expected = scenario.expected

    said = [(piece.kind, piece.text.splitlines()[0]) for piece in collected.evidence]
    assert len(said) == len(expected["evidence"]), said
    for (kind, text), (wanted, pattern) in zip(said, expected["evidence"], strict=True):
        assert kind == wanted
        assert re.search(pattern, text), text
    assert scenario.world.culprit_subject == expected["culprit"]
    assert suspected.suspects[0].commit == scenario.world.culprit
    assert confirmed.culprit == scenario.world.culprit, confirmed.how
    assert re.search(expected["how"], confirmed.how), confirmed.how
    assert drafted.title == f'Revert "{expected["culprit"]}"'
    assert verified.is_verified, verified.notes
    findings, evidence = conclude(results)
    claims = [finding.claim for finding in findings]
    for pattern in expected["findings"]:
        assert any(re.search(pattern, claim) for claim in claims), claims
    assert {piece for finding in findings for piece in finding.evidence} <= {piece.id for piece in evidence}
    headline = render_findings(_incident(), findings, evidence).headline
    assert expected["culprit"] in headline
    shown = _show(results)
    for pattern in expected["status"]:
        assert re.search(pattern, shown), shown
    if name != "http-5xx":
        assert "failing request" not in " ".join([shown, *claims])


@pytest.mark.parametrize("name", ["latency", "ci-failure"])
async def test_after_a_restart_the_trial_is_found_again(name, tmp_path):
    scenario = await asyncio.to_thread(play, name, tmp_path)
    results = await scenario.investigate()
    again = await scenario.investigate(*results[:3])
    assert [type(result) for result in again] == [Collected, Suspected, Confirmed, Drafted, Verified]
    assert again[3].patch == results[3].patch
    assert again[4].is_verified, again[4].notes


@pytest.mark.parametrize("name", CANNED)
def test_canned_logs_yield_exactly_this_evidence(name):
    folder = HERE / name / "canned"
    alert, expected = (json.loads((folder / file).read_text()) for file in ("alert.json", "expected.json"))
    playbook = choose_playbook(PLAYBOOKS, alert["labels"])
    assert playbook is not None
    assert playbook.name == name

    at = datetime.fromisoformat(alert["starts_at"])
    logs = tuple(LogPlace(kind="file", path=str(log)) for log in sorted(folder.glob("*.log")))
    service = Service(name=alert["labels"]["service"], repository="file:///nowhere", logs=logs)
    job = Job(
        run="INC-1:1", incident="INC-1", service=service, playbook=playbook, title="Errors", alert_started_at=at,
        now=at + timedelta(minutes=1), folder="/nowhere",
    )  # fmt: skip
    tools = Tools(
        log_source=lambda place: Source(place.kind, place.path),
        workspaces=None,
        sandbox=None,
        redact=lambda text: text,
        redact_lines=list,
        prepare_toolchain=None,
    )  # nothing but the logs is read in this stage

    collected = collect(job, tools)
    said = [{"id": e.id, "kind": e.kind, "cite": e.cite, "says": e.text.splitlines()[0]} for e in collected.evidence]
    assert said == expected["evidence"]
    frame = collected.records[0].frames[-1]
    assert [frame.path, frame.line, frame.function] == expected["innermost"]
    assert list(collected.notes) == expected["notes"]


def test_every_playbook_has_its_scenario():
    folders = {path.parent.name for path in HERE.glob("*/scenario.json")}
    assert {playbook.name for playbook in PLAYBOOKS} == folders


def _incident() -> Incident:
    at = datetime.now(UTC)
    return Incident(
        id="INC-1", key="k", title="Alert", service="s", severity=Severity.WARNING, state=IncidentState.TRIGGERED,
        opened_at=at, changed_at=at, alert_started_at=at,
    )  # fmt: skip


def _show(results) -> str:
    message = render_status(_incident(), results, running=None, failed=None, now=datetime.now(UTC))
    return "\n".join(item for block in message.blocks for item in getattr(block, "items", ()))
