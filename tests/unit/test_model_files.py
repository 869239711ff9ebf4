"""The compose files and units that `model plan --write` makes."""

import re
import shutil
import subprocess

import pytest
import yaml

from bot.bootstrap.commands.model_commands import Wish, run_plan
from bot.bootstrap.model_profiles import find_profile, load_gpus
from bot.domain.models.launch import OPTIONS
from bot.domain.models.plan import Ask, make_plan
from bot.errors import Refused
from bot.render.model_files import write_files
from bot.render.model_plan import all_flags

GPUS = {gpu.name: gpu for gpu in load_gpus()}
ROUTER_OPTIONS = {
    "--worker-urls", "--policy", "--disable-circuit-breaker", "--host", "--port", "--prometheus-host",
    "--prometheus-port", "--api-key", "--shutdown-grace-period-secs",
    "--health-check-interval-secs",
}  # fmt: skip


def files_of(model, gpus, kind, nodes=1):
    return write_files(make_plan(find_profile(model), Ask(gpu=GPUS[kind], gpus=gpus, nodes=nodes)))


ONE = files_of("mistral-medium-3.5", 4, "H100")
SEVERAL = files_of("mistral-medium-3.5", 4, "H100", nodes=2)
SHARED = files_of("kimi-k2.6", 8, "H100", nodes=4)
AMD = files_of("devstral-small-2", 1, "MI300X")
WISH = Wish(gpus="4xH100", model="mistral-medium-3.5", context=40_960, concurrency=1, cache="bf16")


def exec_words(unit):
    line = re.search(r"^ExecStart=((?:.*\\\n)*.*)$", unit, re.MULTILINE)[1]
    return line.replace("\\\n", " ").split()


def first_line(unit):
    """What the shell gets from systemd before the server starts."""
    (line,) = re.findall(r"^ExecStartPre=/bin/sh -c '(.*)'$", unit, re.MULTILINE)
    return line.replace("$$", "$")


def test_one_node_gets_a_compose_file_a_unit_and_its_variables():
    assert set(ONE) == {"compose.yaml", "sglang.service", "env.example"}


def test_several_servers_stand_behind_a_router():
    assert {name.split("/")[0] for name in SEVERAL} == {"node-0", "node-1", "router"}
    router = yaml.safe_load(SEVERAL["router/compose.yaml"])["services"]["smg"]
    words = router["command"]
    assert words[:5] == [
        "smg", "launch", "--worker-urls",
        "http://${NODE_0:?set it in .env}:30000", "http://${NODE_1:?set it in .env}:30000",
    ]  # fmt: skip
    assert {word for word in words if word.startswith("--")} == ROUTER_OPTIONS
    assert "smg==1.13.0" in router["build"]["dockerfile_inline"]


def test_a_server_over_two_nodes_is_one_worker_and_knows_its_first_node():
    assert {name.split("/")[0] for name in SHARED} == {"node-0", "node-1", "node-2", "node-3", "router"}
    ranks = [exec_words(SHARED[f"node-{node}/sglang.service"]) for node in range(4)]
    assert [words[words.index("--node-rank") + 1] for words in ranks] == ["0", "1", "0", "1"]
    assert [words[words.index("--dist-init-addr") + 1] for words in ranks] == [
        "${NODE_0}:5000", "${NODE_0}:5000", "${NODE_2}:5000", "${NODE_2}:5000",
    ]  # fmt: skip
    assert "http://${NODE_0}:30000 http://${NODE_2}:30000" in SHARED["router/smg.service"]
    assert "NODE_2=" in SHARED["node-3/env.example"]


def test_the_gpus_are_reserved():
    service = yaml.safe_load(ONE["compose.yaml"])["services"]["sglang"]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 4, "capabilities": ["gpu"]}
    assert service["image"] == "${SGLANG_IMAGE:-lmsysorg/sglang:v0.5.23}"
    shared = yaml.safe_load(SHARED["node-1/compose.yaml"])["services"]["sglang"]
    assert shared["deploy"]["resources"]["reservations"]["devices"][0]["count"] == 8


def test_an_amd_node_gets_its_devices_and_no_image_is_guessed():
    service = yaml.safe_load(AMD["compose.yaml"])["services"]["sglang"]
    assert service["devices"] == ["/dev/kfd", "/dev/dri"]
    assert service["image"].startswith("${SGLANG_IMAGE:?")
    assert "deploy" not in service


