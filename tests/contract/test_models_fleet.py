"""Several addresses of a model, and a second one: who is asked, who is left alone, and what goes out with a request."""

import asyncio
import json
from contextlib import AsyncExitStack

import pytest

from bot.errors import LimitReached, Reason, Rejected, Unavailable
from bot.ports.model import Errand, ModelPlace, Priority, TryResult
from connectors.models import fleet as fleets
from connectors.models.breaker import FIRST_WAIT, LONGEST_WAIT, Breaker, Gate
from connectors.models.fleet import Fleet, add_fields
from connectors.models.openai_facts import Facts
from tests.model_server import DONE, Hang, Raw, Say, Stream, chunk, flat_error, serve_model

REQUEST = b'{"model":"m","stream":true,"messages":[]}'
BROKEN = Raw(status=500, body=b'{"detail": "boom"}')
FULL = Raw(status=503, body=flat_error("The request queue is full.", 503, "503"))
LONG = Raw(status=400, body=flat_error("The input is longer than the model's context length (10 tokens).", 400))


class Rig:
    """Some servers by their scripts, a fleet over them with a clock of its own, and all that it told."""

    def __init__(self, monkeypatch, takes=frozenset()):
        self.now = 1000.0
        self.fleet = Fleet(lambda: self.now)
        self.tries = []
        self.takes = takes
        self.is_dead = False
        self.probes = 0
        self.probing = asyncio.Event()
        self.probing.set()
        monkeypatch.setattr(fleets, "learn", self._learn)

    async def _learn(self, place):
        self.probes += 1
        await self.probing.wait()
        if self.is_dead:
            raise Unavailable("nobody", Reason.UNREACHABLE)
        return Facts(models=("m",), takes=self.takes)

    async def ask(self, place, incident="", priority=Priority.TRIAGE, seconds=5.0, request=REQUEST):
        deadline = asyncio.get_running_loop().time() + seconds
        async with self.fleet.open(place, Errand(incident=incident, priority=priority), self.tries.append) as model:
            return await model.complete(request, deadline=deadline)

    async def fail(self, place, times=3):
        for _ in range(times):
            with pytest.raises(Unavailable):
                await self.ask(place)

    @property
    def results(self):
        return [(one.server, one.result, one.is_open) for one in self.tries]


@pytest.fixture
def rig(monkeypatch):
    return Rig(monkeypatch)


async def serve(stack, *scripts):
    return [await stack.enter_async_context(serve_model(script)) for script in scripts]


def place_of(*servers, second=None, **more):
    urls = [server.url for server in servers]
    return ModelPlace(url=urls[0], others=tuple(urls[1:]), name="m", second=second, **more)


async def test_an_incident_stays_at_one_address_and_incidents_spread(rig):
    async with AsyncExitStack() as stack:
        servers = await serve(stack, [], [])
        for _ in range(3):
            await rig.ask(place_of(*servers), "INC-1")
        assert sorted(len(server.seen) for server in servers) == [0, 3]
        for number in range(20):
            await rig.ask(place_of(*servers), f"INC-{number}")
        assert min(len(server.seen) for server in servers) >= 3


async def test_after_a_failure_the_next_address_is_asked_and_the_first_again_when_it_is_well(rig):
    async with AsyncExitStack() as stack:
        first, other = await serve(stack, [BROKEN], [])
        place = place_of(first, other)
        await rig.fail(place, 1)
        assert (await rig.ask(place)).text
        assert (len(first.seen), len(other.seen)) == (1, 1)
        assert rig.results == [(0, TryResult.FAILED, False), (1, TryResult.ANSWERED, False)]


async def test_three_failures_open_the_breaker_and_nobody_asks_until_a_probe_is_answered(rig):
    async with AsyncExitStack() as stack:
        (server,) = await serve(stack, [BROKEN] * 3)
        place = place_of(server)
        await rig.fail(place)
        assert rig.results[-1] == (0, TryResult.FAILED, True)
        with pytest.raises(Unavailable, match="boom") as caught:
            await rig.ask(place)
        assert (caught.value.retry_after, len(server.seen)) == (FIRST_WAIT, 3)
        rig.now += FIRST_WAIT
        rig.is_dead = True
        with pytest.raises(Unavailable):
            await rig.ask(place)
        assert len(server.seen) == 3
        rig.now += 2 * FIRST_WAIT
        rig.is_dead = False
        assert (await rig.ask(place)).text
        assert len(server.seen) == 4


