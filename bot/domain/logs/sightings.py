"""What one log line tells about one HTTP request: method, target, status, headers, body, request id."""

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import urlsplit

from bot.domain.logs.logfields import (
    MAX_STRUCTURED,
    as_object,
    flatten,
    parse_json,
    parse_json_at,
    parse_logfmt,
    parse_object,
    unescape,
)

METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_MAX_TARGET: Final = 4_096
_MAX_BODY: Final = 65_536
_MAX_LITERAL: Final = 16_384
_MAX_NESTING: Final = 40

_METHOD: Final = "|".join(sorted(METHODS))
_HINT: Final = re.compile(rf"\b(?:{_METHOD})\b|(?i:status|body|payload|parameters)|Completed \d", re.ASCII)
_LINE: Final = re.compile(
    rf"(?:^|[\s\"'\[|(>])({_METHOD})[\s\"'|]{{1,10}}(/[^\s\"'<>]{{0,4096}}|https?://[^\s\"'<>]{{1,4096}})"
)
_FLASK: Final = re.compile(rf"Exception on (/\S{{0,4096}}) \[({_METHOD})\]")
_STATUS_NAMED: Final = re.compile(
    r"(?:status(?:[_ ]?code)?|responded|returned|answered|code)[\"']?\s{0,3}[:=]?\s{0,3}\"?([1-5]\d\d)(?!\d)", re.I
)
_STATUS_NEXT: Final = re.compile(r"^ HTTP/[\d.]{1,4}[\"']? ([1-5]\d\d)\b")
_STATUS_LOOSE: Final = re.compile(
    r"(?:^|[\s=:>→\"|\[(])([1-5]\d\d)(?=$|[\s,;\"|\])])(?!\s?(?:ms|s|us|µs|ns|bytes|b|kb|rows|items)\b)", re.I
)
_STATUS_BEFORE: Final = re.compile(r"\| {0,3}([1-5]\d\d) {0,3}\||(?:^|\s)([1-5]\d\d) ?$")
_COMPLETED: Final = re.compile(r"\bCompleted ([1-5]\d\d)\b")
_BODY: Final = re.compile(
    r"\b(request[ _-]?(?:body|payload|data)|req[._]body|payload|parameters|body|params|json|data)"
    r"[\"']?\s{0,3}[:=]\s{0,3}",
    re.I,
)
_BODY_ALONE: Final = re.compile(r"request|req[._]|payload|parameters|body", re.I)
_ID: Final = re.compile(
    r"\b(?:x[-_])?(?:request|req|trace|correlation)[-_]?id[\"']?[=: ]{1,3}\"?([\w-]{4,64})|\brid=([\w-]{4,64})"
    r"|\brequest[= ]([0-9a-f]{8}[0-9a-f-]{0,56})\b"
    r"|\[([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\]",
    re.I,
)
_HEADER_NAME: Final = re.compile(r"[\w!#$%&'*+.^`|~-]{1,64}", re.ASCII)
# What belongs to one connection or one person is not sent again.
_NOT_SENT: Final = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_METHOD_KEYS: Final = (
    "method", "http_method", "request_method", "verb", "http.method", "http.request.method", "request.method",
    "req.method", "httprequest.requestmethod",
)  # fmt: skip
_TARGET_KEYS: Final = (
    "target", "request_uri", "uri", "url", "path", "request_path", "http.target", "http.url", "http.path", "url.path",
    "request.url", "request.path", "request.uri", "req.url", "req.path", "httprequest.requesturl", "url.full",
    "endpoint", "route",
)  # fmt: skip
_STATUS_KEYS: Final = (
    "status", "status_code", "statuscode", "http_status", "response_code", "http.status_code", "http.status",
    "http.response.status_code", "response.status", "response.status_code", "response.statuscode", "res.statuscode",
    "res.status", "httprequest.status", "code",
)  # fmt: skip
_BODY_KEYS: Final = (
    "request_body", "body", "payload", "requestbody", "request_payload", "request.body", "request.payload", "req.body",
    "req.payload", "http.request.body", "http.request.body.content", "http.body",
)  # fmt: skip
_HEADERS_KEYS: Final = ("request_headers", "headers", "request.headers", "req.headers", "http.request.headers")
_ID_KEYS: Final = (
    "request_id", "requestid", "req_id", "reqid", "x_request_id", "x-request-id", "request.id", "req.id",
    "http.request_id", "correlation_id", "trace_id", "traceid", "trace.id", "rid",
)  # fmt: skip
_QUERY_KEYS: Final = ("query_string", "query", "url.query", "request.query_string")
_WHOLE: Final = frozenset(
    {"body", "payload", "request_body", "requestbody", "request_payload", "headers", "request_headers", "response"}
)
_TELLING: Final = frozenset(
    (*_TARGET_KEYS, *_STATUS_KEYS, *_BODY_KEYS, *_ID_KEYS, "message", "msg", "event", "request")
)


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """Empty, 0 or None where the line does not say. `body` "" is a body known to be empty."""

    method: str = ""
    target: str = ""
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    request_id: str = ""

    @property
    def is_nothing(self) -> bool:
        return not (self.target or self.status or self.body is not None)


