"""The real bot in a real Chromium at phone width: the page rings, a tap approves, CI's verdict arrives by itself."""

import shutil
from datetime import UTC, datetime

import aiohttp
import pytest

from tests.e2e.browser import MISSING, find_chromium, open_browser
from tests.e2e.test_kill_walker import CULPRIT
from tests.e2e.walk import HANGS, TOKEN, Walk, make_ground, shop_service

pytestmark = [pytest.mark.browser, pytest.mark.skipif(find_chromium() is None, reason=MISSING)]
APPROVE = "button[value^='approve:INC-1:']"
ACKNOWLEDGE = "button[value='ack:INC-1']"


async def sign_in_link(walk: Walk, session: aiohttp.ClientSession) -> str:
    headers = {"Authorization": f"Bearer {(walk.state / 'admin.token').read_text()}"}
    async with session.post(f"{walk.url}/v1/signin-links", json={"person": "ana"}, headers=headers) as answer:
        return (await answer.json())["url"]


async def send(walk: Walk, session: aiohttp.ClientSession, status: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with session.post(f"{walk.url}/v1/alerts/alertmanager", data=walk.body(status), headers=headers) as answer:
        assert answer.status == 200


async def test_one_tap_from_the_page_to_green_ci(tmp_path):
    ground = make_ground(tmp_path / "ground", CULPRIT)
    shutil.copytree(ground.repository.folder, tmp_path / "shop.git")
    shutil.copy(ground.log, tmp_path / "app.log")
    walk = Walk(folder=tmp_path, service=shop_service(tmp_path))
    walk.began = datetime.now(UTC).isoformat()
    walk.write_config()
    walk.start()
    try:
        async with aiohttp.ClientSession() as session, open_browser() as page:
            await walk.wait_ready(session)
            await page.set_viewport(390, 844, mobile=True)
            await page.open(await sign_in_link(walk, session))
            await page.click("#sign-in")
            await send(walk, session, "firing")
            await page.find("#row-INC-1 a")
            await page.click("#row-INC-1 a")
            await page.click(ACKNOWLEDGE)
            await page.gone(ACKNOWLEDGE)
            await page.wait("document.querySelector(\"button[value^='approve:INC-1:']\") !== null", HANGS)
            width = await page.evaluate("document.documentElement.scrollWidth")
            assert width <= 390, "nothing but a diff may scroll sideways"
            await page.click(APPROVE)
            await page.gone(APPROVE)
            await page.wait("document.body.innerText.includes('CI green')", HANGS)
            await send(walk, session, "resolved")
            await page.wait("document.querySelector('#head').innerText.toLowerCase().includes('resolved')", HANGS)
            assert page.console == []
    finally:
        walk.stop()
