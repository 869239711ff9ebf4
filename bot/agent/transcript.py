"""From rows to the state of a run, and from what happens to rows. Nothing here does I/O.

Rows hold each message as canonical JSON, so that the bytes sent to the model are the same before and after a
restart, whoever sends them.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import Any, Final

from pydantic import TypeAdapter

from bot.agent.images import write_said
from bot.domain.ask import Inquiry
from bot.domain.investigation import Verified
from bot.domain.models.spending import Spent
from bot.domain.runs.todo import TodoItem
from bot.domain.runs.transcript import Conclusion, EndReason, Proposal, Step, StepKind
from bot.ports.model import Completion, Finish

Message = dict[str, Any]
"""One message as chat completions want it: JSON, at the border to the server."""

_VERIFIED: Final[TypeAdapter[Verified]] = TypeAdapter(Verified)


def dump(value: object) -> str:
    """Return canonical JSON: the same value always gives the same text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read_opening(body: Message) -> str:
    """Return the opening that a task's row holds. One that a redaction has touched is not what was sent: ""."""
    opening = str(body.get("opening", ""))
    return opening if digest_of(opening.encode("utf-8", "replace")) == body.get("head") else ""


def build_request(opening: bytes, messages: Sequence[bytes], form: str = "") -> bytes:
    """Return a request's body: what every request of the run begins with, the conversation so far, and further fields
    behind it."""
    end = f"],{form}}}" if form else "]}"
    return b",".join((opening, *messages)) + end.encode("utf-8", "replace")


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

    @cached_property
    def signature(self) -> str:
        return call_signature(self.name, self.arguments)


@dataclass(frozen=True, kw_only=True)
class Words:
    """An answer without a call, not judged yet: whether it was cut, and whether a call had leaked into its text."""

    is_cut: bool
    has_leaked: bool


@dataclass(frozen=True, kw_only=True)
class State:
    """All that the loop knows. `asked` maps each call made so far to the message that is its result.

    `repeats` counts calls that were made before, or read where nothing more may be read.
    `waits` is a question to people that has no answer yet, `asks` how many there were; `helper` is the state of the
    helper that works on the first pending call, `helpers` how many there were. What they use counts here too.
    `counted_tokens` are those of the first `counted_messages` with all that stands before them, as far as it was told.
    `so_far` are the newest words of the model that were not empty. `refused` says which budget, shared with other
    runs, left no room for another call when the newest row was stored.
    """

    seq: int = 0
    messages: tuple[bytes, ...] = ()
    pending: tuple[PendingCall, ...] = ()
    words: Words | None = None
    spent: Spent = field(default_factory=Spent)
    asked: Mapping[str, int] = field(default_factory=dict)
    repeats: int = 0
    notes: int = 0
    proposals: tuple[Proposal, ...] = ()
    waits: Inquiry | None = None
    asks: int = 0
    helper: "State | None" = None
    helpers: int = 0
    ended: EndReason | None = None
    text: str = ""
    so_far: str = ""
    refused: str = ""
    counted_tokens: int = 0
    counted_messages: int = 0
    approvers: tuple[str, ...] = ()
    has_images: bool = False

    @property
    def conclusion(self) -> Conclusion | None:
        """Return what a finished run leaves, None while it goes on."""
        if self.ended is None:
            return None
        return Conclusion(
            why=self.ended,
            text=self.text,
            proposals=self.proposals,
            so_far=self.so_far,
            approvers=self.approvers,
        )

    @property
    def asks_next(self) -> bool:
        """Say whether the model is asked next, by the run or by its helper, if no budget is used up."""
        if self.helper is not None:
            return self.helper.asks_next
        return not self.pending and self.words is None and self.ended is None


def fold(rows: Iterable[Step]) -> State:
    """Return the state that the rows lead to. Raises `ValueError` where one is missing or cannot be read."""
    return reduce(advance, rows, State())


def advance(state: State, row: Step) -> State:
    """Return the state after one more row."""
    if row.seq != state.seq:
        raise ValueError(f"row {row.seq} of {row.run} stands where {state.seq} belongs")
    body = json.loads(row.body)
    said = body.get("said", ()) if "message" in body else ()
    told = [body["message"], *map(write_said, said)] if "message" in body else []
    following = replace(
        state,
        seq=state.seq + 1,
        refused=str(body.get("refused", "")),
        messages=(*state.messages, *(dump(message).encode("utf-8", "replace") for message in told)),
        has_images=state.has_images or any(words.get("images") for words in said),
    )
    return _BY_KIND[row.kind](following, row, body)


def _after_task(state: State, _row: Step, body: Message) -> State:
    return replace(state, approvers=tuple(body.get("profile", {}).get("values", {}).get("approvers", ())))


