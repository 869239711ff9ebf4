"""Starts real SGLang servers on the CPU, and real smg in front of them; `make test-sglang` installs both first."""

import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

import pytest

from bot.domain.models.launch import routing
from bot.render.model_files import key_line

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".sglang"
PYTHON = HOME / "venv" / "bin" / "python"
SMG = HOME / "smg" / "bin" / "smg"
MAKE_MODEL = ROOT / "tests/sglang/make_model.py"
MODEL = HOME / f"model-{crc32(MAKE_MODEL.read_bytes()):08x}"
NAME = "tiny"
KEY = "key-of-the-tests"
ADMIN = "admin-key-of-the-tests"
RUNNING = QUEUED = 2
SHARED = "qwen"
#: Each parser of calls that is tested, and the parser of thinking it comes with.
PARSERS = {
    "qwen": "qwen3",
    "mistral": "mistral",
    "kimi_k2": "kimi_k2",
    "qwen3_coder": "qwen3",
    "deepseekv4": "deepseek-v4",
}
#: Below what Linux gives to whoever wants any port: half a minute passes until a server takes its own.
PORTS = range(18_000, 32_000)
START_SECONDS = 400.0
STOP_SECONDS = 30.0
CPU = [
    *("--device", "cpu", "--attention-backend", "torch_native", "--sampling-backend", "pytorch"),
    *("--disable-overlap-schedule", "--sleep-on-idle", "--mem-fraction-static", "0.1", "--max-total-tokens", "65536"),
    *("--constrained-json-disable-any-whitespace", "--enable-metrics", "--enable-cache-report"),
    *("--enable-priority-scheduling", "--default-priority-value", "0", "--random-seed", "7"),
    *("--max-running-requests", str(RUNNING), "--max-queued-requests", str(QUEUED)),
]
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT / "tests/sglang/standins"),
    "SGLANG_USE_CPU_ENGINE": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",  # two threads for so small a model wait for each other, and on a busy machine for long
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True, kw_only=True)
class Live:
    """A running server."""

    url: str
    process: subprocess.Popen

    def shown(self) -> str:
        """Return what a list of processes shows of it and of what it started."""
        group = subprocess.run(["ps", "-ww", "-eo", "pgid,args"], capture_output=True, text=True, check=True).stdout
        return "\n".join(line for line in group.splitlines() if line.split()[0] == str(self.process.pid))

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def need_environment() -> None:
    """Skip where nothing is installed."""
    if not PYTHON.exists() or not SMG.exists():
        pytest.skip("no SGLang here: `make test-sglang` installs it (1.6 GB, some minutes)")


def _make_model() -> None:
    """Make the model where it is not there yet; it is there as a whole, also where two make it at once."""
    if MODEL.exists():
        return
    with TemporaryDirectory(dir=HOME) as folder:
        made = Path(folder) / "model"
        subprocess.run([PYTHON, MAKE_MODEL, made, *sorted((ROOT / "docs").glob("*.md"))], check=True)
        with suppress(OSError):
            made.rename(MODEL)


@contextmanager
def serve_sglang(parser: str = SHARED, more: Sequence[str] = ()) -> Iterator[Live]:
    """Serve the made model with a parser of tool calls until the block ends."""
    _make_model()
    key = HOME / "key.yaml"
    key.write_text(key_line(KEY))
    port = _free_port()
    argv = [PYTHON, "-m", "sglang.launch_server", "--model-path", MODEL, "--served-model-name", NAME, *CPU]
    argv += ["--host", "127.0.0.1", "--port", str(port), "--config", str(key), "--admin-api-key", ADMIN]
    argv += ["--tool-call-parser", parser, "--reasoning-parser", PARSERS[parser], *more]
    with _running(argv, ENVIRONMENT, f"{parser}-{port}", f"http://127.0.0.1:{port}", "/ready") as live:
        yield live


@contextmanager
def serve_smg(workers: Sequence[Live], more: Sequence[str] = ()) -> Iterator[Live]:
    """Serve the gateway as `nightshift model plan` starts it."""
    port, metrics = _free_port(), _free_port()
    argv = [SMG, "launch", *routing([worker.url for worker in workers], host="127.0.0.1", port=port)]
    argv += ["--prometheus-port", str(metrics), "--api-key", KEY, *more]
    ready = "/readiness" if workers else "/liveness"
    with _running(argv, {}, f"smg-{port}", f"http://127.0.0.1:{port}", ready) as live:
        yield live


def _free_port() -> int:
    while True:
        port = random.choice(PORTS)
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port


@contextmanager
def _running(argv: Sequence[object], own: dict[str, str], name: str, url: str, ready: str) -> Iterator[Live]:
    log = HOME / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(word) for word in argv],
            stdout=out,
            stderr=out,
            env={**os.environ, **own},
            start_new_session=True,
            cwd=ROOT,
        )
    live = Live(url=url, process=process)
    try:
        _wait(lambda: _answers(url + ready), process, log)
        yield live
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                live.kill()
    log.unlink()  # kept where something went wrong


def _wait(is_ready: Callable[[], bool], process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while not is_ready():
        if process.poll() is not None or time.monotonic() > until:
            raise AssertionError(f"{log} ends: {log.read_text(errors='replace')[-2_000:]}")
        time.sleep(0.5)


def _answers(url: str) -> bool:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {KEY}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False
