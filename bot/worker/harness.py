"""Runs inside the sandbox, alone: starts a service, sends a request that failed once, and says what came back.

Standard library only, and no import from this project: the file is copied into the sandbox as it is, for services
in any language. `harness.py PLAN` reads a JSON plan; the last line of the output is the plan's mark and a JSON report.
Each request meets a freshly started service. What is done is the plan's `mode`:
"send": requests are sent until one is red (a status from 500, or no whole answer);
"start": red is a service that does not listen, does not answer, or does not stay up;
"time": each request is sent once unmeasured, then timed; nothing is red here, the times are judged outside.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any, Final

POLL: Final = 0.01
TAIL: Final = 6_000
SKIPPED: Final = ("host", "connection", "content-length", "transfer-encoding", "expect", "upgrade", "accept-encoding")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """The service under test, in a process group of its own, its output in a file."""

    def __init__(self, command: list[str], log: str) -> None:
        self.port = free_port()
        self.log = log
        argv = [part.replace("{port}", str(self.port)) for part in command]
        environment = {name: value.replace("{port}", str(self.port)) for name, value in os.environ.items()}
        with open(log, "wb") as output:  # noqa: PTH123 - pathlib costs a tenth of the run's time to import
            self.child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**environment, "PORT": str(self.port), "PYTHONUNBUFFERED": "1"},
            )
        self.address = ""

    def wait(self, seconds: float) -> str:
        """Wait for the port; return "" when it listens, else why it does not."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for address in ("127.0.0.1", "::1"):
                try:
                    socket.create_connection((address, self.port), timeout=1).close()
                except OSError:
                    continue
                self.address = address
                return ""
            if self.child.poll() is not None:
                return f"the service ended with exit code {self.child.returncode} before it listened"
            time.sleep(POLL)
        return f"the service did not listen on its port within {seconds:g} s"

    def watch(self, since: float, seconds: float) -> str:
        """Watch the service until `seconds` after `since`; return "" when it stays up, else how it ended."""
        while True:
            if self.child.poll() is not None:
                after = time.monotonic() - since
                return f"the service ended with exit code {self.child.returncode} {after:.1f} s after it listened"
            if time.monotonic() >= since + seconds:
                return ""
            time.sleep(POLL)

    def stop(self) -> str:
        """End the service and return the tail of its output."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
        with open(self.log, "rb") as output:  # noqa: PTH123 - see above
            output.seek(max(0, os.path.getsize(self.log) - TAIL))  # noqa: PTH202 - see above
            return output.read(TAIL).decode("utf-8", "replace")


def send(address: str, port: int, request: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Send one request; `status` 0 means no whole answer, `invalid` that it could not be sent at all."""
    import http.client  # noqa: PLC0415 - imported while the service starts

    began = time.monotonic()
    connection = http.client.HTTPConnection(address, port, timeout=seconds)
    body = str(request.get("body", "")).encode("utf-8", "surrogateescape")
    try:
        method = request["method"]
        connection.putrequest(method, to_target(request["target"]), skip_accept_encoding=True)
        for name, value in request.get("headers", {}).items():
            if name.lower() not in SKIPPED:
                connection.putheader(name, value)
        if body or method in {"POST", "PUT", "PATCH"}:
            connection.putheader("Content-Length", str(len(body)))
        connection.putheader("Connection", "close")
        connection.endheaders(body or None)
        response = connection.getresponse()
        answer = {"status": response.status, "body": response.read(65_536)[:1_000].decode("utf-8", "replace")}
    except TimeoutError:
        answer = {"status": 0, "error": f"no answer within {seconds:g} s"}
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, http.client.InvalidURL):
            answer = {"status": 0, "invalid": True, "error": str(error)[:200]}
        else:
            answer = {"status": 0, "error": f"the connection was dropped ({type(error).__name__})"}
    except ValueError as error:
        answer = {"status": 0, "invalid": True, "error": str(error)[:200]}
    finally:
        connection.close()
    return {**answer, "seconds": round(time.monotonic() - began, 4)}