def _after_model(state: State, row: Step, body: Message) -> State:
    usage = body["usage"]
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
    counted = (usage["prompt"] + usage["completion"], len(state.messages) - len(body.get("said", ())))
    words = Words(is_cut=body["finish"] == Finish.LENGTH.value, has_leaked=bool(body.get("leaked")))
    return replace(
        state,
        pending=pending,
        words=None if pending or body.get("said") else words,
        text=body["message"]["content"],
        counted_tokens=counted[0] if usage["prompt"] else state.counted_tokens,
        counted_messages=counted[1] if usage["prompt"] else state.counted_messages,
        so_far=body["message"]["content"] if body["message"]["content"].strip() else state.so_far,
        spent=state.spent.plus(_read_cost(body)),
    )


def _read_cost(body: Message) -> Spent:
    """Return what an answer cost."""
    usage = body["usage"]
    cached = usage["cached"] or 0
    return Spent(
        steps=1,
        prompt=max(usage["prompt"] - cached, 0),
        cached=cached,
        completion=usage["completion"],
        reasoning=usage.get("reasoning", 0),
        gpu_seconds=body.get("gpu_seconds", 0.0),
        seconds=body["seconds"],
    )


def _after_auxiliary(state: State, _row: Step, body: Message) -> State:
    return replace(state, spent=state.spent.plus(_read_cost(body)))


