"""The harness's other modes: does a service start and stay up, and how long does a request take."""

import json
import sys

import pytest

from bot.worker import harness

SERVICE = """
import http.server
import os
import sys
import threading
import time

port, manner = int(sys.argv[1]), sys.argv[2]
if manner == "ends":
    sys.exit("no [limits] in shop.ini")
if manner == "killed":
    os.kill(os.getpid(), 9)
if manner == "works":
    time.sleep(60)


class Handler(http.server.BaseHTTPRequestHandler):
    calls = 0

    def do_GET(self):
        Handler.calls += 1
        if manner == "silent":
            time.sleep(60)
        if manner == "dies":
            os._exit(3)
        if self.path == "/slow" and Handler.calls > 1:
            time.sleep(0.05)
        self.send_response(500 if manner == "refuses" else 200)
        self.end_headers()

    def log_message(self, *args):
        pass


if manner == "later":
    threading.Timer(0.1, os._exit, [4]).start()
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def run_plan(tmp_path, capsys):
    def run(mode, manner="fine", *, target="/", command=None, **changes):
        service = tmp_path / "service.py"
        service.write_text(SERVICE)
        plan = {
            "mark": "mark",
            "mode": mode,
            "run": command or [sys.executable, "-S", str(service), "{port}", manner],
            "listens": True,
            "scratch": str(tmp_path),
            "repeat": 3,
            "start_seconds": 5,
            "stay_up_seconds": 0.3,
            "request_seconds": 0.5,
            "requests": [{"method": "GET", "target": target, "headers": {}, "body": ""}],
        }
        (tmp_path / "plan.json").write_text(json.dumps({**plan, **changes}))
        assert harness.main(str(tmp_path / "plan.json")) == 0
        (report,) = json.loads(capsys.readouterr().out.strip().partition(" ")[2])
        return report

    return run


@pytest.mark.parametrize(
    ("manner", "why"),
    [
        ("fine", ""),
        ("refuses", ""),
        ("ends", "ended with exit code 1 before it listened"),
        ("killed", "ended with exit code -9 before it listened"),
        ("dies", "ended with exit code 3"),
        ("later", "ended with exit code 4"),
    ],
)
def test_a_service_that_does_not_stay_up_is_red(run_plan, manner, why):
    report = run_plan("start", manner, **({"stay_up_seconds": 60} if why else {}))
    assert (report["started"], report["red"]) == (True, bool(why))
    assert why in report["why"]
    if manner == "ends":
        assert "no [limits] in shop.ini" in report["log"]


def test_a_service_that_listens_but_never_answers_is_red(run_plan, monkeypatch):
    wait = harness.Service.wait
    monkeypatch.setattr(harness.Service, "wait", lambda service, _seconds: wait(service, 30))  # till it listens
    report = run_plan("start", "silent", start_seconds=0.5)
    assert report["red"] is True
    assert report["why"] == "the service listens but gave no answer within 1 s"


def test_a_service_without_a_port_only_has_to_stay_up(run_plan):
    assert run_plan("start", "works", start_seconds=0.3, listens=False)["red"] is False
    assert run_plan("start", "works", start_seconds=0.3, listens=True)["red"] is True
    assert run_plan("start", "ends", listens=False)["red"] is True


def test_a_file_of_the_repository_that_is_gone_is_red_a_missing_toolchain_is_not(run_plan):
    assert run_plan("start", command=["./bin/shop"])["red"] is True
    report = run_plan("start", command=["no-such-interpreter", "shop.py"])
    assert (report["started"], report["red"]) == (False, False)


def test_a_request_is_warmed_up_then_timed(run_plan):
    report = run_plan("time", target="/slow")
    assert report["statuses"] == [200] * 4
    assert len(report["times"]) == 3
    assert min(report["times"]) >= 0.05


def test_what_gives_no_answer_is_not_timed_for_ever(run_plan):
    report = run_plan("time", "silent", repeat=50, request_seconds=0.1)
    assert report["statuses"] == [0, 0]
    assert report["times"][0] >= 0.1


def test_a_service_that_does_not_start_has_no_times(run_plan):
    report = run_plan("time", "ends")
    assert (report["started"], report["times"]) == (False, [])
