"""An investigation's plots reach a model that sees them, once, by digest, as images that people post do."""

import base64
import json
from hashlib import sha256

import pytest

from bot.agent.said import read_images
from bot.domain.runs.image import read_image
from bot.services import modelling, plotting, questions, steering
from bot.services.plotting import Drawn
from tests.images import PNG
from tests.unit.test_images_shown import ADDRESS, DIGEST, RUN, Gallery, image


def keep(gallery: Gallery, run: str = RUN) -> None:
    plot = Drawn(image=read_image(PNG, "rule.png"), title="Errors", caption="Errors rose", data=PNG)
    with gallery.world.unit() as work:
        plotting.keep_plots(work, "INC-1", run, [plot])


def told(gallery: Gallery) -> list:
    return [each["content"] for each in json.loads(gallery.requests[0])["messages"] if each["role"] == "user"]


@pytest.fixture
def gallery(tmp_path):
    return Gallery(tmp_path)


async def test_they_come_with_the_task_and_before_what_people_say(gallery):
    keep(gallery)
    gallery.files["F1"] = PNG + b"other"
    gallery.say("look at this", image())
    await gallery.run()
    task, plots, said = told(gallery)
    assert task == "Mend it."
    assert plots[0]["text"] == f"Plots of the metrics:\n[image rule.png, sha256 {DIGEST[:12]}…, 640x480]"
    assert plots[1]["image_url"]["url"] == ADDRESS
    assert said[0]["text"].startswith("Ada Lovelace showed the model cpu.png: look at this")
    assert read_images(gallery.rows) == (DIGEST, sha256(PNG + b"other").hexdigest())
    assert all(base64.b64encode(PNG).decode() not in row.body for row in gallery.rows)


async def test_a_question_s_run_gets_those_of_its_investigation(gallery):
    with gallery.world.unit() as work:
        modelling.end_model(work, "INC-1", RUN, "over")
    keep(gallery)
    assert gallery.say("what is this?").ok
    with gallery.world.unit() as work:
        (asked,) = questions.list_questions(work, "INC-1")
        assert [hint.key for hint in steering.list_hints(work, "INC-1", asked.data["run"])] == ["plotted"]


async def test_a_model_that_sees_nothing_is_not_told_of_them(tmp_path):
    gallery = Gallery(tmp_path, sees=False)
    keep(gallery)
    await gallery.run()
    assert told(gallery)[0] == "Mend it."
    assert all("rule.png" not in row.body for row in gallery.rows)
