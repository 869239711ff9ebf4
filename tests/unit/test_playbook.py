"""Playbook files: what is read, what is refused and where, and the rendered text."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.domain.incident import Incident, IncidentState, Severity
from bot.domain.playbook import Playbook, choose_playbook, parse_playbook
from bot.errors import Refused
from bot.render.playbook import check_text, render_text

GOOD = """+++
name = "http-5xx"
title = "Errors"
look_back = 600

[when]
alertname = "High.*"
severity = "critical|page"
+++

# {{ incident.service }}
"""
HEAD = 'name = "a"\ntitle = "b"\nwhen = {alertname = "x"}\n'


def make_incident(**changes):
    at = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
    values = {
        "id": "INC-7", "key": "k", "title": "Half of all requests fail", "service": "checkout",
        "severity": Severity.CRITICAL, "state": IncidentState.TRIGGERED, "opened_at": at, "changed_at": at,
        "alert_started_at": at,
    } | changes  # fmt: skip
    return Incident(**values)


def test_a_playbook_is_read_with_its_defaults():
    playbook = parse_playbook(GOOD)
    assert (playbook.name, playbook.look_back, playbook.history) == ("http-5xx", 600, 50)
    assert playbook.text == "# {{ incident.service }}\n"
    assert playbook.matches({"alertname": "HighErrors", "severity": "page"})
    assert not playbook.matches({"alertname": "HighErrors"})
    assert not playbook.matches({"alertname": "NotHigh", "severity": "page"})


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("# hello", 1, "begins with a line +++"),
        ("+++\nname = 1\n", 2, "no closing line"),
        ("+++\nname = \n+++\n", 2, "not TOML"),
        ("+++\n" + HEAD + "colour = 1\n+++\n", 5, "unknown key 'colour'"),
        ('+++\nname = "a"\nwhen = {x = "y"}\n+++\n', 1, "needs 'title'"),
        ("+++\n" + HEAD.replace('"a"', '"A b"') + "+++\n", 2, "lower-case"),
        ("+++\n" + HEAD + "look_back = 5\n+++\n", 5, "from 60 to"),
        ("+++\n" + HEAD + "first_seconds = 90\n+++\n", 5, "not be longer than evidence_seconds"),
        ("+++\n" + HEAD + "history = true\n+++\n", 5, "whole number"),
        ("+++\n" + HEAD.replace('"x"', '"(?=a)"') + "+++\n", 4, "not a regular expression"),
        ('+++\nname = "a"\ntitle = "b"\n\n[when]\nalertname = 5\n+++\n', 6, "in quotes"),
        ('+++\nname = "a"\ntitle = "b"\n\n[when]\n+++\n', 5, "at least one label"),
        ('+++\nname = "a"\ntitle = "b"\n+++\n', 1, "or otherwise = true"),
        ("+++\n" + HEAD + "otherwise = true\n+++\n", 5, "not both"),
        ('+++\nname = "a"\ntitle = "b"\notherwise = "yes"\n+++\n', 4, "true or false"),
        ("+++\n" + HEAD + "is_shipped = false\n+++\n", 5, "unknown key"),
        ("+++\n" + HEAD + 'evidence = ["logs", "mail"]\n+++\n', 5, "evidence knows"),
        ("+++\n" + HEAD + "tools = 3\n+++\n", 5, "list of texts"),
    ],
)
def test_faults_name_their_line(text, line, words):
    with pytest.raises(Refused) as caught:
        parse_playbook(text)
    assert f"line {line}:" in str(caught.value)
    assert words in str(caught.value)


def test_the_most_particular_playbook_is_chosen():
    wide = Playbook(name="wide", title="w", when={"alertname": ".*"})
    narrow = Playbook(name="narrow", title="n", when={"alertname": ".*", "service": "checkout"})
    labels = {"alertname": "X", "service": "checkout"}
    assert choose_playbook([wide, narrow], labels) == narrow
    assert choose_playbook([wide, narrow], {"alertname": "X"}) == wide
    assert choose_playbook([narrow], {"alertname": "X"}) is None


def test_text_is_rendered_from_plain_values():
    assert render_text(parse_playbook(GOOD), make_incident()) == "# checkout"


@pytest.mark.parametrize(
    "text",
    [
        "{{ incident.nothing }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ incident.labels.__init__.__globals__ }}",
        "{{ incident.labels.update({'a': 'b'}) }}",
    ],
)
def test_templates_reach_nothing_but_values(text):
    with pytest.raises(Refused, match="cannot be rendered"):
        render_text(Playbook(name="a", title="b", when={}, text=text), make_incident())


def test_hostile_values_are_not_templates():
    playbook = Playbook(name="a", title="b", when={}, text="{{ incident.title }}")
    assert render_text(playbook, make_incident(title="{{ 7*7 }}")) == "{{ 7*7 }}"


def test_a_broken_template_names_its_line():
    with pytest.raises(Refused, match="line 2 of its text"):
        check_text(Playbook(name="a", title="b", when={}, text="fine\n{% if %}"))


def test_the_shipped_playbooks_are_sound():
    folder = Path(__file__).parents[2] / "playbooks"
    files = [file for file in sorted(folder.glob("*.md")) if file.name != "README.md"]
    assert files
    for file in files:
        playbook = parse_playbook(file.read_text())
        check_text(playbook)
        assert playbook.name == file.stem
        assert "checkout" in render_text(playbook, make_incident())


@pytest.mark.parametrize("name", ["HighHTTP5xxRate", "HighErrorRate", "CheckoutHTTPErrors", "http_error_rate"])
def test_http_5xx_answers_the_usual_alert_names(name):
    text = (Path(__file__).parents[2] / "playbooks" / "http-5xx.md").read_text()
    assert parse_playbook(text).matches({"alertname": name})
    assert not parse_playbook(text).matches({"alertname": "DiskFull"})


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("KubePodCrashLooping", "crash-loop"),
        ("ServiceDown", "crash-loop"),
        ("PodRestartingTooOften", "crash-loop"),
        ("HighLatency", "latency"),
        ("http_request_duration_high", "latency"),
        ("P99High", "latency"),
        ("CIFailed", "ci-failure"),
        ("CICheckFailed", "ci-failure"),
        ("MainBranchRed", "ci-failure"),
        ("ci-tests-failing", "ci-failure"),
        ("HighErrorRate", "http-5xx"),
        ("DiskFull", "general"),
        ("CapacityLow", "general"),
        ("HealthCheckFailed", "general"),
        ("BackupFailed", "general"),
    ],
)
def test_the_shipped_playbooks_share_the_usual_alert_names(name, chosen):
    folder = Path(__file__).parents[2] / "playbooks"
    shipped = [parse_playbook(file.read_text()) for file in folder.glob("*.md") if file.name != "README.md"]
    found = choose_playbook(shipped, {"alertname": name})
    assert found is not None
    assert found.name == chosen
