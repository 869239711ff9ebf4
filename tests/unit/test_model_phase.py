"""The phase around a scripted drafter: it proposes, waits, stops when nobody needs it, and yields to another worker."""

import asyncio

import pytest

from bot.agent.recall import recall_far_tools
from bot.agent.transcript import Rows, fold
from bot.domain.models.spending import Budgets, DayLimits
from bot.domain.runs.far_tool import Listed, ToolPolicy
from bot.domain.runs.transcript import EndReason
from bot.engine.far_tools import FarToolShelf, Served
from bot.errors import Reason, Rejected, Unavailable
from bot.metrics import MODEL_OPEN, MODEL_REQUESTS
from bot.ports.model import ModelTry, TryResult
from bot.services import modelling, paging
from tests.agent_world import AgentWorld, ScriptedModel, say
from tests.model_phase_kit import make_model_phase
from tests.worldkit import World, alert, group, make_world

RUN = "INC-1:1"


class Script:
    """Writes the rows of a run, or does what it is told."""

    def __init__(self, act) -> None:
        self._act = act
        self.jobs = []
        self.tries = ()

    async def draft(self, job, store, *, ask, on_try) -> None:
        self.jobs.append(job)
        for one in self.tries:
            on_try(one)
        await self._act(job, store)


async def finish(job, store) -> None:
    write, rows = Rows(RUN), list(job.steps)
    rows.append(await store(write.task(fold(rows), "hunter2 fails", "head")))
    rows.append(await store(write.end(fold(rows), EndReason.DONE, "No.")))


@pytest.fixture
def world(tmp_path) -> World:
    world = make_world(tmp_path)
    world.receive(group(alert()))
    with world.unit() as work:
        modelling.start_model(work, "INC-1", RUN)
    return world


def phase_of(world: World, act, **more):
    script = Script(act)
    return make_model_phase(world, script, **more).phase(), script


def args(world: World) -> dict:
    return dict(world.phases.of("model")[0].args)


async def test_rows_are_redacted_before_they_are_stored_and_the_run_is_concluded(world):
    phase, script = phase_of(world, finish)
    await phase.run(args(world))
    with world.unit() as work:
        rows = work.transcripts.of(RUN)
    assert [row.kind.value for row in rows] == ["task", "end"]
    assert "hunter2" not in rows[0].body
    assert "In its words: No." in world.texts("model_ended")[0]
    await phase.run(args(world))
    assert len(script.jobs) == 1, "a run that has ended is not begun again"


async def test_a_server_that_is_down_queues_the_next_try(world):
    async def down(job, store):
        raise Unavailable("The model server does not answer", Reason.TIMEOUT)

    phase, _ = phase_of(world, down)
    await phase.run(args(world))
    assert f"{RUN}:1" in world.phases.keys("model")
    assert world.texts("model_waits")[0].startswith("The model server does not answer. The result without the model")


async def test_a_run_that_a_kill_cut_off_says_so_once_and_one_that_waited_does_not(world):
    async def begin(job, store):
        world.clock.advance(seconds=5)
        await store(Rows(RUN).task(fold(job.steps), "shop fails", "head"))
        raise Unavailable("The model server does not answer", Reason.TIMEOUT)

    async def go_on(job, store):
        await store(Rows(RUN).end(fold(job.steps), EndReason.DONE, "No."))

    async def die(job, store):
        world.clock.advance(seconds=5)
        await store(Rows(RUN).note(fold(job.steps), "Go on."))
        raise asyncio.CancelledError

    phase, _ = phase_of(world, begin)
    await phase.run(args(world))
    phase, _ = phase_of(world, die)
    with pytest.raises(asyncio.CancelledError):
        await phase.run(args(world))
    assert world.texts("model_cut") == [], "it waited for its server, and a kill meanwhile cut nothing off"
    for _ in range(2):
        phase, _ = phase_of(world, go_on)
        await phase.run(args(world))
    (told,) = world.texts("model_cut")
    assert told.startswith("The model's work was cut off")


