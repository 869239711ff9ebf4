"""`POST /v1/page-tests`: a test page through each contact of a person, and what each answered."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from aiohttp import web

from bot.domain.oncall import Roster
from bot.web.admin import read_person, require_token


class ContactAnswer(Protocol):
    """What one contact said."""

    @property
    def contact(self) -> str: ...

    @property
    def ok(self) -> bool: ...

    @property
    def text(self) -> str: ...


Test = Callable[[str], Awaitable[Sequence[ContactAnswer]]]


class PageTests:
    """Asks for the admin token, as everything that an operator orders."""

    def __init__(self, roster: Roster, test: Test, *, token: str) -> None:
        self._roster = roster
        self._test = test
        self._token = token

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/page-tests", require_token(self._token, self._run))]

    async def _run(self, request: web.Request) -> web.Response:
        person = await read_person(request, self._roster)
        answers = await self._test(person)
        found = [{"contact": answer.contact, "ok": answer.ok, "text": answer.text} for answer in answers]
        return web.json_response({"contacts": found})