def read_sighting(text: str) -> Sighting | None:
    """Return what the line tells, None where it tells nothing about a request."""
    text = text[:MAX_STRUCTURED]
    if not _HINT.search(text):
        return None
    fields = parse_object(text) if "{" in text[:256] else None
    found = _read_fields(fields) if fields is not None else Sighting()
    if fields is None or not (found.target or text.lstrip().startswith("{")):
        found = _read_text(text)
        if "=" in text and not (found.target and found.status):
            pairs = parse_logfmt(text)
            found = found if _TELLING.isdisjoint(pairs) else _merge(found, _read_fields(pairs))
    return None if found.is_nothing else found


def _merge(first: Sighting, second: Sighting) -> Sighting:
    return Sighting(
        method=first.method or second.method,
        target=first.target or second.target,
        status=first.status or second.status,
        headers=first.headers or second.headers,
        body=second.body if first.body is None else first.body,
        request_id=first.request_id or second.request_id,
    )


# Structured lines ----------------------------------------------------------------------------------------------------
def _read_fields(fields: Mapping[str, object]) -> Sighting:
    response = as_object(fields.get("response"))
    flat = dict(flatten(fields, _WHOLE))
    if response is not None:
        flat |= {f"response.{key}": value for key, value in flatten(response).items()}
    method = _pick_text(flat, _METHOD_KEYS).upper()
    target = clean_target(_pick_text(flat, _TARGET_KEYS))
    query = _pick_text(flat, _QUERY_KEYS).lstrip("?")
    if target and query and "?" not in target:
        target = clean_target(f"{target}?{query}") or target
    found = Sighting(
        method=method if method in METHODS and target else "",
        target=target if method in METHODS else "",
        status=next((status for key in _STATUS_KEYS if key in flat and (status := _read_status(flat[key]))), 0),
        headers=_read_headers(flat),
        body=next((_read_body(flat[key]) for key in _BODY_KEYS if key in flat), None),
        request_id=_pick_text(flat, _ID_KEYS)[:64],
    )
    if found.target:
        return found
    message = _pick_text(flat, ("message", "msg", "event", "request"))
    return _merge(found, _read_text(message[:_MAX_BODY])) if message else found


def _pick_text(flat: Mapping[str, object], keys: tuple[str, ...]) -> str:
    for key in keys:
        value = flat.get(key)
        if isinstance(value, str) and value:
            return value
    return ""


def _read_status(value: object) -> int:
    text = str(value)[:3] if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return int(text) if text.isascii() and text.isdigit() and 100 <= int(text) <= 599 else 0


def _read_body(value: object) -> str | None:
    if value is None:
        return ""
    try:
        body = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    return body if len(body) <= _MAX_BODY else None


def _read_headers(flat: Mapping[str, object]) -> Mapping[str, str]:
    kept: dict[str, str] = {}
    for key in _HEADERS_KEYS:
        for name, value in (as_object(flat.get(key)) or {}).items():
            if len(kept) < 40 and isinstance(value, str) and _may_send(name, value):
                kept.setdefault(name, value)
    kind = _pick_text(flat, ("content_type", "content-type", "request.content_type"))
    if kind and _may_send("content-type", kind) and "content-type" not in {name.lower() for name in kept}:
        kept["content-type"] = kind
    return kept


def _may_send(name: str, value: str) -> bool:
    if not _HEADER_NAME.fullmatch(name) or name.lower() in _NOT_SENT:
        return False
    return len(value) <= 2_048 and value.isprintable() and "[redacted:" not in value


