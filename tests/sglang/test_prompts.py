"""The prompts of a rich run as DeepSeek's own encoder puts them together."""

import asyncio
import json
import subprocess

import pytest

from tests.agent_world import FILES
from tests.bench.agent_prompts import play_run
from tests.sglang.servers import PYTHON, ROOT, need_environment

pytestmark = pytest.mark.sglang


def test_deepseeks_own_encoder_finds_each_prompt_at_the_beginning_of_the_next(tmp_path):
    """The run is killed and resumed every few rows, calls what is wrong and repeats itself."""
    need_environment()
    requests = asyncio.run(play_run("INC-1:1", FILES))
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b"\n".join(requests))
    argv = [PYTHON, ROOT / "tests/bench/agent_deepseek.py", path]
    told = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    assert told["count"] == len(requests) >= 40
    assert told["least"] == {"DeepSeek-V4-Pro": 1.0, "DeepSeek-V4.1-Flash": 1.0}