def _after_tool(state: State, row: Step, body: Message) -> State:
    call, *rest = state.pending
    if row.key != f"tool:{call.key}":
        raise ValueError(f"row {row.seq} of {row.run} answers another call than {call.key}")
    repeated = bool(body.get("repeat"))
    place = len(state.messages) - 1 - len(body.get("said", ()))
    spent = state.spent
    return replace(
        state,
        pending=tuple(rest),
        asked=state.asked if repeated or call.fault else {**state.asked, call.signature: place},
        repeats=state.repeats + (repeated or bool(body.get("full"))),
        waits=None,
        helper=None,
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


def _after_ask(state: State, _row: Step, body: Message) -> State:
    ask = Inquiry(key=body["key"], question=body["question"], answers=tuple(body["answers"]))
    return replace(state, waits=ask, asks=state.asks + 1)


def _after_helper(state: State, row: Step, _body: Message) -> State:
    before = state.helper or State()
    after = advance(before, unwrap(row))
    spent = state.spent.plus(after.spent.minus(before.spent))
    return replace(state, helper=after, helpers=state.helpers + (state.helper is None), spent=spent)


def unwrap(row: Step) -> Step:
    """Return the row of a helper's run that a row of ours holds. A budget that both share is used up for both."""
    body = json.loads(row.body)
    inner = body["row"]
    own = inner["body"] | ({"refused": body["refused"]} if "refused" in body else {})
    return Step(run=row.run, seq=inner["seq"], kind=StepKind(inner["kind"]), key=inner["key"], body=dump(own))


def _after_compact(state: State, _row: Step, body: Message) -> State:
    """Put the stubs in their places; a call whose result is gone may be made again."""
    stubs = {int(place): text for place, text in body["stubs"].items()}
    messages = [
        dump(json.loads(message) | {"content": stubs[place]}).encode("utf-8", "replace") if place in stubs else message
        for place, message in enumerate(state.messages)
    ]
    return replace(
        state,
        messages=tuple(messages),
        asked={signature: place for signature, place in state.asked.items() if place not in stubs},
        counted_tokens=body["left"],
        counted_messages=len(messages),
    )


def _after_end(state: State, _row: Step, body: Message) -> State:
    return replace(state, ended=EndReason(body["why"]), text=body["text"], words=None)


_BY_KIND: Final[Mapping[StepKind, Callable[[State, Step, Message], State]]] = {
    StepKind.TASK: _after_task,
    StepKind.MODEL: _after_model,
    StepKind.TOOL: _after_tool,
    StepKind.NOTE: _after_note,
    StepKind.PATCH: _after_patch,
    StepKind.ASK: _after_ask,
    StepKind.HELPER: _after_helper,
    StepKind.COMPACT: _after_compact,
    StepKind.END: _after_end,
    StepKind.AUXILIARY: _after_auxiliary,
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back for a request, the digest of its bytes, how long it took, and whether a call stood in its text.

    `reasoning_field` is where the kept message holds its thinking; "" keeps it beside, and does not send it again.
    `gpu_seconds` are those of the try that was answered alone: waiting between tries costs time, and no GPU.
    """

    completion: Completion
    asked_with: str
    seconds: float
    gpu_seconds: float = 0.0
    reasoning_field: str = "reasoning_content"
    has_leaked: bool = False


# Rows -----------------------------------------------------------------------------------------------------------------
class Rows:
    """Writes the next row of a run."""

    def __init__(self, run: str) -> None:
        self.run = run

    def task(self, state: State, text: str, opening: str) -> Step:
        """Open the run. `opening` is what every request begins with: kept, so that a replay needs no configuration."""
        body = {"message": {"role": "user", "content": text}, "head": digest_of(opening.encode()), "opening": opening}
        return self._row(state, StepKind.TASK, "task", body)

    def model(self, state: State, answer: Answer) -> Step:
        """Keep an answer."""
        completion = answer.completion
        message, faults = write_answer(completion, state.seq, reasoning_field=answer.reasoning_field)
        body: Message = {"message": message}
        if faults:
            body["faults"] = faults
        if completion.reasoning and not answer.reasoning_field:
            body["reasoning"] = sound(completion.reasoning)
        if answer.has_leaked:
            body["leaked"] = True
        body |= describe_cost(answer)
        return self._row(state, StepKind.MODEL, f"model:{state.seq}", body)

    def tool(
        self, state: State, text: str, seconds: float, *, repeat: bool = False, full: bool = False,
        todo: Sequence[TodoItem] = (),
    ) -> Step:  # fmt: skip
        """Answer the first pending call. `todo` is the list that it wrote; `full`: nothing more may be read."""
        call = state.pending[0]
        message = {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": text}
        body = {"message": message, "seconds": round(seconds, 3)} | ({"repeat": True} if repeat else {})
        body |= {"full": True} if full else {}
        body |= {"todo": [{"text": item.text, "state": item.state.value} for item in todo]} if todo else {}
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

    def ask(self, state: State, ask: Inquiry) -> Step:
        """Put the first pending call's question to people."""
        key = state.pending[0].key
        body = {"key": key, "question": ask.question, "answers": list(ask.answers)}
        return self._row(state, StepKind.ASK, f"ask:{key}", body)

    def helper(self, state: State, step: Step) -> Step:
        """Keep a row of the helper that works on the first pending call."""
        inner = {"seq": step.seq, "kind": step.kind.value, "key": step.key, "body": json.loads(step.body)}
        return self._row(state, StepKind.HELPER, f"helper:{state.pending[0].key}:{step.seq}", {"row": inner})

    def compact(self, state: State, stubs: Mapping[int, str], *, tokens: int, left: int) -> Step:
        """Shorten old results. `tokens` is what the prompt would have had, `left` about what it has then."""
        body = {"stubs": {str(place): text for place, text in stubs.items()}, "tokens": tokens, "left": left}
        return self._row(state, StepKind.COMPACT, f"compact:{state.seq}", body)

    def end(self, state: State, why: EndReason, text: str) -> Step:
        return self._row(state, StepKind.END, "end", {"why": why.value, "text": text})

    def _row(self, state: State, kind: StepKind, key: str, body: Message) -> Step:
        return Step(run=self.run, seq=state.seq, kind=kind, key=key, body=dump(body))


def describe_cost(answer: Answer) -> Message:
    """Return what a row says of the making of an answer."""
    completion, usage = answer.completion, answer.completion.usage
    told = {"prompt": usage.prompt, "cached": usage.cached, "completion": usage.completion}
    told |= {"reasoning": usage.reasoning} if usage.reasoning else {}
    body: Message = {"finish": completion.finish.value, "usage": told}
    body |= {"by": completion.by} if completion.by else {}
    body |= {"seconds": round(answer.seconds, 3), "asked_with": answer.asked_with}
    return body | {"gpu_seconds": round(answer.gpu_seconds, 3)}


def write_answer(
    completion: Completion, seq: int, *, reasoning_field: str = "reasoning_content"
) -> tuple[Message, dict[str, str]]:
    """Return the assistant's message as it is kept and sent again, and what is wrong with its calls by number.

    Ids and sound arguments stay as they came. Arguments that are no JSON object would make servers refuse every
    later request, so they are kept as an empty one; a cut answer keeps no call.
    """
    message: Message = {"role": "assistant", "content": sound(completion.text)}
    if completion.reasoning and reasoning_field:
        message[reasoning_field] = sound(completion.reasoning)
    faults: dict[str, str] = {}
    calls: list[Message] = []
    ids: set[str] = set()
    for number, call in enumerate(completion.calls if completion.finish is not Finish.LENGTH else ()):
        fault = find_fault(call.arguments)
        own = sound(call.id)
        name = own if own and own not in ids else f"call_{seq}_{number}"
        ids.add(name)
        arguments = "{}" if fault else sound(call.arguments)
        function = {"name": sound(call.name) or "nameless", "arguments": arguments}
        calls.append({"id": name, "type": "function", "function": function})
        if fault:
            faults[str(number)] = fault
    if calls:
        message["tool_calls"] = calls
    return message, faults


def sound(text: str) -> str:
    """Return text that can be sent: without halves of letters."""
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
