"""R1, R2, R3, S5, S6: hundreds of kill -9 at random times between a press and its verdict. `make test-long` runs it.

KILLS and SEED choose how many and which; two bots take half of them each, side by side.
"""

import asyncio
import os
import random
import time

import pytest

from tests.e2e.kill_lane import Lane

KILLS = int(os.environ.get("KILLS") or "600")
SEED = os.environ.get("SEED") or str(random.SystemRandom().randrange(10**6))
LANES = 2
SECONDS = 1500.0
EVERY = 15.0


def say_ends(lanes: list[Lane]) -> str:
    return " | ".join(lane.say() for lane in lanes)


async def tell(lanes: list[Lane], began: float) -> None:
    while True:
        await asyncio.sleep(EVERY)
        print(f"{time.monotonic() - began:4.0f} s  {say_ends(lanes)}", flush=True)


@pytest.mark.long
async def test_hundreds_of_kills_lose_nothing_and_double_nothing(tmp_path, capsys):
    kills = [KILLS // LANES + (number < KILLS % LANES) for number in range(LANES)]
    lanes = [
        Lane(folder=tmp_path / f"lane-{number}", kills=share, seed=f"{SEED}/{number}", seconds=SECONDS)
        for number, share in enumerate(kills)
    ]
    with capsys.disabled():
        print(f"\n{KILLS} kills, SEED={SEED}", flush=True)
        for lane in lanes:
            await asyncio.to_thread(lane.write_incidents, 2 * lane.kills + 10)
        began = time.monotonic()
        teller = asyncio.create_task(tell(lanes, began))
        try:
            await asyncio.gather(*(lane.run() for lane in lanes))
            for lane in lanes:
                await asyncio.to_thread(lane.check)
            print(f"{time.monotonic() - began:4.0f} s  {say_ends(lanes)}", flush=True)
        finally:
            teller.cancel()
            for lane in lanes:
                lane.walk.stop()
    done = sum(lane.done for lane in lanes)
    assert done >= min(KILLS, 400), f"only {done} kills in {SECONDS:.0f} s: the machine is too busy to say anything"
