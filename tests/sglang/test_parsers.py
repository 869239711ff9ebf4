"""Calls of tools through SGLang's parsers. The model babbles, so that the grammar and the parser do all the work: what
they let through must be a call that can be used, or something that the agent sees to be none."""

import asyncio
import json
from contextlib import nullcontext

import pytest
from pydantic import SecretStr

from bot.agent.guard import find_leak
from bot.agent.transcript import find_fault
from bot.errors import NightshiftError
from bot.ports.model import Finish
from connectors.models.openai import Client, Settings
from tests.sglang.servers import KEY, need_environment, serve_sglang
from tests.sglang.shapes import TOOL, call

pytestmark = pytest.mark.sglang
SEEDS = 6
#: How many of the six calls come through whole at least; deepseekv4 lets its own signs into the text (0.5.23).
WHOLE = {"qwen": 5, "mistral": 5, "kimi_k2": 5, "qwen3_coder": 5, "deepseekv4": 0}
OTHER = {"type": "function", "function": {**TOOL["function"], "name": "ci_status"}}


@pytest.mark.parametrize("parser", WHOLE)
def test_a_call_comes_through_whole_or_is_seen_not_to_be_one(parser, request):
    need_environment()
    running = nullcontext(request.getfixturevalue("sglang")) if parser == "qwen" else serve_sglang(parser)
    with running as live:
        ends = asyncio.run(_ask_all(live.url))
    print(f"{parser}: {ends}")
    assert set(ends) <= {"whole", "cut", "bad arguments", "leak", "no call", "refused"}
    assert ends.count("whole") >= WHOLE[parser]


async def _ask_all(url):
    settings = Settings(url=url, api_key=SecretStr(KEY), first_seconds=120, idle_seconds=120)
    async with Client(settings) as client:
        return [await _ask(client, seed) for seed in range(SEEDS)]


async def _ask(client, seed):
    request = call(seed=seed, max_tokens=300) | {"tools": [OTHER, TOOL]}
    try:
        answer = await client.complete(json.dumps(request).encode(), deadline=asyncio.get_running_loop().time() + 120)
    except NightshiftError:
        return "refused"
    if find_leak(answer.text) >= 0:
        return "leak"
    if answer.finish is Finish.LENGTH:
        return "cut"
    if not answer.calls:
        return "no call"
    return "whole" if all(map(_is_whole, answer.calls)) else "bad arguments"


def _is_whole(one):
    """Say whether the agent could do what the call asks: one of the tools, with exactly its arguments."""
    if one.name not in {"read_log", "ci_status"} or find_fault(one.arguments):
        return False
    given = json.loads(one.arguments)
    return set(given) == {"service", "newest"} and str(given["service"]).strip() in {"api", "web"}
