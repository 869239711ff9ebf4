"""Plots on the pages: shown in the thread, served to signed-in people alone, under a policy by which nothing runs."""

import hashlib
from dataclasses import replace

import pytest

from bot.domain.chat import File
from bot.web.plots import POLICY
from bot.web.views import digest_of
from tests.unit.test_plot import HOSTILE, metric, series, write_plots
from tests.web_html import read_html
from tests.web_world import FINDINGS, fill, served

(PLOT,) = write_plots([metric(series(0.001, 0.2, instance=HOSTILE[1]), title=HOSTILE[0])], [])
PATH = f"/incidents/INC-12/plots/{digest_of(PLOT.text)}.svg"


@pytest.fixture
async def world():
    async with served() as running:
        fill(running.board)
        text = File(name="notes.md", media_type="text/markdown", text="some notes")
        running.board.put("web-plots", replace(FINDINGS, slot="plots", files=(PLOT, text)))
        yield running


async def test_the_thread_shows_the_picture_and_folds_the_other_files(world):
    client = await world.signed_in("ada")
    async with client.get("/incidents/INC-12") as answer:
        page = read_html(await answer.text())
    image = page.one("img")
    assert image.attributes["src"] == PATH
    assert image.attributes["alt"] == "Plot errors.svg; the message says in words what it shows"
    assert page.one("a", href=PATH)
    assert "notes.md" in page.text
    assert "<svg" not in page.text


async def test_it_is_served_as_a_picture_that_can_do_nothing(world):
    client = await world.signed_in("ada")
    async with client.get(PATH) as answer:
        assert answer.status == 200
        assert await answer.text() == PLOT.text
        assert answer.content_type == "image/svg+xml"
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
    assert POLICY.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in POLICY
    assert "script" not in POLICY


async def test_a_stranger_and_another_digest_get_nothing(world):
    async with world.client().get(PATH) as answer:
        assert answer.status == 403
        assert "svg" not in answer.content_type
    client = await world.signed_in("ada")
    notes = hashlib.sha256(b"some notes").hexdigest()
    for path in (PATH.replace("INC-12", "INC-99"), PATH[:-5] + "0.svg", f"/incidents/INC-12/plots/{notes}.svg"):
        async with client.get(path) as answer:
            assert answer.status == 404, path
