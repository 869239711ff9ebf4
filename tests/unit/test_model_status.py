"""How a model server is doing: sglang's metrics, other servers, and servers that are not there."""

import asyncio
import contextlib
import json

import pytest
from aiohttp import web

from bot.bootstrap.commands.model_commands import Look, run_status
from bot.domain.models.status import Readings, Sample, read_status
from bot.errors import Refused, Rejected, Unavailable
from bot.ports.model import ModelPlace
from bot.render.model_status import show_status, status_as_json
from connectors.models import openai_watch
from connectors.models.openai_watch import watch

LABELS = 'engine_type="unified",model_name="own",moe_ep_rank="0",pp_rank="0",tp_rank="0"'
COUNTED = 'engine_type="unified",model_name="own"'
#: As sglang 0.5.23 writes them with --enable-priority-scheduling: gauges have a line for all, counters have not.
METRICS = f"""# HELP sglang:num_running_reqs The number of running requests.
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{{{LABELS},priority=""}} 5.0
sglang:num_running_reqs{{{LABELS},priority="100"}} 1.0
sglang:num_running_reqs{{{LABELS},priority="10"}} 4.0
# HELP sglang:num_queue_reqs The number of requests in the waiting queue.
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{{{LABELS},priority=""}} 2.0
# TYPE sglang:gen_throughput gauge
sglang:gen_throughput{{{LABELS},priority=""}} 812.4
# TYPE sglang:cache_hit_rate gauge
sglang:cache_hit_rate{{{LABELS},priority=""}} 0.91
# TYPE sglang:token_usage gauge
sglang:token_usage{{{LABELS},priority=""}} 0.37
# TYPE sglang:spec_accept_length gauge
sglang:spec_accept_length{{{LABELS},priority=""}} 2.75
# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{{{COUNTED},is_streaming="true",priority="0"}} 600.0
sglang:prompt_tokens_total{{{COUNTED},is_streaming="true",priority="100"}} 400.0
# TYPE sglang:cached_tokens_total counter
sglang:cached_tokens_total{{cache_source="device",{COUNTED},priority="0"}} 700.0
sglang:cached_tokens_total{{cache_source="host",{COUNTED},priority="100"}} 100.0
# TYPE process_open_fds gauge
process_open_fds 9.0
"""


@contextlib.asynccontextmanager
async def serve(**answers):
    """Serve bodies by path; a number is a status, other paths are 404. Keeps the keys that were shown."""
    keys = []

    async def handle(request):
        keys.append(request.headers.get("Authorization"))
        answer = answers.get(request.path.strip("/").replace("/", "_"), 404)
        return web.Response(status=answer) if isinstance(answer, int) else web.Response(body=answer)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}", keys
    finally:
        await runner.cleanup()


async def ask(**answers):
    async with serve(**answers) as (url, _):
        return await watch(ModelPlace(url=url, name=""))


MODELS = json.dumps({"object": "list", "data": [{"id": "mistral-medium-3.5", "owned_by": "sglang"}]}).encode()


async def test_sglang_shows_queue_running_cache_speed_and_accept_length():
    status = read_status(await ask(v1_models=MODELS, server_info=b'{"version": "0.5.23"}', metrics=METRICS.encode()))
    assert status.models == ("mistral-medium-3.5",)
    assert (status.version, status.is_sglang) == ("0.5.23", True)
    assert (status.running, status.queued) == (5, 2), "the lines by priority are not counted twice"
    assert (status.tokens_per_second, status.accept_length) == (812.4, 2.75)
    assert (status.hit_rate, status.cached_since_start, status.cache_used) == (0.91, 0.8, 0.37)
    assert status.unseen == ()
    text = show_status(status, "http://gpu:30000")
    assert text.splitlines() == [
        "http://gpu:30000 answers.",
        "  model          mistral-medium-3.5",
        "  server         sglang 0.5.23",
        "  running        5",
        "  queued         2",
        "  cache hits     91% now, 80% since the start",
        "  cache used     37%",
        "  tokens/s       812",
        "  accept length  2.75 tokens per step",
    ]


async def test_another_server_works_and_it_is_said_what_cannot_be_seen():
    status = read_status(await ask(v1_models=MODELS, metrics=b'vllm:num_requests_running{model_name="m"} 3.0\n'))
    assert (status.is_sglang, status.running) == (False, None)
    text = show_status(status, "http://gpu:8000")
    assert (
        "It does not show running requests, the queue, cache hits, how full the cache is and tokens per second." in text
    )
    assert "Nightshift works without." in text
    assert status_as_json(status, "u")["unseen"][0] == "running requests"


@pytest.mark.parametrize(
    "metrics", [b"", b"<html>", b"\xff\xfe\x00", b'sglang:num_running_reqs{priority="', b"a b c d\n" * 50]
)
async def test_metrics_that_are_none_count_as_not_shown(metrics):
    status = read_status(await ask(v1_models=MODELS, metrics=metrics))
    assert status.running is None


async def test_hostile_answers_are_bounded(monkeypatch):
    monkeypatch.setattr(openai_watch, "MAX_BYTES", 5_000)
    named = json.dumps({"data": [{"id": "x" * 900}, {"id": 7}, "y", {"id": "a\u001b[31m"}]}).encode()
    huge = METRICS.encode() + b"# " + b"x" * 10_000
    readings = await ask(v1_models=named, server_info=b'{"version": {"a": 1}}', metrics=huge)
    assert readings.samples == ()
    assert [len(name) for name in readings.models] == [200, 5]
    assert "\x1b" not in show_status(read_status(readings), "u")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_figure_that_is_none_is_not_shown(value):
    status = read_status(Readings(samples=(Sample(name="sglang:num_running_reqs", value=value),)))
    assert status.running is None


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (401, Rejected, "NIGHTSHIFT_MODEL_API_KEY"),
        (404, Rejected, "no OpenAI-compatible server"),
        (503, Unavailable, "loading"),
    ],
)
async def test_a_refusal_is_told_in_words(status, error, said):
    with pytest.raises(error, match=said):
        await ask(v1_models=status)


async def test_the_key_is_shown_and_an_address_with_v1_is_the_same_place():
    async with serve(v1_models=MODELS) as (url, keys):
        readings = await watch(ModelPlace(url=f"{url}/v1", name="", api_key="k"))
    assert readings.models == ("mistral-medium-3.5",)
    assert set(keys) == {"Bearer k"}


def test_a_server_that_is_not_there_is_said_to_be_none():
    with pytest.raises(Unavailable, match=r"No model server answers at http://127\.0\.0\.1:9"):
        asyncio.run(watch(ModelPlace(url="http://127.0.0.1:9", name="")))


def test_without_an_address_the_way_to_give_one_is_named(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NIGHTSHIFT_MODEL_URL", raising=False)
    with pytest.raises(Refused, match="give --url, or set NIGHTSHIFT_MODEL_URL"):
        run_status(Look(url="", as_json=False))


def test_an_address_that_is_none_is_named_as_it_was_typed():
    with pytest.raises(Refused, match="--url must begin with http:// or https://: gpu:30000"):
        run_status(Look(url="gpu:30000", as_json=False))
