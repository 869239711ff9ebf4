"""Where the model answers, from files and variables."""

from dataclasses import replace

import pytest

from bot.domain.incident import Severity
from bot.domain.question import Question
from bot.errors import ConfigError
from bot.ports.model import Priority
from bot.settings import Settings, load_settings
from bot.worker.drafting import errand_of
from tests.unit.test_worker_channel import JOB

BOTH = {
    "urls": ["http://a", "http://b"],
    "name": "big",
    "second": {"url": "http://c", "name": "small", "api_key": "k2"},
}


def test_several_addresses_and_a_second_model():
    place = Settings(model=BOTH).model_place()
    assert (place.url, place.others, place.name) == ("http://a", ("http://b",), "big")
    assert (place.second.urls, place.second.name, place.second.api_key) == (("http://c",), "small", "k2")
    assert place.all_urls == ("http://a", "http://b", "http://c")
    assert "k2" in Settings(model=BOTH).secrets()
    assert Settings().model_place() is None


def test_a_variable_wins_over_the_file():
    assert Settings(model=BOTH, model_urls="http://d, http://e").model_place().urls == ("http://d", "http://e")
    assert Settings(model=BOTH, model_url="http://d").model_place().urls == ("http://d",)
    assert Settings(model=BOTH, model_url="").model_place() is None
    both = Settings(model_url="http://d", model_urls="http://e,http://d").model_place()
    assert both.urls == ("http://d", "http://e")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('[model]\nurls = ["http://a", "gpu:30000"]', "model_url"),
        ('[model]\nurl = "http://a"\n[model.second]\nurl = "gpu"', "model.second"),
        ('[model.second]\nurl = "http://a"', "model.second"),
    ],
)
def test_a_wrong_address_is_named(tmp_path, monkeypatch, text, where):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nightshift.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path / "nightshift.toml")
    assert [problem.where for problem in caught.value.problems] == [where]


@pytest.mark.parametrize(
    ("labels", "questions", "priority"),
    [
        ({}, (), Priority.TRIAGE),
        ({}, (Question(person="ada", text="why?"),), Priority.QUESTION),
        ({"severity": Severity.CRITICAL.value}, (), Priority.PAGING),
    ],
)
def test_what_woke_somebody_comes_first(labels, questions, priority):
    errand = errand_of(replace(JOB, labels=labels, questions=questions))
    assert (errand.incident, errand.priority) == ("INC-1", priority)
