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


@contextlib.asynccontextmanager
async def serve_steps(steps: int) -> AsyncIterator[str]:
    """Serve until the block ends; the address goes on with the name of who asks."""

    async def answer(request: web.Request) -> web.Response:
        body, kind = build_answer(await request.read(), request.match_info["who"], steps)
        return web.Response(body=body, content_type=kind)

    app = web.Application(client_max_size=256 * 1024 * 1024)
    app.router.add_post("/{who}/v1/chat/completions", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await asyncio.sleep(0)
