"""What a tool takes, told to the model as a JSON schema and checked without mercy when it calls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bot.agent.far_schema import find_far_fault, usage_of
from bot.agent.transcript import parse_object
from bot.errors import Reason, Refused

MAX_TEXT: Final = 60_000
MAX_ITEMS: Final = 40
_SAID: Final[Mapping[str, str]] = {
    "string": "a text",
    "integer": "a whole number",
    "array": "a list of objects",
    "texts": "a list of texts",
}


@dataclass(frozen=True, kw_only=True)
class Param:
    """One argument. `kind` is a JSON type, or "texts"; `items` are the members of each object of an array.

    `choices` are the only texts that are right; empty = any.
    """

    name: str
    about: str
    kind: str = "string"
    is_required: bool = False
    least: int = 1
    most: int = 100_000
    items: tuple["Param", ...] = ()
    choices: tuple[str, ...] = ()

    def schema(self) -> dict[str, Any]:
        if self.kind == "texts":
            return {"type": "array", "description": self.about, "items": {"type": "string"}}
        if self.kind == "array":
            return {"type": "array", "description": self.about, "items": object_schema(self.items)}
        allowed = {"enum": list(self.choices)} if self.choices else {}
        return {"type": self.kind, "description": self.about} | allowed


@dataclass(frozen=True, kw_only=True)
class ToolSpec:
    """A tool as the model is told of it. What another server takes stands in `far`, a JSON schema, not in `params`."""

    name: str
    about: str
    params: tuple[Param, ...] = field(default_factory=tuple)
    far: Mapping[str, Any] | None = None

    def schema(self) -> dict[str, Any]:
        parameters = object_schema(self.params) if self.far is None else self.far
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.about, "parameters": parameters},
        }

    def usage(self) -> str:
        """Return how to call it, on one line."""
        shown = [f"{param.name}{'' if param.is_required else '?'}: {_say(param)}" for param in self.params]
        shown += usage_of(self.far) if self.far is not None else []
        return f"{self.name}({', '.join(shown)})"


def _say(param: Param) -> str:
    members = ", ".join(f"{item.name}{'' if item.is_required else '?'}: {_say(item)}" for item in param.items)
    return (
        _SAID[param.kind]
        + (f" {{{members}}}" if members else "")
        + (f" ({', '.join(param.choices)})" * bool(param.choices))
    )


def object_schema(params: Sequence[Param]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {param.name: param.schema() for param in params},
        "required": [param.name for param in params if param.is_required],
        "additionalProperties": False,
    }


def read_arguments(spec: ToolSpec, arguments: str) -> dict[str, Any]:
    """Return the checked arguments. Raises `Refused` that says what is wrong and what is right."""
    try:
        given = parse_object(arguments)
    except (ValueError, RecursionError) as error:
        raise _wrong(spec, f"the arguments are not JSON: {str(error)[:120]}") from error
    if not isinstance(given, dict):
        raise _wrong(spec, "the arguments are no JSON object")
    fault = _find_fault(spec.params, given) if spec.far is None else find_far_fault(spec.far, given)
    if fault:
        raise _wrong(spec, fault)
    return given


def _wrong(spec: ToolSpec, fault: str) -> Refused:
    return Refused(f"{fault}. Call it as {spec.usage()}.", Reason.BAD_INPUT)


def _find_fault(params: Sequence[Param], given: Mapping[str, Any]) -> str:
    known = {param.name: param for param in params}
    for name in given:
        if name not in known:
            return f"there is no argument {name[:60]!r}"
    for param in params:
        if given.get(param.name) is None:
            if param.is_required:
                return f"{param.name} is missing"
            continue
        fault = _fault_of(param, given[param.name])
        if fault:
            return fault
    return ""


def _fault_of(param: Param, value: object) -> str:
    if param.kind == "string":
        fault = _fault_of_text(value) or _fault_of_choice(param, value)
        is_right = not fault
    elif param.kind == "integer":
        fault = f"must be a whole number from {param.least} to {param.most:,}"
        is_right = isinstance(value, int) and not isinstance(value, bool) and param.least <= value <= param.most
    elif param.kind == "texts":
        return _fault_of_texts(param, value)
    else:
        return _fault_of_list(param, value)
    return "" if is_right else f"{param.name} {fault}"


def _fault_of_text(value: object) -> str:
    if not isinstance(value, str):
        return "must be a text"
    if len(value) > MAX_TEXT:
        return f"is longer than {MAX_TEXT:,} characters"
    # JSON may hold half a surrogate pair, which no file, pattern or command can
    return "holds half a character" if any("\ud800" <= character <= "\udfff" for character in value) else ""


def _fault_of_choice(param: Param, value: object) -> str:
    return f"must be one of {', '.join(param.choices)}" if param.choices and value not in param.choices else ""


def _fault_of_texts(param: Param, value: object) -> str:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_ITEMS:
        return f"{param.name} must be a list of 1 to {MAX_ITEMS} texts"
    faults = (_fault_of_text(item) for item in value)
    return next((f"a text in {param.name} {fault}" for fault in faults if fault), "")


def _fault_of_list(param: Param, value: object) -> str:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return f"{param.name} must be a list of objects"
    if not 0 < len(value) <= MAX_ITEMS:
        return f"{param.name} must hold 1 to {MAX_ITEMS} objects"
    faults = (_find_fault(param.items, item) for item in value)
    return next((f"in {param.name}, {fault}" for fault in faults if fault), "")
