"""What the agent did, step by step, from its transcripts: what it called, what came back, and what that cost."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from bot.domain.runs.transcript import Step, StepKind

_MODEL: Final = re.compile(r'\{"model":("(?:[^"\\]|\\.){0,200}")')
MAX_WHOLE: Final = 4_000
"""Characters of one call's arguments, or of its result, that a whole account holds."""


ENDED: Final = "ended: "
"""Begins the name of the line that tells of an end."""
HELPER: Final = "helper: "
ASIDE: Final = "asked apart"
"""Begins the name of a question that follows the end of a run."""
REFUSED: Final = ("Not done", "Not asked", "There is no tool")
"""Begin what a call that was refused is answered with."""


@dataclass(frozen=True, kw_only=True)
class StepLine:
    """One call, or one answer in words.

    `prompt`, `cached` (None where the server does not say), `completion` and its part `reasoning` are tokens of the
    answer that made it, `gpu_seconds` what that cost, `by` the second model where that one gave it, `words` what was
    said with the call. Of several calls in one answer the first has all that. `part` says to what work it belongs.
    `is_left_out` says that later prompts have one line in the place of the result.
    """

    call: str
    arguments: str = ""
    result: str = ""
    words: str = ""
    prompt: int = 0
    cached: int | None = None
    completion: int = 0
    reasoning: int = 0
    seconds: float = 0.0
    gpu_seconds: float = 0.0
    by: str = ""
    part: str = ""
    is_waiting: bool = False
    is_left_out: bool = False

    @property
    def brief(self) -> str:
        """Return the call in a word or two: its name, and what it was mostly about."""
        return f"{self.call} {_find_point(self.arguments)}".strip()

    @property
    def came(self) -> str:
        """Return the first line of what came back."""
        return next((text.strip() for text in self.result.splitlines() if text.strip()), "")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The sums over steps. `cached` are those of `prompt` that the server had already, `reasoning` a part of
    `completion`."""

    prompt: int
    cached: int
    completion: int
    reasoning: int
    seconds: float
    gpu_seconds: float

    @property
    def cached_share(self) -> int:
        """Return the cached share of the prompt's tokens, in percent."""
        return round(100 * self.cached / self.prompt) if self.prompt else 0


def add_up(lines: Sequence[StepLine]) -> Cost:
    return Cost(
        prompt=sum(line.prompt for line in lines),
        cached=sum(line.cached or 0 for line in lines),
        completion=sum(line.completion for line in lines),
        reasoning=sum(line.reasoning for line in lines),
        seconds=sum(line.seconds for line in lines),
        gpu_seconds=sum(line.gpu_seconds for line in lines),
    )


def tell_steps(steps: Iterable[Step]) -> tuple[StepLine, ...]:
    """Return one line for each call and each answer in words, in order."""
    lines: list[StepLine] = []
    waiting: list[int] = []
    helper: list[Step] = []
    results: dict[int, int] = {}
    count = 0
    for step in steps:
        body = json.loads(step.body)
        if step.kind is StepKind.HELPER:
            helper.append(_unwrap(step, body["row"]))
            continue
        lines += _tell_helper(helper)
        helper = []
        if step.kind is StepKind.MODEL:
            made = _tell_answer(body)
            waiting = [len(lines) + place for place, line in enumerate(made) if line.is_waiting]
            lines += made
        elif step.kind is StepKind.TOOL and waiting:
            at = results[count] = waiting.pop(0)
            seconds = lines[at].seconds + float(body["seconds"])
            result = str(body["message"]["content"])
            lines[at] = replace(lines[at], result=result, seconds=seconds, is_waiting=False)
        elif step.kind is StepKind.COMPACT:
            gone = [results[place] for place in map(int, body["stubs"]) if place in results]
            for at in gone:
                lines[at] = replace(lines[at], is_left_out=True)
            lines.append(StepLine(call="shortened", result=tell_compaction(body, [lines[at].brief for at in gone])))
        elif step.kind in _ALONE:
            lines.append(_ALONE[step.kind](body))
        said = body.get("said", ())
        lines += [StepLine(call="told", result=str(words["content"])) for words in said]
        count += 1 + len(said) if "message" in body else 0
    return (*lines, *_tell_helper(helper))


def _tell_helper(steps: Sequence[Step]) -> list[StepLine]:
    return [replace(line, call=f"{HELPER}{line.call}") for line in tell_steps(steps)] if steps else []


def _unwrap(step: Step, row: dict[str, Any]) -> Step:
    """Return the row of a helper's run that a row holds."""
    return replace(step, kind=StepKind(row["kind"]), key=row["key"], body=json.dumps(row["body"]))


def _tell_answer(body: dict[str, Any]) -> list[StepLine]:
    usage, message = body["usage"], body["message"]
    calls = [call["function"] for call in message.get("tool_calls", [])]
    said = [StepLine(call="answers", result=str(message["content"]))]
    made = [
        StepLine(call=str(call["name"])[:60], arguments=call["arguments"], is_waiting=True) for call in calls
    ] or said
    first = replace(
        made[0],
        words=str(message["content"]).strip() if calls else "",
        prompt=usage["prompt"],
        cached=usage["cached"],
        completion=usage["completion"],
        reasoning=usage.get("reasoning", 0),
        seconds=float(body["seconds"]),
        gpu_seconds=float(body.get("gpu_seconds", 0.0)),
        by=str(body.get("by", ""))[:60],
    )
    return [first, *made[1:]]


