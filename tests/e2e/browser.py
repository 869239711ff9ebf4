"""A real Chromium, driven over the DevTools protocol with aiohttp alone.

    async with open_browser() as page:
        await page.open("http://127.0.0.1:8080/")
        await page.click("#sign-in")
        assert await page.text("h1") == "All quiet"

Waits poll the page; nothing here sleeps for a fixed time.
"""

import asyncio
import base64
import itertools
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
MISSING: Final = "no Chromium here (apt-get install chromium)"
_START_SECONDS: Final = 30.0
_WAIT_SECONDS: Final = 20.0
_FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--metrics-recording-only",
    "--password-store=basic",
    "--force-color-profile=srgb",
    "--remote-debugging-port=0",
)
_BETWEEN_PAGES: Final = ("Execution context", "Cannot find context", "Inspected target navigated")
_KEYS: Final[Mapping[str, tuple[str, int, str]]] = {
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    "Escape": ("Escape", 27, ""),
    " ": ("Space", 32, " "),
    "ArrowDown": ("ArrowDown", 40, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
}


def find_chromium() -> str | None:
    """Return the path of an installed Chromium, None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class BrowserError(AssertionError):
    """The page is not as the test expects it, or Chromium refused a command."""


class Page:
    """One tab. Selectors are CSS; a method that needs an element waits for it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session: str) -> None:
        self._socket = socket
        self._session = session
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, object]]] = {}
        self._reader = asyncio.create_task(self._read())
        self.console: list[str] = []

    async def open(self, url: str) -> None:
        """Go to a URL and wait until the page is loaded."""
        result = await self._send("Page.navigate", url=url)
        if result.get("errorText"):
            raise BrowserError(f"{url}: {result['errorText']}")
        await self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def click(self, selector: str) -> None:
        """Click the middle of an element with the mouse, as a person would."""
        await self.find(selector)
        spot = await self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center', behavior: 'instant'}); const r = e.getBoundingClientRect();"
            " return [r.left + r.width / 2, r.top + r.height / 2]; })()"
        )
        assert isinstance(spot, list)
        for kind in ("mousePressed", "mouseReleased"):
            await self._send("Input.dispatchMouseEvent", type=kind, x=spot[0], y=spot[1], button="left", clickCount=1)

    async def press(self, key: str, *, shift: bool = False) -> None:
        """Press one key: a character, or one of Tab, Enter, Escape, ArrowDown, ArrowUp."""
        code, number, text = _KEYS.get(key, (key, ord(key[0].upper()), key))
        common = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": 8 if shift else 0}
        await self._send("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        await self._send("Input.dispatchKeyEvent", type="keyUp", **common)

    async def type(self, text: str) -> None:
        """Type into whatever has the focus."""
        await self._send("Input.insertText", text=text)

    async def choose(self, selector: str, path: Path) -> None:
        """Choose a file in a form."""
        await self.find(selector)
        found = await self._send("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")
        result = found["result"]
        assert isinstance(result, dict)
        await self._send("DOM.setFileInputFiles", files=[str(path)], objectId=result["objectId"])

    async def text(self, selector: str) -> str:
        """Return the visible text of an element, its spaces as a reader sees them."""
        await self.find(selector)
        return str(await self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    async def find(self, selector: str) -> None:
        """Wait until an element is there and has a size."""
        await self.wait(f"(document.querySelector({json.dumps(selector)})?.getClientRects().length ?? 0) > 0")

    async def gone(self, selector: str) -> None:
        """Wait until no such element is visible."""
        await self.wait(f"(document.querySelector({json.dumps(selector)})?.getClientRects().length ?? 0) === 0")

    async def wait_text(self, selector: str, words: str) -> None:
        """Wait until an element shows the words."""
        await self.wait(f"document.querySelector({json.dumps(selector)})?.innerText.includes({json.dumps(words)})")

    async def focused(self) -> str:
        """Return the id of the element that has the focus, else its tag."""
        return str(await self.evaluate("document.activeElement.id || document.activeElement.tagName.toLowerCase()"))

    async def evaluate(self, expression: str) -> object:
        """Return the value of a JavaScript expression; promises are awaited."""
        result = await self._send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True
        )
        if "exceptionDetails" in result:
            raise BrowserError(f"{expression}: {json.dumps(result['exceptionDetails'])[:500]}")
        value = result.get("result")
        return value.get("value") if isinstance(value, dict) else None

    async def wait(self, condition: str, seconds: float = _WAIT_SECONDS) -> None:
        """Wait until a JavaScript condition holds; a page that is just being replaced counts as "not yet"."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            try:
                if await self.evaluate(condition):
                    return
            except BrowserError as error:
                if not any(words in str(error) for words in _BETWEEN_PAGES):
                    raise
            if loop.time() > until:
                shown = await self.evaluate("location.href + '\\n' + document.body.innerText.slice(0, 2000)")
                raise BrowserError(f"waited {seconds:g} s for {condition}; the page shows: {shown}; {self.console}")
            await asyncio.sleep(0.03)

    async def screenshot(self, path: Path, *, full: bool = False) -> None:
        """Write a PNG of what is in view, or of the whole page."""
        result = await self._send("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(str(result["data"])))

    async def set_viewport(self, width: int, height: int, *, mobile: bool = False) -> None:
        """Take the size of a screen; `mobile` adds touch and a phone's pixel density."""
        await self._send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if mobile else 1,
            mobile=mobile,
        )
        await self._send("Emulation.setTouchEmulationEnabled", enabled=mobile)

    async def dark(self, on: bool) -> None:
        """Prefer dark colours, or light ones."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        await self._send("Emulation.setEmulatedMedia", features=[scheme])

    async def scripts(self, on: bool) -> None:
        """Allow or forbid the page's own scripts; counts from the next page on."""
        await self._send("Emulation.setScriptExecutionDisabled", value=not on)

    async def close(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def start(self) -> None:
        for domain in ("Page", "Runtime", "Log"):
            await self._send(f"{domain}.enable")

    async def _send(self, method: str, **params: object) -> dict[str, object]:
        number = next(self._ids)
        future: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()
        self._answers[number] = future
        await self._socket.send_json({"id": number, "method": method, "params": params, "sessionId": self._session})
        async with asyncio.timeout(_START_SECONDS):
            return await future

    async def _read(self) -> None:
        async for frame in self._socket:
            message = json.loads(frame.data)
            future = self._answers.pop(message.get("id", 0), None)
            if future is not None and not future.done():
                if "error" in message:
                    future.set_exception(BrowserError(str(message["error"])))
                else:
                    future.set_result(message.get("result", {}))
            elif message.get("method") in {"Runtime.exceptionThrown", "Log.entryAdded"}:
                self.console.append(json.dumps(message["params"])[:500])


@asynccontextmanager
async def open_browser() -> AsyncIterator[Page]:
    """Start a Chromium with an empty profile, yield its one tab, and leave nothing behind."""
    program = find_chromium()
    if program is None:
        raise BrowserError(MISSING)
    with tempfile.TemporaryDirectory(prefix="nightshift-browser-", ignore_cleanup_errors=True) as folder:
        process = await asyncio.create_subprocess_exec(
            program,
            *_FLAGS,
            f"--user-data-dir={folder}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            address = await _find_address(Path(folder) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as client, client.ws_connect(address, max_msg_size=0) as socket:
                page = await _attach(socket)
                try:
                    yield page
                finally:
                    await page.close()
                    await socket.send_json({"id": 0, "method": "Browser.close"})
        finally:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(5):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _find_address(file: Path) -> str:
    loop = asyncio.get_running_loop()
    until = loop.time() + _START_SECONDS
    while loop.time() < until:
        lines = file.read_text().split() if file.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        await asyncio.sleep(0.05)
    raise BrowserError(f"Chromium did not start within {_START_SECONDS:g} s")


async def _attach(socket: aiohttp.ClientWebSocketResponse) -> Page:
    target = await _ask(socket, 1, "Target.createTarget", url="about:blank")
    session = await _ask(socket, 2, "Target.attachToTarget", targetId=target["targetId"], flatten=True)
    page = Page(socket, str(session["sessionId"]))
    await page.start()
    return page


async def _ask(
    socket: aiohttp.ClientWebSocketResponse, number: int, method: str, **params: object
) -> dict[str, object]:
    await socket.send_json({"id": number, "method": method, "params": params})
    while True:
        message = await socket.receive_json(timeout=_START_SECONDS)
        if message.get("id") == number and "sessionId" not in message:
            result: dict[str, object] = message["result"]
            return result
