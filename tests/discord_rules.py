"""What Discord refuses: by rules that are written down here, and by its official description where that lies near."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import web

DESCRIPTION = Path(__file__).resolve().parents[2] / "shared" / "specs" / "discord" / "openapi.json"


class BrokenRuleError(Exception):
    """The bot sent what Discord does not take."""


def require(claim: object, what: str) -> None:
    if not claim:
        raise BrokenRuleError(what)


def check_message(given: dict[str, Any], files: dict[str, str]) -> None:
    require(given.get("allowed_mentions", {}).get("parse") == [], "mentions have to be switched off")
    require(len(given.get("content") or "") <= 2000, "content is too long")
    embeds = given.get("embeds") or []
    require(embeds or given.get("content") or files, "an empty message")
    total = 0
    for embed in embeds:
        title, text = embed.get("title", ""), embed.get("description", "")
        require(len(title) <= 256, "title is too long")
        require(len(text) <= 4096, "description is too long")
        require(title or text, "an empty embed")
        total += len(title) + len(text)
    require(total <= 6000, "embeds are too long")
    rows = given.get("components") or []
    require(len(rows) <= 5, "too many rows")
    seen = [_check_button(key) for row in rows for key in _row(row)]
    require(len(seen) == len(set(seen)), "custom ids have to be unique")
    told = [one.get("description", "-") for one in given.get("attachments", ())]
    require(all(1 <= len(text) <= 1024 for text in told), "description of a file")
    sizes = [len(text.encode(errors="surrogateescape")) for text in files.values()]
    require(sum(sizes) <= 10 * 1024 * 1024, "files are too large")


def check_modal(data: dict[str, Any]) -> None:
    require(1 <= len(data["title"]) <= 45, "title of a modal")
    require(1 <= len(data["custom_id"]) <= 100, "custom id of a modal")
    require(1 <= len(data["components"]) <= 5, "fields of a modal")
    for label in data["components"]:
        inner = label["component"]
        require(label["type"] == 18 and 1 <= len(label["label"]) <= 45, "label of a field")
        require(inner["type"] in {3, 4} and 1 <= len(inner["custom_id"]) <= 100, "field of a modal")
        if inner["type"] == 3:
            require(1 <= len(inner["options"]) <= 25, "options")
            require(all(1 <= len(one["label"]) <= 100 >= len(one["value"]) > 0 for one in inner["options"]), "option")
        else:
            require(inner["style"] in {1, 2} and inner["max_length"] <= 4000, "text input")


def _row(row: dict[str, Any]) -> list[dict[str, Any]]:
    require(row["type"] == 1 and 1 <= len(row["components"]) <= 5, "buttons of a row")
    return list(row["components"])


def _check_button(key: dict[str, Any]) -> str:
    require(key["type"] == 2 and key["style"] in {1, 2, 3, 4}, "button")
    require(1 <= len(key["label"]) <= 80, "label of a button")
    require(1 <= len(key["custom_id"]) <= 100, "custom id of a button")
    return str(key["custom_id"])


def check_description(request: web.Request, given: object) -> None:
    """Hold a call against the official description, as far as it says what a body must look like."""
    if not DESCRIPTION.exists() or request.method == "GET":
        return
    body = _operation(request).get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body is not None:
        problem = _find_problem(given, body, "body")
        require(problem is None, f"{problem} (official description)")


@cache
def _description() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DESCRIPTION.read_text(encoding="utf-8"))
    return loaded


def _operation(request: web.Request) -> dict[str, Any]:
    for path, found in _description()["paths"].items():
        if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/@]+", path), request.path) and request.method.lower() in found:
            return dict(found[request.method.lower()])
    raise BrokenRuleError(f"{request.method} {request.path} is not in the official description")


def _find_problem(value: object, schema: dict[str, Any], where: str) -> str | None:
    if "$ref" in schema:
        return _find_problem(value, _description()["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]], where)
    for key in ("oneOf", "anyOf"):
        if key in schema:
            problems = [_find_problem(value, option, where) for option in schema[key]]
            if None not in problems:
                return next((one for one in problems if one and not one.endswith("kind")), problems[0])
    kinds = schema.get("type")
    if kinds is not None and not any(_is_kind(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return f"{where}: kind"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where}: {value!r} is none of the values kind"
    return _find_in(value, schema, where)


def _find_in(value: object, schema: dict[str, Any], where: str) -> str | None:
    if isinstance(value, str):
        fits = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
        return None if fits else f"{where}: length {len(value)}"
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            return f"{where}: {len(value)} items"
        found = (_find_problem(one, schema.get("items", {}), f"{where}[{at}]") for at, one in enumerate(value))
        return next((problem for problem in found if problem), None)
    if isinstance(value, dict):
        missing = [name for name in schema.get("required", ()) if name not in value]
        if missing:
            return f"{where}: {missing} is missing"
        known = schema.get("properties", {})
        found = (_find_problem(one, known[name], f"{where}.{name}") for name, one in value.items() if name in known)
        return next((problem for problem in found if problem), None)
    return None


def _is_kind(value: object, kind: str) -> bool:
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    kinds = {"string": str, "array": list, "object": dict, "boolean": bool, "null": type(None), "number": (int, float)}
    return isinstance(value, kinds[kind])
