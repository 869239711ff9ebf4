"""Our loop, its rows redacted and stored with fsync: -m tests.bench.agent_ours URL FOLDER STEPS RUNS PARKED [slices]

PARKED is how many further runs wait meanwhile for an answer that does not come, each with a connection of its own. With
"slices" the pieces of work on the event loop are timed too, which costs some CPU itself.
"""

import asyncio
import sys
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from bot.agent.loop import Agent, Head
from bot.agent.redaction import load_redactor
from bot.agent.row_redaction import redact_step
from bot.agent.tools.toolbox import Toolbox
from bot.agent.transcript import fold
from bot.domain.runs.transcript import Budget, EndReason, Step
from bot.ports.clock import SystemClock
from bot.ports.hand import Hand
from bot.ports.model import ModelPlace
from bot.store.database import SqlStore, migrate, open_engine
from connectors.models.openai import Client, Settings
from tests.agent_world import AgentWorld
from tests.bench.agent_report import Slices, tell

LOTS = 10**9


async def main(url: str, folder: Path, steps: int, runs: int, parked: int, slices: Slices | None) -> None:
    engine = open_engine(f"sqlite:///{folder / f'ours-{runs}.db'}")
    migrate(engine)
    store = SqlStore(engine, SystemClock(), lambda _session: None)
    redactor = load_redactor(["own-secret-of-the-benchmark"], b"k" * 32)
    budget = Budget(
        steps=steps + 10,
        prompt_tokens=LOTS,
        cached_tokens=LOTS,
        completion_tokens=LOTS,
        tool_bytes=LOTS,
        context_tokens=LOTS,
    )
    hand = Hand("steps")
    files = {"shop/cart.py": (folder / "cart.py").read_text()}

    def add(step: Step) -> Step:
        clean = redact_step(step, redactor.redact)
        assert store.append(clean)
        return clean

    async def append(step: Step) -> Step:
        return await hand.do(partial(add, step))

    waiting = 0

    async def run(name: str, at: str) -> None:
        nonlocal waiting
        async with Client(Settings(url=at)) as client:
            hands = AgentWorld(model=client, files=files).hands()
            agent = Agent(
                model=client,
                tools=Toolbox(hands),
                head=Head(ModelPlace(url=at, name="bench"), budget),
                budget=budget,
                append=append,
            )
            waiting += 1
            state = await agent.run(name, (), lambda: "# The shop fails\n")
        assert state.ended in {EndReason.DONE, EndReason.GAVE_UP}, state
        assert state.spent.steps > steps, state.spent

    others = [asyncio.create_task(run(f"INC-{number}:1", f"{url}/silent")) for number in range(runs, runs + parked)]
    while waiting < parked:
        await asyncio.sleep(0.1)
    await asyncio.sleep(bool(parked) * 2)
    with slices or nullcontext():
        began, cpu = time.monotonic(), time.process_time()
        await asyncio.gather(*(run(f"INC-{number}:1", f"{url}/ours") for number in range(runs)))
        cpu, wall = time.process_time() - cpu, time.monotonic() - began
    assert not any(task.done() for task in others)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    began = time.monotonic()
    with store.begin() as work:
        rows = work.transcripts.of("INC-0:1")
    assert fold(rows).ended is not None
    tell(steps=steps * runs, cpu=cpu, wall=wall, slices=slices, resume_s=time.monotonic() - began, rows=len(rows))


if __name__ == "__main__":
    timed = Slices() if sys.argv[6:] == ["slices"] else None
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:6]), timed))
