"""Reads an answer, streamed or whole, as OpenAI-compatible servers really send it.

What a server sends is hostile until it is read: everything is bounded, a stream counts only when it came to its
finish, and `[DONE]` alone says nothing.
"""

import codecs
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bot.errors import LimitReached, NightshiftError, Reason, Rejected, Unavailable
from bot.ports.model import Completion, Finish, OnDelta, ToolCall, Usage
from connectors.models.openai_errors import find_error, load_json, make_error

MAX_EVENT: Final = 1024 * 1024
MAX_TEXT: Final = 512 * 1024
MAX_ARGUMENTS: Final = 256 * 1024
MAX_ALL_ARGUMENTS: Final = 512 * 1024
MAX_CALLS: Final = 32
MAX_NAME: Final = 200
_BLANK: Final = re.compile(r"\n{3,}")
"""Blank lines that say no more than one does: a stream of nothing else costs a microsecond for each."""

_FINISHED: Final[Mapping[str, Finish]] = {
    "stop": Finish.STOP,
    "eos": Finish.STOP,
    "end_turn": Finish.STOP,
    "tool_calls": Finish.TOOL_CALLS,
    "function_call": Finish.TOOL_CALLS,
    "length": Finish.LENGTH,
    "max_tokens": Finish.LENGTH,
}


def spoke_nonsense(what: str) -> Unavailable:
    return Unavailable(f"The model server sent {what}", Reason.SERVER_ERROR)


