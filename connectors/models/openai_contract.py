"""Asks a live server whether it can do what the agent needs: what it says, and one small call of a tool."""

import asyncio
import json
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

import aiohttp
from pydantic import SecretStr

from bot.domain.models.contract import Ability, Contract
from bot.errors import NightshiftError
from bot.ports.model import Completion, ModelPlace, name_server
from connectors.models.openai import PATH, Client, Settings, endpoint, trust
from connectors.models.openai_facts import CONNECT_SECONDS, SECONDS, Facts, learn
from connectors.models.openai_watch import read_table

CALL_SECONDS: Final = 25.0
MAX_BYTES: Final = 256 * 1024
MAX_TOKENS: Final = 512
DEFAULT_NAME: Final = "default"
_TOOL: Final = {
    "type": "function",
    "function": {
        "name": "report",
        "description": "Report that tools work.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"word": {"type": "string", "enum": ["ready"]}},
            "required": ["word"],
            "additionalProperties": False,
        },
    },
}
_MESSAGES: Final = [{"role": "user", "content": "Call the tool `report` with the word ready. Write nothing else."}]


async def examine(place: ModelPlace) -> Contract:
    """Return what the server at `place.url` can do; never raises for what the server does."""
    server = name_server(place.url)
    try:
        facts = await learn(place)
    except NightshiftError as error:
        return Contract(server=server, fault=str(error))
    if facts.models and place.name not in {DEFAULT_NAME, *facts.models}:
        return Contract(server=server, version=facts.version, fault=f'it has no model "{place.name}"')
    counts, (called, cached, note) = await asyncio.gather(_counts_tokens(place), _call(place, facts))
    able = {Ability.TOOL_CALLS: called, Ability.CACHE_REPORT: cached, Ability.TOKENIZER: counts, **_said(facts)}
    return Contract(
        server=server,
        version=facts.version,
        context=facts.context,
        able=frozenset(ability for ability, is_there in able.items() if is_there),
        notes=(note,) if note else (),
    )


async def examine_all(place: ModelPlace) -> list[Contract]:
    """Examine every address, and those of the second model."""
    places = [replace(place, url=url, others=(), second=None) for url in place.urls]
    if place.second is not None:
        places += [replace(place.second, url=url, others=(), second=None) for url in place.second.urls]
    return list(await asyncio.gather(*map(examine, places)))


def _said(facts: Facts) -> dict[Ability, bool]:
    return {
        Ability.PRIORITY: "priority" in facts.takes,
        Ability.REQUEST_ID: "rid" in facts.takes,
        Ability.CONTEXT_LENGTH: facts.context > 0,
    }


async def _counts_tokens(place: ModelPlace) -> bool:
    """Say whether the server counts a conversation's tokens."""
    url = endpoint(place.url).removesuffix(PATH) + "/tokenize"
    headers = {"Authorization": f"Bearer {place.api_key}"} if place.api_key else {}
    timeout = aiohttp.ClientTimeout(total=SECONDS, sock_connect=CONNECT_SECONDS)
    body = {"model": place.name, "messages": _MESSAGES}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.post(
                url, json=body, proxy=place.proxy or None, ssl=trust(place.ca_file), allow_redirects=False
            ) as answer,
        ):
            return answer.status == 200 and isinstance(
                read_table(await answer.content.read(MAX_BYTES)).get("count"), int
            )
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
        return False


async def _call(place: ModelPlace, facts: Facts) -> tuple[bool, bool, str]:
    """Return whether a call came back whole, whether cached tokens are told, and what went wrong otherwise."""
    key = SecretStr(place.api_key) if place.api_key else None
    way = Settings(url=place.url, api_key=key, proxy=place.proxy, ca_file=place.ca_file, first_seconds=CALL_SECONDS)
    request: dict[str, Any] = {
        "model": place.name,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": MAX_TOKENS,
        "tools": [_TOOL],
        "tool_choice": "required",
        "messages": _MESSAGES,
    }
    if facts.version:
        request["chat_template_kwargs"] = {"enable_thinking": False, "thinking": False}
    body = json.dumps(request).encode()
    try:
        async with Client(way) as client:
            deadline = asyncio.get_running_loop().time() + CALL_SECONDS
            answer = await client.attempt(body, deadline=deadline, request_id=uuid4().hex)
    except NightshiftError as error:
        return False, False, f"the try said: {error}"
    return _is_called(answer), answer.usage.cached is not None, ""


def _is_called(answer: Completion) -> bool:
    """Say whether the one call came back, by its name and with arguments that can be read."""
    called = [call for call in answer.calls if call.name == "report"]
    return any(read_table(call.arguments.encode()).get("word") == "ready" for call in called)
