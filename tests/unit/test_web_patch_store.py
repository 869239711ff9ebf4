"""The page of a patch over the real store: what is pressed there is what the page then tells."""

import hashlib
from urllib.parse import urlsplit

from bot.domain.approval import ApprovalState
from tests.served import AS_ADMIN, Served, serve
from tests.web_html import Element, read_html
from tests.worldkit import make_world


async def sign_in(served: Served, person: str) -> dict[str, str]:
    """Return the headers of a person's browser."""
    origin = {"Origin": f"http://127.0.0.1:{served.port}"}
    async with served.client.post("/v1/signin-links", json={"person": person}, headers=AS_ADMIN) as answer:
        path = urlsplit((await answer.json())["url"]).path
    async with served.client.post(path, headers=origin, allow_redirects=False) as answer:
        return {**origin, "Cookie": answer.headers["Set-Cookie"].partition(";")[0], "Accept": "text/html"}


async def read(served: Served, path: str, headers: dict[str, str]) -> Element:
    async with served.client.get(path, headers=headers) as answer:
        assert answer.status == 200
        return read_html(await answer.text())


async def test_a_patch_is_approved_on_its_page_and_its_statement_names_the_bytes_shown(tmp_path) -> None:
    world = make_world(tmp_path, opened=True)
    digest = world.propose().digest
    path = f"/incidents/INC-1/patches/{digest[:12]}"
    async with serve(world) as served:
        ada = await sign_in(served, "ada")
        page = await read(served, path, ada)
        assert page.one("h1").text.split()[1:3] == ["Patch", "ready:"]
        button = f"approve:INC-1:{digest[:12]}"
        (asked,) = [form for form in page.all("form", action=f"{path}/press") if form.all("button", value=button)]
        form = {**asked.fields(), "button": button}
        async with served.client.post(f"{path}/press", data=form, headers=ada) as answer:
            told = read_html(await answer.text())
        assert "Patch approved" in told.one("h1").text
        assert not told.all("button", value=button)
        assert world.approval(digest).state is ApprovalState.APPROVED
        async with served.client.get(f"{path}/statement", headers=ada) as answer:
            assert digest in await answer.text()
        async with served.client.get(f"/incidents/INC-1/patch/{digest}.diff", headers=ada) as answer:
            assert hashlib.sha256(await answer.read()).hexdigest() == digest
