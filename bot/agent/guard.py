"""Keeps text from outside from being taken for the conversation itself, and calls from hiding in text."""

import re
from typing import Final

_MARKS: Final = re.compile(
    r"(<)(?=\|[A-Za-z_][\w:-]{0,40}\|>|/?(?:tool_call|tool_calls|tool_response|think|function_calls?|invoke)\b|｜|\uff5c)"
    r"|(\[)(?=/?(?:INST|TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS|SYSTEM_PROMPT|ARGS|THINK)\])",
    re.IGNORECASE,
)
_LEAK: Final = re.compile(
    r"<\|tool_calls?|<\|(?:tool_)?call|<tool_calls?>|\[TOOL_CALLS\]|<function[=_]|<｜[^<>\n]{0,40}(?:DSML|tool)|｜DSML｜"
)


def defuse(text: str) -> str:
    """Return text in which nothing reads as a control token of a chat template: a space splits what would."""
    return _MARKS.sub(lambda match: f"{match[0]} ", text)


def find_leak(text: str) -> int:
    """Return where a tool call stands in plain text because the server's parser missed it; -1 where none does."""
    match = _LEAK.search(text)
    return match.start() if match else -1