async def test_one_run_probes_a_server_that_was_out_and_the_others_wait_meanwhile(rig):
    async with AsyncExitStack() as stack:
        (server,) = await serve(stack, [BROKEN] * 3)
        place = place_of(server)
        await rig.fail(place)
        rig.now += FIRST_WAIT
        before = rig.probes
        rig.probing.clear()
        first = asyncio.create_task(rig.ask(place, "INC-1"))
        while rig.probes == before:
            await asyncio.sleep(0)
        with pytest.raises(Unavailable) as caught:
            async with asyncio.timeout(5):
                await rig.ask(place, "INC-2")
        assert (caught.value.retry_after, rig.probes) == (FIRST_WAIT, before + 1)
        rig.probing.set()
        assert (await first).text
        assert (await rig.ask(place, "INC-2")).text


async def test_a_server_that_is_being_stopped_gets_nothing_new(monkeypatch):
    """SGLang takes what is new until nothing runs any more, which under load is never."""
    rig = Rig(monkeypatch, takes=frozenset({"rid"}))
    async with AsyncExitStack() as stack:
        first, other = [await stack.enter_async_context(serve_model([], is_sglang=True)) for _ in range(2)]
        for _ in range(2):
            await rig.ask(place_of(first, other))
        first.is_stopping = True
        await rig.ask(place_of(first, other))
        assert len(first.seen) == 3, "it is looked at now and then, not for each request"
        rig.now += fleets.READY_SECONDS
        await rig.ask(place_of(first, other))
        assert (len(first.seen), len(other.seen)) == (3, 1)
        for _ in range(5):
            with pytest.raises(Unavailable, match="is being stopped") as caught:
                await rig.ask(place_of(first))
            assert caught.value.reason is Reason.OVERLOADED
        assert {one.result for one in rig.tries} == {TryResult.ANSWERED}
        first.is_stopping = False
        assert (await rig.ask(place_of(first))).text


async def test_a_full_server_opens_nothing_and_another_is_asked_meanwhile(rig):
    async with AsyncExitStack() as stack:
        first, other = await serve(stack, [FULL] * 5, [])
        for _ in range(5):
            with pytest.raises(Unavailable) as caught:
                await rig.ask(place_of(first))
            assert caught.value.reason is Reason.OVERLOADED
        assert {result for _, result, is_open in rig.results if not is_open} == {TryResult.BUSY}
        assert (await rig.ask(place_of(first, other))).text
        assert len(first.seen) == 5


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (Raw(status=401), TryResult.REFUSED),
        (LONG, TryResult.TOO_LONG),
        (Stream(pieces=(chunk({"content": "a"}), 60.0)), TryResult.SLOW),
    ],
    ids=["refused", "too long", "slow"],
)
async def test_what_is_no_fault_of_the_server_opens_nothing(rig, answer, result):
    async with AsyncExitStack() as stack:
        (server,) = await serve(stack, [answer] * 4)
        for _ in range(4):
            with pytest.raises((Rejected, LimitReached, Unavailable)):
                await rig.ask(place_of(server), seconds=0.15)
        assert rig.results == [(0, result, False)] * 4


async def test_silence_is_a_failure(rig):
    async with AsyncExitStack() as stack:
        (server,) = await serve(stack, [Hang()])
        with pytest.raises(Unavailable):
            await rig.ask(place_of(server), seconds=0.1)
        assert rig.results == [(0, TryResult.FAILED, False)]


