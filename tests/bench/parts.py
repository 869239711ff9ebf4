"""Single parts: what the sandbox adds to a command, and how fast secrets are taken out of a log."""

import asyncio
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bot.agent.redaction import load_redactor
from bot.ports.sandbox import SandboxJob
from connectors.sandboxes.bubblewrap import Bubblewrap
from tests.bench.report import Row, exactly, note, show, within

RUNS = 15
LINES = 60_000
EMPTY = ("-I", "-S", "-c", "pass")


async def measure(folder: Path) -> list[Row]:
    return [*await _measure_sandbox(), *await asyncio.to_thread(_measure_redaction)]


async def _measure_sandbox() -> list[Row]:
    """Take turns, so that both meet the same machine."""
    bare, boxed, sandbox = [], [], Bubblewrap()
    python = Path(sys.base_prefix) / "bin" / "python3"
    for _ in range(RUNS):
        began = time.perf_counter()
        await asyncio.to_thread(subprocess.run, [python, *EMPTY], check=True)
        bare.append(time.perf_counter() - began)
        began = time.perf_counter()
        result = await sandbox.run(SandboxJob(argv=("python3", *EMPTY)))
        assert result.exit_code == 0, result
        boxed.append(time.perf_counter() - began)
    plain, inside = statistics.median(bare) * 1000, statistics.median(boxed) * 1000
    return [
        note(f"an empty Python program, median of {RUNS}: bare / boxed", f"{plain:.0f} / {inside:.0f} ms"),
        within("S4", "the sandbox adds, median", inside - plain, 60, "ms"),
    ]


def _measure_redaction() -> list[Row]:
    """Redact lines of a shop's log, one in 500 with a secret in it; and read the same lines only, to compare."""
    chance = random.Random(7)
    lines = [_line(chance, number) for number in range(LINES)]
    redactor = load_redactor(["own-secret-of-the-benchmark"], b"k" * 32)
    redactor.redact_lines(lines[:500])
    times = []
    for _ in range(3):
        began = time.perf_counter()
        cleaned = redactor.redact_lines(lines)
        times.append(time.perf_counter() - began)
    left = sum("own-secret" in line or "hunter2-" in line for line in cleaned)
    speed = f"{show(LINES / statistics.median(times))} lines/s"
    return [
        note(f"redaction, {LINES:,} log lines with {LINES // 500} secrets", speed),
        exactly("S3", "… secrets left in them", left, 0),
    ]


def _line(chance: random.Random, number: int) -> str:
    head = f"2026-11-20T12:{number // 60 % 60:02}:{number % 60:02}.{chance.randrange(1000):03}Z"
    request = f"request_id={chance.randbytes(8).hex()} user={chance.randrange(9999)}"
    if number % 1000 == 0:
        return f"{head} DEBUG upstream called with token own-secret-of-the-benchmark {request}"
    if number % 500 == 0:
        return f'{head} DEBUG connecting {{"password": "hunter2-{chance.randbytes(6).hex()}"}} {request}'
    path = chance.choice(("/v1/checkout", "/v1/cart/c-17", "/v1/products", "/healthz"))
    return f"{head} INFO shop.http POST {path} 200 {chance.randrange(1, 900)}ms {request}"
