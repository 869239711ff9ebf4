"""JSON schemas of other servers: made small and harmless before the model sees them, and held to where it calls.

Their own server judges a call. What is checked here is what can be said at once: unknown and missing names, and size.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

MAX_SCHEMA: Final = 6_000
"""Characters of a schema as JSON."""
MAX_DEPTH: Final = 8
MAX_MEMBERS: Final = 40
MAX_WORDS: Final = 300
MAX_NAME: Final = 80
MAX_ARGUMENTS: Final = 60_000
PAGE: Final = "answer_page"
"""The argument that every such tool gets from us: which page of its answer is shown."""

_PAGE_SCHEMA: Final = {"type": "integer", "description": "Which page of a long answer, from 1.", "minimum": 1}
_NAMED: Final = frozenset({"properties", "$defs", "definitions"})
_LISTED: Final = frozenset({"anyOf", "oneOf", "allOf"})
_PLAIN: Final = frozenset(
    {"type", "enum", "const", "default", "required", "format", "$ref", "minimum", "maximum", "minLength", "maxLength"}
    | {"minItems", "maxItems", "description"}
)
"""Keywords that stay. Patterns do not: they are programs for whoever reads them."""

Clean = Callable[[str], str]


def clean_schema(text: str, clean: Clean) -> dict[str, Any] | None:
    """Return a tool's schema with our page argument, or None where it is too large or no object's."""
    try:
        raw = json.loads(text)
        if not isinstance(raw, dict) or raw.get("type", "object") != "object":
            return None
        for with_words in (True, False):
            made = {"type": "object", "properties": {}} | _shrink(raw, clean, with_words, MAX_DEPTH)
            if PAGE in made["properties"]:
                return None
            made["properties"] = {**made["properties"], PAGE: _PAGE_SCHEMA}
            if len(json.dumps(made, ensure_ascii=False)) <= MAX_SCHEMA:
                return made
    except (ValueError, RecursionError, _TooMuchError):
        pass
    return None


class _TooMuchError(Exception):
    """A schema that is too deep, too wide, or not one."""


def _shrink(schema: object, clean: Clean, with_words: bool, depth: int) -> dict[str, Any]:
    """Return the known keywords of a schema, every text of it cleaned."""
    if schema is True or schema == {}:
        return {}
    if not isinstance(schema, dict) or depth == 0:
        raise _TooMuchError
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _NAMED and isinstance(value, dict):
            if len(value) > MAX_MEMBERS:
                raise _TooMuchError
            found[key] = {
                _name(name, clean): _shrink(each, clean, with_words, depth - 1) for name, each in value.items()
            }
        elif key in _LISTED and isinstance(value, list):
            found[key] = [_shrink(each, clean, with_words, depth - 1) for each in value[:MAX_MEMBERS]]
        elif key == "items" or (key == "additionalProperties" and isinstance(value, dict)):
            found[key] = _shrink(value, clean, with_words, depth - 1)
        elif key == "additionalProperties" and isinstance(value, bool):
            found[key] = value
        elif key in _PLAIN and (with_words or key not in {"description", "default"}):
            found[key] = _plain(value, clean, MAX_DEPTH)
    return found


def _name(name: str, clean: Clean) -> str:
    """A name is passed on as it is or not at all: a changed one would call something else."""
    if len(name) > MAX_NAME or not name.isprintable() or clean(name) != name:
        raise _TooMuchError
    return name


def _plain(value: object, clean: Clean, depth: int) -> object:
    if isinstance(value, str):
        safe = " ".join(clean(value).split())
        return safe if len(safe) <= MAX_WORDS else safe[: MAX_WORDS - 1] + "…"
    if isinstance(value, list) and depth:
        return [_plain(each, clean, depth - 1) for each in value[:MAX_MEMBERS]]
    if isinstance(value, dict) and depth:
        return {_name(name, clean): _plain(each, clean, depth - 1) for name, each in value.items()}
    if value is None or isinstance(value, bool | int | float):
        return value
    raise _TooMuchError


def find_far_fault(schema: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """Return what is wrong with a call's arguments as far as that can be said here, "" where nothing is."""
    known, page = schema.get("properties", {}), given.get(PAGE, 1)
    required = schema.get("required")
    may_have_more = bool(schema.get("additionalProperties")) or any(key in schema for key in (*_LISTED, "$ref"))
    for name in required if isinstance(required, list) else ():
        if name not in given:
            return f"{str(name)[:MAX_NAME]} is missing"
    for name in given:
        if name not in known and not may_have_more:
            return f"there is no argument {name[:60]!r}"
    if not isinstance(page, int) or isinstance(page, bool) or not 1 <= page <= 10_000:
        return f"{PAGE} must be a whole number from 1"
    text = json.dumps(given, ensure_ascii=False)
    if len(text) > MAX_ARGUMENTS:
        return f"the arguments are longer than {MAX_ARGUMENTS:,} characters"
    # JSON may hold half a surrogate pair, which no message to a server can
    return "a text holds half a character" if any("\ud800" <= each <= "\udfff" for each in text) else ""


def usage_of(schema: Mapping[str, Any]) -> list[str]:
    """Return each argument with its kind, as a usage line names them."""
    required = schema.get("required") or ()
    return [
        f"{name}{'' if name in required else '?'}: {kind if isinstance(kind := each.get('type'), str) else 'any'}"
        for name, each in schema.get("properties", {}).items()
    ]
