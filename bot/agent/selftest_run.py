"""A self-test's run of the model: a task that needs two calls and a sentence, timed, and judged by its rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

from bot.agent.arguments import read_arguments
from bot.agent.replay import Asked, Called, Match, Replay
from bot.agent.tools.every import TOOLS
from bot.domain.models.selftest import Fault, Wrong
from bot.domain.runs.transcript import EndReason
from bot.errors import Refused
from bot.ports.model import Completion, Finish, ModelClient, OnDelta

TASK: Final = (
    "This is a test of your tools. There is no incident, and nothing is to be mended. Call `list` without arguments. "
    "Then call `read_file` for one of the files that it shows. Then answer in one sentence, without a tool: what that "
    "file is for."
)
STEPS: Final = 8
_SPECS: Final = {tool.name: tool.spec for tool in TOOLS}


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A request that was answered, and when, in seconds after it was sent."""

    body: bytes
    first: float
    whole: float


class TimedModel:
    """A `ModelClient` that notes what is sent and how long the answer takes."""

    def __init__(self, model: ModelClient) -> None:
        self._model = model
        self.sent: list[Sent] = []

    async def complete(self, request: bytes, *, on_delta: OnDelta | None = None, deadline: float) -> Completion:
        began, heard = monotonic(), list[float]()

        def hear(kind: str, piece: str) -> None:
            heard.append(monotonic() - began)
            if on_delta:
                on_delta(kind, piece)

        completion = await self._model.complete(request, on_delta=hear, deadline=deadline)
        whole = monotonic() - began
        self.sent.append(Sent(body=request, first=heard[0] if heard else whole, whole=whole))
        return completion


def judge_run(replay: Replay, sent: Sequence[Sent]) -> Iterator[Wrong]:
    """Yield what is wrong with a run."""
    called = [event for event in replay.events if isinstance(event, Called)]
    if not called:
        yield Wrong(fault=Fault.NO_CALL, why="it was asked for two calls and made none")
    for call in called:
        why = _find_call_fault(call)
        if why:
            yield Wrong(fault=Fault.BAD_CALL, why=f"{call.name[:60]}{why}")
    for asked in replay.requests:
        yield from _judge_answer(asked)
    if replay.ended is not EndReason.DONE:
        yield Wrong(fault=Fault.NO_END, why=replay.text[:200] or "the run did not end")
    yield from _judge_replay(replay, sent)


def _find_call_fault(call: Called) -> str:
    """Return what is wrong with a call, to be read after its tool's name; "" where nothing is."""
    if call.fault:
        return f": the arguments cannot be used, {call.fault}"
    if call.name not in _SPECS:
        return f"({call.arguments[:200]}): there is no such tool"
    try:
        read_arguments(_SPECS[call.name], call.arguments)
    except Refused as refusal:
        return f"({call.arguments[:200]}): {refusal}"
    return ""


def _judge_answer(asked: Asked) -> Iterator[Wrong]:
    where = f"answer {asked.number}"
    if asked.has_leaked:
        yield Wrong(
            fault=Fault.LEAK,
            why=f"{where} has a call in its text: the server's tool parser does not fit",
        )
    if asked.finish == Finish.LENGTH:
        yield Wrong(fault=Fault.FINISH, why=f"{where} ended at its limit of tokens")
    elif not asked.calls and not asked.text.strip() and not asked.has_leaked:
        yield Wrong(fault=Fault.EMPTY, why=f"{where} has neither a call nor a word")


def _judge_replay(replay: Replay, sent: Sequence[Sent]) -> Iterator[Wrong]:
    if replay.broken:
        yield Wrong(fault=Fault.REPLAY, why=replay.broken)
    elif count_same(replay, sent) < max(len(sent), len(replay.requests)):
        why = next((asked.request.why for asked in replay.requests if asked.request.match is not Match.SAME), "")
        yield Wrong(fault=Fault.REPLAY, why=why or "the bytes made from the rows are not those that were sent")


def count_same(replay: Replay, sent: Sequence[Sent]) -> int:
    """Return how many requests were made again from the rows as the very bytes that were sent."""
    pairs = zip(replay.requests, sent, strict=False)
    return sum(asked.request.match is Match.SAME and asked.request.body == one.body for asked, one in pairs)
