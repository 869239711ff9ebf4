"""A process that lets one run of sixty steps go on, and dies by SIGKILL where it is told to:

python -m tests.agent_child FOLDER URL ROW before|after

It dies around the commit of row ROW; -1 is never. `done.txt` gets a line for each call of a tool that is begun, and
`went_on.txt` the CPU seconds to load the code, and those from there to the first row.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bot.agent.loop import Agent, Head
from bot.agent.tools.tool import ToolResult
from bot.agent.tools.toolbox import Toolbox
from bot.domain.runs.transcript import Budget, Proposal, Step
from bot.ports.clock import SystemClock
from bot.ports.model import ModelPlace
from bot.store.database import SqlStore, open_engine
from connectors.models.openai import Client, Settings
from tests.agent_world import AgentWorld

RUN = "INC-1:1"
STEPS = 60
LOTS = 10**9
BUDGET = Budget(steps=STEPS + 10, prompt_tokens=LOTS, cached_tokens=LOTS, completion_tokens=LOTS, tool_bytes=LOTS)
LINES = "".join(f"    total += line_{n}.price  # {n}\n" for n in range(1, STEPS + 1))


def read_of(step: int) -> dict[str, object]:
    """Return the arguments that step `step` reads with: another line each time."""
    return {"path": "shop/lines.py", "first": step + 1, "last": step + 1}


def make_world(model: Client) -> AgentWorld:
    world = AgentWorld(model=model, budget=BUDGET)
    world.files = {**world.files, "shop/lines.py": LINES}
    return world


class LoggedTools:
    """The real tools, each call noted before it is done."""

    proposes = True

    def __init__(self, tools: Toolbox, path: Path) -> None:
        self._tools = tools
        self._path = path

    async def call(self, name: str, arguments: str, known: Sequence[Proposal], /, *, room: int) -> ToolResult:
        with self._path.open("a") as log:
            log.write(f"{name} {' '.join(arguments.split())}\n")
        return await self._tools.call(name, arguments, known, room=room)


async def main(folder: Path, url: str, row: int, moment: str) -> None:
    began = time.process_time()
    store = SqlStore(open_engine(f"sqlite:///{folder / 'nightshift.db'}"), SystemClock(), lambda _session: None)
    with store.begin() as work:
        rows = work.transcripts.of(RUN)

    async def append(step: Step) -> Step:
        if step.seq == row and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        assert store.append(step)
        if step.seq == len(rows):
            with (folder / "went_on.txt").open("a") as told:
                told.write(f"{began:.3f} {time.process_time() - began:.3f}\n")
        if step.seq == row:
            os.kill(os.getpid(), signal.SIGKILL)
        return step

    async with Client(Settings(url=url)) as model:
        tools = LoggedTools(Toolbox(make_world(model).hands()), folder / "done.txt")
        head = Head(ModelPlace(url="http://model", name="m"), BUDGET)
        agent = Agent(model=model, tools=tools, head=head, budget=BUDGET, append=append)
        await agent.run(RUN, rows, lambda: "# The shop fails\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]))
