"""What a model server should be able to do, and what is lost where it is not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

SMALL_CONTEXT: Final = 16_384
"""Tokens below which a run of the agent ends before it has read much."""


class Ability(StrEnum):
    TOOL_CALLS = "tool_calls"
    CACHE_REPORT = "cache_report"
    PRIORITY = "priority"
    REQUEST_ID = "request_id"
    TOKENIZER = "tokenizer"
    CONTEXT_LENGTH = "context_length"


LOST: Final[Mapping[Ability, str]] = {
    Ability.TOOL_CALLS: "no call of a tool came back: the model can look at nothing (sglang: --tool-call-parser)",
    Ability.CACHE_REPORT: "cached tokens are not told: budgets count all of it (sglang: --enable-cache-report)",
    Ability.PRIORITY: "what woke somebody waits like the rest (sglang: --enable-priority-scheduling)",
    Ability.REQUEST_ID: "requests carry no id of ours: a run cannot be found in the server's own log",
    Ability.TOKENIZER: "no tokenizer endpoint: how full a context is cannot be counted exactly",
    Ability.CONTEXT_LENGTH: "the context length is not told: a run that grows too long is noticed when it is refused",
}


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What one server showed. `fault` says why it could not be asked at all, or that it has not this model."""

    server: str
    version: str = ""
    context: int = 0
    able: frozenset[Ability] = frozenset()
    fault: str = ""
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def missing(self) -> tuple[Ability, ...]:
        return () if self.fault else tuple(ability for ability in Ability if ability not in self.able)

    @property
    def is_usable(self) -> bool:
        """Say whether the agent can work with it: everything else is comfort."""
        return not self.fault and Ability.TOOL_CALLS in self.able and not self.is_small

    @property
    def is_small(self) -> bool:
        return 0 < self.context < SMALL_CONTEXT

    def losses(self) -> Iterator[str]:
        """Yield what is lost, most important first."""
        if self.is_small:
            yield f"the context holds {self.context} tokens: a run ends before it has read much"
        for ability in self.missing:
            yield LOST[ability]
        yield from self.notes