def clean_target(raw: str) -> str:
    """Return path and query of a URL or path, empty if it cannot be sent as it is."""
    target = raw.strip()
    if "://" in target[:12]:
        try:
            parts = urlsplit(target)
        except ValueError:
            return ""
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.startswith("/") or len(target) > _MAX_TARGET or " " in target or not target.isprintable():
        return ""
    return target.partition("#")[0]


# Plain text ----------------------------------------------------------------------------------------------------------
def _read_text(text: str) -> Sighting:
    line = _LINE.search(text)
    flask = _FLASK.search(text) if line is None else None
    method, raw = (line.group(1), line.group(2)) if line else (flask.group(2), flask.group(1)) if flask else ("", "")
    target = clean_target(raw.rstrip(",;)")) if raw else ""
    body, rest = _cut_body(text, line.end() if line else 0, alone=not target)
    named = _ID.search(text)
    return Sighting(
        method=method if target else "",
        target=target,
        status=_find_status(rest, line.start() if line else None, line.end() if line else None),
        body=body,
        request_id=next(group for group in named.groups() if group) if named else "",
    )


def _find_status(text: str, start: int | None, end: int | None) -> int:
    if start is None or end is None:
        completed = _COMPLETED.search(text)
        return int(completed.group(1)) if completed else 0
    after = text[end : end + 400]
    for pattern in (_STATUS_NEXT, _STATUS_NAMED, _STATUS_LOOSE):
        if match := pattern.search(after):
            return int(match.group(1))
    match = _STATUS_BEFORE.search(text[max(0, start - 120) : start]) or _STATUS_NAMED.search(text[:start])
    return int(next(group for group in match.groups() if group)) if match else 0


def _cut_body(text: str, after: int, *, alone: bool) -> tuple[str | None, str]:
    """Return the request body and the text with spaces in its place, so that its numbers are no status."""
    if not alone and text[after : after + 3].lstrip(' "').startswith("{"):
        start = text.index("{", after)
        if (value := _read_value(text, start)) is not None:
            return value[0], text[:start] + " " * (value[1] - start) + text[value[1] :]
    for count, match in enumerate(_BODY.finditer(text)):
        if count >= 10:
            break
        before = text[max(0, match.start() - 10) : match.start()].lower()
        if "resp" in before or (alone and not _BODY_ALONE.match(match.group(1))):
            continue
        if (value := _read_value(text, match.end())) is not None:
            return value[0], text[: match.start()] + " " * (value[1] - match.start()) + text[value[1] :]
    return None, text


def _read_value(text: str, start: int) -> tuple[str, int] | None:
    """Return the body that begins at `start` and its end: JSON, a quoted string, a Python or Ruby literal, a form."""
    first = text[start : start + 1]
    if first in {"{", "["}:
        if (value := parse_json_at(text, start)) is not None:
            body = _read_body(value[0])
            return (body, value[1]) if body is not None else None
        return _read_literal(text, start)
    if first in {'"', "'"}:
        end = _find_quote(text, start)
        return (unescape(text[start + 1 : end]), end + 1) if end > 0 else None
    form = re.compile(r"[\w.%+\[\]-]{1,200}=[^\s,;]{0,4096}").match(text, start)
    return (form.group(), form.end()) if form else None


def _find_quote(text: str, start: int) -> int:
    position = start + 1
    while position < min(len(text), start + _MAX_BODY):
        if text[position] == "\\":
            position += 1
        elif text[position] == text[start]:
            return position
        position += 1
    return -1


def _read_literal(text: str, start: int) -> tuple[str, int] | None:
    end = _find_close(text, start)
    if end < 0:
        return None
    literal = text[start:end]
    ruby = parse_json(literal.replace('"=>', '":').replace('":nil', '":null'))
    if ruby is not None:
        return json.dumps(ruby, ensure_ascii=False), end
    try:
        body = json.dumps(cast("object", ast.literal_eval(literal)), ensure_ascii=False)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return body, end


def _find_close(text: str, start: int) -> int:
    """Return the end of the brackets that open at `start`, -1 where they are too deep, too long or unbalanced."""
    depth, position = 0, start
    while position < min(len(text), start + _MAX_LITERAL):
        letter = text[position]
        if letter in "\"'":
            position = _find_quote(text, position)
            if position < 0:
                return -1
        elif letter in "{[(":
            depth += 1
        elif letter in "}])":
            depth -= 1
        position += 1
        if depth > _MAX_NESTING:
            return -1
        if depth == 0:
            return position
    return -1