class EventReader:
    """Cuts the bytes of a server-sent stream into the data of its events, at a cost that grows with their number."""

    def __init__(self) -> None:
        self._decode: Callable[[bytes], str] = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._rest: list[str] = []
        self._rest_size = 0
        self._data: list[str] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield the data of each event that the chunk completes."""
        try:
            first, *more = _BLANK.sub("\n\n", self._decode(chunk)).split("\n")
        except UnicodeDecodeError as error:
            raise spoke_nonsense("bytes that are not UTF-8") from error
        self._keep(first)
        for part in more:
            yield from self._take(self._flush_rest())
            self._keep(part)

    def end(self) -> Iterator[str]:
        """Yield what an unfinished last event holds."""
        yield from self._take(self._flush_rest())
        yield from self._take("")

    def _keep(self, part: str) -> None:
        """Keep a part of a line that has not come to its end."""
        self._rest.append(part)
        self._rest_size += len(part)
        if self._rest_size + self._size > MAX_EVENT:
            raise spoke_nonsense("an event without end")

    def _flush_rest(self) -> str:
        line = "".join(self._rest).removesuffix("\r")
        self._rest.clear()
        self._rest_size = 0
        return line

    def _take(self, line: str) -> Iterator[str]:
        if line.startswith("data:"):
            data = line[5:].removeprefix(" ")
            # Each event is one line with every server seen; one that forgets the empty line is read all the same.
            if len(self._data) == 1 and _is_whole(self._data[0]):
                yield self._flush()
            self._data.append(data)
            self._size += len(line)
            if self._size > MAX_EVENT:
                raise spoke_nonsense("an event without end")
        elif not line and self._data:
            yield self._flush()

    def _flush(self) -> str:
        data = "\n".join(self._data)
        self._data.clear()
        self._size = 0
        return data


def _is_whole(data: str) -> bool:
    if data == "[DONE]":
        return True
    try:
        load_json(data)
    except ValueError:
        return False
    return True


@dataclass(kw_only=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    size: int = 0


class Answer:
    """Grows with each event of a stream; `close` returns the completion or raises what went wrong."""

    def __init__(self, on_delta: OnDelta | None = None) -> None:
        self._on_delta = on_delta
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._size = 0
        self._calls_size = 0
        self._calls: dict[object, _Call] = {}
        self._last: object = None
        self._finish = ""
        self._usage = Usage()
        self._failure: NightshiftError | None = None

    @property
    def has_begun(self) -> bool:
        """Say whether any of it has come."""
        return self._size > 0 or bool(self._calls)

    def take(self, data: str) -> bool:
        """Take one event's data; True when the stream says that it is over."""
        if data.strip() == "[DONE]":
            return True
        try:
            event = load_json(data)
        except ValueError as error:
            raise spoke_nonsense("an event that is not JSON") from error
        failed = find_error(event)
        if failed is not None:
            raise make_error(failed)
        if not isinstance(event, dict):
            raise spoke_nonsense("an event that is no object")
        self._usage = read_usage(event.get("usage")) or self._usage
        choice = _first_choice(event)
        if choice is not None:
            delta = choice.get("delta")
            self._take_delta(delta if isinstance(delta, dict) else {})
            self._finish = _string(choice.get("finish_reason")) or self._finish
        return False

    def take_whole(self, body: Mapping[str, Any]) -> None:
        """Take an answer that was not streamed."""
        choice = _first_choice(body)
        message = choice.get("message") if choice else None
        if choice is None or not isinstance(message, dict):
            raise spoke_nonsense("an answer without a choice")
        self._usage = read_usage(body.get("usage")) or self._usage
        calls = message.get("tool_calls")
        calls = calls if isinstance(calls, list) else []
        numbered = [call | {"index": n} for n, call in enumerate(calls) if isinstance(call, dict)]
        self._take_delta({**message, "tool_calls": numbered})
        self._finish = _string(choice.get("finish_reason"))

    def close(self) -> Completion:
        """Return the answer; raise where it has no finish, or one that is a failure."""
        if not self._finish:
            raise Unavailable("The model server's answer broke off", Reason.SERVER_ERROR)
        if self._finish == "abort":
            raise Unavailable("The model server gave the answer up", Reason.SERVER_ERROR)
        finish = _FINISHED.get(self._finish)
        if finish is None:
            raise Rejected(f"The model server ended the answer with {self._finish[:40]!r}", Reason.NOT_ALLOWED)
        calls = [ToolCall(id=c.id, name=c.name, arguments="".join(c.arguments)) for c in self._calls.values()]
        return Completion(
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            calls=tuple(calls),
            finish=finish,
            usage=self._usage,
        )

    def _take_delta(self, delta: Mapping[str, Any]) -> None:
        self._add(self._text, "text", _read_text(delta.get("content")))
        self._add(self._reasoning, "reasoning", _read_text(delta.get("reasoning_content") or delta.get("reasoning")))
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                self._take_call(call)

    def _add(self, to: list[str], kind: str, piece: str) -> None:
        if not piece:
            return
        self._size += len(piece)
        if self._size > MAX_TEXT:
            raise LimitReached("The model's answer has no measure", Reason.TOO_LARGE)
        to.append(piece)
        if self._on_delta:
            self._on_delta(kind, piece)

    def _take_call(self, delta: Mapping[str, Any]) -> None:
        call = self._find_call(delta)
        function = delta.get("function")
        function = function if isinstance(function, dict) else {}
        name = _string(function.get("name"))
        if name and name != call.name:
            call.name = (call.name + name)[:MAX_NAME]
        piece = _read_arguments(function.get("arguments"))
        call.size += len(piece)
        self._calls_size += len(piece)
        if call.size > MAX_ARGUMENTS or self._calls_size > MAX_ALL_ARGUMENTS:
            raise LimitReached("The model's tool call has no measure", Reason.TOO_LARGE)
        if piece:
            call.arguments.append(piece)
            if self._on_delta:
                self._on_delta("call", piece)

    def _find_call(self, delta: Mapping[str, Any]) -> _Call:
        """Return the call a piece belongs to: by its index, else by a new id, else the one that is being written."""
        own, index = _string(delta.get("id"))[:MAX_NAME], delta.get("index")
        if isinstance(index, int):
            key: object = index
        elif own and all(call.id != own for call in self._calls.values()):
            key = ("id", own)
        else:
            key = next((k for k, call in self._calls.items() if own and call.id == own), self._last)
        if key not in self._calls:
            if len(self._calls) >= MAX_CALLS:
                raise LimitReached(f"The model called more than {MAX_CALLS} tools at once", Reason.TOO_LARGE)
            self._calls[key] = _Call(id=own)
        call = self._calls[key]
        call.id = call.id or own
        self._last = key
        return call


def read_usage(value: object) -> Usage | None:
    """Return the tokens a server reports; what makes no sense counts as nothing, and no cache report as unknown."""
    if not isinstance(value, dict):
        return None
    details = value.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return Usage(
        prompt=_count(value.get("prompt_tokens")),
        cached=None if cached is None else _count(cached),
        completion=_count(value.get("completion_tokens")),
        reasoning=_read_reasoning(value),
    )


def _read_reasoning(usage: Mapping[str, Any]) -> int:
    """Return the tokens of thinking: SGLang tells them beside the others, OpenAI among their details."""
    details = usage.get("completion_tokens_details")
    inner = details.get("reasoning_tokens") if isinstance(details, dict) else None
    return _count(usage.get("reasoning_tokens")) or _count(inner)


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else 0


def _first_choice(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    choices = body.get("choices")
    found = [c for c in choices if isinstance(c, dict)] if isinstance(choices, list) else []
    return next((choice for choice in found if choice.get("index", 0) == 0), None)


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _read_text(value: object) -> str:
    """Return a text; some servers send a list of parts."""
    if isinstance(value, list):
        return "".join(_string(part.get("text")) for part in value if isinstance(part, dict))
    return _string(value)


def _read_arguments(value: object) -> str:
    """Return arguments as text; some servers send the object itself."""
    return json.dumps(value) if isinstance(value, dict) else _string(value)
