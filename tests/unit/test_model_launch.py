"""Starting sglang on this host: what the launcher checks, and what is handed to it."""

import importlib.util
import os
import socket
import sys
import types
from pathlib import Path

import pytest

from bot.bootstrap.commands.model_commands import Launch, Wish, run_launch, run_router
from bot.bootstrap.model_profiles import PLACE, find_profile, list_models, load_gpus
from bot.domain.models.launch import OPTIONS, SGLANG, build_flags
from bot.domain.models.plan import Ask, make_plan
from bot.errors import Refused

#: Each option of sglang with its choices, written by `make record-sglang`.
HELP = Path(__file__).resolve().parents[1] / "sglang" / "recorded" / "options.txt"
WISH = Wish(gpus="4xH100", model="mistral-medium-3.5", context=40_960, concurrency=1, cache="bf16")
HERE = Launch(host="127.0.0.1", port=30_000, python="")


@pytest.fixture
def launcher():
    spec = importlib.util.spec_from_file_location("launch_of_sglang", PLACE / "launch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def fake_sglang(monkeypatch):
    """An sglang that knows our options and notes how it was started."""
    started = []

    class ServerArgs:
        @staticmethod
        def add_cli_args(parser):
            for option in OPTIONS:
                parser.add_argument(option)

    parts = {
        "sglang": {},
        "sglang.launch_server": {"run_server": started.append},
        "sglang.srt": {},
        "sglang.srt.plugins": {"load_plugins": lambda: None},
        "sglang.srt.server_args": {"ServerArgs": ServerArgs, "prepare_server_args": list},
        "sglang.srt.utils": {"kill_process_tree": lambda _pid, include_parent: started.append(include_parent)},
    }
    for name, members in parts.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    return started


@pytest.fixture
def executed(monkeypatch):
    calls = []
    monkeypatch.setattr(os, "execve", lambda *call: calls.append(call))
    monkeypatch.delenv("SGLANG_API_KEY", raising=False)
    monkeypatch.delenv("NIGHTSHIFT_MODEL_API_KEY", raising=False)
    return calls


def test_a_missing_sglang_is_named_with_its_extra(launcher, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sglang", None)
    with pytest.raises(SystemExit) as ended:
        launcher.main(["--model-path", "m"])
    assert ended.value.code == 3
    said = capsys.readouterr().err
    assert "the extra `sglang`" in said
    assert sys.executable in said


def test_an_option_that_this_sglang_does_not_know_stops_it_before_the_start(launcher, fake_sglang, capsys):
    with pytest.raises(SystemExit) as ended:
        launcher.main(["--model-path", "m", "--brand-new", "1"])
    assert (ended.value.code, fake_sglang) == (4, [])
    assert "does not know --brand-new" in capsys.readouterr().err


def test_it_starts_with_the_key_of_the_environment_and_cleans_up(launcher, fake_sglang, monkeypatch):
    monkeypatch.setenv("SGLANG_API_KEY", "k")
    launcher.main(["--model-path", "m", "--host", "10.0.0.1"])
    assert fake_sglang == [["--model-path", "m", "--host", "10.0.0.1", "--api-key", "k"], False]


def test_without_a_key_it_listens_here_only(launcher, fake_sglang, monkeypatch, capsys):
    monkeypatch.delenv("SGLANG_API_KEY", raising=False)
    launcher.main(["--host", "127.0.0.1"])
    assert fake_sglang[0] == ["--host", "127.0.0.1"]
    with pytest.raises(SystemExit) as ended:
        launcher.main(["--host", "0.0.0.0"])
    assert ended.value.code == 5
    assert "set SGLANG_API_KEY" in capsys.readouterr().err


@pytest.mark.parametrize("first", [[], ["smg"]])
def test_a_port_that_is_taken_is_named_before_anything_is_loaded(launcher, fake_sglang, first, capsys):
    """SGLang loads its weights first, and then hangs."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        with pytest.raises(SystemExit) as ended:
            launcher.main([*first, "--host", "127.0.0.1", "--port", port])
    assert (ended.value.code, fake_sglang) == (6, [])
    assert f"something listens at 127.0.0.1:{port} already" in capsys.readouterr().err


def test_launch_becomes_the_launcher_with_the_planned_options(executed, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_MODEL_API_KEY", "secret")
    run_launch(WISH, HERE)
    ((program, words, environment),) = executed
    assert program == sys.executable
    assert words[1] == str(PLACE / "launch.py")
    assert words[words.index("--tp-size") + 1] == "4"
    assert words[-4:] == ["--host", "127.0.0.1", "--port", "30000"]
    assert "secret" not in " ".join(words)
    assert environment["SGLANG_API_KEY"] == "secret"


def test_a_router_is_started_in_front_of_servers(executed, monkeypatch):
    monkeypatch.setenv("SGLANG_API_KEY", "secret")
    run_router(
        ["http://gpu1:30000", "http://gpu2:30000/"], Launch(host="10.0.0.1", port=None, python="/opt/smg/python")
    )
    ((program, words, environment),) = executed
    assert (program, words[2:6]) == (
        "/opt/smg/python",
        ["smg", "--worker-urls", "http://gpu1:30000", "http://gpu2:30000/"],
    )
    assert words[-4:] == ["--host", "10.0.0.1", "--port", "8000"]
    assert "secret" not in " ".join(words)
    assert environment["SGLANG_API_KEY"] == "secret"


def test_a_router_starts_with_the_key_of_the_environment(launcher, monkeypatch, capsys):
    started, smg = [], types.ModuleType("smg.launch_router")
    vars(smg).update({"launch_router": started.append, "parse_router_args": list})
    monkeypatch.setitem(sys.modules, "smg", types.ModuleType("smg"))
    monkeypatch.setitem(sys.modules, "smg.launch_router", smg)
    monkeypatch.setenv("SGLANG_API_KEY", "k")
    launcher.main(["smg", "--worker-urls", "http://a"])
    assert started == [["--worker-urls", "http://a", "--api-key", "k"]]
    monkeypatch.setitem(sys.modules, "smg", None)
    monkeypatch.setitem(sys.modules, "smg.launch_router", None)
    with pytest.raises(SystemExit):
        launcher.main(["smg", "--worker-urls", "http://a"])
    assert "smg cannot be imported" in capsys.readouterr().err


@pytest.mark.parametrize("worker", ["gpu1:30000", "http://", "http://u:p@gpu1", "http://gpu1/v1", "-x"])
def test_a_router_wants_addresses_of_servers(executed, worker):
    with pytest.raises(Refused, match="is no server: write http://HOST:PORT"):
        run_router(["http://gpu1:30000", worker], HERE)
    assert executed == []


def test_what_does_not_fit_is_not_started(executed, capsys):
    assert run_launch(Wish(**{**vars(WISH), "gpus": "1xL40S"}), HERE) == 1
    assert executed == []
    assert "does not fit" in capsys.readouterr().out


def test_a_python_that_is_not_there_is_named():
    with pytest.raises(Refused, match="/no/python cannot be run: No such file"):
        run_launch(WISH, Launch(host="127.0.0.1", port=1, python="/no/python"))


def read_help():
    """Return the choices of each option of the real sglang; none where it takes anything."""
    choices = {}
    for line in HELP.read_text(encoding="utf-8").splitlines():
        names, _, some = line.partition(" {")
        choices |= dict.fromkeys(names.split(", "), some.removesuffix("}").split(",") if some else [])
    return choices


def test_every_option_of_ours_is_one_of_sglangs():
    assert set(read_help()) >= OPTIONS, SGLANG


@pytest.mark.parametrize("model", list_models())
@pytest.mark.parametrize("cache_bytes", [1, 2])
def test_every_line_says_what_sglang_lets_choose(model, cache_bytes):
    choices, profile = read_help(), find_profile(model)
    plans = [make_plan(profile, Ask(gpu=gpu, gpus=8, nodes=2, cache_bytes=cache_bytes)) for gpu in load_gpus()]
    flags = {flag for plan in plans for flag in build_flags(plan)}
    assert not [flag for flag in flags if choices[flag.name] and flag.value not in choices[flag.name]]
