"""The options of `nightshift model`."""

import json

import pytest

from bot.bootstrap.commands import model_options
from bot.bootstrap.commands.model_commands import Bench, Launch, Look, Wish
from bot.bootstrap.commands.model_options import model_main
from bot.domain.models.bench import Load


@pytest.fixture
def asked(monkeypatch):
    """What `launch`, `status` and `bench` would have been asked."""
    calls = []
    for name in ("run_launch", "run_router", "run_status", "run_bench"):
        monkeypatch.setattr(model_options, name, lambda *what: calls.append(what) or 0)
    return calls


def test_a_plan_is_printed_and_its_exit_code_says_whether_it_suffices(capsys):
    assert model_main(["plan", "--gpus", "4xH100", "--model", "mistral-medium-3.5"]) == 0
    assert capsys.readouterr().out.startswith("Mistral Medium 3.5 fits on 4 × H100: 7 runs at a time")
    assert model_main(["plan", "--gpus", "1xH100", "--model", "mistral-medium-3.5", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["fits"] is False


def test_the_options_change_the_plan(capsys):
    model_main([
        "plan", "--gpus", "8xH100", "--model", "Kimi-K2.6", "--nodes", "4", "--context", "20000", "--concurrency", "30",
        "--cache", "fp8", "--json",
    ])  # fmt: skip
    table = json.loads(capsys.readouterr().out)
    assert (table["nodes"], table["context"], table["nodes_per_server"], table["suffices"]) == (4, 20_000, 2, True)
    assert "fp8_e4m3" in table["command"]


def test_without_the_draft_there_is_more_room(capsys):
    words = ["plan", "--gpus", "4xH100", "--model", "mistral-medium-3.5", "--json"]
    model_main(words)
    with_draft = json.loads(capsys.readouterr().out)
    model_main([*words, "--no-draft"])
    without = json.loads(capsys.readouterr().out)
    assert "--speculative-algorithm" in with_draft["command"]
    assert not [word for word in without["command"] if word.startswith("--speculative")]
    assert without["tokens_per_server"] > with_draft["tokens_per_server"]
    assert without["bytes_per_gpu"]["draft"] == 0


def test_the_others_get_what_was_typed(asked):
    model_main(["launch", "--gpus", "4xH100", "--model", "m.toml", "--port", "1234", "--python", "/p"])
    model_main(["launch", "--workers", "http://a:1", "http://b:1"])
    model_main(["status"])
    model_main(["bench", "--url", "http://gpu:1", "--runs", "2", "--tokens", "9", "--json"])
    assert asked == [
        (
            Wish(gpus="4xH100", model="m.toml", nodes=1, context=40_960, concurrency=1, cache="bf16"),
            Launch(host="127.0.0.1", port=1234, python="/p"),
        ),
        (["http://a:1", "http://b:1"], Launch(host="127.0.0.1", port=None, python="")),
        (Look(url="", as_json=False),),
        (Look(url="http://gpu:1", as_json=True), Bench(model="", load=Load(runs=2, answer_tokens=9))),
    ]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["plans"],
        ["plan", "--gpus", "4xH100"],
        ["plan", "--gpus", "4xH100", "--model", "m", "--context", "0"],
        ["plan", "--gpus", "4xH100", "--model", "m", "--cache", "int4"],
        ["launch", "--gpus", "4xH100", "--model", "m", "--port", "70000"],
        ["launch", "--gpus", "4xH100", "--model", "m", "--nodes", "2"],
        ["launch", "--gpus", "4xH100"],
        ["launch", "--gpus", "4xH100", "--workers", "http://a:1"],
        ["launch"],
        ["bench", "--runs", "1000"],
        ["bench", "--run", "1"],
        ["status", "--url"],
    ],
)
def test_a_wrong_option_ends_with_code_2(words, capsys):
    with pytest.raises(SystemExit) as ended:
        model_main(words)
    assert ended.value.code == 2
    assert "nightshift model" in capsys.readouterr().err
