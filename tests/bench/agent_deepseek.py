"""Puts the prompts of a run together as DeepSeek's own encoder does: FILE with a request a line. Prints JSON."""

import json
import sys
from itertools import pairwise
from pathlib import Path

from agent_server import share_kept
from deepseek_recipe import ChatCompletionRequest, ConversionOptions, DeepseekV4Encoding, DeepseekV41Encoding

MODELS = {"DeepSeek-V4-Pro": DeepseekV4Encoding(), "DeepSeek-V4.1-Flash": DeepseekV41Encoding()}


def render(line: str, model: str) -> str:
    request = ChatCompletionRequest(json.dumps(json.loads(line) | {"model": model}))
    return MODELS[model].render_conversation(request.convert(ConversionOptions()).conversation).prompt


def main(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    prompts = {model: [render(line, model) for line in lines] for model in MODELS}
    least = {model: min(share_kept(one, two) for one, two in pairwise(rendered)) for model, rendered in prompts.items()}
    longest = max(len(prompt) for rendered in prompts.values() for prompt in rendered)
    print(json.dumps({"least": least, "count": len(lines), "longest": longest}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
