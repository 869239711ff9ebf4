"""The same job for pydantic-ai-slim: URL FOLDER STEPS. Nothing is stored."""

import asyncio
import sys
import time
from pathlib import Path

from agent_report import Slices, read_lines, tell
from pydantic_ai import Agent, UsageLimits
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


async def main(url: str, folder: Path, steps: int) -> None:
    model = OpenAIChatModel("bench", provider=OpenAIProvider(base_url=f"{url}/v1", api_key="none"))
    agent = Agent(model, system_prompt="Find out why the shop fails.")

    @agent.tool_plain
    def look(first: int) -> str:
        """Read twenty lines of the file."""
        return read_lines(folder / "cart.py", first)

    with Slices() as slices:
        began, cpu = time.monotonic(), time.process_time()
        await agent.run("# The shop fails\n", usage_limits=UsageLimits(request_limit=steps + 10))
        cpu, wall = time.process_time() - cpu, time.monotonic() - began
    tell(steps=steps, cpu=cpu, wall=wall, slices=slices)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
