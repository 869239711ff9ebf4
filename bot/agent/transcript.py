"""From rows to the state of a run, and from what happens to rows. Nothing here does I/O.

Rows hold each message as canonical JSON, so that the bytes sent to the model are the same before and after a
restart, whoever sends them.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Final

from pydantic import TypeAdapter

from bot.domain.investigation import Verified
from bot.domain.transcript import Conclusion, EndReason, Proposal, Step, StepKind
from bot.ports.model import Completion, Finish, Usage

Message = dict[str, Any]
"""One message as chat completions want it: JSON, at the border to the server."""

_VERIFIED: Final[TypeAdapter[Verified]] = TypeAdapter(Verified)
_AS_THEY_ARE: Final = frozenset(
    {"patch", "base", "role", "type", "finish", "id", "tool_call_id", "head", "asked_with", "key"}
)


def dump(value: object) -> str:
    """Return canonical JSON: the same value always gives the same text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def build_request(opening: str, messages: Sequence[bytes]) -> bytes:
    """Return a request's body: what every request of the run begins with, and the conversation so far."""
    return b",".join((opening.encode(), *messages)) + b"]}"


class RunningDigest:
    """The digest of a run's requests. Each begins with the bytes of the one before, which are hashed once."""

    def __init__(self, opening: str) -> None:
        self._hashed = hashlib.sha256(opening.encode())
        self._count = 0

    def of(self, messages: Sequence[bytes]) -> str:
        """Return the digest of `build_request(opening, messages)`; messages are those of before and further ones."""
        for message in messages[self._count :]:
            self._hashed.update(b"," + message)
        self._count = len(messages)
        whole = self._hashed.copy()
        whole.update(b"]}")
        return whole.hexdigest()


def call_signature(name: str, arguments: str) -> str:
    """Return what makes two calls the same, whatever the order and the spacing of their arguments."""
    try:
        return json.dumps([name, json.loads(arguments)], sort_keys=True)
    except (ValueError, RecursionError):
        return dump([name, arguments])


