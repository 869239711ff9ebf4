"""A person at the web pages: signs in by the one-time link and presses buttons, as a browser would."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import aiohttp

_TIMEOUT = aiohttp.ClientTimeout(total=15)


class PageError(Exception):
    """A page did not do what it should; the text says which and what it answered."""


@dataclass(kw_only=True)
class PageButton:
    """A submit button: the fields it sends, and where."""

    label: str
    action: str
    fields: dict[str, str]


@dataclass(kw_only=True)
class _Form:
    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, dict[str, str]]] = field(default_factory=list)


class _FormReader(HTMLParser):
    """Collects forms with their hidden fields and the text of their buttons."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[_Form] = []
        self._open = False
        self._label: list[str] | None = None
        self._sends: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(_Form(action=given.get("action", ""), method=given.get("method", "get").lower()))
            self._open = True
        elif tag == "input" and self._open and given.get("name"):
            self.forms[-1].fields[given["name"]] = given.get("value", "")
        elif tag == "button" and self._open and "disabled" not in given:
            self._label = []
            self._sends = {given["name"]: given.get("value", "")} if given.get("name") else {}

    def handle_data(self, data: str) -> None:
        if self._label is not None:
            self._label.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = False
        elif tag == "button" and self._label is not None:
            self.forms[-1].buttons.append((" ".join("".join(self._label).split()), self._sends))
            self._label = None


def read_buttons(html: str, url: str) -> list[PageButton]:
    """Return the buttons of a page's POST forms."""
    reader = _FormReader()
    reader.feed(html)
    return [
        PageButton(label=label, action=urljoin(url, form.action), fields={**form.fields, **sends})
        for form in reader.forms
        if form.method == "post"
        for label, sends in form.buttons
    ]


class Browser:
    """One signed-in person. The session must keep cookies of IP addresses (`CookieJar(unsafe=True)`)."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._base = base

    async def sign_in(self, link: str) -> None:
        """Open the one-time link and press its button."""
        buttons = read_buttons(await self.open(link), link)
        if not buttons:
            raise PageError(f"{link} shows no sign-in button")
        async with self._post(buttons[0]) as response:
            if response.status >= 400:
                raise PageError(f"signing in was answered with {response.status}: {(await response.text())[:300]}")

    async def open(self, path: str) -> str:
        """Return the page's HTML."""
        url = urljoin(self._base, path)
        async with self._session.get(url, headers={"Accept": "text/html"}, timeout=_TIMEOUT) as response:
            if response.status != 200:
                raise PageError(f"{url} was answered with {response.status}: {(await response.text())[:300]}")
            return await response.text()

    async def find(self, path: str, label: str) -> PageButton | None:
        """Return the page's button whose label begins with `label`, None if there is none."""
        buttons = read_buttons(await self.open(path), urljoin(self._base, path))
        return next((button for button in buttons if button.label.lower().startswith(label.lower())), None)

    async def press(self, button: PageButton) -> str:
        """Press it and return the private answer. Raises `PageError` when it was refused."""
        async with self._post(button, {"Accept": "application/json"}) as response:
            text = await response.text()
        try:
            answer = json.loads(text)
            ok, said = bool(answer["ok"]), str(answer["text"])
        except (ValueError, KeyError, TypeError):
            ok, said = response.status < 400, text[:300]
        if not ok:
            raise PageError(f'"{button.label}" was refused: {said}')
        return said

    async def download(self, path: str) -> bytes:
        async with self._session.get(urljoin(self._base, path), timeout=_TIMEOUT) as response:
            if response.status != 200:
                raise PageError(f"{path} was answered with {response.status}")
            return await response.read()

    def _post(
        self, button: PageButton, headers: Mapping[str, str] | None = None
    ) -> "aiohttp.client._RequestContextManager":
        parts = urlsplit(self._base)
        origin = {"Origin": f"{parts.scheme}://{parts.netloc}", "Sec-Fetch-Site": "same-origin"}
        return self._session.post(
            button.action, data=button.fields, headers={**origin, **(headers or {})}, timeout=_TIMEOUT
        )
