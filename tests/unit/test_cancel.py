"""`/incident pause`, `continue` and `cancel`: who may, what stops, and what stands."""

import pytest

from bot.domain.runs.progress import RunStatus, fold_progress
from bot.services import modelling
from bot.services.pause import find_pause
from bot.services.run_story import read_story
from tests.unit.test_services_modelling import answer
from tests.worldkit import make_world

RUN = "INC-1:1"


@pytest.fixture
def world(tmp_path):
    world = make_world(tmp_path, opened=True)
    with world.unit() as work:
        modelling.start_model(work, "INC-1", RUN)
    return world


def is_wanted(world):
    with world.unit() as work:
        return modelling.is_wanted(work, "INC-1", RUN)


def test_cancel_ends_the_models_work_and_its_late_answer_counts_for_nothing(world):
    world.propose()
    reply = world.say("/incident cancel INC-1")
    assert (reply.ok, is_wanted(world)) == (True, False)
    assert "Ada" in world.texts("model_ended")[0]
    with world.unit() as work:
        assert not modelling.conclude_model(work, "INC-1", RUN, answer(), world.rules)
        assert len(work.drafts.of("INC-1")) == 1
        assert fold_progress(read_story(work, RUN).happenings).status is RunStatus.WAITING_APPROVAL


def test_a_run_whose_only_work_was_cancelled_is_cancelled(world):
    world.say("/incident cancel INC-1")
    with world.unit() as work:
        story = read_story(work, RUN)
    rows = [row for row in story.happenings if row.kind.startswith("model")]
    assert fold_progress(rows).status is RunStatus.CANCELLED


def test_where_nothing_is_at_work_there_is_nothing_to_cancel(world):
    world.say("/incident cancel INC-1")
    reply = world.say("/incident cancel INC-1", event="again")
    assert not reply.ok
    assert "nothing to cancel" in reply.text
    assert len(world.texts("model_ended")) == 1


@pytest.mark.parametrize("verb", ["cancel", "pause", "continue"])
def test_a_viewer_may_only_look(world, verb):
    assert not world.say(f"/incident {verb} INC-1", "vic@web").ok
    assert is_wanted(world)


def test_pause_and_continue_are_other_words_for_the_agents_switch(world):
    assert world.say("/incident pause INC-1 we look at redis first").ok
    with world.unit() as work:
        pause = find_pause(work, "INC-1")
    assert pause is not None
    assert pause.reason == "we look at redis first"
    assert world.say("/incident continue INC-1").ok
    with world.unit() as work:
        assert find_pause(work, "INC-1") is None
