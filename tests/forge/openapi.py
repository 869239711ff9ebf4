"""Holds a server to an OpenAPI 3.0 description: which calls exist, what they take, what they answer.

A small validator of the part of JSON Schema that such descriptions use; formats are not looked at.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
METHODS: Final = {"get", "post", "put", "patch", "delete"}


class Description:
    """`check_request` and `check_answer` return what is wrong, in words; nothing = all is as described."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._paths = [(_pattern(path), item) for path, item in sorted(document["paths"].items(), key=_specific_first)]

    @classmethod
    def read(cls, path: Path) -> "Description":
        return cls(json.loads(path.read_text(encoding="utf-8")))

    def check_request(self, method: str, path: str, *, query: Mapping[str, str], body: object) -> Sequence[str]:
        found = self._operation(method, path)
        if found is None:
            return [f"{method} {path}: no such call"]
        operation, where = found
        parameters = [self._resolve(one) for one in operation.get("parameters", ())]
        known = {one["name"]: one for one in parameters if one["in"] == "query"}
        faults = [f"{where}: unknown parameter {name}" for name in query if name not in known]
        faults += [
            f"{where}: {name} is missing" for name, one in known.items() if one.get("required") and name not in query
        ]
        for name, value in query.items():
            kind = self._resolve(known.get(name, {}).get("schema", {}))
            faults += self._check(_as_typed(value, kind), kind, f"{where}?{name}")
        wanted = operation.get("requestBody")
        if wanted is None:
            return [*faults, *([f"{where}: takes no body"] if body is not None else [])]
        if body is None:
            return [*faults, *([f"{where}: needs a body"] if wanted.get("required") else [])]
        schema = wanted["content"]["application/json"]["schema"]
        unknown = set(body) - set(self._resolve(schema).get("properties", {})) if isinstance(body, dict) else set()
        return [*faults, *(f"{where}: unknown {name}" for name in unknown), *self._check(body, schema, where)]

    def check_answer(self, method: str, path: str, *, status: int, body: object) -> Sequence[str]:
        found = self._operation(method, path)
        if found is None or status == 304 or status >= 400:
            return []
        operation, where = found
        answer = operation["responses"].get(str(status))
        if answer is None:
            return [f"{where}: {status} is none of {', '.join(operation['responses'])}"]
        content = self._resolve(answer).get("content", {}).get("application/json")
        return list(self._check(body, content["schema"], f"{where} {status}")) if content else []

    def _operation(self, method: str, path: str) -> tuple[Mapping[str, Any], str] | None:
        for pattern, item in self._paths:
            if method.lower() in METHODS and method.lower() in item and pattern.fullmatch(path):
                return item[method.lower()], f"{method} {unquote(path)}"
        return None

    def _resolve(self, schema: Any) -> Any:
        while isinstance(schema, dict) and "$ref" in schema:
            target: Any = self._document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            schema = target
        return schema

    def _check(self, value: object, schema: Any, where: str) -> Iterator[str]:
        schema = self._resolve(schema)
        if value is None and (schema.get("nullable") or not schema.get("type")):
            return
        for one in schema.get("allOf", ()):
            yield from self._check(value, one, where)
        for choice in (schema[word] for word in ("oneOf", "anyOf") if word in schema):
            if not any(not list(self._check(value, one, where)) for one in choice):
                yield f"{where}: fits none of {len(choice)} forms"
        kind = schema.get("type")
        if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
            yield f"{where}: {json.dumps(value)[:60]} is no {kind}"
            return
        if "enum" in schema and value not in schema["enum"]:
            yield f"{where}: {value!r} is none of {schema['enum']}"
        yield from self._check_inside(value, schema, where)

    def _check_inside(self, value: object, schema: Mapping[str, Any], where: str) -> Iterator[str]:
        if isinstance(value, list):
            for index, entry in enumerate(value):
                yield from self._check(entry, schema.get("items", {}), f"{where}[{index}]")
        if not isinstance(value, dict):
            return
        properties = schema.get("properties", {})
        if len(value) > schema.get("maxProperties", len(value)):
            yield f"{where}: more than {schema['maxProperties']} members"
        yield from (f"{where}: {name} is missing" for name in schema.get("required", ()) if name not in value)
        for name, member in value.items():
            other = schema.get("additionalProperties")
            yield from self._check(
                member, properties.get(name, other if isinstance(other, dict) else {}), f"{where}.{name}"
            )


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\{[^}]+\})", path)
    return re.compile("".join("[^/]+" if part.startswith("{") else re.escape(part) for part in parts))


def _specific_first(item: tuple[str, Any]) -> tuple[int, str]:
    return item[0].count("{"), item[0]


def _as_typed(value: str, schema: Mapping[str, Any]) -> object:
    """Read a parameter the way its schema means it."""
    if schema.get("type") == "integer" and value.isdecimal():
        return int(value)
    return {"true": True, "false": False}.get(value, value) if schema.get("type") == "boolean" else value
