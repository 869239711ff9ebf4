"""What `model status` and `model bench` do with a running server."""

import asyncio
import json
import secrets
from collections.abc import Callable
from typing import Any

from pydantic import SecretStr

from bot.domain.models.bench import BenchResult, Call, Load, filler, sum_up
from bot.domain.models.status import ModelStatus, read_status
from bot.errors import NightshiftError, Reason, Refused
from bot.ports.model import ModelPlace
from connectors.models.openai import Client, Settings
from connectors.models.openai_watch import watch


def look(place: ModelPlace) -> ModelStatus:
    """Return how the server is doing. Raises `Unavailable` or `Rejected`."""
    return read_status(asyncio.run(watch(place)))


def measure(place: ModelPlace, load: Load) -> BenchResult:
    """Put the load on the server and return what came of it. Raises as `look` where it cannot be reached at all."""
    return asyncio.run(run_load(place, load))


async def run_load(place: ModelPlace, load: Load) -> BenchResult:
    """Let all runs talk at the same time, each turn after the answer to the one before."""
    name = place.name or _first((await watch(place)).models)
    settings = Settings(
        url=place.url,
        api_key=SecretStr(place.api_key) if place.api_key else None,
        proxy=place.proxy,
        ca_file=place.ca_file,
        first_seconds=load.seconds,
        idle_seconds=load.seconds,
    )
    deadline = asyncio.get_running_loop().time() + load.seconds
    common = filler(load.prompt_words, secrets.randbelow(10**6))  # another one each time: nothing of it is cached yet
    async with Client(settings) as client:
        talks = [_Talk(client, name, common, deadline).run(number, load) for number in range(load.runs)]
        return sum_up([call for calls in await asyncio.gather(*talks) for call in calls])


def _first(models: tuple[str, ...]) -> str:
    if not models:
        raise Refused("The server lists no model; name one with --model.", Reason.NOT_FOUND)
    return models[0]


class _Talk:
    """One run: the common beginning, then turn after turn."""

    def __init__(self, client: Client, model: str, common: str, deadline: float) -> None:
        self._client, self._deadline = client, deadline
        self._head = {"model": model, "stream": True, "stream_options": {"include_usage": True}}
        self._messages: list[dict[str, str]] = [{"role": "system", "content": common}]

    async def run(self, number: int, load: Load) -> list[Call]:
        calls: list[Call] = []
        for turn in range(1, load.turns + 1):
            text = f"Run {number}, turn {turn}: continue the list above with as many words as you may write."
            self._messages.append({"role": "user", "content": text})
            call, said = await self._ask(turn, load.answer_tokens)
            calls.append(call)
            if not call.is_answered:
                break
            self._messages.append({"role": "assistant", "content": said})
        return calls

    async def _ask(self, turn: int, tokens: int) -> tuple[Call, str]:
        body: dict[str, Any] = {**self._head, "max_tokens": tokens, "messages": self._messages}
        clock = asyncio.get_running_loop().time
        pieces = _Pieces(clock)
        asked = clock()
        try:
            answer = await self._client.complete(
                json.dumps(body).encode(), on_delta=pieces.take, deadline=self._deadline
            )
        except NightshiftError as error:
            return Call(turn=turn, asked=asked, fault=str(error)), ""
        ended = clock()
        call = Call(
            turn=turn,
            asked=asked,
            first=pieces.first or ended,
            ended=ended,
            prompt=answer.usage.prompt,
            cached=answer.usage.cached,
            tokens=answer.usage.completion or pieces.number,
        )
        return call, answer.text


class _Pieces:
    """Notes when the first piece came, and counts them: a server that tells no tokens sends about one in each."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.first = 0.0
        self.number = 0

    def take(self, _kind: str, _piece: str) -> None:
        self.first = self.first or self._clock()
        self.number += 1
