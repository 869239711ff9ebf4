"""What kind of server answers at an address, and what it understands beyond OpenAI's calls."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from bot.ports.model import ModelPlace
from connectors.models.openai import PATH, endpoint
from connectors.models.openai_watch import Asker, read_names, read_table

SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 3.0
MAX_TOKENS: Final = 100_000_000


@dataclass(frozen=True, kw_only=True)
class Facts:
    """`version` is sglang's, "" for any other server; `context` is 0 where nobody says it.

    `takes` are the fields of ours that it understands: an id for each request, and a priority where it has an order.
    """

    models: tuple[str, ...]
    version: str = ""
    context: int = 0
    takes: frozenset[str] = frozenset()


async def learn(place: ModelPlace) -> Facts:
    """Ask once. Raises `Unavailable` where nobody answers, `Rejected` where the key or the address is wrong."""
    base = endpoint(place.url).removesuffix(PATH)
    timeout = aiohttp.ClientTimeout(total=SECONDS, sock_connect=CONNECT_SECONDS)
    headers = {"Authorization": f"Bearer {place.api_key}"} if place.api_key else {}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        asker = Asker(session, place)
        listed, info = await asyncio.gather(asker.fetch(f"{base}/models"), asker.read_info())
    return _read(listed, info)


def _read(listed: bytes, info: bytes) -> Facts:
    about, takes = read_table(info), set()
    version = about.get("version")
    if isinstance(version, str) and "enable_priority_scheduling" in about:
        takes.add("rid")
        if about["enable_priority_scheduling"] is True:
            takes.add("priority")
    else:
        version = ""
    return Facts(
        models=tuple(read_names(listed)),
        version=version[:40] if version.isprintable() else "",
        context=_context(read_table(listed), about),
        takes=frozenset(takes),
    )


def _context(listed: Mapping[str, Any], about: Mapping[str, Any]) -> int:
    """Return the tokens that a conversation may have; servers say so in the list of models, sglang also elsewhere."""
    models = listed.get("data")
    entries = [entry for entry in models if isinstance(entry, dict)] if isinstance(models, list) else []
    said = [entry.get(name) for entry in entries for name in ("max_model_len", "context_length")]
    said += [about.get("context_length"), about.get("max_req_input_len")]
    sizes = [size for size in said if isinstance(size, int) and not isinstance(size, bool) and 0 < size < MAX_TOKENS]
    return sizes[0] if sizes else 0
