"""How long a model thinks: efforts by name, and what a request says for each of them to this model's server."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

FIELD: Final = "reasoning_content"


class Effort(StrEnum):
    """From answering at once to thinking as long as the model can. What a model does not have of them it does not
    have; which one it takes by itself is its own."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    MAX = "max"


@dataclass(frozen=True, kw_only=True)
class Reasoning:
    """What one model can. `efforts` holds the request's fields as a JSON object for each, `always` those that every
    request has; `field` is where a message that goes back to the server holds the thinking behind it, "" where it does
    not go back."""

    efforts: Mapping[Effort, str] = field(default_factory=dict)
    always: str = "{}"
    field: str = FIELD

    def add_to(self, extra: str, effort: str) -> str:
        """Return a request's further fields with those of an effort. Tables in both are joined."""
        chosen = self.efforts[Effort(effort)] if effort and effort in self.efforts else "{}"
        own = _join(json.loads(self.always), json.loads(chosen))
        if not own:
            return extra
        return json.dumps(_join(json.loads(extra) if extra else {}, own), sort_keys=True)

    def find_harder(self, effort: str) -> Effort | None:
        """Return the next effort, above the model's own ("") the highest but MAX; None where there is none."""
        order = [each for each in Effort if each in self.efforts]
        if not effort:
            return next((each for each in reversed(order) if each not in {Effort.MAX, Effort.NONE}), None)
        above = [each for each in order if list(Effort).index(each) > list(Effort).index(Effort(effort))]
        return above[0] if above else None


def _join(extra: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    joined = dict(extra)
    for name, value in own.items():
        before = joined.get(name)
        joined[name] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
    return joined
