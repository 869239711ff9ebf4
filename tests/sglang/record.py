"""Write down anew what real servers say: `make record-sglang`, when the pinned SGLang or smg moves.

What names a machine or a moment is replaced, and the middle of a long answer is left out.
"""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.sglang.gateway import lose_worker
from tests.sglang.servers import ENVIRONMENT, KEY, NAME, PYTHON, ROOT, Live, serve_sglang, serve_smg
from tests.sglang.shapes import CHAT, GATEWAY_SHAPES, SHAPES, Shape, full, talk

RECORDED = Path(__file__).parent / "recorded"
KEPT_EVENTS = 24
KEPT_HEADERS = ("Content-Type", "Retry-After", "WWW-Authenticate")
KEPT_FACTS = ("version", "served_model_name", "enable_priority_scheduling", "context_length", "max_req_input_len")
_UNSTEADY = (
    (re.compile(r'("created": ?)\d+'), r"\g<1>1795176179"),
    (re.compile(r"(?<![0-9a-z])[0-9a-f]{32}(?![0-9a-z])"), "0" * 32),
    (re.compile(r"(?<![0-9a-z])[0-9a-f]{24}(?![0-9a-z])"), "0" * 24),
    (re.compile(r"chatcmpl-\w+"), "chatcmpl-0"),
    (re.compile(r"127\.0\.0\.1:\d+|localhost:\d+"), "gpu:30000"),
    (re.compile(r'(?<![:/\w])/[^\s"\\]*/([\w.-]+)'), r"/\1"),
    (re.compile(r"\[\d\d:\d\d:\d\d\] "), ""),
)


def steady(text: str) -> str:
    """Return a body without what names a host, a folder or a moment."""
    text = text.replace(CHAT, "CHAT")
    for pattern, instead in _UNSTEADY:
        text = pattern.sub(instead, text)
    return text.replace("CHAT", CHAT)


def shorten(text: str) -> str:
    events = text.split("\n\n")
    if len(events) > KEPT_EVENTS and '"tool_calls": [' not in text and '"tool_calls":[' not in text:
        events = [*events[:4], *events[-5:]]
    return "\n\n".join(events)


def keep(status: int, headers: Mapping[str, str], body: bytes) -> dict:
    text = shorten(steady(body.decode()))
    kept = {name: value for name, value in headers.items() if name.title() in {n.title() for n in KEPT_HEADERS}}
    return {"status": status, "headers": kept, "body": text.split("\n\n") if "event-stream" in str(kept) else text}


def plain(shape: Shape) -> dict:
    return {key: value for key, value in shape.request.items() if value is not None}


async def record_sglang(live: Live) -> dict:
    async with talk(live.url) as server:
        shapes = {}
        for name, shape in SHAPES.items():
            async with asyncio.timeout(120), shape.situation(server):
                shapes[name] = keep(*await server.post(CHAT, plain(shape), shape.key))
        tokenize = await server.post("/v1/tokenize", {"model": NAME, "messages": SHAPES["answer"].request["messages"]})
        counted = json.loads(tokenize[2]) | {"tokens": []}
        models = json.loads(steady((await server.get("/v1/models")).decode()))
        info = json.loads(await server.get("/server_info"))
    facts = {name: info.get(name) for name in KEPT_FACTS}
    return {"version": info["version"], "shapes": shapes, "models": models, "server_info": facts, "tokenize": counted}


async def record_smg(live: Live, workers: list[Live]) -> dict:
    shapes = {}
    async with talk(live.url) as gateway, talk(workers[0].url) as first, talk(workers[1].url) as second:
        for name in ("answer, streamed", "wrong key", "unknown model"):
            shape = GATEWAY_SHAPES[name]
            shapes[name] = keep(*await gateway.post(CHAT, plain(shape), shape.key))
        async with full(first), full(second):
            name = "queue full, streamed"
            shapes[name] = keep(*await gateway.post(CHAT, plain(GATEWAY_SHAPES[name])))
        models = json.loads(await gateway.get("/v1/models"))
        async with lose_worker([first, second], workers):
            shapes["worker lost"] = keep(*await gateway.post(CHAT, plain(GATEWAY_SHAPES["worker lost"])))
        for worker in workers:
            worker.kill()
        shapes["no worker"] = keep(*await gateway.post(CHAT, plain(GATEWAY_SHAPES["no worker"])))
    return {"version": "1.13.0", "shapes": shapes, "models": models}


def record_options() -> str:
    """Return what `--help` lists: a line for each option, with its other names and its choices."""
    argv = [PYTHON, "-m", "sglang.launch_server", "--help"]
    wide = {**os.environ, **ENVIRONMENT, "COLUMNS": "200"}
    told = subprocess.run(argv, env=wide, check=True, capture_output=True, text=True).stdout
    listed = re.findall(r"^  (-\S.*)$", told.partition("\noptions:\n")[2], re.MULTILINE)
    return "".join(f"{_as_line(one.partition('  ')[0])}\n" for one in listed)


def _as_line(option: str) -> str:
    choices = re.search(r"\{([^}]*)\}", option)
    names = re.findall(r"(?<!\S)--[a-z0-9][\w-]*", option)
    listed = ",".join(sorted(choices[1].split(","))) if choices else ""  # in another order each time
    return ", ".join(names) + (f" {{{listed}}}" if choices else "")


def write(name: str, found: dict) -> None:
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    for forbidden in (str(ROOT), str(Path.home()), KEY):
        assert forbidden not in text, f"the recording of {name} names {forbidden}"
    RECORDED.mkdir(exist_ok=True)
    (RECORDED / f"{name}.json").write_text(text)


def main() -> None:
    (RECORDED / "options.txt").write_text(record_options())
    with serve_sglang() as first:
        write("sglang", asyncio.run(record_sglang(first)))
        with serve_sglang() as second, serve_smg([first, second]) as gateway:
            write("smg", asyncio.run(record_smg(gateway, [first, second])))


if __name__ == "__main__":
    main()
