"""Calls of tools through SGLang's parsers. The model babbles, so that the grammar and the parser do all the work: what
they let through must be a call that can be used, or something that the agent sees to be none."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from pydantic import SecretStr

from bot.agent.guard import find_leak
from bot.agent.loop import Head
from bot.agent.suggesting import SUGGEST
from bot.agent.transcript import find_fault
from bot.bootstrap.model_profiles import find_profile, list_models
from bot.domain.runs.transcript import Budget, EndReason
from bot.errors import NightshiftError
from bot.ports.model import Completion, Finish, ModelPlace
from connectors.models.openai import Client, Settings
from tests.agent_world import FILES, AgentWorld
from tests.bench.agent_prompts import play_run
from tests.sglang.servers import KEY, NAME, PARSERS, SHARED
from tests.sglang.shapes import TOOL, call, talk

pytestmark = pytest.mark.sglang
SEEDS = 6
#: How many of the six calls come through whole at least. deepseekv4 may write a text without its quotes (0.5.23).
WHOLE = {"qwen": 5, "mistral": 5, "kimi_k2": 5, "qwen3_coder": 5, "deepseekv4": 1}
OTHER = {"type": "function", "function": {**TOOL["function"], "name": "ci_status"}}
STEPS = 8
#: For each parser a model whose efforts are tried, on each fifth request of a run.
MODELS = {
    "qwen": "gpt-oss-120b",
    "mistral": "mistral-medium-3.5",
    "kimi_k2": "kimi-k2.6",
    "qwen3_coder": "qwen3-coder-30b",
    "deepseekv4": "deepseek-v4-pro",
}
PARTS = ("messages", "tools", "chat_template_kwargs", "reasoning_effort")
EACH = 5


@asynccontextmanager
async def client_of(live):
    settings = Settings(url=live.url, api_key=SecretStr(KEY), first_seconds=120, idle_seconds=120)
    async with Client(settings) as client:
        yield client


def deadline():
    return asyncio.get_running_loop().time() + 120


async def test_a_call_comes_through_whole_or_is_seen_not_to_be_one(served):
    parser, live = served
    async with client_of(live) as client:
        ends = [await _ask(client, seed) for seed in range(SEEDS)]
    print(f"{parser}: {ends}")
    assert set(ends) <= {"whole", "cut", "bad arguments", "leak", "no call", "refused"}
    assert ends.count("whole") >= WHOLE[parser]


async def _ask(client, seed):
    request = call(seed=seed, max_tokens=300) | {"tools": [OTHER, TOOL]}
    try:
        answer = await client.complete(json.dumps(request).encode(), deadline=deadline())
    except NightshiftError:
        return "refused"
    if find_leak(answer.text) >= 0:
        return "leak"
    if answer.finish is Finish.LENGTH:
        return "cut"
    if not answer.calls:
        return "no call"
    return "whole" if all(map(_is_whole, answer.calls)) else "bad arguments"


def _is_whole(one):
    """Say whether the agent could do what the call asks: one of the tools, with exactly its arguments."""
    if one.name not in {"read_log", "ci_status"} or find_fault(one.arguments):
        return False
    given = json.loads(one.arguments)
    return set(given) == {"service", "newest"} and str(given["service"]).strip() in {"api", "web"}


@dataclass(kw_only=True)
class Listening:
    """A real server's client that keeps what it was asked and what it answered."""

    client: Client
    requests: list[bytes] = field(default_factory=list)
    answers: list[Completion] = field(default_factory=list)

    async def complete(self, request, *, on_delta=None, deadline):
        self.requests.append(request)
        self.answers.append(await self.client.complete(request, on_delta=on_delta, deadline=deadline))
        return self.answers[-1]