async def test_requests_are_counted_by_the_server_s_configured_address(world):
    phase, script = phase_of(world, finish)
    script.tries = [
        ModelTry(server=0, result=TryResult.BUSY),
        ModelTry(server=0, result=TryResult.FAILED, is_open=True),
        ModelTry(server=7, result=TryResult.ANSWERED),
    ]
    before = MODEL_REQUESTS.labels(server="gpu", result="failed")._value.get()
    await phase.run(args(world))
    assert MODEL_REQUESTS.labels(server="gpu", result="failed")._value.get() == before + 1
    assert MODEL_OPEN.labels(server="gpu")._value.get() == 1


async def test_a_refusal_is_told(world):
    phase, _ = phase_of(world, finish)
    await phase.failed(args(world), "The model server refuses the key hunter2.")
    assert world.texts("model_ended") == [
        "The model's part stopped: The model server refuses the key [redacted]. The result without it stands"
    ]


async def test_a_resolved_incident_cancels_the_work(world, monkeypatch):
    monkeypatch.setattr("bot.engine.model_phase.LOOK", 0.01)
    cancelled = asyncio.Event()

    async def hang(job, store):
        with world.unit() as work:
            paging.resolve(work, "INC-1", "ada", world.rules)
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    phase, _ = phase_of(world, hang)
    await phase.run(args(world))
    assert cancelled.is_set()
    assert "not needed any more" in world.texts("model_ended")[0]


async def test_another_worker_s_run_is_left_to_it(world):
    async def late(job, store):
        write = Rows(RUN)
        state = fold(())
        await store(write.task(state, "a", "head"))
        await store(write.task(state, "b", "head"))

    phase, _ = phase_of(world, late)
    await phase.run(args(world))
    assert world.texts("model_ended") == []


async def test_what_is_wrong_for_good_reaches_the_engine(world):
    async def refuse(job, store):
        raise Rejected("wrong key", Reason.NOT_ALLOWED)

    phase, _ = phase_of(world, refuse)
    with pytest.raises(Rejected):
        await phase.run(args(world))


async def test_a_used_up_day_posts_what_was_found_and_names_the_limit(world):
    model = ScriptedModel(script=lambda request, n: say(f"Thought {n}.", ("grep", {"pattern": f"x{n}"})))

    async def work(job, store):
        agent = AgentWorld(model=model).agent()
        agent._append = store
        await agent.run(RUN, job.steps, lambda: "The shop fails")

    phase, _ = phase_of(world, work, budgets=Budgets(day=DayLimits(completion_tokens=150)))
    await phase.run(args(world))
    assert len(model.requests) == 3
    (told,) = world.texts("model_ended")
    assert "today's budget of 150 answer tokens for all services is used up" in told
    assert told.endswith("So far it says: Thought 2.")


async def test_a_run_keeps_the_tools_of_other_servers_that_it_began_with(world):
    class Server:
        name, listed = "shop", (Listed(name="orders", about="hunter2", reads_only=True),)

        async def list_tools(self):
            return self.listed

    async def begin(job, store) -> None:
        if not job.steps:
            await store(Rows(RUN).task(fold(()), "It fails", "head"))
        raise Unavailable("the model is down", Reason.UNREACHABLE)

    server = Server()
    served = Served(server=server, policy=ToolPolicy(tools=("orders", "stock")))
    shelf = FarToolShelf({"shop": served}, lambda text: text.replace("hunter2", "[redacted]"))
    phase, script = phase_of(world, begin, far_tools=shelf)
    await phase.run(args(world))
    server.listed = (Listed(name="stock", reads_only=True),)
    await phase.run(args(world))
    first, second = script.jobs
    assert [tool.name for tool in first.far.tools] == ["mcp__shop__orders"]
    assert first.far.missing == ("mcp__shop__stock: it is not there",)
    assert second.far.tools == first.far.tools, "whatever the server offers by now"
    with world.unit() as work:
        rows = work.transcripts.of(RUN)
    assert recall_far_tools(rows) == first.far.tools
    assert "hunter2" not in rows[0].body
