"""`triage` with metrics: the bot's questions, asked where somebody names a server, and only then."""

import json

import pytest

from bot.bootstrap.commands.triage_options import triage_main
from bot.errors import ConfigError
from tests.contract.log_servers import LogServer
from tests.contract.metrics_suite import matrix
from tests.unit.test_mend import Repository

RULE = "http://elsewhere.example/graph?g0.expr=errors%7Bjob%3D%22shop%22%7D+%3E+0.02&g0.tab=1"
BEGAN = 1772625600  # 2026-03-04T12:00:00Z
TOKEN = "token-of-the-prometheus-0815"
CONFIG = """[connections.prometheus]
url = "{url}"

[services.shop]
repository = "/srv/shop.git"

[services.shop.metrics.latency]
title = "Latency of the shop"
query = 'latency{{service="$service"}}'
unit = "seconds"
threshold = 0.5
"""


def rise(_server, _path, query, _body):
    """Answer every query with a value that rises from 0 to 0.9 a minute before the alert."""
    start, step, end = (float(query[key]) for key in ("start", "step", "end"))
    times = [start + n * step for n in range(int((end - start) / step) + 1)]
    values = [[at, "0.9" if at > BEGAN - 60 else "0.001"] for at in times]
    return matrix({"metric": {"job": "shop"}, "values": values})


@pytest.fixture
def prometheus():
    server = LogServer(answer=rise)
    stop = server.start()
    yield server
    stop()


@pytest.fixture
def case(tmp_path):
    made = Repository(tmp_path)
    made.commit("Rates", shop__py="RATES = {'SE': 25}\n")
    alert = {"status": "firing", "labels": {"alertname": "ShopErrors", "service": "shop"}, "generatorURL": RULE}
    (tmp_path / "alert.json").write_text(json.dumps({"alerts": [{**alert, "startsAt": "2026-03-04T12:00:00Z"}]}))
    return ["--repo", str(made.folder), "--log", str(made.log), "--alert", str(tmp_path / "alert.json")]


def ask(capsys, *arguments):
    code = triage_main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_rule_of_the_alert_is_asked_for_and_cited(case, prometheus, capsys, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_PROMETHEUS_TOKEN", TOKEN)
    _, said = ask(capsys, *case, "--prometheus", prometheus.url)
    assert [query["query"] for _, query, _ in prometheus.asked] == ['errors{job="shop"}']
    assert prometheus.headers[0]["Authorization"] == f"Bearer {TOKEN}"
    piece = next(each for each in said["evidence"] if each["kind"] == "metric")
    assert piece["cite"] == "metric rule"
    finding = next(each for each in said["findings"] if piece["id"] in each["evidence"])
    assert finding["confidence"] == "confirmed"
    assert "ShopErrors (its rule)" in finding["claim"]
    assert TOKEN not in json.dumps(said)


def test_a_variable_names_the_server_as_well(case, prometheus, capsys, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_PROMETHEUS_URL", prometheus.url)
    ask(capsys, *case)
    assert len(prometheus.asked) == 1


def test_a_configuration_names_the_server_and_the_queries_of_the_service(case, prometheus, capsys, tmp_path):
    (tmp_path / "bot.toml").write_text(CONFIG.format(url=prometheus.url))
    _, said = ask(capsys, *case, "--config", str(tmp_path / "bot.toml"), "--no-model")
    assert {query["query"] for _, query, _ in prometheus.asked} == {'errors{job="shop"}', 'latency{service="shop"}'}
    assert any("Latency of the shop" in finding["claim"] for finding in said["findings"])


def test_where_there_is_nothing_to_ask_that_is_said(case, prometheus, capsys):
    _, said = ask(capsys, *case[:4], "--prometheus", prometheus.url)
    assert prometheus.asked == []
    assert any("no metric was asked for: " in note for note in said["notes"])


def test_a_server_that_is_down_is_a_note_and_the_rest_is_told(case, capsys):
    code, said = ask(capsys, *case, "--prometheus", "http://127.0.0.1:9")
    assert code == 4
    assert any("ShopErrors (its rule)” could not be read" in note for note in said["notes"])
    assert said["suspects"]


def test_an_address_that_is_none_is_said_before_anything_is_read(case):
    with pytest.raises(ConfigError, match=r"prometheus\.url"):
        triage_main([*case, "--prometheus", "prometheus:9090"])
