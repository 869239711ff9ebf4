"""What one agent used, told as a line of JSON. Standard library only: peers run in an environment of their own."""

import asyncio
import json
import resource
import time
from pathlib import Path


class Slices:
    """Seconds of CPU that each piece of work on the event loop took without a pause."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._run = asyncio.events.Handle._run

    def __enter__(self) -> "Slices":
        run, seconds = self._run, self.seconds

        def timed(handle: asyncio.events.Handle) -> None:
            began = time.thread_time()
            run(handle)
            seconds.append(time.thread_time() - began)

        asyncio.events.Handle._run = timed
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.events.Handle._run = self._run


def tell(*, steps: int, cpu: float, wall: float, slices: Slices | None = None, **more: float) -> None:
    """Print the figures: the CPU of this process alone, and its memory at most."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    figures = {"steps": steps, "cpu_ms": cpu / steps * 1000, "wall_ms": wall / steps * 1000, "memory_mb": memory}
    if slices is not None:
        worst = sorted(slices.seconds)[-max(1, steps // 50) :]  # of each step's long pieces: p99 when two of them count
        figures |= {"slice_p99_ms": worst[0] * 1000, "slice_most_ms": worst[-1] * 1000}
    print(json.dumps(figures | more))


def read_lines(path: Path, first: int) -> str:
    """Return the twenty lines that every agent's tool returns."""
    return "\n".join(path.read_text().splitlines()[first - 1 : first + 19])
