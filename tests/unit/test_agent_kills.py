"""A run of sixty steps that is killed at every one of them: nothing finished is done again, and nothing is lost."""

import asyncio
import json
import sys
import time
from collections import Counter

import pytest

from bot.agent.loop import Agent, Head
from bot.agent.tools.toolbox import Toolbox
from bot.agent.transcript import fold
from bot.domain.runs.transcript import EndReason, Step, StepKind
from bot.ports.model import ModelPlace
from tests.agent_child import BUDGET, RUN, STEPS, LoggedTools, make_world, read_of
from tests.agent_world import GOOD_EDIT, ScriptedModel, propose, say
from tests.e2e.walk import ROOT
from tests.model_server import Say, serve_model
from tests.worldkit import FixedClock, make_store

CONCLUSION = "The coupon table holds numbers, not dicts: shop/coupons.py:5."
ROWS = 1 + 2 * (STEPS - 1) + 1 + 2
"""The task, an answer and a result of each step but the last, the patch, the last answer, the end."""
RESUME_SECONDS = 1.0


class KilledError(BaseException):
    """The process is no more."""


def answer(request: bytes, _number: int):
    """Answer by what the conversation holds, as a model does: the same question gets the same answer."""
    step = request.count(b'"role":"assistant"')
    if step < STEPS - 2:
        return say("", ("read_file", read_of(step)))
    return say("", propose()) if step == STEPS - 2 else say(CONCLUSION)


class Lives:
    """Processes that follow each other on one store file; all that one leaves to the next is what it committed."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.requests: list[bytes] = []
        self.slowest = 0.0
        make_store(folder, FixedClock())

    def read(self) -> list[Step]:
        with make_store(self.folder, FixedClock(), fresh=False).begin() as work:
            return list(work.transcripts.of(RUN))

    async def live(self, row: int = -1, moment: str = "") -> None:
        """Go on until the commit of row `row`, and die before or after it."""
        began = time.process_time()
        store = make_store(self.folder, FixedClock(), fresh=False)
        with store.begin() as work:
            rows = list(work.transcripts.of(RUN))
        fold(rows)
        self.slowest = max(self.slowest, time.process_time() - began)

        async def append(step: Step) -> Step:
            if step.seq == row and moment == "before":
                raise KilledError
            assert store.append(step)
            if step.seq == row:
                raise KilledError
            return step

        model = ScriptedModel(script=answer)
        tools = LoggedTools(Toolbox(make_world(model).hands()), self.folder / "done.txt")
        head = Head(ModelPlace(url="http://model", name="m"), BUDGET)
        agent = Agent(model=model, tools=tools, head=head, budget=BUDGET, append=append)
        try:
            await agent.run(RUN, rows, lambda: "# The shop fails\n")
        except KilledError:
            pass
        finally:
            self.requests += model.requests


def without_times(rows: list[Step]) -> list[tuple]:
    bodies = [{k: v for k, v in json.loads(row.body).items() if k not in {"seconds", "gpu_seconds"}} for row in rows]
    return [(row.seq, row.kind, row.key, body) for row, body in zip(rows, bodies, strict=True)]


def check_the_run(rows: list[Step]) -> None:
    assert len(rows) == ROWS
    assert [row.seq for row in rows] == list(range(ROWS))
    assert Counter(row.kind for row in rows)[StepKind.MODEL] == STEPS
    state = fold(rows)
    assert (state.ended, state.text) == (EndReason.DONE, CONCLUSION)
    assert state.conclusion.best.verified.is_verified
    results = [json.loads(row.body)["message"]["content"] for row in rows if row.kind is StepKind.TOOL]
    for step, result in enumerate(results[:-1]):
        assert f"line_{step + 1}.price" in result


async def test_killed_before_and_after_the_commit_of_each_row_the_run_is_the_run_without_a_kill(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole, killed = Lives(tmp_path / "whole"), Lives(tmp_path / "killed")
    await whole.live()
    check_the_run(whole.read())
    for row in range(ROWS):
        for moment in ("before", "after"):
            await killed.live(row, moment)
    await killed.live()
    assert without_times(killed.read()) == without_times(whole.read())
    assert len(whole.requests) == STEPS
    assert sorted(killed.requests) == sorted(whole.requests * 2), "only a question whose answer was lost is asked again"
    done, calls = read_calls(killed), read_calls(whole)
    reads = [call for call in calls if call.startswith("read_file")]
    assert Counter(done) == Counter(reads * 2 + [call for call in calls if call.startswith("propose_patch")] * 4)
    assert killed.slowest <= RESUME_SECONDS


def read_calls(lives: Lives) -> list[str]:
    return (lives.folder / "done.txt").read_text().splitlines()


SAMPLE = ((2, "before"), (61, "before"), (ROWS - 4, "after"))
"""A result and an answer that are lost, and the moment between a patch and the word that it was judged."""
EVERY = (*((1 + 2 * step, ("before", "after")[step % 2]) for step in range(STEPS - 1)), (ROWS - 2, "before"))


@pytest.mark.parametrize("kills", [SAMPLE, pytest.param(EVERY, marks=pytest.mark.long)], ids=["three", "sixty"])
async def test_real_kills_of_a_real_process_lose_nothing_and_repeat_nothing(kills, tmp_path):
    lives = Lives(tmp_path)

    def play(request: dict, _number: int) -> Say:
        step = sum(1 for message in request["messages"] if message["role"] == "assistant")
        if step < STEPS - 2:
            return Say(calls=(("read_file", json.dumps(read_of(step))),))
        patch = json.dumps({"title": "Read the rate", "edits": [GOOD_EDIT]})
        return Say(calls=(("propose_patch", patch),)) if step == STEPS - 2 else Say(text=CONCLUSION)

    async with serve_model(play) as server:
        for row, moment in kills:
            assert await start(tmp_path, server.url, row, moment) == -9
        assert await start(tmp_path, server.url, -1, "after") == 0
    check_the_run(lives.read())
    check_what_was_repeated(lives, server.seen, kills)
    lives_told = [line.split() for line in (tmp_path / "went_on.txt").read_text().splitlines()]
    assert len(lives_told) == len(kills) + 1
    loading, going_on = (sorted(map(float, column)) for column in zip(*lives_told, strict=True))
    print(f"CPU to load the code: {loading[0]:.2f} to {loading[-1]:.2f} s, to go on: at most {going_on[-1]:.3f} s")
    assert going_on[-1] <= RESUME_SECONDS


def check_what_was_repeated(lives: Lives, seen: list[bytes], kills) -> None:
    """Only that whose row was lost: a question, or a call; and a call between its patch and its result."""
    kinds = {row.seq: row.kind for row in lives.read()}
    lost = Counter((kinds[row], moment) for row, moment in kills)
    assert len(set(seen)) == STEPS
    assert len(seen) == STEPS + lost[StepKind.MODEL, "before"]
    done = read_calls(lives)
    assert len(set(done)) == STEPS - 1
    assert len(done) == STEPS - 1 + lost[StepKind.TOOL, "before"] + lost[StepKind.PATCH, "after"]


async def start(folder, url: str, row: int, moment: str) -> int:
    argv = [sys.executable, "-m", "tests.agent_child", str(folder), url, str(row), moment]
    process = await asyncio.create_subprocess_exec(*argv, cwd=ROOT)
    async with asyncio.timeout(60):
        return await process.wait()