@dataclass(frozen=True, kw_only=True)
class PendingCall:
    """A call that has no result yet. `key` is where it stands in the run; ids of the model's own may repeat."""

    key: str
    id: str
    name: str
    arguments: str
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class Words:
    """An answer without a call, not judged yet: whether it was cut, and whether a call had leaked into its text."""

    is_cut: bool
    has_leaked: bool


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a run has used so far; `prompt` counts tokens that the server had to read anew."""

    steps: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    seconds: float = 0.0
    tool_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class State:
    """All that the loop knows. `asked` maps each call made so far to the row of its result."""

    seq: int = 0
    messages: tuple[bytes, ...] = ()
    pending: tuple[PendingCall, ...] = ()
    words: Words | None = None
    spent: Spent = Spent()
    asked: Mapping[str, int] = field(default_factory=dict)
    repeats: int = 0
    notes: int = 0
    proposals: tuple[Proposal, ...] = ()
    ended: EndReason | None = None
    text: str = ""

    @property
    def conclusion(self) -> Conclusion | None:
        """Return what a finished run leaves, None while it goes on."""
        return Conclusion(why=self.ended, text=self.text, proposals=self.proposals) if self.ended else None


def fold(rows: Iterable[Step]) -> State:
    """Return the state that the rows lead to. Raises `ValueError` where one is missing or cannot be read."""
    return reduce(advance, rows, State())


def advance(state: State, row: Step) -> State:
    """Return the state after one more row."""
    if row.seq != state.seq:
        raise ValueError(f"row {row.seq} of {row.run} stands where {state.seq} belongs")
    body = json.loads(row.body)
    following = replace(state, seq=state.seq + 1)
    if "message" in body:
        told = [body["message"], *({"role": "user", "content": said["content"]} for said in body.get("said", ()))]
        sent = [dump(message).encode("utf-8", "replace") for message in told]
        following = replace(following, messages=(*state.messages, *sent))
    return _BY_KIND[row.kind](following, row, body)


def _after_task(state: State, _row: Step, _body: Message) -> State:
    return state


def _after_model(state: State, row: Step, body: Message) -> State:
    usage, spent = body["usage"], state.spent
    cached = usage["cached"] or 0
    faults = body.get("faults", {})
    calls = body["message"].get("tool_calls", [])
    pending = tuple(
        PendingCall(
            key=f"{row.seq}.{number}",
            id=call["id"],
            name=call["function"]["name"],
            arguments=call["function"]["arguments"],
            fault=faults.get(str(number), ""),
        )
        for number, call in enumerate(calls)
    )
    words = Words(is_cut=body["finish"] == Finish.LENGTH.value, has_leaked=bool(body.get("leaked")))
    return replace(
        state,
        pending=pending,
        words=None if pending or body.get("said") else words,
        text=body["message"]["content"],
        spent=replace(
            spent,
            steps=spent.steps + 1,
            prompt=spent.prompt + max(usage["prompt"] - cached, 0),
            cached=spent.cached + cached,
            completion=spent.completion + usage["completion"],
            seconds=spent.seconds + body["seconds"],
        ),
    )


def _after_tool(state: State, row: Step, body: Message) -> State:
    call, *rest = state.pending
    if row.key != f"tool:{call.key}":
        raise ValueError(f"row {row.seq} of {row.run} answers another call than {call.key}")
    repeated = bool(body.get("repeat"))
    signature = call_signature(call.name, call.arguments)
    spent = state.spent
    return replace(
        state,
        pending=tuple(rest),
        asked=state.asked if repeated or call.fault else {**state.asked, signature: row.seq},
        repeats=state.repeats + repeated,
        spent=replace(
            spent,
            seconds=spent.seconds + body["seconds"],
            tool_bytes=spent.tool_bytes + len(body["message"]["content"].encode("utf-8", "replace")),
        ),
    )


def _after_note(state: State, _row: Step, _body: Message) -> State:
    return replace(state, notes=state.notes + 1, words=None)


def _after_patch(state: State, _row: Step, body: Message) -> State:
    proposal = Proposal(
        base=body["base"],
        patch=base64.b64decode(body["patch"]),
        title=body["title"],
        verified=_VERIFIED.validate_python(body["verified"]),
    )
    return replace(state, proposals=(*state.proposals, proposal))


def _after_end(state: State, _row: Step, body: Message) -> State:
    return replace(state, ended=EndReason(body["why"]), text=body["text"], words=None)


_BY_KIND: Final[Mapping[StepKind, Callable[[State, Step, Message], State]]] = {
    StepKind.TASK: _after_task,
    StepKind.MODEL: _after_model,
    StepKind.TOOL: _after_tool,
    StepKind.NOTE: _after_note,
    StepKind.PATCH: _after_patch,
    StepKind.END: _after_end,
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back for a request, the digest of its bytes, how long it took, and whether a call stood in its text."""

    completion: Completion
    asked_with: str
    seconds: float
    has_leaked: bool = False


