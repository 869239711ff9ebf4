"""Little worlds for investigations: a real repository, a service that really failed, and the log it wrote."""

import http.client
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

SERVER = """
import json
import logging
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from shop.views import checkout, quote

log = logging.getLogger("shop")
ROUTES = {"/checkout": checkout, "/quote": quote}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        try:
            answer, status = ROUTES[self.path](json.loads(body)), 200
        except Exception:
            log.exception("request failed: POST %s body=%s", self.path, body)
            answer, status = {"error": "internal"}, 500
        log.info("POST %s %d body=%s", self.path, status, body)
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
VIEWS = """
from shop.cart import total
from shop.stock import reserve


def checkout(order):
    reserve(order["items"])
    return {"total": total(order)}


def quote(order):
    return {"total": total(order)}
"""
CART = """
from shop.coupons import load_coupon


def total(order):
    amount = sum(item["price"] * item["count"] for item in order["items"])
    if order.get("coupon"):
        coupon = load_coupon(order["coupon"])
        amount -= amount * coupon["percent"] // 100
    return amount
"""
COUPONS = """
TABLE = {"SPRING": 10, "VIP": 25}


def load_coupon(code):
    return {"code": code, "percent": TABLE[code]}
"""
BROKEN_COUPONS = COUPONS.replace('"percent": TABLE[code]', '"rate": TABLE[code]')
STOCK = """
LIMIT = 50


def reserve(items):
    for item in items:
        if item["count"] > LIMIT:
            raise ValueError("too many")
"""
TESTS = """
import unittest

from shop.cart import total


class TotalTest(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total({"items": [{"price": 5, "count": 2}]}), 10)
"""
FILES = {
    "server.py": SERVER,
    "shop/__init__.py": "",
    "shop/views.py": VIEWS,
    "shop/cart.py": CART,
    "shop/coupons.py": COUPONS,
    "shop/stock.py": STOCK,
    "tests/__init__.py": "",
    "tests/test_total.py": TESTS,
    "README.md": "# Shop\n",
}
RUN = ("python", "server.py", "{port}")
CHECKS = {"tests": ("python", "-m", "unittest", "-q")}
GOOD = ("/quote", '{"items": [{"price": 5, "count": 2}]}')
BAD = ("/checkout", '{"items": [{"price": 5, "count": 2}], "coupon": "SPRING"}')


@dataclass(frozen=True, kw_only=True)
class Step:
    """One commit: the files it writes, or deletes with None. `base` and `merges` name marks of earlier steps."""

    subject: str
    files: Mapping[str, str | None] = field(default_factory=dict)
    author: str = "Ada"
    base: int | None = None
    merges: int | None = None


@dataclass(frozen=True, kw_only=True)
class Repository:
    """`shas` are the commits in the order of their steps."""

    folder: Path
    shas: tuple[str, ...]

    @property
    def url(self) -> str:
        return self.folder.as_uri()


def history(*later: Step, before: int = 4) -> list[Step]:
    """Return a plausible past, then `later`."""
    steps = [Step(subject="Begin the shop", files=FILES)]
    steps += [
        Step(
            subject=f"Raise the limit to {60 + n}",
            files={"shop/stock.py": STOCK.replace("50", str(60 + n))},
            author="Bo",
        )
        for n in range(before)
    ]
    return [*steps, *later]


def write_repository(folder: Path, steps: Sequence[Step], *, until: datetime) -> Repository:
    """Write the steps as commits, one every 40 minutes, the last one 10 minutes before `until`."""
    folder.mkdir(parents=True)
    run_git(folder, "init", "-q", "--bare", "-b", "main", ".")
    stream = io.BytesIO()
    for number, step in enumerate(steps, 1):
        at = until - timedelta(minutes=10 + 40 * (len(steps) - number))
        stream.write(_commit(number, step, at))
    run_git(folder, "fast-import", "--quiet", "--export-marks=marks", stdin=stream.getvalue())
    marks = dict(line.split() for line in (folder / "marks").read_text().splitlines())
    return Repository(folder=folder, shas=tuple(marks[f":{number}"] for number in range(1, len(steps) + 1)))


def _commit(number: int, step: Step, at: datetime) -> bytes:
    who = f"{step.author} <{step.author.lower()}@example.org> {int(at.timestamp())} +0000"
    subject = step.subject.encode()
    parts = [f"commit refs/heads/main\nmark :{number}\nauthor {who}\ncommitter {who}\n".encode()]
    parts.append(b"data %d\n%b\n" % (len(subject), subject))
    if number > 1:
        parts.append(b"from :%d\n" % (step.base or number - 1))
    if step.merges:
        parts.append(b"merge :%d\n" % step.merges)
    for path, text in step.files.items():
        if text is None:
            parts.append(f"D {path}\n".encode())
        else:
            data = text.lstrip("\n").encode()
            parts.append(f"M 100644 inline {path}\ndata {len(data)}\n".encode() + data + b"\n")
    return b"".join(parts)


def run_git(folder: Path, *args: str, stdin: bytes = b"") -> bytes:
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", "-C", str(folder), *args], input=stdin, env=env, check=True, capture_output=True)
    return done.stdout


def export(repository: Repository, sha: str, folder: Path) -> Path:
    """Check a commit out, as a deployment would."""
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=run_git(repository.folder, "archive", sha), check=True)
    return folder


def serve_and_fail(tree: Path, log: Path, requests: Sequence[tuple[str, str]]) -> list[int]:
    """Run the service, send it requests, and return the statuses; its log is what it really wrote."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "TZ": "UTC"}
    argv = [sys.executable, "-S", "server.py", str(port)]
    with log.open("ab") as output:
        child = subprocess.Popen(argv, cwd=tree, stdout=output, stderr=output, env=env)
    try:
        return [_post(port, path, body) for path, body in requests]
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


def _post(port: int, path: str, body: str) -> int:
    deadline = time.monotonic() + 10
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("POST", path, body)
            return connection.getresponse().status
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        finally:
            connection.close()


def now() -> datetime:
    return datetime.now(UTC)
