import sys
from pathlib import Path

import pytest

from bot.bootstrap.metric_source import open_metrics
from bot.demo.config import BotPlace, bot_env, render_config
from bot.demo.repository import CheckoutWorld
from bot.demo.service import DemoService
from bot.domain.metrics.promql import fill_query
from bot.settings import Settings, load_settings

ODD = Path('/tmp/a "quoted" folder/ü')


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    world = CheckoutWorld(repository=ODD / "checkout.git", head="1" * 40, culprit="2" * 40, commits=())
    service = DemoService(state=ODD, repository=world.repository, port=8001, run=world.run)
    file = tmp_path / "nightshift.toml"
    file.write_text(render_config(BotPlace(port=8002, state=ODD / "bot"), world, service), encoding="utf-8")
    for name, value in bot_env({"NIGHTSHIFT_SERVER__PORT": "1"}, "s3cret").items():
        monkeypatch.setenv(name, value)
    return load_settings(file)


def test_the_configuration_has_no_problem_and_says_what_it_should(settings: Settings) -> None:
    service = settings.service_map()["checkout"]
    assert service.repository == str(ODD / "checkout.git")
    assert service.logs[0].path == str(ODD / "checkout.log")
    assert service.checks["tests"] == ("python", "-m", "unittest", "-q")
    assert service.deploy[-4:] == (sys.executable, "-m", "bot.demo.deploy", str(ODD))
    assert (settings.server.port, settings.server.state_dir) == (8002, ODD / "bot")


def test_both_people_may_approve_and_the_alert_is_routed(settings: Settings) -> None:
    assert settings.approval_policy().approvers == ("ana", "ben")
    assert settings.roster().find("web", "ana") == settings.roster().find("console", "ana")
    (route,) = settings.route_list()
    assert (route.service, route.channels) == ("checkout", ("console", "web"))
    assert [step.people for step in settings.escalation_map()["default"].steps] == [("ana",), ("ben",)]


def test_the_environment_forgets_other_settings() -> None:
    env = bot_env({"NIGHTSHIFT_PUBLIC_URL": "https://elsewhere.example", "HOME": "/h", "PYTHONPATH": "/p"}, "s3cret")
    assert [name for name in env if name.startswith("NIGHTSHIFT_")] == ["NIGHTSHIFT_ALERT_TOKEN"]
    assert env["HOME"] == "/h"
    assert env["PYTHONPATH"].endswith("/p")


def test_a_model_is_handed_on_only_where_the_demo_was_given_one():
    ours = {"NIGHTSHIFT_MODEL_URL": "http://elsewhere", "NIGHTSHIFT_MODEL_API_KEY": "k", "NIGHTSHIFT_MODEL_NAME": "m"}
    assert not [name for name in bot_env(ours, "s3cret") if "MODEL" in name]
    env = bot_env(ours, "s3cret", model_url="http://gpu:1")
    assert (env["NIGHTSHIFT_MODEL_URL"], env["NIGHTSHIFT_MODEL_API_KEY"]) == ("http://gpu:1", "k")


def test_with_a_prometheus_its_alerts_are_plotted(tmp_path: Path) -> None:
    world = CheckoutWorld(repository=ODD / "checkout.git", head="1" * 40, culprit="2" * 40, commits=())
    service = DemoService(state=ODD, repository=world.repository, port=8001, run=world.run)
    file, place = tmp_path / "nightshift.toml", BotPlace(port=8002, state=ODD / "bot")
    file.write_text(render_config(place, world, service, metrics_url="http://127.0.0.1:9"), encoding="utf-8")
    settings = load_settings(file)
    (query,) = settings.service_map()["checkout"].metrics
    assert fill_query(query.expr, {"service": "checkout"}).count('{service="checkout"}') == 1
    source = open_metrics(settings)
    assert source is not None
    assert source.name == "prometheus"