def _tell_aside(body: dict[str, Any]) -> StepLine:
    """Return the line of a question apart: what it asks for is the same in every run."""
    usage = body["usage"]
    return StepLine(
        call=f"{ASIDE}: title, severity",
        result=str(body["answer"]),
        prompt=usage["prompt"],
        cached=usage["cached"],
        completion=usage["completion"],
        seconds=float(body["seconds"]),
    )


_ALONE: Final[Mapping[StepKind, Callable[[dict[str, Any]], StepLine]]] = {
    StepKind.NOTE: lambda body: StepLine(call="reminded", result=str(body["message"]["content"])),
    StepKind.AUXILIARY: _tell_aside,
    StepKind.END: lambda body: StepLine(call=f"{ENDED}{body['why']}", result=str(body["text"])),
}
"""The kinds of rows that are a line of their own."""


def tell_profile(steps: Sequence[Step]) -> str:
    """Return the name of the profile that a run began with, and how its hash begins; "" where it is not stored."""
    try:
        kept = json.loads(steps[0].body)["profile"]
        return f"{str(kept['name'])[:60]} {str(kept['digest'])[:12]}"
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return ""


def tell_model(steps: Sequence[Step]) -> str:
    """Return the name of the model that a run began with; "" where it is not stored."""
    try:
        found = _MODEL.match(str(json.loads(steps[0].body)["opening"]))
        return str(json.loads(found[1]))[:60] if found else ""
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return ""


def tell_compaction(body: Mapping[str, Any], gone: Sequence[str] = ()) -> str:
    """Say what a row that shortens old results did, and why; `gone` are the calls whose results it took."""
    count = len(body["stubs"])
    what = "1 old result" if count == 1 else f"{count:,} old results"
    head = f"{what} left out of the prompt: {body['tokens']:,} tokens became about {body['left']:,}"
    if not gone:
        return head
    why = (
        "The prompt had become longer than model.context_tokens allows, and models read long ones less well. One line "
        "each stands there now; the model may make the call again. Nothing is lost: the steps above show it."
    )
    return "\n".join([head, why, *(f"- {call}" for call in gone)])


def _find_point(arguments: str) -> str:
    """Return the shortest telling argument: a path, a pattern, a title."""
    try:
        given = json.loads(arguments) if arguments else {}
    except (ValueError, RecursionError):
        return ""
    texts = [value for value in given.values() if isinstance(value, str) and value] if isinstance(given, dict) else []
    return " ".join(min(texts, key=len).split()) if texts else ""


# In words -------------------------------------------------------------------------------------------------------------
_SHORT: Final = 0.5
"""Seconds; what took less shows none."""


def write_short(number: int, line: StepLine, width: int) -> str:
    """Return the step in one line of so many columns: call, what came back, tokens/cached, seconds."""
    tail = f" {line.seconds:.0f}s" if line.prompt or line.seconds >= _SHORT else ""
    if line.prompt:
        cached = f"/{write_tokens(line.cached)}" if line.cached is not None else ""
        tail = f" {write_tokens(line.prompt)}{cached}{tail}"
    came = "…" if line.is_waiting else line.came
    head = f"{number} {_cut(line.brief, max(8, (width - len(tail)) // 2))}"
    room = width - len(head) - len(tail) - 3
    return f"{head} → {_cut(came, room)}{tail}" if came and room > 3 else f"{_cut(head, width - len(tail))}{tail}"


def write_tokens(count: int | None) -> str:
    """Return a count of tokens in at most four characters."""
    if count is None:
        return "?"
    return str(count) if count < 1000 else f"{count / 1000:.1f}k" if count < 10_000 else f"{count / 1000:.0f}k"


def write_whole(number: int, line: StepLine) -> list[str]:
    """Return the step with its arguments and its result, for a file."""
    cached = "cached unknown" if line.cached is None else f"{line.cached:,} cached"
    cost = f"{line.prompt:,} prompt tokens ({cached}), {line.completion:,} written, " if line.prompt else ""
    cost += f"by {line.by}, " if line.by else ""
    came = "  (no answer yet)" if line.is_waiting else _indent(line.result)
    said = [_indent(line.words, "  ")] if line.words else []
    asked = [_indent(line.arguments, "  > ")] if line.arguments else []
    gone = ["  (left out of later prompts)"] if line.is_left_out else []
    return [f"{number}. {line.call}  ({cost}{line.seconds:.1f} s)", *said, *asked, *gone, came, ""]


def _indent(text: str, prefix: str = "  | ") -> str:
    cut = text if len(text) <= MAX_WHOLE else f"{text[:MAX_WHOLE]}\n… {len(text) - MAX_WHOLE:,} characters more"
    return "\n".join(f"{prefix}{line}" for line in cut.split("\n"))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(1, width - 1)]}…"