# Rows -----------------------------------------------------------------------------------------------------------------
class Rows:
    """Writes the next row of a run."""

    def __init__(self, run: str) -> None:
        self._run = run

    def task(self, state: State, text: str, opening: str) -> Step:
        """Open the run. `opening` is what every request begins with: kept, so that a replay needs no configuration."""
        body = {"message": {"role": "user", "content": text}, "head": digest_of(opening.encode()), "opening": opening}
        return self._row(state, StepKind.TASK, "task", body)

    def model(self, state: State, answer: Answer) -> Step:
        """Keep an answer."""
        completion = answer.completion
        message, faults = write_answer(completion, state.seq)
        body: Message = {"message": message, "finish": completion.finish.value, "usage": _usage(completion.usage)}
        if faults:
            body["faults"] = faults
        if answer.has_leaked:
            body["leaked"] = True
        if completion.by:
            body["by"] = completion.by
        body |= {"seconds": round(answer.seconds, 3), "asked_with": answer.asked_with}
        return self._row(state, StepKind.MODEL, f"model:{state.seq}", body)

    def tool(self, state: State, text: str, seconds: float, *, repeat: bool = False) -> Step:
        """Answer the first pending call."""
        call = state.pending[0]
        message = {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": text}
        body = {"message": message, "seconds": round(seconds, 3)} | ({"repeat": True} if repeat else {})
        return self._row(state, StepKind.TOOL, f"tool:{call.key}", body)

    def note(self, state: State, text: str) -> Step:
        body = {"message": {"role": "user", "content": text}}
        return self._row(state, StepKind.NOTE, f"note:{state.seq}", body)

    def patch(self, state: State, proposal: Proposal) -> Step:
        body = {
            "base": proposal.base,
            "patch": base64.b64encode(proposal.patch).decode("ascii"),
            "title": proposal.title,
            "verified": _VERIFIED.dump_python(proposal.verified, mode="json"),
        }
        return self._row(state, StepKind.PATCH, f"patch:{state.seq}", body)

    def end(self, state: State, why: EndReason, text: str) -> Step:
        return self._row(state, StepKind.END, "end", {"why": why.value, "text": text})

    def _row(self, state: State, kind: StepKind, key: str, body: Message) -> Step:
        return Step(run=self._run, seq=state.seq, kind=kind, key=key, body=dump(body))


def _usage(usage: Usage) -> Message:
    return {"prompt": usage.prompt, "cached": usage.cached, "completion": usage.completion}


def write_answer(completion: Completion, seq: int) -> tuple[Message, dict[str, str]]:
    """Return the assistant's message as it is kept and sent again, and what is wrong with its calls by number.

    Ids and sound arguments stay as they came. Arguments that are no JSON object would make servers refuse every
    later request, so they are kept as an empty one; a cut answer keeps no call.
    """
    message: Message = {"role": "assistant", "content": _sound(completion.text)}
    if completion.reasoning:
        message["reasoning_content"] = _sound(completion.reasoning)
    faults: dict[str, str] = {}
    calls: list[Message] = []
    ids: set[str] = set()
    for number, call in enumerate(completion.calls if completion.finish is not Finish.LENGTH else ()):
        fault = find_fault(call.arguments)
        own = _sound(call.id)
        name = own if own and own not in ids else f"call_{seq}_{number}"
        ids.add(name)
        arguments = "{}" if fault else _sound(call.arguments)
        function = {"name": _sound(call.name) or "nameless", "arguments": arguments}
        calls.append({"id": name, "type": "function", "function": function})
        if fault:
            faults[str(number)] = fault
    if calls:
        message["tool_calls"] = calls
    return message, faults


def _sound(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def find_fault(arguments: str) -> str:
    """Return why arguments are no JSON object, "" when they are one."""
    try:
        return "" if isinstance(parse_object(arguments), dict) else "they are no JSON object"
    except (ValueError, RecursionError) as error:
        return f"they are not JSON: {error}"[:200]


def parse_object(text: str) -> Any:  # noqa: ANN401 -- JSON from the model
    """Parse strictly: no NaN, no key twice. Raises `ValueError`."""
    return json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_constant)


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


# What people say meanwhile --------------------------------------------------------------------------------------------
def add_said(step: Step, said: Sequence[tuple[str, str]]) -> Step:
    """Return the row with what people said, as (key, text): user turns that follow its message."""
    body = json.loads(step.body)
    return replace(step, body=dump(body | {"said": [{"key": key, "content": text} for key, text in said]}))


def takes_said(state: State, step: Step) -> bool:
    """Say whether a user turn may follow the row: no call is left without its answer then."""
    if step.kind is StepKind.MODEL:
        return not json.loads(step.body)["message"].get("tool_calls")
    return step.kind in {StepKind.TASK, StepKind.NOTE} or (step.kind is StepKind.TOOL and len(state.pending) == 1)


def list_said(rows: Iterable[Step]) -> frozenset[str]:
    """Return the keys of what people said that the rows hold."""
    return frozenset(said["key"] for row in rows for said in json.loads(row.body).get("said", ()))


# Redaction ------------------------------------------------------------------------------------------------------------
def redact_step(step: Step, redact: Callable[[str], str]) -> Step:
    """Return the row with every text in it redacted; a patch stays the exact bytes that it is."""
    body = json.loads(step.body)
    cleaned = _clean(body, redact)
    return step if cleaned == body else replace(step, body=dump(cleaned))


def _clean(value: object, redact: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [_clean(item, redact) for item in value]
    if isinstance(value, dict):
        return {key: item if key in _AS_THEY_ARE else _clean_item(key, item, redact) for key, item in value.items()}
    return value


def _clean_item(key: str, item: object, redact: Callable[[str], str]) -> object:
    cleaned = _clean(item, redact)
    if key == "arguments" and isinstance(cleaned, str) and cleaned != item and find_fault(cleaned):
        return "{}"
    return cleaned