async def test_the_second_model_stands_in_by_its_own_name_and_is_left_when_the_first_is_back(rig):
    async with AsyncExitStack() as stack:
        first, small = await serve(stack, [BROKEN] * 3, [])
        second = ModelPlace(url=small.url, name="small", api_key="k2", extra='{"temperature": 0.5}')
        place = place_of(first, second=second, extra='{"chat_template_kwargs": {"thinking": true}}')
        await rig.fail(place)
        assert (await rig.ask(place)).by == "small"
        sent = json.loads(small.seen[0])
        assert (sent["model"], sent["temperature"], sent["messages"]) == ("small", 0.5, [])
        assert "chat_template_kwargs" not in sent
        assert small.headers[0]["Authorization"] == "Bearer k2"
        rig.now += FIRST_WAIT
        assert (await rig.ask(place)).by == ""


async def test_the_second_model_gets_thinking_under_the_name_that_it_wants(rig):
    said = {"role": "assistant", "content": "", "reasoning_content": "hm"}
    request = json.dumps({"model": "m", "messages": [{"role": "user", "content": "?"}, said]}).encode()
    for field, expected in (
        ("reasoning", {"role": "assistant", "content": "", "reasoning": "hm"}),
        ("", {"role": "assistant", "content": ""}),
    ):
        async with AsyncExitStack() as stack:
            first, small = await serve(stack, [BROKEN] * 3, [])
            place = place_of(first, second=ModelPlace(url=small.url, name="small", reasoning_field=field))
            await rig.fail(place)
            await rig.ask(place, request=request)
            assert json.loads(small.seen[0])["messages"][1] == expected


async def test_what_is_too_long_for_the_second_model_waits_for_the_first(rig):
    async with AsyncExitStack() as stack:
        first, small = await serve(stack, [BROKEN] * 3, [LONG])
        place = place_of(first, second=ModelPlace(url=small.url, name="small"))
        await rig.fail(place)
        with pytest.raises(Unavailable, match="second model"):
            await rig.ask(place)


async def test_each_try_has_an_id_of_its_own_and_the_priority_of_its_errand_where_the_server_takes_them(monkeypatch):
    rig = Rig(monkeypatch, frozenset({"rid", "priority"}))
    async with AsyncExitStack() as stack:
        (server,) = await serve(stack, [])
        for priority in (Priority.PAGING, Priority.BACKGROUND):
            await rig.ask(place_of(server), priority=priority)
        sent = [json.loads(body) for body in server.seen]
        assert [body["priority"] for body in sent] == [100, 0]
        assert [len(body["rid"]) for body in sent] == [32, 32]
        assert sent[0]["rid"] != sent[1]["rid"]
        assert [headers["X-Request-ID"] for headers in server.headers] == [body["rid"] for body in sent]
        assert all(body.startswith(REQUEST[:-1]) for body in server.seen)
        await rig.ask(place_of(server, extra='{"priority": 7}'))
        assert "priority" not in json.loads(server.seen[2])  # the configured one stands in the request already


async def test_another_server_gets_the_request_as_it_is(rig):
    async with AsyncExitStack() as stack:
        (server,) = await serve(stack, [])
        await rig.ask(place_of(server))
        assert server.seen == [REQUEST]


def test_fields_are_added_at_the_end():
    assert add_fields(b'{"a":1} \n', {"rid": "x", "priority": 1}) == b'{"a":1,"rid":"x","priority":1}'


def test_a_breaker_waits_longer_each_time_up_to_a_minute_and_forgets_with_an_answer():
    breaker, now = Breaker(), 0.0
    waits = []
    for _ in range(12):
        breaker.fail(now)
        waits.append(breaker.left(now))
        now += breaker.left(now)
    assert waits[:4] == [0.0, 0.0, FIRST_WAIT, 2 * FIRST_WAIT]
    assert waits[-1] == LONGEST_WAIT
    assert breaker.gate(now) is Gate.HALF_OPEN
    breaker.succeed()
    assert (breaker.gate(now), breaker.has_failed) == (Gate.CLOSED, False)


async def test_answers_that_end_well_are_told(rig):
    async with AsyncExitStack() as stack:
        (server,) = await serve(stack, [Stream(pieces=(chunk({"content": "a"}, "stop"), DONE)), Say(text="b")])
        assert [(await rig.ask(place_of(server))).text for _ in range(2)] == ["a", "b"]
        assert rig.results == [(0, TryResult.ANSWERED, False)] * 2
