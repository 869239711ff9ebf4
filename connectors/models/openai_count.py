"""How many tokens a prompt has, from servers that tell it before it is sent: sglang's `/v1/tokenize`."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any, Final

import aiohttp

from connectors.models.openai_errors import load_json

SECONDS: Final = 5.0
MAX_BYTES: Final = 16 * 1024 * 1024
_PARTS: Final = ("model", "messages", "tools", "tool_choice", "reasoning_effort", "chat_template_kwargs")
"""What of a request its template sees: some templates leave out earlier thinking, others tools, as these say."""


@dataclass(kw_only=True)
class Counter:
    """Asks one server. A server that has no such address is not asked again."""

    url: str
    headers: Mapping[str, str]
    proxy: str | None
    trust: SSLContext | bool
    is_missing: bool = False

    async def count(self, session: aiohttp.ClientSession, request: bytes) -> int | None:
        """Return the number, None where the server does not tell it, or not in time."""
        if self.is_missing:
            return None
        try:
            whole = json.loads(request)
            body = json.dumps({part: whole[part] for part in _PARTS if part in whole}, ensure_ascii=False).encode()
            async with asyncio.timeout(SECONDS):
                return await self._ask(session, body)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
            return None

    async def _ask(self, session: aiohttp.ClientSession, body: bytes) -> int | None:
        async with session.post(
            self.url, data=body, headers=self.headers, proxy=self.proxy, ssl=self.trust, allow_redirects=False
        ) as response:
            self.is_missing = response.status in {400, 404, 405, 422, 501}
            if response.status != 200:
                return None
            parts, size = [], 0
            async for part in response.content.iter_any():
                parts.append(part)
                size += len(part)
                if size > MAX_BYTES:
                    return None
            return _read(load_json(b"".join(parts)))


def _read(answer: Any) -> int | None:  # noqa: ANN401 -- JSON from outside
    """Return the count, or the length of the list of tokens; None where the answer holds neither."""
    told = answer if isinstance(answer, dict) else {}
    count, tokens = told.get("count"), told.get("tokens")
    if isinstance(count, int) and not isinstance(count, bool) and count > 0:
        return count
    return len(tokens) if isinstance(tokens, list) and tokens else None
