"""Takes secrets out of the rows of a run before they are stored."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bot.agent.transcript import dump, find_fault
from bot.domain.runs.transcript import Step

_AS_THEY_ARE: Final = frozenset(
    {"patch", "base", "role", "type", "finish", "id", "tool_call_id", "head", "asked_with", "key", "sha256"}
)


def redact_step(step: Step, redact: Callable[[str], str]) -> Step:
    """Return the row with every text in it redacted; a patch stays the exact bytes that it is.

    Most rows hold nothing to redact, which one look at all their texts together tells.
    """
    body = json.loads(step.body)
    texts: list[str] = []
    _gather_texts(body, texts)
    together = "\n".join(texts)
    if redact(together) == together:
        return step
    cleaned = _clean(body, redact)
    return step if cleaned == body else replace(step, body=dump(cleaned))


def _gather_texts(value: object, texts: list[str]) -> None:
    """Append the texts that `_clean` hands to `redact`, in their order."""
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, list):
        for item in value:
            _gather_texts(item, texts)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in _AS_THEY_ARE:
                _gather_texts(item, texts)


def _clean(value: object, redact: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [_clean(item, redact) for item in value]
    if isinstance(value, dict):
        return {key: item if key in _AS_THEY_ARE else _clean_item(key, item, redact) for key, item in value.items()}
    return value


def _clean_item(key: str, item: object, redact: Callable[[str], str]) -> object:
    cleaned = _clean(item, redact)
    if key == "arguments" and isinstance(cleaned, str) and cleaned != item and find_fault(cleaned):
        return "{}"
    return cleaned
