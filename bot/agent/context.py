"""How long a conversation may become: counted before each call, and shortened at a soft limit, without the model.

Models become less accurate in long contexts whatever they claim. Shortening replaces old answers of tools by one line
each that says how to get them again. What is replaced by what is a function of the messages alone and stands in a row
of its own, so a resume and a replay make the same bytes, and the beginning of requests changes at such a row only.
"""

import json
import math
from collections.abc import Mapping
from typing import Final

from bot.agent.images import IMAGE_TOKENS, count_images
from bot.agent.transcript import State

KEPT_ANSWERS: Final = 6
"""The results of so many of the model's newest answers stay as they are."""
SHORT: Final = 400
WORTH: Final = 0.3
"""The share of the conversation that has to go: the server reads everything after the first change anew."""
BYTES_PER_TOKEN: Final = 2
"""An upper estimate of what nobody has counted: most text has three to four bytes per token."""
MAX_ARGUMENTS: Final = 200
_STAY: Final = frozenset({"propose_patch", "ask_user", "todo", "sub_agent"})
"""What cannot be had again by the same call: verdicts, people's answers, work of others."""


def estimate_tokens(state: State, opening: int) -> int:
    """Return about how many tokens the next prompt has: what the last answer's usage told, and the rest by its size.

    `opening` is the size of what stands before the messages.
    """
    fresh = state.messages[state.counted_messages :]
    size = sum(map(len, fresh)) + (0 if state.counted_messages else opening)
    return state.counted_tokens + math.ceil(size / BYTES_PER_TOKEN) + IMAGE_TOKENS * count_images(fresh)


def plan_stubs(state: State) -> Mapping[int, str]:
    """Return what takes the place of which messages; nothing where too little would go."""
    stubs: dict[int, str] = {}
    calls: dict[str, str] = {}
    messages = [json.loads(message) for message in state.messages]
    answers = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    newest = answers[-KEPT_ANSWERS] if len(answers) >= KEPT_ANSWERS else 0
    for place, message in enumerate(messages[:newest]):
        for call in message.get("tool_calls", ()):
            calls[call["id"]] = call["function"]["arguments"]
        if message["role"] == "tool" and len(message["content"]) > SHORT and message["name"] not in _STAY:
            stubs[place] = _write_stub(message["name"], calls.get(message["tool_call_id"], ""), message["content"])
    freed = sum(len(state.messages[place]) for place in stubs) - sum(len(stub) for stub in stubs.values())
    return stubs if freed >= WORTH * sum(map(len, state.messages)) else {}


def scale_tokens(tokens: int, state: State, stubs: Mapping[int, str]) -> int:
    """Return about how many of `tokens` are left when the stubs have taken their places."""
    whole = sum(map(len, state.messages))
    gone = sum(len(state.messages[place]) - len(stub) for place, stub in stubs.items())
    return math.ceil(tokens * (whole - gone) / whole)


def _write_stub(name: str, arguments: str, content: str) -> str:
    shown = " ".join(arguments.split())
    shown = shown if len(shown) <= MAX_ARGUMENTS else f"{shown[:MAX_ARGUMENTS]}…"
    return f"[left out: {len(content):,} characters of {name[:60]} {shown}. Make the call again to read them.]"
