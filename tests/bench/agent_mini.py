"""The same job for mini-swe-agent: URL FOLDER STEPS. It saves its trajectory each step; its shells do not count."""

import logging
import sys
import time
from pathlib import Path

from agent_report import tell
from minisweagent.agents.default import DefaultAgent
from minisweagent.environments.local import LocalEnvironment
from minisweagent.models.litellm_model import LitellmModel


def main(url: str, folder: Path, steps: int) -> None:
    logging.disable(logging.CRITICAL)
    model = LitellmModel(
        model_name="openai/bench",
        model_kwargs={"api_base": f"{url}/v1", "api_key": "none"},
        cost_tracking="ignore_errors",
    )
    agent = DefaultAgent(
        model,
        LocalEnvironment(cwd=str(folder)),
        system_template="Find out why the shop fails.",
        instance_template="{{ task }}",
        output_path=folder / "trajectory.json",
    )
    began, cpu = time.monotonic(), time.process_time()
    ended = agent.run("# The shop fails\n")
    cpu, wall = time.process_time() - cpu, time.monotonic() - began
    assert ended["exit_status"] == "Submitted", ended
    tell(steps=steps, cpu=cpu, wall=wall)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