def to_target(target: str) -> str:
    """Return the path and query, with every byte that may not stand in a request line quoted."""
    if "://" in target.split("?", 1)[0]:
        target = "/" + target.split("://", 1)[1].partition("/")[2]
    raw = target.split("#", 1)[0].encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if 0x21 <= byte <= 0x7E else f"%{byte:02X}" for byte in raw)


def is_red(answer: dict[str, Any]) -> bool:
    return not answer.get("invalid") and (answer["status"] == 0 or answer["status"] >= 500)


def try_request(plan: dict[str, Any], request: dict[str, Any], number: int) -> dict[str, Any]:
    """Start the service and send the request up to `repeat` times; report the worst answer."""
    service = Service(plan["run"], f"{plan['scratch']}/service-{number}.log")
    report: dict[str, Any] = {"started": False, "red": False, "answer": {}, "statuses": []}
    try:
        import http.client  # noqa: F401, PLC0415 - loaded here, while the service starts

        report["why"] = service.wait(plan["start_seconds"])
        report["started"] = not report["why"]
        for _ in range(plan["repeat"] if report["started"] else 0):
            report["answer"] = send(service.address, service.port, request, plan["request_seconds"])
            if report["answer"]["status"] == 503:  # it listens before it is ready
                time.sleep(0.3)
                report["answer"] = send(service.address, service.port, request, plan["request_seconds"])
            report["statuses"].append(report["answer"]["status"])
            report["red"] = is_red(report["answer"])
            if report["red"] or report["answer"].get("invalid"):
                break
    finally:
        report["log"] = service.stop()
    return report


def try_start(plan: dict[str, Any], request: dict[str, Any], number: int) -> dict[str, Any]:
    """Start the service, ask it once, and watch whether it stays up. `why` says what went wrong."""
    try:
        service = Service(plan["run"], f"{plan['scratch']}/service-{number}.log")
    except OSError as error:
        if "/" not in plan["run"][0]:
            raise
        return {"started": False, "red": True, "why": f"the service cannot be started: {error}", "log": ""}
    began = time.monotonic()
    report: dict[str, Any] = {"started": True, "answer": {}, "why": ""}
    try:
        why = service.wait(plan["start_seconds"])
        listening = time.monotonic()
        if why and not plan["listens"] and service.child.poll() is None:
            why = ""  # it is not told which port to take, so staying up is all that can be asked
        elif not why:
            left = max(plan["start_seconds"] - (listening - began), 1.0)
            report["answer"] = send(service.address, service.port, request, left)
            if "no answer" in report["answer"].get("error", ""):
                why = f"the service listens but gave {report['answer']['error']}"
            why = why or service.watch(listening, plan["stay_up_seconds"])
        report.update(red=bool(why), why=why)
    finally:
        report["log"] = service.stop()
    return report


def time_request(plan: dict[str, Any], request: dict[str, Any], number: int) -> dict[str, Any]:
    """Start the service, warm it up with one request, and time the same request `repeat` times."""
    service = Service(plan["run"], f"{plan['scratch']}/service-{number}.log")
    report: dict[str, Any] = {"started": False, "red": False, "answer": {}, "statuses": [], "times": []}
    try:
        report["why"] = service.wait(plan["start_seconds"])
        report["started"] = not report["why"]
        for _ in range(plan["repeat"] + 1 if report["started"] else 0):
            report["answer"] = send(service.address, service.port, request, plan["request_seconds"])
            report["statuses"].append(report["answer"]["status"])
            report["times"].append(report["answer"]["seconds"])
            if report["answer"].get("invalid") or report["statuses"][-2:] == [0, 0]:
                break
        report["times"] = report["times"][1:]
    finally:
        report["log"] = service.stop()
    return report


MODES: Final = {"send": try_request, "start": try_start, "time": time_request}


def main(path: str) -> int:
    with open(path, "rb") as file:  # noqa: PTH123 - see above
        plan = json.load(file)
    reports = []
    for number, request in enumerate(plan["requests"]):
        try:
            report = MODES[plan.get("mode", "send")](plan, request, number)
        except OSError as error:
            report = {"started": False, "red": False, "why": f"the service cannot be started: {error}", "log": ""}
        reports.append(report)
        if report["red"] or not report["started"]:
            break
    sys.stdout.write(f"\n{plan['mark']} {json.dumps(reports)}\n")
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
