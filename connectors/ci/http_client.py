"""The HTTP client of CI systems and forges: bounded answers, credentials for one server only.

It tries once. Answers are remembered by their ETag, so that polling what has not changed costs no rate limit.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urljoin

import aiohttp

from bot.errors import NotSent, Reason, Rejected, Unavailable
from connectors.ci.http_refusals import REDIRECTS, read_count
from connectors.ci.http_settings import read_origin
from connectors.ci.http_transport import NOTHING, Call, Sent, Transport, read_body
from connectors.ci.http_values import load_json

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_LOG_BYTES: Final = 64 * 1024 * 1024
MAX_REDIRECTS: Final = 3
MAX_PAGES: Final = 10
MAX_REMEMBERED: Final = 128
MAX_REMEMBERED_BYTES: Final = 512 * 1024

_NEXT: Final = re.compile(r'<([^<>]{1,2000})>\s*;[^,]{0,200}rel="next"')
_UNSENT: Final = frozenset({Reason.UNREACHABLE, Reason.RATE_LIMITED, Reason.REVOKED})
"""Reasons of `Unavailable` after which an order was surely not carried out."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A success: status, JSON (None where the body is empty or no JSON was asked for) and headers."""

    status: int
    value: Any
    headers: Mapping[str, str]
    cookies: Mapping[str, str]


