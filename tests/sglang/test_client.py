"""Our client against a real SGLang server: every shape that it answers in, priorities, cancelling, the cache."""

import asyncio
import json
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from pydantic import SecretStr

from bot.agent.loop import Head
from bot.domain.models.contract import Ability
from bot.domain.runs.transcript import Budget
from bot.errors import Unavailable
from bot.ports.model import Errand, Finish, ModelPlace, Priority, TryResult
from connectors.models.fleet import Fleet
from connectors.models.openai import Client, Settings
from connectors.models.openai_contract import examine
from connectors.models.openai_facts import learn
from tests.sglang.servers import KEY, NAME, RUNNING
from tests.sglang.shapes import CHAT, SHAPES, TOOL, ask, body_of, busy, full, long, settle, talk

pytestmark = pytest.mark.sglang
SECONDS = 120.0
TALK = [
    {"role": "user", "content": "What broke?"},
    {
        "role": "assistant",
        "content": "I look.",
        "reasoning_content": "The log of the shop says it.",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "read_log", "arguments": '{"service": "api"}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "a", "content": "ERROR: no space left on device"},
]


def place_of(live, **more):
    return ModelPlace(**({"url": live.url, "name": NAME, "api_key": KEY} | more))


@asynccontextmanager
async def client_of(live, key=KEY):
    settings = Settings(url=live.url, api_key=SecretStr(key), first_seconds=SECONDS, idle_seconds=SECONDS)
    async with Client(settings) as client:
        yield client


def deadline(seconds=SECONDS):
    return asyncio.get_running_loop().time() + seconds


@pytest.mark.parametrize("name", SHAPES)
async def test_each_shape_becomes_what_it_means(sglang, name):
    shape = SHAPES[name]
    async with talk(sglang.url) as server, client_of(sglang, shape.key) as client, shape.situation(server):
        assert await settle(client.complete(body_of(shape), deadline=deadline())) == shape.ends


async def test_a_call_has_its_arguments_and_says_what_was_cached(sglang):
    async with client_of(sglang) as client:
        answer = await client.complete(body_of(SHAPES["call, streamed"]), deadline=deadline())
    assert set(json.loads(answer.calls[0].arguments)) == {"service", "newest"}
    assert answer.usage.cached is not None


async def test_the_server_is_recognised_and_fulfils_the_contract(sglang):
    facts = await learn(place_of(sglang))
    assert (facts.models, facts.version, facts.context) == ((NAME,), "0.5.23", 32768)
    assert facts.takes == {"rid", "priority"}
    contract = await examine(place_of(sglang))
    assert (contract.fault, contract.notes, contract.able) == ("", (), frozenset(Ability))
    assert contract.is_usable
    assert "no model" in (await examine(place_of(sglang, name="another"))).fault
    assert "key" in (await examine(place_of(sglang, api_key="wrong"))).fault


async def test_what_pages_somebody_overtakes_what_waits(sglang):
    ended, tries, fleet = [], [], Fleet()

    async def run(priority):
        async with fleet.open(place_of(sglang), Errand(incident="INC-1", priority=priority), tries.append) as model:
            await model.complete(json.dumps(long(max_tokens=20)).encode(), deadline=deadline())
            ended.append(priority)

    async with talk(sglang.url) as server:
        first = [asyncio.create_task(server.post(CHAT, long(max_tokens=250, priority=100))) for _ in range(RUNNING)]
        await server.wait_for(RUNNING, 0)
        late = asyncio.create_task(run(Priority.BACKGROUND))
        await server.wait_for(RUNNING, 1)
        urgent = asyncio.create_task(run(Priority.PAGING))
        await server.wait_for(RUNNING, 2)
        await asyncio.gather(urgent, late, *first)
    assert ended == [Priority.PAGING, Priority.BACKGROUND]
    assert [one.result for one in tries] == [TryResult.ANSWERED] * 2


async def test_a_full_server_is_back_pressure_and_opens_no_breaker(sglang):
    tries, fleet = [], Fleet()
    async with talk(sglang.url) as server, full(server):
        for _ in range(5):
            async with fleet.open(place_of(sglang), Errand(), tries.append) as model:
                with pytest.raises(Unavailable):
                    await model.complete(json.dumps(ask()).encode(), deadline=deadline())
    assert {(one.result, one.is_open) for one in tries} == {(TryResult.BUSY, False)}


async def test_cancelling_frees_the_server_at_once(sglang):
    heard = asyncio.Event()
    async with talk(sglang.url) as server, client_of(sglang) as client:
        body = json.dumps(long(max_tokens=3000)).encode()
        asking = client.complete(body, on_delta=lambda *_: heard.set(), deadline=deadline())
        task = asyncio.create_task(asking)
        async with asyncio.timeout(SECONDS):
            await heard.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.wait_for(0, 0, seconds=5)


async def test_each_step_of_a_run_finds_its_prompt_in_the_cache(sglang):
    """A run of eight steps as the agent sends them: system text, all tools, and messages that are only appended."""
    head = Head(place_of(sglang), Budget(answer_tokens=30))
    messages = [json.dumps({"role": "user", "content": "The shop fails. " + "It says so in its log. " * 40}).encode()]
    usages = []
    async with client_of(sglang) as client:
        for step in range(8):
            answer = await client.complete(head.request(messages), deadline=deadline())
            usages.append(answer.usage)
            said = {"role": "assistant", "content": answer.text, "reasoning_content": answer.reasoning or "hm"}
            messages += [
                json.dumps(said).encode(),
                json.dumps({"role": "user", "content": f"Line {step}: nothing new."}).encode(),
            ]
    shares = [now.cached / before.prompt for before, now in pairwise(usages)]
    print("prompt tokens", [usage.prompt for usage in usages], "cached", [usage.cached for usage in usages])
    assert min(shares) >= 0.95


async def test_two_incidents_share_system_text_and_tools(sglang):
    head = Head(place_of(sglang), Budget(answer_tokens=5))
    common = 0
    async with client_of(sglang) as client, talk(sglang.url) as server:
        for text in ("One shop fails.", "Another thing is broken."):
            answer = await client.complete(
                head.request([json.dumps({"role": "user", "content": text}).encode()]), deadline=deadline()
            )
            opening = json.loads(head.request([]))
            _, _, body = await server.post(
                "/v1/tokenize", {"model": NAME, **{k: opening[k] for k in ("messages", "tools")}}
            )
            common = json.loads(body)["count"]
    assert answer.usage.cached >= common - 10  # the template's opening of the answer is not common


@pytest.mark.parametrize("more", [{}, {"tools": [TOOL]}, {"chat_template_kwargs": {"drop_thinking": True}}])
async def test_a_prompt_is_counted_before_it_is_sent_as_it_is_afterwards(sglang, more):
    """Also where what a request says makes its template leave something out."""
    request = ask(messages=TALK, max_tokens=2) | more
    async with client_of(sglang) as client:
        told = await client.count_tokens(json.dumps(request).encode())
        whole = await client.count_tokens(json.dumps(ask(messages=TALK)).encode())
        answer = await client.complete(json.dumps(request).encode(), deadline=deadline())
    print("counted", told, "prompt tokens", answer.usage.prompt, "without options", whole)
    assert told == answer.usage.prompt
    assert (told == whole) is not bool(more)


async def test_a_run_that_goes_on_while_others_work_is_answered(sglang):
    async with talk(sglang.url) as server, busy(server, running=1), client_of(sglang) as client:
        assert (await client.complete(json.dumps(ask()).encode(), deadline=deadline())).finish is Finish.STOP
