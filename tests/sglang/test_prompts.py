"""The prompts of a rich run as real encoders put them together: each has to begin with the whole one before it."""

import asyncio
import json
import subprocess
from itertools import pairwise

import pytest

from bot.bootstrap.model_profiles import find_profile
from tests.agent_world import FILES
from tests.bench.agent_prompts import play_run
from tests.sglang.servers import NAME, PYTHON, ROOT, need_environment
from tests.sglang.shapes import talk

pytestmark = pytest.mark.sglang
#: A model for each parser whose server has an encoder of its own, or reads the template that the made model has.
MODELS = {
    "qwen": "gpt-oss-120b",
    "mistral": "mistral-medium-3.5",
    "kimi_k2": "kimi-k2.6",
    "qwen3_coder": "qwen3-coder-30b",
    "deepseekv4": "deepseek-v4-pro",
}
PARTS = ("messages", "tools", "chat_template_kwargs", "reasoning_effort")
EACH = 5


@pytest.fixture(scope="module")
def requests():
    """The run is killed and resumed every few rows, calls what is wrong and repeats itself."""
    return asyncio.run(play_run("INC-1:1", FILES))


def test_deepseeks_own_encoder_finds_each_prompt_at_the_beginning_of_the_next(requests, tmp_path):
    need_environment()
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b"\n".join(requests))
    argv = [PYTHON, ROOT / "tests/bench/agent_deepseek.py", path]
    told = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    assert told["count"] == len(requests) >= 40
    assert told["least"] == {"DeepSeek-V4-Pro": 1.0, "DeepSeek-V4.1-Flash": 1.0}


async def test_a_server_finds_each_prompt_at_the_beginning_of_the_next_whatever_the_effort(requests, served):
    parser, live = served
    reasoning = find_profile(MODELS[parser]).reasoning
    prompts = {}
    async with talk(live.url) as server:
        for effort in ("", *reasoning.efforts):
            more = json.loads(reasoning.add_to("{}", effort))
            bodies = [json.loads(request) | more for request in requests[::EACH]]
            prompts[effort] = [await _tokenize(server, body) for body in bodies]
    for effort, found in prompts.items():
        for before, after in pairwise(found):
            assert after[: len(before)] == before, f"{effort or 'by itself'} of {parser}"
    print(parser, {str(effort): [len(one) for one in found][-1] for effort, found in prompts.items()})
    if parser == "deepseekv4":
        assert len({tuple(found[0]) for effort, found in prompts.items() if effort}) == len(reasoning.efforts)


async def _tokenize(server, body):
    asked = {"model": NAME} | {part: body[part] for part in PARTS if part in body}
    status, _, told = await server.post("/v1/tokenize", asked)
    assert status == 200, told
    return json.loads(told)["tokens"]
