"""P4: a rich run that is resumed again and again, and another incident in another workspace, as a server sees them."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from bot.domain.runs.transcript import EndReason, Step
from bot.ports.model import Completion
from tests.agent_world import FILES, AgentWorld, ScriptedModel, propose, say
from tests.bench.agent_server import share_kept
from tests.bench.report import Row, at_least, note, show

HERE = Path(__file__).parent
STEPS = 40
LIFE = 7
"""Rows that a process writes before it is gone."""


class GoneError(BaseException):
    """The process is no more."""


async def measure_prompts(python: str, folder: Path) -> list[Row]:
    first = await play_run("INC-1:1", FILES)
    second = await play_run("INC-2:1", {"other.py": "x = 1\n", "shop/cart.py": "def total():\n    return 1\n"})
    kept = [share_kept(one.removesuffix(b"]}").decode(), two.decode()) for one, two in pairwise(first)]
    ours = [_opening(run[0]) for run in (first, second)]
    return [
        at_least(
            "P4",
            f"bytes kept over {len(first)} requests, each resumed every {LIFE} rows, least",
            100 * min(kept),
            100,
            "%",
        ),
        at_least(
            "P4",
            "system and tools of two incidents in two workspaces that are equal",
            100 * share_kept(*ours),
            100,
            "%",
        ),
        *await _render(python, folder, first),
    ]


async def play_run(name: str, files: Mapping[str, str]) -> list[bytes]:
    """Return what a run asks whose process is gone after every few rows; what is asked again is there once."""
    rows: list[Step] = []
    asked: dict[bytes, None] = {}
    while True:
        world = _Mortal(model=ScriptedModel(script=_answer), files=files, rows=rows)
        try:
            state = await world.agent().run(name, list(rows), lambda: f"# {name} in {sorted(files)[0]}\n")
        except GoneError:
            continue
        finally:
            asked |= dict.fromkeys(world.model.requests)  # type: ignore[attr-defined] # it is scripted
        assert state.ended is EndReason.DONE, state.text
        return list(asked)


class _Mortal(AgentWorld):
    lived = 0

    async def store(self, step: Step) -> Step:
        if self.lived == LIFE:
            raise GoneError
        self.lived += 1
        return await super().store(step)


def _answer(request: bytes, _number: int) -> Completion:
    """Answer with all that a run may hold: reasoning, several calls, broken and repeated ones, words, a patch."""
    told = request.count(b'"role":"assistant"')
    if told in {5, 15}:
        return say("", ("read_file", '{"path": "broken'))
    if told in {7, 17}:
        return say("", ("git_log", {}))
    if told == 9:
        return say("I think that nothing can help.")
    if told == STEPS - 2:
        return say("", propose())
    if told == STEPS - 1:
        return say("The table holds numbers: shop/coupons.py:5.")
    look = say("I look.", ("grep", {"pattern": f"x{told}"}), ("read_log", {"pattern": f"{told}|ERROR"}))
    return replace(look, reasoning=f"This is thought {told}.")


def _opening(request: bytes) -> str:
    """Return a request up to what its incident says."""
    return request.decode().split('{"role":"user"')[0]


async def _render(python: str, folder: Path, requests: Sequence[bytes]) -> list[Row]:
    """Let DeepSeek's own encoder put the prompts together, and see how much of each the next begins with."""
    if not python:
        return [note("prompts as DeepSeek-V4 reads them", "not measured: its encoder is not installed")]
    path = folder / "requests.jsonl"
    path.write_bytes(b"\n".join(requests))
    argv = [python, str(HERE / "agent_deepseek.py"), str(path)]
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, error = await process.communicate()
    if process.returncode:
        return [note("prompts as DeepSeek-V4 reads them", f"not measured: {error.decode().strip()[-80:]}")]
    told = json.loads(out)
    rows = [
        at_least("P4", f"prompt kept as {name} reads it, least", 100 * share, 95, "%")
        for name, share in told["least"].items()
    ]
    return [*rows, note("… prompts rendered, the longest", f"{told['count']}, {show(told['longest'])} characters")]
