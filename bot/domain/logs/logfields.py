"""Structured log lines: JSON objects and logfmt, read within bounds. A line that is neither is simply not one."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final, cast

MAX_STRUCTURED: Final = 262_144
_MAX_KEYS: Final = 300
_MAX_DEPTH: Final = 4
_PAIR: Final = re.compile(r'(?:^|[\s,])([A-Za-z_@][\w.@-]{0,63})=(?:"((?:[^"\\]++|\\.)*+)"|([^\s"]{1,65536}))')
_PLAIN_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_DECODER: Final = json.JSONDecoder()


def parse_json(text: str) -> object | None:
    """Return the value that `text` holds as JSON, None for anything else, too long or too deep included."""
    if len(text) > MAX_STRUCTURED:
        return None
    try:
        return cast("object", json.loads(text))
    except (ValueError, RecursionError):
        return None


def parse_json_at(text: str, start: int) -> tuple[object, int] | None:
    """Return the JSON value that begins at `start`, and where it ends."""
    try:
        value, end = _DECODER.raw_decode(text[:MAX_STRUCTURED], start)
    except (ValueError, RecursionError):
        return None
    return cast("object", value), end


def parse_object(text: str) -> Mapping[str, object] | None:
    """Return the JSON object a log line is, with or without a short header before it."""
    stripped = text.strip()
    if not stripped.endswith("}"):
        return None
    start = stripped.find("{", 0, 256)
    if start < 0:
        return None
    value = parse_json(stripped[start:])
    return as_object(value)


def as_object(value: object) -> Mapping[str, object] | None:
    """Return `value` if it is a JSON object."""
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else None


def parse_logfmt(text: str) -> Mapping[str, str]:
    """Return the `key=value` pairs of a line, lower-case keys, the first of each."""
    pairs: dict[str, str] = {}
    for match in _PAIR.finditer(text, 0, MAX_STRUCTURED):
        quoted, bare = match.group(2), match.group(3)
        value = bare if quoted is None else unescape(quoted)
        pairs.setdefault(match.group(1).lower(), value)
        if len(pairs) >= _MAX_KEYS:
            break
    return pairs


def unescape(text: str) -> str:
    """Undo backslash escapes as logfmt and quoted messages use them."""
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda match: _PLAIN_ESCAPES.get(match.group(1), match.group(1)), text)


def flatten(fields: Mapping[str, object], whole: frozenset[str] = frozenset()) -> Mapping[str, object]:
    """Return nested objects as dotted lower-case keys. Keys named in `whole` keep their value as it is."""
    flat: dict[str, object] = {}
    for key, value in _walk(fields, "", whole, 0):
        flat.setdefault(key, value)
        if len(flat) >= _MAX_KEYS:
            break
    return flat


def _walk(fields: Mapping[str, object], prefix: str, whole: frozenset[str], depth: int) -> Iterator[tuple[str, object]]:
    for name, value in fields.items():
        key = f"{prefix}{name[:128].lower()}"
        inner = as_object(value)
        if inner is None or depth >= _MAX_DEPTH or name.lower() in whole:
            yield key, value
        else:
            yield from _walk(inner, f"{key}.", whole, depth + 1)
