"""Each playbook has a scenario folder: an alert that it answers, canned logs, and the evidence it must gather."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bot.domain.investigation import Job
from bot.domain.playbook import choose_playbook, parse_playbook
from bot.domain.service import LogPlace, Service
from bot.worker.collect import collect
from bot.worker.tools import Tools
from connectors.logs.file import Source

HERE = Path(__file__).parent
PLAYBOOKS = sorted((HERE.parents[1] / "playbooks").glob("*.md"))


@pytest.mark.parametrize("file", PLAYBOOKS, ids=lambda file: file.stem)
def test_a_playbook_gathers_what_its_scenario_expects(file):
    scenario = HERE / file.stem
    alert, expected = (json.loads((scenario / name).read_text()) for name in ("alert.json", "expected.json"))
    playbook = choose_playbook([parse_playbook(each.read_text()) for each in PLAYBOOKS], alert["labels"])
    assert playbook is not None
    assert playbook.name == file.stem

    at = datetime.fromisoformat(alert["starts_at"])
    logs = tuple(LogPlace(kind="file", path=str(log)) for log in sorted(scenario.glob("*.log")))
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