async def test_a_whole_run_of_the_agent_on_a_model_that_babbles_breaks_nothing(served):
    """It has to call a tool each time, and does so with whatever comes. What it said goes back as it came."""
    parser, live = served
    place = ModelPlace(url=live.url, name=NAME, api_key=KEY, extra='{"tool_choice": "required"}')
    async with client_of(live) as client:
        model = Listening(client=client)
        world = AgentWorld(model=model, budget=Budget(steps=STEPS, answer_tokens=200), place=place)
        state = await world.run()
    usages = [answer.usage for answer in model.answers]
    print(f"{parser}: {state.ended}", [(usage.prompt, usage.cached) for usage in usages], world.answers()[:3])
    assert state.ended in EndReason
    assert all(after.startswith(before.removesuffix(b"]}")) for before, after in pairwise(model.requests))
    assert min(after.cached / before.prompt for before, after in pairwise(usages)) >= 0.95


@pytest.mark.parametrize("thinks", [False, True])
async def test_a_question_apart_is_answered_in_its_form_from_what_is_cached(served, thinks):
    """Who thinks as long as this model does ends in its thoughts: that is no suggestion, and no fault either."""
    parser, live = served
    extra = {"chat_template_kwargs": {"enable_thinking": thinks, "thinking": thinks}}
    head = Head(ModelPlace(url=live.url, name=NAME, api_key=KEY, extra=json.dumps(extra)), Budget(answer_tokens=600))
    said = [{"role": "user", "content": "The shop fails. " * 40}, {"role": "assistant", "content": "The disk is full."}]
    messages = [json.dumps(message).encode() for message in said]
    async with client_of(live) as client:
        before = await client.complete(head.request(messages), deadline=deadline())
        answer = await client.complete(head.request([*messages, SUGGEST.message], SUGGEST.form), deadline=deadline())
    print(f"{parser}: {answer.finish} {answer.text[:200]!r} thought {len(answer.reasoning)} {answer.usage}")
    assert answer.calls == ()
    assert answer.usage.cached >= 0.95 * before.usage.prompt
    if not thinks:
        assert answer.finish is Finish.STOP
        told = json.loads(answer.text)
        assert set(told) == {"title", "severity", "reason"}
        assert told["severity"] in {"critical", "warning", "info"}


def of_parser(parser):
    """Yield (model, effort, how it thinks) for each profile whose model is served with the parser; the shared server
    stands in for parsers that are not started here."""
    for name in list_models():
        profile = find_profile(name)
        own = profile.tool_parser if profile.tool_parser in PARSERS else SHARED
        if own == parser:
            yield from ((name, effort, profile.reasoning) for effort in ("", *profile.reasoning.efforts))


def ask_with(live, reasoning, effort):
    """Return a request as the agent sends it to a model that thinks so."""
    place = ModelPlace(url=live.url, name=NAME, api_key=KEY, extra=reasoning.add_to("", effort))
    return Head(place, Budget(answer_tokens=2)).request([b'{"role":"user","content":"What broke?"}'])


async def test_every_effort_of_every_profile_is_taken(served):
    parser, live = served
    async with client_of(live) as client:
        for name, effort, reasoning in of_parser(parser):
            answer = await client.complete(ask_with(live, reasoning, effort), deadline=deadline())
            print(f"{parser}: {name} {effort or 'by itself'}: {answer.usage.prompt}")
            assert answer.finish in {Finish.LENGTH, Finish.STOP, Finish.TOOL_CALLS}


async def test_a_value_that_a_server_does_not_know_is_refused(served):
    """So that the test before this one says something."""
    _, live = served
    with pytest.raises(NightshiftError):
        async with client_of(live) as client:
            await client.complete(ask_with(live, _Wrong(), ""), deadline=deadline())


class _Wrong:
    def add_to(self, _extra, _effort):
        return '{"reasoning_effort": "very much"}'


async def test_a_server_finds_each_prompt_at_the_beginning_of_the_next_whatever_the_effort(served):
    parser, live = served
    requests = await play_run("INC-1:1", FILES)
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
