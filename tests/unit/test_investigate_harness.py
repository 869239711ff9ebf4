"""The harness that runs inside the sandbox: what counts as red, and what it refuses to send."""

import json
import sys

import pytest

from bot.worker import harness

SERVICE = """
import http.server
import os
import sys
import time

calls = []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        calls.append(self.path)
        if self.path == "/die":
            os._exit(3)
        if self.path == "/hang":
            time.sleep(5)
        if self.path == "/crash":
            raise ValueError("on purpose")
        status = {"/bad": 500, "/missing": 404}.get(self.path, 200)
        if self.path == "/warm" and len(calls) == 1:
            status = 503
        if self.path == "/third" and len(calls) == 3:
            status = 500
        self.send_response(status)
        self.end_headers()
        self.wfile.write(repr(sorted(self.headers.items())).encode())

    do_POST = do_GET


http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def run_plan(tmp_path, capsys):
    def run(*requests, command=None, **changes):
        service = tmp_path / "service.py"
        service.write_text(SERVICE)
        plan = {
            "mark": "mark",
            "run": command or [sys.executable, "-S", str(service), "{port}"],
            "scratch": str(tmp_path),
            "repeat": 1,
            "start_seconds": 5,
            "request_seconds": 0.5,
            "requests": [{"method": "GET", "headers": {}, "body": "", **request} for request in requests],
        }
        (tmp_path / "plan.json").write_text(json.dumps({**plan, **changes}))
        assert harness.main(str(tmp_path / "plan.json")) == 0
        mark, _, report = capsys.readouterr().out.strip().partition(" ")
        assert mark == "mark"
        return json.loads(report)

    return run


@pytest.mark.parametrize(
    ("target", "red", "status"),
    [("/fine", False, 200), ("/missing", False, 404), ("/bad", True, 500), ("/die", True, 0), ("/crash", True, 0),
     ("/hang", True, 0), ("/warm", False, 200)],
)  # fmt: skip
def test_red_is_a_status_from_500_or_no_answer(run_plan, target, red, status):
    (report,) = run_plan({"target": target})
    assert (report["started"], report["red"], report["answer"]["status"]) == (True, red, status)


def test_requests_are_tried_until_one_is_red_each_on_a_fresh_service(run_plan):
    reports = run_plan({"target": "/fine"}, {"target": "/bad"}, {"target": "/die"})
    assert [report["red"] for report in reports] == [False, True]


def test_what_fails_only_sometimes_is_found_by_repeating(run_plan):
    assert run_plan({"target": "/third"})[0]["red"] is False
    report = run_plan({"target": "/third"}, repeat=5)[0]
    assert (report["red"], report["statuses"]) == (True, [200, 200, 500])


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["/does/not/exist"], "cannot be started"),
        ([sys.executable, "-S", "-c", "raise SystemExit('no database')"], "ended with exit code 1 before it listened"),
        ([sys.executable, "-S", "-c", "import time; time.sleep(9)"], "did not listen on its port within 0.2 s"),
    ],
)
def test_a_service_that_does_not_start_is_told_with_its_words(run_plan, command, words):
    (report,) = run_plan({"target": "/"}, command=command, start_seconds=5 if "exit" in words else 0.2)
    assert not report["started"]
    assert words in report["why"]
    if "exit" in words:
        assert "no database" in report["log"]


def test_headers_of_the_connection_are_not_sent_again(run_plan):
    headers = {"Host": "evil.example", "X-Tenant": "7", "Content-Length": "999", "Accept-Encoding": "br"}
    body = run_plan({"method": "POST", "target": "/fine", "headers": headers, "body": "é"})[0]["answer"]["body"]
    assert "('X-Tenant', '7')" in body
    assert "('Content-Length', '2')" in body
    assert "evil.example" not in body
    assert "br" not in body.split("Accept-Encoding")[-1][:20] or "Accept-Encoding" not in body


@pytest.mark.parametrize(
    "request_", [{"method": "GET / HTTP/1.1\r\nX", "target": "/"}, {"target": "/", "headers": {"A": "b\r\nEvil: 1"}}]
)
def test_what_cannot_be_a_request_is_neither_red_nor_green(run_plan, request_):
    (report,) = run_plan(request_)
    assert report["answer"]["invalid"] is True
    assert report["red"] is False


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("/a b\r\nX: 1", "/a%20b%0D%0AX:%201"),
        ("http://internal.example:9/admin?x=1", "/admin?x=1"),
        ("/ü#part", "/%C3%BC"),
        ("/fine?u=http://a/b", "/fine?u=http://a/b"),
    ],
)
def test_targets_become_a_path_of_this_service(target, sent):
    assert harness.to_target(target) == sent
