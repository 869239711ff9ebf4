"""A model that answers at once: so many calls of a tool, each different, and then a conclusion."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from aiohttp import web

END = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
#: The path says who asks: each agent's own tool, and the arguments that read twenty lines from line {n}.
CALLS = {
    "ours": ("read_file", '{{"path": "shop/cart.py", "first": {n}, "last": {last}}}'),
    "pydantic": ("look", '{{"first": {n}}}'),
    "mini": ("bash", '{{"command": "sed -n {n},{last}p cart.py"}}'),
}


def build_message(who: str, number: int, steps: int) -> dict:
    """Return the answer to the request that holds `number` answers already."""
    name, arguments = CALLS[who]
    first = 1 + number * 3
    if number < steps:
        text = arguments.format(n=first, last=first + 19)
    elif who == "mini":
        text = json.dumps({"command": END})
    else:
        return {"role": "assistant", "content": "The rate of a coupon is read in the wrong way. No patch can help."}
    call = {"id": f"call_{number}", "type": "function", "index": 0, "function": {"name": name, "arguments": text}}
    return {"role": "assistant", "content": "I read on.", "tool_calls": [call]}


def build_answer(body: bytes, who: str, steps: int) -> tuple[bytes, str]:
    number = body.count(b'"role":"assistant"') + body.count(b'"role": "assistant"')
    message = build_message(who, number, steps)
    finish = "tool_calls" if "tool_calls" in message else "stop"
    head = {"id": f"c{number}", "created": 1795176179, "model": "bench"}
    usage = {"prompt_tokens": len(body) // 4, "completion_tokens": 20, "total_tokens": len(body) // 4 + 20}
    if b'"stream":true' not in body:
        choice = {"index": 0, "message": message, "finish_reason": finish}
        whole = head | {"object": "chat.completion", "choices": [choice], "usage": usage}
        return json.dumps(whole).encode(), "application/json"
    chunk = head | {"object": "chat.completion.chunk"}
    events = [
        chunk | {"choices": [{"index": 0, "delta": message, "finish_reason": None}]},
        chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
        chunk | {"choices": [], "usage": usage},
    ]
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return "".join([*lines, "data: [DONE]\n\n"]).encode(), "text/event-stream"


class Prompts:
    """What each agent has asked: how much of each prompt the next one of the same run begins with, at least."""

    def __init__(self) -> None:
        self.least: dict[str, float] = {}
        self._last: dict[str, str] = {}

    def note(self, who: str, body: bytes) -> None:
        request = json.loads(body)
        prompt = render_prompt(request)
        if any(message["role"] == "assistant" for message in request["messages"]):
            self.least[who] = min(self.least.get(who, 1.0), share_kept(self._last[who], prompt))
        self._last[who] = prompt


def render_prompt(request: dict) -> str:
    """Return the prompt as chat templates put it together: tools and system first, then message after message."""
    parts = [request.get("tools", []), *request["messages"]]
    return "\n".join(json.dumps(part, ensure_ascii=False) for part in parts) + "\n"


def share_kept(before: str, after: str) -> float:
    """Return the share of the prompt before that the one after begins with."""
    if after.startswith(before):
        return 1.0
    different = (place for place, (one, other) in enumerate(zip(before, after, strict=False)) if one != other)
    return next(different, min(len(before), len(after))) / len(before)


@contextlib.asynccontextmanager
async def serve_steps(steps: int, prompts: Prompts | None = None) -> AsyncIterator[str]:
    """Serve until the block ends; the address goes on with the name of who asks. "silent" never gets an answer."""

    async def answer(request: web.Request) -> web.Response:
        raw, who = await request.read(), request.match_info["who"]
        if who == "silent":
            await asyncio.sleep(3600)
        if prompts is not None:
            prompts.note(who, raw)
        body, kind = build_answer(raw, who, steps)
        return web.Response(body=body, content_type=kind)

    app = web.Application(client_max_size=256 * 1024 * 1024)
    app.router.add_post("/{who}/v1/chat/completions", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await asyncio.sleep(0)
