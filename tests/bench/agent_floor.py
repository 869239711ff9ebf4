"""The least that a step like ours can cost: -m tests.bench.agent_floor URL FOLDER STEPS

One request with aiohttp whose body grows as ours does, the answer parsed, twenty lines of a file, and two rows by
sqlite3 with fsync from a thread. Nothing is checked, redacted, counted, bounded or folded.
"""

import asyncio
import json
import sqlite3
import sys
import time
from pathlib import Path

import aiohttp

from bot.ports.hand import Hand
from tests.bench.agent_report import read_lines, tell


async def main(url: str, folder: Path, steps: int) -> None:
    link = sqlite3.connect(folder / "floor.db", isolation_level=None, check_same_thread=False)
    link.execute("PRAGMA journal_mode=WAL")
    link.execute("PRAGMA synchronous=FULL")
    link.execute("CREATE TABLE step (run TEXT, seq INTEGER, body TEXT, PRIMARY KEY (run, seq))")
    hand, seq = Hand("floor"), 0

    async def keep(message: dict) -> bytes:
        nonlocal seq
        body, seq = json.dumps(message), seq + 1
        await hand.do(lambda: link.execute("INSERT INTO step VALUES ('run', ?, ?)", (seq, body)))
        return body.encode()

    messages = [b'{"role":"user","content":"# The shop fails"}']
    began, cpu = time.monotonic(), time.process_time()
    async with aiohttp.ClientSession() as session:
        while True:
            data = b'{"stream":true,"messages":[' + b",".join(messages) + b"]}"
            async with session.post(f"{url}/v1/chat/completions", data=data) as response:
                events = [json.loads(line[6:]) for line in (await response.text()).split("\n\n")[:-2]]
            message = events[0]["choices"][0]["delta"]
            messages.append((await keep(message)).replace(b'"role": ', b'"role":'))
            if "tool_calls" not in message:
                break
            call = message["tool_calls"][0]
            lines = read_lines(folder / "cart.py", json.loads(call["function"]["arguments"])["first"])
            messages.append(await keep({"role": "tool", "tool_call_id": call["id"], "content": lines}))
    assert seq == 2 * steps + 1, seq
    tell(steps=steps, cpu=time.process_time() - cpu, wall=time.monotonic() - began)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
