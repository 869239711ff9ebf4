"""Our client through real smg in front of two real workers."""

import asyncio
import json
from contextlib import ExitStack

import pytest
from pydantic import SecretStr

from bot.domain.models.contract import Ability
from bot.errors import Reason, Unavailable
from bot.ports.model import Errand, Finish, ModelPlace, Priority, TryResult
from connectors.models.fleet import Fleet
from connectors.models.openai import Client, Settings
from connectors.models.openai_contract import examine
from connectors.models.openai_facts import learn
from tests.sglang.gateway import lose_worker
from tests.sglang.servers import KEY, NAME, need_environment, serve_sglang, serve_smg
from tests.sglang.shapes import CHAT, GATEWAY_SHAPES, ask, body_of, full, long, settle, talk

pytestmark = pytest.mark.sglang


def place_of(live):
    return ModelPlace(url=live.url, name=NAME, api_key=KEY)


async def complete(live, body, key=KEY):
    settings = Settings(url=live.url, api_key=SecretStr(key), first_seconds=120, idle_seconds=120)
    async with Client(settings) as client:
        return await client.complete(body, deadline=asyncio.get_running_loop().time() + 120)


async def expect(live, name):
    shape = GATEWAY_SHAPES[name]
    assert await settle(complete(live, body_of(shape), shape.key)) == shape.ends, name


async def test_a_gateway_with_two_workers(sglang):
    """One test, because each step loses something: what passes, what is refused, a worker that dies, and none left."""
    need_environment()
    with ExitStack() as stack:
        workers = [stack.enter_context(serve_sglang()) for _ in range(2)]
        gateway = stack.enter_context(serve_smg(workers))
        async with talk(workers[0].url) as first, talk(workers[1].url) as second:
            await check_facts(gateway)
            for live in (*workers, gateway):
                assert live.shown()
                assert KEY not in live.shown().split(), "a list of processes shows the key"
            for name in ("answer, streamed", "wrong key", "unknown model"):
                await expect(gateway, name)
            await check_cancel(gateway, [first, second])
            async with full(first), full(second):
                await check_order(gateway)
            async with lose_worker([first, second], workers):
                await expect(gateway, "worker lost")
            assert (await complete(gateway, json.dumps(ask()).encode())).finish is Finish.STOP
            (left,) = [worker for worker in workers if worker.process.poll() is None]
            await check_stop(left, sglang)
            await check_second_model(gateway, workers, sglang)


async def check_facts(gateway):
    facts = await learn(place_of(gateway))
    assert (facts.models, facts.version, facts.takes) == ((NAME,), "0.5.23", {"rid", "priority"})
    contract = await examine(place_of(gateway))
    assert contract.missing == (Ability.TOKENIZER,)
    assert contract.is_usable


async def check_order(gateway):
    """With both workers full, the priority goes through the gateway: what pages somebody takes another one's place."""
    await expect(gateway, "queue full, streamed")
    async with Fleet().open(place_of(gateway), Errand(priority=Priority.PAGING), lambda _tried: None) as model:
        body = json.dumps(long(max_tokens=20)).encode()
        answer = await model.complete(body, deadline=asyncio.get_running_loop().time() + 120)
    assert answer.finish is Finish.LENGTH


async def check_cancel(gateway, servers):
    task = asyncio.create_task(complete(gateway, json.dumps(long(max_tokens=3000)).encode()))
    async with asyncio.timeout(60):
        while not any([(await server.load())[0] for server in servers]):
            await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for server in servers:
        await server.wait_for(0, 0, seconds=5)


async def check_stop(worker, another):
    """A server that is told to stop ends what runs, and gets nothing new from us; by itself it would take it."""
    tries, fleet = [], Fleet()
    place = ModelPlace(url=worker.url, others=(another.url,), name=NAME, api_key=KEY)
    deadline = asyncio.get_running_loop().time() + 120
    async with talk(worker.url) as server, fleet.open(place, Errand(), tries.append) as model:
        going = asyncio.create_task(model.complete(json.dumps(long()).encode(), deadline=deadline))
        await server.wait_for(1, 0)
        worker.process.terminate()
        async with asyncio.timeout(30):
            while await server.status("/ready") != 503:
                await asyncio.sleep(0.1)
        assert (await server.post(CHAT, ask(max_tokens=2)))[0] == 200
        await model.complete(json.dumps(ask()).encode(), deadline=deadline)
        assert (await going).finish is Finish.LENGTH
    assert [(one.server, one.result) for one in tries] == [(1, TryResult.ANSWERED), (0, TryResult.ANSWERED)]
    assert await asyncio.to_thread(worker.process.wait, 60) == 0


async def check_second_model(gateway, workers, another):
    """With no worker left, the breaker opens, and another server stands in."""
    for worker in workers:
        if worker.process.poll() is None:
            worker.kill()
    await expect(gateway, "no worker")
    tries, fleet = [], Fleet()
    second = ModelPlace(url=another.url, name=NAME, api_key=KEY)
    place = ModelPlace(url=gateway.url, name=NAME, api_key=KEY, second=second)
    deadline = asyncio.get_running_loop().time() + 120
    async with fleet.open(place, Errand(), tries.append) as model:
        for _ in range(3):
            with pytest.raises(Unavailable) as caught:
                await model.complete(json.dumps(ask()).encode(), deadline=deadline)
            assert caught.value.reason is Reason.SERVER_ERROR
        assert (await model.complete(json.dumps(ask()).encode(), deadline=deadline)).by == NAME
    assert [one.result for one in tries] == [TryResult.FAILED] * 3 + [TryResult.ANSWERED]


async def test_a_gateway_whose_workers_are_not_there_yet_is_asked_again():
    need_environment()
    with serve_smg([]) as gateway:
        with pytest.raises(Unavailable) as caught:
            await complete(gateway, json.dumps(ask()).encode())
        assert caught.value.reason is Reason.SERVER_ERROR
