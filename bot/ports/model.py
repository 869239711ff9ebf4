"""The one call to a model: a conversation in, one answer of the assistant out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable


class Finish(StrEnum):
    """Why an answer ended. LENGTH means that it was cut, so that its last words or its calls may be missing."""

    STOP = "stop"
    TOOL_CALLS = "tool_calls"
    LENGTH = "length"


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A call as the model wrote it: `arguments` should be a JSON object and may be anything; `id` may be empty."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens. `cached` is None where the server does not say how much of the prompt it had already; `reasoning` is a
    part of `completion`, 0 where the server does not say."""

    prompt: int = 0
    cached: int | None = None
    completion: int = 0
    reasoning: int = 0


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One whole answer."""

    text: str
    reasoning: str
    calls: tuple[ToolCall, ...]
    finish: Finish
    usage: Usage


@dataclass(frozen=True, kw_only=True)
class ModelPlace:
    """Where a model answers. `extra` is a JSON object of further request fields ({"priority": 10}); `reasoning_field`
    is where a message that goes back holds its thinking, "" where that does not go back."""

    url: str
    name: str
    api_key: str = field(default="", repr=False)
    proxy: str = ""
    ca_file: str = ""
    extra: str = ""
    reasoning_field: str = "reasoning_content"


OnDelta = Callable[[str, str], None]
"""Told what arrives, while it arrives: ("text" | "reasoning" | "call", the piece)."""


class ModelClient(Protocol):
    async def complete(self, request: bytes, *, on_delta: OnDelta | None = None, deadline: float) -> Completion:
        """Send a JSON request body and return the whole answer; may be repeated, nothing is remembered.

        `deadline` is a time of the event loop's clock. Cancelling the call ends the work at the server too.
        Raises `Unavailable` (busy, silent, cut off, aborted: worth another try), `Rejected` (key, model or
        request are wrong), `LimitReached` (prompt too long for the model, or an answer without measure).
        """
        ...


@runtime_checkable
class TokenCounter(Protocol):
    """What a `ModelClient` may also be: one whose server tells how many tokens a prompt has."""

    async def count_tokens(self, request: bytes) -> int | None:
        """Return the exact number of a request's prompt tokens, None where the server does not tell. Raises nothing."""
        ...