class HttpClient:
    """What is asked of one server, and ordered there. Raises `Unavailable` or `Rejected`.

    `unchanged` counts the answers that cost no rate limit.
    """

    def __init__(self, transport: Transport) -> None:
        self.name = transport.name
        self.unchanged = 0
        self._transport = transport
        self._origin = read_origin(transport.url)
        self._remembered: OrderedDict[str, tuple[str, Answer]] = OrderedDict()

    @property
    def calls(self) -> int:
        """Calls that left so far, a log store's included."""
        return self._transport.calls

    @property
    def remaining(self) -> int | None:
        """What the server said last is left of its rate limit, None where it says nothing."""
        return self._transport.remaining

    async def close(self) -> None:
        await self._transport.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """Return the JSON at a path. Where the server sends us on within itself, we follow."""
        url = self.address(path, query)
        for _ in range(MAX_REDIRECTS):
            etag, known = self._remembered.get(url, ("", None))
            async with self._transport.ask(Call(method="GET", url=url, etag=etag)) as answer:
                if answer.status == 304 and known is not None:
                    self.unchanged += 1
                    self._remembered.move_to_end(url)
                    return known
                if answer.status in REDIRECTS:
                    url = self._own(urljoin(url, answer.headers.get("Location", "")))
                    continue
                found = await self._success(answer)
                if found.value is None:
                    raise Unavailable(f"{self.name} answered something that is no JSON.", Reason.SERVER_ERROR)
                self._remember(url, found, answer.content.total_bytes)
                return found
        raise Unavailable(f"{self.name} sends us in circles.", Reason.SERVER_ERROR)

    async def find(self, path: str, query: Mapping[str, str] | None = None) -> Answer | None:
        """Return the JSON at a path, None where there is nothing."""
        try:
            return await self.get(path, query)
        except Rejected as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise

    async def get_object(self, path: str) -> Mapping[str, Any]:
        """Return the object at a path."""
        return self._require_object((await self.get(path)).value)

    async def list(
        self, path: str, query: Mapping[str, str] | None = None, *, key: str = "", pages: int = MAX_PAGES
    ) -> Sequence[Mapping[str, Any]]:
        """Return every entry of a listing, page by page: the pages are lists, or hold one under `key`."""
        url = self.address(path, query)
        found: list[Mapping[str, Any]] = []
        for _ in range(pages):
            answer = await self.get(url)
            found += self.require_list(self._require_object(answer.value).get(key) if key else answer.value)
            url = self._next_page(url, answer.headers)
            if not url or pages == 1:
                return found
        what = key or path.partition("?")[0].rpartition("/")[2]
        raise Rejected(f"{self.name} lists more than {pages} pages of {what}.", Reason.TOO_LARGE)

    def require_list(self, value: object) -> Sequence[Mapping[str, Any]]:
        """Return the entries of a listing. What is no list must not read as "there is none". Raises `Unavailable`."""
        if not isinstance(value, list):
            raise Unavailable(f"{self.name} answered with no listing.", Reason.SERVER_ERROR)
        return [entry for entry in value if isinstance(entry, dict)]

    async def order(self, method: str, path: str, sent: Sent = NOTHING) -> Answer:
        """Send an order, once. Raises `NotSent` where it did not leave or was turned away for now; after any other
        `Unavailable` nobody knows whether it was carried out."""
        call = Call(method=method, url=self.address(path), sent=sent, is_order=True)
        try:
            async with self._transport.ask(call) as answer:
                return await self._success(answer, below=400 if sent.may_redirect else 300)
        except Unavailable as error:
            if error.reason in _UNSENT:
                raise NotSent(str(error), error.reason, error.retry_after) from error
            raise

    async def header(self, path: str, name: str) -> str:
        """Return one header of what is at a path, "" where there is none; the rest of the answer is not read."""
        async with self._transport.ask(Call(method="GET", url=self.address(path))) as answer:
            if answer.status in {404, 410}:
                return ""
            if answer.status != 200:
                raise await self._transport.refusal(answer)
            return answer.headers.get(name, "").strip()

    async def tail(self, path: str, keep: int, *, is_stored: bool = False) -> bytes:
        """Return the end of a log, from a whole line on; empty where there is none.

        `is_stored`: the server may answer with the address of a store, which is asked without the credentials.
        """
        call = Call(method="GET", url=self.address(path))
        for _ in range(MAX_REDIRECTS):
            async with self._transport.ask(call) as answer:
                if is_stored and answer.status in REDIRECTS:
                    call = Call(method="GET", url=self._store(answer), is_ours=False)
                    continue
                if answer.status in {404, 410} or (answer.status == 403 and not call.is_ours):
                    return b""
                if answer.status not in {200, 206}:
                    raise await self._transport.refusal(answer)
                return await _read_end(answer, keep)
        raise Unavailable(f"{self.name} sends the reader of a log in circles.", Reason.SERVER_ERROR)

    def address(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """Return the address of a path, which may be a whole address of this server. Raises `Rejected`."""
        url = self._own(path) if "://" in path.split("?", 1)[0] else f"{self._transport.url}/{path.lstrip('/')}"
        return f"{url}?{urlencode(query)}" if query else url

    def _own(self, url: str) -> str:
        """Credentials go to one server alone. Raises `Rejected` for an address elsewhere."""
        if read_origin(url) != self._origin:
            text = f"{self.name} at {self._origin[1]} sends us elsewhere; set its url to where it is."
            raise Rejected(text, Reason.NOT_ALLOWED)
        return url

    def _store(self, answer: aiohttp.ClientResponse) -> str:
        target = answer.headers.get("Location", "")
        scheme, host, _ = read_origin(target)
        allowed = {"https"} if self._origin[0] == "https" else {"http", "https"}
        if scheme not in allowed or not host:
            raise Unavailable(f"{self.name} names no log store that could be asked.", Reason.SERVER_ERROR)
        return target

    def _next_page(self, url: str, headers: Mapping[str, str]) -> str:
        """Return the address of the next page: X-Next-Page numbers it, or Link names it."""
        number = read_count(headers.get("X-Next-Page", ""))
        if number is not None:
            place, _, query = url.partition("?")
            return f"{place}?{urlencode({**dict(parse_qsl(query)), 'page': str(number)})}"
        link = _NEXT.search(headers.get("Link", "")[:8000])
        return self._own(link[1]) if link else ""

    def _require_object(self, value: object) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise Unavailable(f"{self.name} answered something that is no object.", Reason.SERVER_ERROR)
        return value

    def _remember(self, url: str, found: Answer, size: int) -> None:
        self._remembered.pop(url, None)
        etag = found.headers.get("ETag", "")
        if 0 < len(etag) <= 200 and etag.isprintable() and size <= MAX_REMEMBERED_BYTES and not found.cookies:
            self._remembered[url] = (etag, found)
        while len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    async def _success(self, answer: aiohttp.ClientResponse, *, below: int = 300) -> Answer:
        if not 200 <= answer.status < below:
            raise await self._transport.refusal(answer)
        body = await read_body(answer, MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            raise Rejected(f"{self.name} answers without end.", Reason.TOO_LARGE)
        value = None
        if "json" in answer.content_type and body.strip():
            try:
                value = load_json(body)
            except ValueError as error:
                raise Unavailable(f"{self.name} answered broken JSON.", Reason.SERVER_ERROR) from error
        cookies = {name: morsel.value for name, morsel in answer.cookies.items()}
        return Answer(status=answer.status, value=value, headers=answer.headers, cookies=cookies)


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
