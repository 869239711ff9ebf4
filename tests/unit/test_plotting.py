"""Plots in chats and for the model: drawn once for each run, under the findings, and where pictures are seen."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from bot.domain.chat import ChatLimits, Message, Paragraph, Picture
from bot.domain.incident import RunState
from bot.domain.investigation import Collected, Suspected
from bot.domain.metrics.metric import Metric, MetricQuery, Series, Turn
from bot.domain.metrics.plan import RULE
from bot.engine.compose import Composer
from bot.engine.plotting import Plotting
from bot.errors import Rejected
from bot.render.links import Links
from bot.services import plotting, triage
from bot.worker.plots import Plots
from tests.images import PNG
from tests.unit.test_plot import change
from tests.worldkit import NOW, World, alert, group, make_world

RUN = "INC-1:1"
PLAIN = ChatLimits(
    text=4000, buttons=10, can_edit=True, can_thread=True, can_answer_privately=True, has_forms=True, files=True
)


def measured(name: str, turn: Turn = Turn.CROSSED, title: str = "") -> Metric:
    points = tuple((NOW.timestamp() - 600 + 15 * n, n / 100) for n in range(40))
    return Metric(
        query=MetricQuery(name=name, title=title or name.title(), expr="x"),
        evidence="E1",
        since=NOW - timedelta(minutes=10),
        until=NOW,
        step=15.0,
        alert_at=NOW,
        series=(Series(points=points),),
        left_out=0,
        turn=turn,
        claim=f"{name} rose",
    )


def collected(*metrics: Metric) -> Collected:
    return Collected(records=(), requests=(), evidence=(), lines_read=0, metrics=metrics)


SUSPECTED = Suspected(head="", suspects=(), changed=(change(1),))


class Night:
    """An incident whose first run is stored stage by stage."""

    def __init__(self, path) -> None:
        self.world: World = make_world(path)
        self.world.receive(group(alert()))
        with self.world.unit() as work:
            work.incidents.save(replace(work.incidents.get("INC-1"), run_state=RunState.RUNNING))
        self.drawn = 0

    def store(self, *results) -> None:
        for result in results:
            with self.world.unit() as work:
                triage.record_stage(work, "INC-1", run=RUN, result=result)

    def finish(self) -> None:
        with self.world.unit() as work:
            triage.finish_triage(work, "INC-1", state=RunState.DONE)

    async def plot(self, metrics, changed):
        self.drawn += 1
        return await Plots().plot(metrics, changed)

    async def draw(self, plotter=None) -> None:
        for item in self.world.phases.of("plot"):
            tools = SimpleNamespace(plotter=plotter or self, redact=str)
            (phase,) = Plotting(self.world.store, self.world.rules, tools).phases()
            await phase.run(item.args)

    def promised(self) -> list[str]:
        with self.world.unit() as work:
            return [each.payload["what"] for each in work.effects.next_of("chat:web")]

    def message(self) -> Message | None:
        composer = Composer(self.world.store, self.world.rules, Links())
        with self.world.unit() as work:
            (effect,) = [each for each in work.effects.next_of("chat:web") if each.payload["what"] == "plots"]
        return composer.compose(effect, "web")


@pytest.fixture
def night(tmp_path) -> Night:
    return Night(tmp_path)


async def test_plots_are_drawn_once_all_is_known_and_promised_right_after_the_findings(night):
    night.store(collected(measured(RULE), measured("latency")))
    assert night.world.phases.of("plot") == []
    night.store(SUSPECTED)
    await night.draw()
    assert "plots" not in night.promised()
    night.finish()
    said = night.promised()
    assert said.index("plots") == said.index("findings") + 1
    await night.draw()
    assert (night.drawn, night.promised().count("plots")) == (2, 1)


async def test_what_is_drawn_after_the_findings_is_promised_then(night):
    night.store(collected(measured(RULE)), SUSPECTED)
    night.finish()
    assert "plots" not in night.promised()
    await night.draw()
    assert night.promised().count("plots") == 1


async def test_the_message_is_pictures_with_what_they_show_in_words_and_rings_nobody(night):
    night.store(collected(measured("latency", title="Latency"), measured(RULE, title="Errors")), SUSPECTED)
    await night.draw()
    night.finish()
    message = night.message()
    assert (message.slot, message.headline, message.rings) == ("plots:1", "Plotted: Errors and Latency", ())
    assert [(each.name, each.caption) for each in message.pictures] == [
        ("rule.png", "rule rose"),
        ("latency.png", "latency rose"),
    ]
    assert all(each.data.startswith(b"\x89PNG") for each in message.pictures)
    assert all("PNG" not in repr(each) for each in message.pictures)


async def test_pictures_that_were_forgotten_are_left_out(night, monkeypatch):
    night.store(collected(measured(RULE)), SUSPECTED)
    await night.draw()
    night.finish()
    monkeypatch.setattr("bot.store.images.MAX_STORED", 10)
    with night.world.unit() as work:
        work.images.put("INC-2", "0" * 64, b"newer")
    assert night.message() is None


def test_the_rule_comes_first_then_what_crossed_and_two_at_most():
    stayed, changed, crossed = (measured(name, turn) for name, turn in zip("abc", reversed(Turn), strict=True))
    names = [each.query.name for each in plotting.choose_plots([collected(stayed, changed, crossed)])]
    assert names == ["c", "b"]
    rule = measured(RULE, Turn.STAYED)
    assert [each.query.name for each in plotting.choose_plots([collected(changed, crossed, rule)])] == [RULE, "c"]
    assert plotting.choose_plots([collected(stayed)]) == ()


@pytest.mark.parametrize("answer", [(), (b"GIF89a" + b"\x10" * 20,), (PNG + b"\0" * 300_000,)])
async def test_what_is_no_plot_of_the_worker_is_not_kept(night, answer):
    class Odd:
        async def plot(self, _metrics, _changed):
            return answer

    night.store(collected(measured(RULE)), SUSPECTED)
    with pytest.raises(Rejected):
        await night.draw(Odd())
    with night.world.unit() as work:
        assert plotting.list_plots(work, "INC-1", RUN) == ()


def test_who_shows_no_picture_gets_no_message_of_pictures_alone():
    picture = Picture(name="a.png", caption="A rose", sha256="0", data=PNG)
    alone = Message(incident="INC-1", slot="plots:1", headline="Plotted: A", pictures=(picture,))
    assert PLAIN.fit(alone) is None
    assert replace(PLAIN, shows_pictures=True).fit(alone) is alone
    told = replace(alone, blocks=(Paragraph(text="A rose."),))
    assert PLAIN.fit(told) == replace(told, pictures=())
