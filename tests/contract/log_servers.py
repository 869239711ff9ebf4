"""A log store on loopback that answers as Loki's or Elasticsearch's HTTP API does, and misbehaves on order."""

import base64
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from bot.domain.logs.logtime import parse_time
from tests.contract.logs_suite import NOON

Stored = tuple[int, str]
"""Nanoseconds since 1970, and text."""


def as_entries(lines: Sequence[bytes]) -> list[Stored]:
    """Return lines as a collector stores them: what has no time of its own goes with the line before."""
    found: list[Stored] = []
    for raw in lines:
        text = raw.decode("utf-8", "backslashreplace")
        at = parse_time(text[:200], near=NOON)
        if at is None and found:
            found[-1] = (found[-1][0], f"{found[-1][1]}\n{text}")
        elif at is not None:
            found.append((nanoseconds(at), text))
    return found


def nanoseconds(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp() * 1_000_000) * 1_000


@dataclass
class LogServer:
    """`trouble` answers instead, once each: (status, headers, body); `drip` sends a byte every so many seconds."""

    answer: Callable[["LogServer", str, dict[str, str], Any], Any]
    entries: list[Stored] = field(default_factory=list)
    trouble: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    drip: float = 0.0
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def start(self) -> Callable[[], None]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"store": self}))
        self.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

        def stop() -> None:
            server.shutdown()
            server.server_close()

        return stop


class _Handler(BaseHTTPRequestHandler):
    store: ClassVar[LogServer]

    def do_GET(self) -> None:
        self._serve(None)

    def do_POST(self) -> None:
        self._serve(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _serve(self, body: Any) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.store.asked.append((parts.path, query, body))
        self.store.headers.append(dict(self.headers))
        if self.store.trouble:
            status, headers, raw = self.store.trouble.pop(0)
        else:
            status, headers = 200, {"Content-Type": "application/json"}
            raw = json.dumps(self.store.answer(self.store, parts.path, query, body)).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        try:
            if self.store.drip:
                for byte in raw[:200]:
                    self.wfile.write(bytes([byte]))
                    time.sleep(self.store.drip)
            self.wfile.write(raw)
        except OSError:
            pass  # who asked has gone

    def log_message(self, *_args: object) -> None:
        return


def answer_loki(store: LogServer, path: str, query: dict[str, str], _body: Any) -> Any:
    """`GET /loki/api/v1/query_range`: start included, end not, newest first, in streams."""
    assert path == "/loki/api/v1/query_range"
    assert query["direction"] == "backward"
    start, end, limit = int(query["start"]), int(query["end"]), int(query["limit"])
    stored = sorted(enumerate(store.entries), key=lambda entry: (-entry[1][0], -entry[0]))
    newest = [entry for _, entry in stored]
    fitting = [entry for entry in newest if start <= entry[0] < end][:limit]
    streams: dict[int, list[list[str]]] = {}
    for at, text in fitting:
        streams.setdefault(len(text) % 2, []).append([str(at), text])
    result = [{"stream": {"app": f"shop-{number}"}, "values": values} for number, values in streams.items()]
    return {"status": "success", "data": {"resultType": "streams", "result": result, "stats": {}}}


def answer_elasticsearch(store: LogServer, path: str, _query: dict[str, str], body: Any) -> Any:
    """`POST /<index>/_search` with a range in milliseconds, sorted by time, newest first."""
    assert path == "/logs-*/_search"
    (span,) = [part["range"]["@timestamp"] for part in body["query"]["bool"]["filter"] if "range" in part]
    assert span["format"] == "epoch_millis"
    milli = [(at // 1_000_000, number, text) for number, (at, text) in enumerate(store.entries)]
    fitting = [entry for entry in sorted(milli, reverse=True) if span["gte"] <= entry[0] <= span["lte"]]
    hits = [
        {"_index": "logs-1", "_id": str(number), "sort": [at], "_source": {"@timestamp": at, "message": text}}
        for at, number, text in fitting[: body["size"]]
    ]
    shards = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
    return {"took": 1, "timed_out": False, "_shards": shards, "hits": {"max_score": None, "hits": hits}}


def read_basic(header: str) -> str:
    return base64.b64decode(header.removeprefix("Basic ")).decode()
