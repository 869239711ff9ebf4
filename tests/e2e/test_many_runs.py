"""Many incidents at once on one repository, through the real engine, phase and worker: each run keeps to itself."""

import asyncio
import json
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.agent.transcript import fold
from bot.domain.investigation import Job
from bot.domain.patches.patch import parse_patch
from bot.domain.routing import Matcher, Route
from bot.domain.runs.transcript import Budget, EndReason, StepKind
from bot.domain.service import Service
from bot.engine.model_phase import ModelPhase, ModelTools
from bot.engine.phases import Engine
from bot.ports.model import ModelPlace
from bot.services import modelling
from bot.store.database import SqlStore, migrate, open_engine
from bot.worker.client import WorkerClient
from tests.model_server import ModelServer, Say, Stream, serve_model, stream_of
from tests.playbooks.world import Repository, Step, run_git, write_repository
from tests.worldkit import CHANNELS, FixedClock, PhaseLog, World, alert, group, make_rules, quiet  # noqa: F401 -- a fixture

BUDGET = Budget(steps=6)
PAUSE = 0.02
SHARED = "shop/shared.py"
"""Every patch edits it, each in its own way."""


def module(number: int) -> str:
    return f"shop/m{number:02}.py"


def text_of(number: int) -> str:
    return f'"""Module {number:02}."""\n\nRATE = "rate-{number:02}"\nCOMMON = 1\n'


class Model:
    """Answers every run by its own conversation, and counts how many it talks to at a time. Nobody is answered before
    it talks to `together` of them.

    Each third is greedy and never comes to an end; each other third first takes a neighbour's text for its own.
    """

    def __init__(self, together: int) -> None:
        self.together = together
        self.are_together = asyncio.Event()
        self.asked: Counter[int] = Counter()
        self.talking: set[int] = set()
        self.most = 0

    def play(self, request: dict, _number: int) -> Stream:
        words = "".join(str(message["content"]) for message in request["messages"])
        [own] = {int(found) for found in re.findall(r"Module (\d\d) fails", words)}
        told = sum(1 for message in request["messages"] if message["role"] == "assistant")
        self.asked[own] += 1
        self.talking.add(own)
        self.most = max(self.most, len(self.talking))
        if self.most == self.together:
            self.are_together.set()
        say = self.greedy(own, told) if own % 3 == 2 else self.engineer(own, told)
        if say.text or told + 1 == BUDGET.steps:
            self.talking.discard(own)
        return Stream(pieces=(self.are_together, PAUSE, *stream_of(say, told, 1000)))

    def greedy(self, own: int, told: int) -> Say:
        return Say(calls=(("read_file", json.dumps({"path": module(own), "first": told + 1, "last": told + 1})),))

    def engineer(self, own: int, told: int) -> Say:
        script = [
            Say(calls=(("read_file", json.dumps({"path": module(own)})), ("grep", '{"pattern": "COMMON"}'))),
            Say(calls=(("propose_patch", self.patch(own, own + own % 3)),)),
            Say(calls=(("propose_patch", self.patch(own, own)),))
            if own % 3
            else Say(text=f"Module {own:02} is mended."),
            Say(text=f"Module {own:02} is mended."),
        ]
        return script[told]

    def patch(self, own: int, of: int) -> str:
        edit = {"path": module(own), "old": f'RATE = "rate-{of:02}"\n', "new": f'RATE = "mended-{own:02}"\n'}
        shared = {"path": SHARED, "old": 'LAST = ""\n', "new": f'LAST = "mended-{own:02}"\n'}
        return json.dumps({"title": f"Mend {own:02}", "edits": [edit, shared]})


def make_rulebook(repository: Repository, count: int):
    names = [f"shop-{number:02}" for number in range(count)]
    services = {name: Service(name=name, repository=repository.url, run=()) for name in names}
    routes = [
        Route(matchers=(Matcher(label="service", pattern=n),), service=n, escalation="default", channels=CHANNELS)
        for n in names
    ]
    return make_rules(services=services, routes=tuple(routes))


