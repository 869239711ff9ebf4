"""The container rung: the whole contract where an engine is there, and its dealings with the engine everywhere."""

import asyncio
import json
import sys
import time
from pathlib import Path

import pytest

from bot.errors import LimitReached, Unavailable
from bot.ports.sandbox import SandboxJob, SandboxLimits
from connectors.sandboxes.container import Container, build_command
from tests.contract.sandbox_suite import SandboxContract, make_tar

# Stands in for the engine's client: keeps what it was asked, and runs the launcher in a plain folder.
ENGINE = """#!{python} -IS
import json, os, sys
folder, mode = {folder!r}, {mode!r}
with open(folder + "/asked", "a") as log:
    log.write(json.dumps([sys.argv[1:], sorted(os.environ)]) + "\\n")
if sys.argv[1] == "inspect":
    print("true" if mode == "oom" else "false")
if sys.argv[1] != "run":
    sys.exit(0)
if mode in ("no-daemon", "no-image"):
    print(dict(zip(("no-daemon", "no-image"), {said!r}))[mode], file=sys.stderr)
    sys.exit(125)
print("WARNING: the image is for another platform", file=sys.stderr, flush=True)
if mode == "oom":
    sys.stderr.write("\\0R")
    sys.exit(137)
os.makedirs(folder + "/w", exist_ok=True)
os.chdir(folder + "/w")
os.execv({python!r}, ["python3", *sys.argv[sys.argv.index("python:test") + 1:]])
"""
SAID = ("Cannot connect to the Docker daemon. Is the docker daemon running?", "No such image: python:test")


class TestContainer(SandboxContract):
    @pytest.fixture
    async def sandbox(self):
        try:
            await Container().run(SandboxJob(argv=("true",)))
        except Unavailable as error:
            pytest.skip(f"No container can be run here: {error}")
        return Container()


class Engine:
    """A rung whose engine is the stand-in."""

    def __init__(self, folder: Path, mode: str) -> None:
        program = folder / "docker"
        program.write_text(ENGINE.format(python=sys.executable, folder=str(folder), mode=mode, said=SAID))
        program.chmod(0o755)
        self._log = folder / "asked"
        self.sandbox = Container(engine=str(program), image="python:test")

    @property
    def asked(self) -> list[list[str]]:
        return [json.loads(line)[0] for line in self._log.read_text().splitlines()]

    @property
    def environments(self) -> list[list[str]]:
        return [json.loads(line)[1] for line in self._log.read_text().splitlines()]


@pytest.fixture
def start(tmp_path):
    return lambda mode="good": Engine(tmp_path, mode)


def options_of(command: list[str]) -> dict[str, list[str]]:
    """Return the values of each option before the image."""
    found: dict[str, list[str]] = {}
    before = command[: command.index("python:test")]
    for name, value in zip(before, [*before[1:], ""], strict=True):
        if name.startswith("--"):
            found.setdefault(name, []).append("" if value.startswith("--") else value)
    return found


def test_container_is_closed(tmp_path):
    limits = SandboxLimits(memory=1 << 30, processes=40, tree=1 << 29)
    job = SandboxJob(argv=("pytest",), toolchain=tmp_path, limits=limits)
    options = options_of(build_command("docker", "n1", "python:test", job=job, files=Path("/files")))
    assert options["--network"] == ["none"]
    assert options["--cap-drop"] == ["ALL"]
    assert options["--security-opt"] == ["no-new-privileges"]
    assert options["--user"] == ["65534:65534"]
    assert options["--pull"] == ["never"]
    assert options["--name"] == ["n1"]
    assert "--read-only" in options
    assert options["--pids-limit"] == ["42"]
    assert options["--memory"] == options["--memory-swap"] == [str((1 << 30) + (1 << 29))]
    assert options["--mount"] == [
        "type=bind,source=/files,target=/nightshift,readonly",
        f"type=bind,source={tmp_path},target=/toolchain,readonly",
    ]
    assert [value.split(",")[-1] for value in options["--tmpfs"]] == [f"size={1 << 29}", f"size={256 << 20}"]
    assert not {"--privileged", "--pid", "--volume", "--env", "--device"} & set(options)


async def test_job_and_tree_arrive_and_its_output_comes_back_in_order(start):
    engine = start()
    code = "import sys; print(open('a/b').read(), flush=True); print('two', file=sys.stderr, flush=True); sys.exit(4)"
    result = await engine.sandbox.run(SandboxJob(argv=(sys.executable, "-c", code), tree=make_tar(a__b=b"one")))
    assert (result.exit_code, result.output, result.ended_by) == (4, b"one\ntwo\n", "")


async def test_container_is_removed_under_its_own_name(start):
    engine = start()
    await engine.sandbox.run(SandboxJob(argv=("true",)))
    run, remove = engine.asked
    assert remove == ["rm", "--force", "--volumes", run[run.index("--name") + 1]]


async def test_client_gets_nothing_of_our_environment_but_the_way_to_its_engine(start, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_SECRET_TOKEN", "hidden")
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/docker.sock")
    engine = start()
    await engine.sandbox.run(SandboxJob(argv=("true",)))
    for names in engine.environments:
        assert {"DOCKER_HOST", "PATH"} <= set(names) <= {"DOCKER_HOST", "PATH", "HOME", "LC_CTYPE", "XDG_RUNTIME_DIR"}


@pytest.mark.parametrize(("mode", "said"), [("no-daemon", SAID[0]), ("no-image", SAID[1])])
async def test_engine_that_cannot_run_it_is_unavailable_in_its_own_words(start, mode, said):
    engine = start(mode)
    with pytest.raises(Unavailable, match=said):
        await engine.sandbox.run(SandboxJob(argv=("true",)))
    assert engine.asked[-1][0] == "rm"


async def test_end_by_the_kernel_for_memory_is_told_as_memory(start):
    engine = start("oom")
    result = await engine.sandbox.run(SandboxJob(argv=("true",)))
    assert (result.exit_code, result.ended_by) == (None, "memory")
    assert [asked[0] for asked in engine.asked] == ["run", "inspect", "rm"]


async def test_other_kill_stays_an_exit_code(start):
    engine = start()
    result = await engine.sandbox.run(SandboxJob(argv=("sh", "-c", "exit 137")))
    assert (result.exit_code, result.ended_by) == (137, "")


async def test_tree_that_cannot_be_unpacked_is_told(start, tmp_path):
    engine = start()
    (tmp_path / "w" / "taken").mkdir(parents=True)
    with pytest.raises(LimitReached, match="could not be unpacked"):
        await engine.sandbox.run(SandboxJob(argv=("true",), tree=make_tar(taken=b"x")))


async def test_time_limit_ends_the_client_and_removes_the_container(start):
    engine = start()
    result = await engine.sandbox.run(SandboxJob(argv=("sleep", "60"), limits=SandboxLimits(seconds=0.5)))
    assert (result.exit_code, result.ended_by) == (None, "time")
    assert engine.asked[-1][0] == "rm"


async def test_cancelling_removes_the_container(start, tmp_path):
    engine = start()
    run = asyncio.create_task(engine.sandbox.run(SandboxJob(argv=("sleep", "60"))))
    deadline = time.monotonic() + 10
    while not (tmp_path / "asked").exists() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert engine.asked[-1][0] == "rm"


async def test_no_engine_is_unavailable():
    with pytest.raises(Unavailable, match="No container engine"):
        await Container(engine="no-such-engine").run(SandboxJob(argv=("true",)))