@pytest.mark.parametrize("files", [ONE, SEVERAL, SHARED, AMD], ids=["one", "several", "shared", "amd"])
def test_compose_and_unit_start_the_same_server_with_known_options(files):
    for name, text in files.items():
        if not name.endswith("compose.yaml") or name.startswith("router"):
            continue
        command = yaml.safe_load(text)["services"]["sglang"]["command"]
        unit = exec_words(files[name.replace("compose.yaml", "sglang.service")])
        assert [word.replace(":?set it in .env", "") for word in command[1:-1]] == unit[1:-1]
        assert {word for word in command if word.startswith("--")} - {"--config"} <= OPTIONS


@pytest.mark.parametrize("files", [ONE, SEVERAL, SHARED, AMD], ids=["one", "several", "shared", "amd"])
def test_no_file_starts_a_server_without_a_key(files):
    for name, text in files.items():
        if name.endswith(".service"):
            for key, code in (("", 2), ("k", 0)):
                line = first_line(text).replace("/run/sglang/key.yaml", "/dev/null")
                done = subprocess.run(
                    ["/bin/sh", "-c", line], env={"SGLANG_API_KEY": key}, capture_output=True, text=True, check=False
                )
                assert done.returncode == code
                assert ("set it in /etc/sglang/sglang.env" in done.stderr) == (not key)
        elif name.endswith("compose.yaml"):
            assert "${SGLANG_API_KEY:?set it in .env}" in text


@pytest.mark.parametrize("key", ["abc-DEF_123.x=", "0123456789", "true"])
def test_no_list_of_processes_shows_the_key_of_a_server(key, tmp_path):
    unit, compose = ONE["sglang.service"], yaml.safe_load(ONE["compose.yaml"])
    assert "KEY" not in " ".join(exec_words(unit) + compose["services"]["sglang"]["command"])
    path = tmp_path / "key.yaml"
    line = first_line(unit).replace("/run/sglang/key.yaml", str(path))
    subprocess.run(["/bin/sh", "-c", line], env={"SGLANG_API_KEY": key}, check=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert exec_words(unit)[-2:] == ["--config", "/run/sglang/key.yaml"]
    inline = compose["configs"]["key"]["content"].replace("${SGLANG_API_KEY:?set it in .env}", key)
    assert yaml.safe_load(path.read_text()) == yaml.safe_load(inline) == {"api-key": key}


@pytest.mark.parametrize("files", [ONE, SEVERAL, SHARED], ids=["one", "several", "shared"])
def test_every_variable_of_a_file_is_explained_beside_it(files):
    for name, text in files.items():
        if name.endswith("env.example"):
            continue
        folder = name.rpartition("/")[0]
        known = files[f"{folder}/env.example" if folder else "env.example"]
        for variable in set(re.findall(r"\$\{(\w+)", text)) - {"SGLANG_IMAGE"}:
            assert f"\n{variable}=" in known, (name, variable)


def test_the_files_hold_the_line_that_the_plan_shows():
    plan = make_plan(find_profile("mistral-medium-3.5"), Ask(gpu=GPUS["H100"], gpus=4))
    words = exec_words(ONE["sglang.service"])
    for flag in all_flags(plan, host="${LISTEN}"):
        place = words.index(flag.name)
        assert not flag.value or words[place + 1] == flag.value


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_takes_the_units(tmp_path):
    units = []
    for number, text in enumerate(
        (ONE["sglang.service"], SHARED["node-1/sglang.service"], SEVERAL["router/smg.service"])
    ):
        path = tmp_path / f"unit{number}.service"
        path.write_text(re.sub(r"/opt/\w+/bin/\w+", "/usr/bin/env", text), encoding="utf-8")
        units.append(str(path))
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False, timeout=60
    )
    faults = [line for line in done.stderr.splitlines() if "unit" in line.split(":")[0]]
    assert faults == []


def test_files_are_written_once_and_never_over_others(tmp_path, capsys):
    folder = tmp_path / "out"
    assert run_plan(WISH, write=folder, as_json=False) == 0
    assert {path.name for path in folder.iterdir()} == set(ONE)
    assert f"wrote {folder / 'compose.yaml'}" in capsys.readouterr().out
    with pytest.raises(Refused, match="is there already"):
        run_plan(WISH, write=folder, as_json=False)


def test_nothing_is_written_for_what_does_not_fit(tmp_path, capsys):
    small = Wish(gpus="1xH100", model="kimi-k2.6", context=40_960, concurrency=1, cache="bf16")
    assert run_plan(small, write=tmp_path / "out", as_json=True) == 1
    assert not (tmp_path / "out").exists()
    assert '"written": []' in capsys.readouterr().out