@asynccontextmanager
async def open_world(
    folder: Path, repository: Repository, count: int, server: ModelServer, *, together: int
) -> AsyncIterator[World]:
    """Start the engine, the model's phase and one worker process."""
    database, clock = open_engine(f"sqlite:///{folder / 'nightshift.db'}"), FixedClock()
    migrate(database)
    engine = Engine(database, poll_seconds=0.05)
    store, rules = SqlStore(database, clock, engine.phases_of), make_rulebook(repository, count)
    worker = WorkerClient(
        [sys.executable, "-m", "bot", "worker", "--descriptor"], memory_bytes=2 << 30, redact=lambda answer: answer
    )

    async def localize(job: Job) -> Job:
        return replace(job, service=replace(job.service, repository=str(repository.folder)))

    tools = ModelTools(
        drafter=worker,
        place=ModelPlace(url=server.url, name="m"),
        budget=BUDGET,
        folder=folder,
        redact=str,
        localize=localize,
        together=together,
    )
    await engine.launch(ModelPhase(store, rules, tools).phase())
    try:
        yield World(path=folder, clock=clock, phases=PhaseLog(clock), store=store, rules=rules)
    finally:
        await engine.close(5)
        await worker.close()
        database.dispose()


@pytest.mark.parametrize(("count", "together"), [(4, 2), pytest.param(20, 20, marks=pytest.mark.long)])
async def test_runs_at_once_on_one_repository_keep_to_their_own_incident_and_budget(count, together, tmp_path):
    files = {module(number): text_of(number) for number in range(count + 3)} | {SHARED: 'LAST = ""\n'}
    repository = write_repository(tmp_path / "shop.git", [Step(subject="Begin", files=files)], until=datetime.now(UTC))
    before = run_git(repository.folder, "for-each-ref")
    model = Model(together)
    async with (
        serve_model(model.play) as server,
        open_world(tmp_path, repository, count, server, together=together) as world,
    ):
        groups = [
            group(alert(service=f"shop-{n:02}", annotations={"summary": f"Module {n:02} fails"}), key=f"g{n}")
            for n in range(count)
        ]
        incidents = world.receive(*groups)
        assert len(set(incidents)) == count
        with world.unit() as work:
            for incident in incidents:
                modelling.start_model(work, incident, work.incidents.get(incident).run)
        async with asyncio.timeout(15 * count):
            while not all("model_ended" in world.kinds(incident) for incident in incidents):
                await asyncio.sleep(0.05)
        for incident in incidents:
            check_the_incident(world, incident)
    assert model.most == together
    assert run_git(repository.folder, "for-each-ref") == before
    assert set(model.asked) == set(range(count))
    assert max(model.asked.values()) <= BUDGET.steps


def check_the_incident(world: World, incident: str) -> None:
    """Its patch holds its own edits alone, and its transcript holds nothing of a neighbour but what it asked for."""
    with world.unit() as work:
        current = work.incidents.get(incident)
        rows, drafts = work.transcripts.of(current.run), work.drafts.of(incident)
    own = int(current.service[-2:])
    assert {row.run for row in rows} == {current.run}
    assert [row.seq for row in rows] == list(range(len(rows)))
    words = "".join(row.body for row in rows)
    assert set(re.findall(r"Module (\d\d) (?:fails|is)", words)) == {f"{own:02}"}
    assert set(re.findall(r"mended-(\d\d)", words)) <= {f"{own:02}"}
    state = fold(rows)
    answers = sum(1 for row in rows if row.kind is StepKind.MODEL)
    if own % 3 == 2:
        assert (state.ended, answers, drafts) == (EndReason.LIMIT, BUDGET.steps, [])
        return
    assert (state.ended, answers) == (EndReason.DONE, 3 + bool(own % 3))
    [draft] = drafts
    patch = parse_patch(draft.patch.text)
    assert [change.path for change in patch.files] == [module(own), SHARED]
    changed = [line for line in draft.patch.text.decode().splitlines() if re.match(r"[+-](?![+-])", line)]
    assert changed == [
        f'-RATE = "rate-{own:02}"',
        f'+RATE = "mended-{own:02}"',
        '-LAST = ""',
        f'+LAST = "mended-{own:02}"',
    ]
