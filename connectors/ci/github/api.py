"""GitHub's REST surface: a thin client with one error model. What is asked for is in `checks`, `provider` and `forge`.

It tries once. Answers are remembered by their ETag, so that polling what has not changed costs no rate limit; where
GitHub asks for a pause, no call leaves before it is over.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from connectors.ci.github.app import Identity
from connectors.ci.github.transport import Request, Transport, read_json

MAX_LOG_BYTES: Final = 64 * 1024 * 1024
MAX_PAGES: Final = 10
MAX_REMEMBERED: Final = 128
MAX_REMEMBERED_BYTES: Final = 512 * 1024
MAX_REDIRECTS: Final = 3

_NEXT: Final = re.compile(r'<([^<>]{1,2000})>\s*;[^,]{0,200}rel="next"')


class Api:
    """The calls the connector needs. Raises `Unavailable` or `Rejected`."""

    def __init__(self, base: str, identity: Identity, transport: Transport) -> None:
        self._base = base
        self._identity = identity
        self._transport = transport
        self._origin = _origin(base)
        self._remembered: OrderedDict[str, tuple[str, Any, str]] = OrderedDict()

    @property
    def calls(self) -> int:
        """Requests that left so far, the log store's included."""
        return self._transport.calls

    @property
    def unchanged(self) -> int:
        """Answers among them that cost nothing of the rate limit."""
        return self._transport.unchanged

    @property
    def remaining(self) -> int | None:
        """What GitHub said last is left of the rate limit."""
        return self._transport.remaining

    async def get(self, path: str) -> Mapping[str, Any]:
        """Return the object at a path."""
        value, _ = await self._get(self._base + path)
        return _object(value)

    async def list(self, path: str, key: str = "", pages: int = MAX_PAGES) -> Sequence[Mapping[str, Any]]:
        """Return every entry of a listing, page by page: the pages are lists, or hold one under `key`."""
        url, found = self._base + path, []
        for _ in range(pages):
            page, following = await self._get(url)
            entries = _object(page).get(key) if key else page
            if not isinstance(entries, list):
                raise Unavailable(f"GitHub answered without a list of {key or 'entries'}.", Reason.SERVER_ERROR)
            found += [entry for entry in entries if isinstance(entry, dict)]
            if not following:
                return found
            url = following
        if pages == 1:
            return found
        raise Rejected(f"GitHub lists more than {pages} pages of {key}.", Reason.TOO_LARGE)

    async def order(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """Send an order, once, and return the object that answers it."""
        request = Request(method=method, url=self._base + path, token=await self._identity.token(), body=body)
        async with self._transport.ask(request) as answer:
            if not 200 <= answer.status < 300:
                raise await self._refusal(answer)
            value = await read_json(answer)
            return value if isinstance(value, dict) else {}

    async def log(self, path: str, keep: int) -> bytes | None:
        """Return the end of a log, None where there is none (yet, or any more).

        GitHub answers with the address of a log store: it is followed without the token.
        """
        request = Request(method="GET", url=self._base + path, token=await self._identity.token())
        for _ in range(MAX_REDIRECTS):
            async with self._transport.ask(request) as answer:
                if answer.status in {301, 302, 303, 307, 308}:
                    request = Request(method="GET", url=self._log_store(answer))
                    continue
                if answer.status in {404, 410} or (answer.status == 403 and not request.token):
                    return None
                if answer.status != 200:
                    raise await self._refusal(answer)
                return await _read_end(answer, keep)
        raise Unavailable("GitHub sends the reader of a log in circles.", Reason.SERVER_ERROR)

    def _log_store(self, answer: aiohttp.ClientResponse) -> str:
        target = answer.headers.get("Location", "")
        allowed = {"https"} if self._origin[0] == "https" else {"http", "https"}
        if _origin(target)[0] not in allowed or not _origin(target)[1]:
            raise Unavailable("GitHub names no log store that could be asked.", Reason.SERVER_ERROR)
        return target

    async def _get(self, url: str) -> tuple[Any, str]:
        """Return (value, address of the next page); an answer that has not changed comes from memory."""
        for _ in range(MAX_REDIRECTS):
            etag, value, following = self._remembered.get(url, ("", None, ""))
            request = Request(method="GET", url=url, token=await self._identity.token(), etag=etag)
            async with self._transport.ask(request) as answer:
                if answer.status == 304 and etag:
                    self._remembered.move_to_end(url)
                    return value, following
                if answer.status in {301, 302, 307, 308}:
                    url = self._own(answer.headers.get("Location", ""))
                    continue
                if answer.status != 200:
                    raise await self._refusal(answer)
                value = await read_json(answer)
                link = _NEXT.search(answer.headers.get("Link", "")[:8000])
                following = self._own(link[1]) if link else ""
                is_small = answer.content.total_bytes <= MAX_REMEMBERED_BYTES
                self._remember(url, (answer.headers.get("ETag", "") if is_small else "", value, following))
                return value, following
        raise Unavailable("GitHub redirects in circles.", Reason.SERVER_ERROR)

    async def _refusal(self, answer: aiohttp.ClientResponse) -> NightshiftError:
        error = await self._transport.refusal(answer)
        if answer.status == 401 and self._identity.renews:
            self._identity.forget()
            return Unavailable("GitHub refused the App's token; it is asked for a new one.", error.reason, 1.0)
        return error

    def _own(self, url: str) -> str:
        """The token goes to GitHub alone. Raises `Rejected` for an address elsewhere."""
        if _origin(url) != self._origin:
            text = f"GitHub at {self._origin[1]} sends us elsewhere; set NIGHTSHIFT_GITHUB_URL to where it is."
            raise Rejected(text, Reason.BAD_INPUT)
        return url

    def _remember(self, url: str, entry: tuple[str, Any, str]) -> None:
        self._remembered.pop(url, None)
        if entry[0] and len(entry[0]) <= 200 and entry[0].isprintable():
            self._remembered[url] = entry
        while len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Unavailable("GitHub answered something that is no object.", Reason.SERVER_ERROR)
    return value


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return "", "", None


async def _read_end(answer: aiohttp.ClientResponse, keep: int) -> bytes:
    """Read a log and keep its end, from a whole line on where there is one: half a secret is not known for one.

    Past the limit what was read so far is the log.
    """
    end, size = bytearray(), 0
    while size < MAX_LOG_BYTES and (chunk := await answer.content.readany()):
        size += len(chunk)
        end += chunk
        del end[:-keep]
    return bytes(end if size <= keep else end.partition(b"\n")[2] or end)
