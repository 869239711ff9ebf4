"""A question apart: asked behind all that was said in a run, so that the server has nearly all of it already.

Its row is no part of the conversation: a request that follows begins with the same bytes as without it.
"""

from dataclasses import dataclass
from typing import Final

from bot.agent.transcript import Answer, Message, State, describe_cost, dump, sound
from bot.domain.runs.transcript import Step, StepKind

MAX_KEPT: Final = 4_000
"""Characters of an answer, and of the thinking behind it. Who wrote more did not do as asked."""


@dataclass(frozen=True, kw_only=True)
class Aside:
    """What is asked. `form` are further fields of the request as JSON without braces, "" for none: they stand behind
    the messages, where they change nothing before them."""

    text: str
    form: str = ""

    @property
    def message(self) -> bytes:
        return dump({"role": "user", "content": self.text}).encode("utf-8", "replace")


def write_aside(run: str, state: State, aside: Aside, answer: Answer) -> Step:
    """Return the row with a question and its answer."""
    completion = answer.completion
    body: Message = {"asked": {"role": "user", "content": aside.text}, "form": aside.form}
    body["answer"] = sound(completion.text[:MAX_KEPT])
    body["reasoning"] = sound(completion.reasoning[:MAX_KEPT])
    body["calls"] = len(completion.calls)
    body |= describe_cost(answer)
    return Step(
        run=run, seq=state.seq, kind=StepKind.AUXILIARY, key=f"{StepKind.AUXILIARY}:{state.seq}", body=dump(body)
    )
