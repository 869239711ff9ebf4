"""A run again without a model: what was asked, byte for byte, what came back, what was done, from its rows alone."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from bot.agent.images import fill_in
from bot.agent.transcript import (
    Message,
    PendingCall,
    State,
    advance,
    build_request,
    digest_of,
    dump,
    read_opening,
    unwrap,
)
from bot.domain.models.spending import Spent
from bot.domain.runs.account import tell_compaction
from bot.domain.runs.transcript import EndReason, Step, StepKind
from bot.errors import Unavailable

_NO_IMAGES: Final[Mapping[str, bytes]] = MappingProxyType({})
_UNREADABLE: Final = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


class Match(StrEnum):
    """Whether the bytes of a request are those that were sent. UNKNOWN: their digest was not recorded."""

    SAME = "same"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request made again. `recorded` is the digest of what was sent; `why` says what is wrong with the match.

    In `body` images stand by their digests; `sha256` is of the bytes with the images in them.
    """

    body: bytes
    sha256: str
    recorded: str = ""
    match: Match = Match.UNKNOWN
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Told:
    """The task that opens a run, a reminder of the loop's own, a question to people, or that old results were
    shortened."""

    seq: int
    kind: StepKind
    text: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request, and the answer as it was kept. `cached` is None where the server did not say; `is_aside` marks a
    question apart, which no later request holds."""

    seq: int
    number: int
    request: Request
    text: str
    reasoning: str
    calls: int
    finish: str
    has_leaked: bool
    prompt: int
    cached: int | None
    completion: int
    seconds: float
    is_aside: bool = False


@dataclass(frozen=True, kw_only=True)
class Called:
    """A call of a tool with its result. `fault` says what was wrong with its arguments."""

    seq: int
    key: str
    name: str
    arguments: str
    fault: str
    result: str
    is_repeat: bool
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Proposed:
    seq: int
    title: str
    base: str
    patch: bytes
    is_verified: bool


Event = Told | Asked | Called | Proposed


@dataclass(frozen=True, kw_only=True)
class Replay:
    """A run again. `waiting` are calls without a result; `broken` says which row cannot be read, and why."""

    run: str
    rows: int
    events: tuple[Event, ...]
    spent: Spent
    ended: EndReason | None
    text: str
    waiting: tuple[PendingCall, ...] = ()
    broken: str = ""

    @property
    def requests(self) -> tuple[Asked, ...]:
        return tuple(event for event in self.events if isinstance(event, Asked))

    @property
    def is_sound(self) -> bool:
        """Every row can be read, and no request differs from what was sent."""
        return not self.broken and all(asked.request.match is not Match.DIFFERS for asked in self.requests)


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What requests are made of besides the rows: how they may begin, and the images by digest."""

    openings: tuple[str, ...]
    images: Mapping[str, bytes]


def replay_run(
    run: str, rows: Sequence[Step], *, opening: str = "", images: Mapping[str, bytes] = _NO_IMAGES
) -> Replay:
    """Go through a run's rows. `opening` is what the present configuration begins requests with: it stands in for
    one that was not recorded, and explains a run that was resumed after a change; `images` are those stored, by digest.
    Raises nothing over bad rows."""
    state, events, broken = State(), list[Event](), ""
    recorded = ""
    for row in rows:
        try:
            body = json.loads(row.body)
            following = advance(state, row)
            recorded = read_opening(body) if row.kind is StepKind.TASK else recorded
            openings = tuple(dict.fromkeys(text for text in (recorded, opening) if text))
            events += _tell(state, following, row, body, _Known(openings=openings, images=images))
            events += [
                Told(seq=row.seq, kind=StepKind.NOTE, text=_text(one["content"])) for one in body.get("said", ())
            ]
        except _UNREADABLE as error:
            why = " ".join(str(error).split())[:200]
            broken = f"row {row.seq} ({row.key[:60]}) cannot be read: {type(error).__name__}: {why}"
            break
        state = following
    return Replay(
        run=run,
        rows=len(rows),
        events=tuple(events),
        spent=state.spent,
        ended=state.ended,
        text=state.text,
        waiting=state.pending,
        broken=broken,
    )


