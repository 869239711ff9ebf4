"""Ana, who is on call: gets her sign-in link, and in an unattended demo presses the buttons of the web page."""

import asyncio
import re
import sys
from collections.abc import Mapping

import aiohttp

from bot.demo.browser import Browser
from bot.demo.config import PERSON, BotPlace
from bot.demo.folder import DemoError

_LINK = re.compile(r"https?://\S+/signin/\S+")


class Ana:
    """One person with a browser."""

    def __init__(self, session: aiohttp.ClientSession, place: BotPlace, env: Mapping[str, str]) -> None:
        self._place = place
        self._env = env
        self._browser = Browser(session, place.url)
        self.is_signed_in = False

    async def make_link(self) -> str:
        """Ask the running bot for a one-time link, as the operator would on the command line."""
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "connect", "web", "--person", PERSON, "--config", str(self._place.config)),
            env=dict(self._env),
            cwd=self._place.config.parent,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await child.communicate())[0].decode("utf-8", "replace")
        link = _LINK.search(output)
        if child.returncode != 0 or link is None:
            raise DemoError(f"`nightshift connect web` gave no link: {output.strip()[-500:]}")
        return link[0]

    async def sign_in(self, link: str) -> None:
        await self._browser.sign_in(link)
        self.is_signed_in = True

    async def press(self, page: str, label: str) -> str | None:
        """Press the button whose label begins so, and return the answer; None while there is no such button."""
        button = await self._browser.find(page, label)
        return None if button is None else await self._browser.press(button) or button.label

    async def read_diff(self, incident: str, digest: str) -> bytes:
        """Return the bytes of a patch as the page hands them out."""
        return await self._browser.download(f"/incidents/{incident}/patch/{digest}.diff")