def _tell(before: State, after: State, row: Step, body: Message, known: _Known) -> list[Event]:
    if row.kind is StepKind.HELPER:
        inner, state = unwrap(row), before.helper or State()
        told = _tell(state, after.helper or state, inner, body["row"]["body"], known)
        placed = [replace(event, seq=row.seq) for event in told]
        return [replace(event, kind=row.kind) if isinstance(event, Told) else event for event in placed]
    if row.kind in {StepKind.TASK, StepKind.NOTE, StepKind.ASK, StepKind.COMPACT}:
        return [Told(seq=row.seq, kind=row.kind, text=_tell_words(row, body))]
    if row.kind in {StepKind.MODEL, StepKind.AUXILIARY}:
        tell_asked = _tell_answer if row.kind is StepKind.MODEL else _tell_aside
        return [tell_asked(before, after, row, body, known)]
    if row.kind is StepKind.TOOL:
        return [_tell_call(before.pending[0], row, body)]
    if row.kind is StepKind.PATCH:
        made = after.proposals[-1]
        verified = made.verified.is_verified
        return [Proposed(seq=row.seq, title=made.title, base=made.base, patch=made.patch, is_verified=verified)]
    return []


def _tell_words(row: Step, body: Message) -> str:
    if row.kind is StepKind.COMPACT:
        return tell_compaction(body)
    if row.kind is not StepKind.ASK:
        return _text(body["message"]["content"])
    offered = " | ".join(_text(answer) for answer in body["answers"])
    return f"{_text(body['question'])} [{offered}]"


def _tell_answer(before: State, after: State, row: Step, body: Message, known: _Known) -> Asked:
    usage, message = body["usage"], body["message"]
    return Asked(
        seq=row.seq,
        number=after.spent.steps,
        request=_make_request(before, str(body.get("asked_with", "")), known),
        text=_text(message["content"]),
        reasoning=_text(message.get("reasoning_content") or message.get("reasoning") or body.get("reasoning", "")),
        calls=len(after.pending),
        finish=_text(body["finish"]),
        has_leaked=bool(body.get("leaked")),
        prompt=usage["prompt"],
        cached=usage["cached"],
        completion=usage["completion"],
        seconds=body["seconds"],
    )


def _tell_aside(before: State, after: State, row: Step, body: Message, known: _Known) -> Asked:
    usage, asked = body["usage"], dump(body["asked"]).encode("utf-8", "replace")
    behind = replace(before, messages=(*before.messages, asked))
    return Asked(
        seq=row.seq,
        number=after.spent.steps,
        request=_make_request(behind, str(body.get("asked_with", "")), known, _text(body["form"])),
        text=_text(body["answer"]),
        reasoning=_text(body["reasoning"]),
        calls=body["calls"],
        finish=_text(body["finish"]),
        has_leaked=False,
        prompt=usage["prompt"],
        cached=usage["cached"],
        completion=usage["completion"],
        seconds=body["seconds"],
        is_aside=True,
    )


def _tell_call(call: PendingCall, row: Step, body: Message) -> Called:
    return Called(
        seq=row.seq,
        key=call.key,
        name=call.name,
        arguments=call.arguments,
        fault=call.fault,
        result=_text(body["message"]["content"]),
        is_repeat=bool(body.get("repeat")),
        seconds=body["seconds"],
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is no text")
    return value


def _make_request(state: State, recorded: str, known: _Known, form: str = "") -> Request:
    """Build the request that the state leads to, with the opening whose bytes were sent if there is one."""
    openings = known.openings
    if not openings:
        why = "how its requests began was not recorded, or was redacted; configure the model to compare"
        return Request(body=b"", sha256="", recorded=recorded, why=why)
    bodies = [build_request(opening.encode(), state.messages, form) for opening in openings]
    try:
        sent = [fill_in(message, known.images) for message in state.messages]
    except Unavailable as error:
        return Request(body=bodies[0], sha256="", recorded=recorded, why=f"it cannot be compared: {error}")
    digests = [digest_of(build_request(opening.encode(), sent, form)) for opening in openings]
    if not recorded:
        why = "the digest of what was sent was not recorded"
        return Request(body=bodies[0], sha256=digests[0], why=why)
    at = digests.index(recorded) if recorded in digests else -1
    if at < 0:
        why = "the bytes made from the rows are not those that were sent: rows, model settings or prompts changed"
        return Request(body=bodies[0], sha256=digests[0], recorded=recorded, match=Match.DIFFERS, why=why)
    why = "sent with other model settings than the run began with" if at else ""
    return Request(body=bodies[at], sha256=digests[at], recorded=recorded, match=Match.SAME, why=why)
