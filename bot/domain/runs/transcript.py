"""A model's run as rows: the write-ahead log from which its whole state is folded again."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bot.domain.investigation import Verified

MAX_REPAIRS: Final = 2
"""How often a patch that did not hold in the sandbox goes back to the model, with the sandbox's output."""


MAX_HELPERS: Final = 3
HELPER_STEPS: Final = 10
"""Answers of one helper."""


class StepKind(StrEnum):
    """TASK opens a run and END closes it; PATCH is a proposal, NOTE a reminder from the loop itself.

    ASK is a question to people: the run waits until the call that asks it has its answer. HELPER holds one row of a
    helper's own small run, which answers a call of the model's. COMPACT puts a line in the place of each of some old
    results. AUXILIARY is a question apart, behind the end, with its answer: no part of the conversation.
    """

    TASK = "task"
    MODEL = "model"
    TOOL = "tool"
    NOTE = "note"
    PATCH = "patch"
    ASK = "ask"
    HELPER = "helper"
    COMPACT = "compact"
    END = "end"
    AUXILIARY = "auxiliary"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One row, written once. `seq` counts from 0 without a gap, `key` is unique in its run, `body` canonical JSON."""

    run: str
    seq: int
    kind: StepKind
    key: str
    body: str


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What one run may use: answers, tokens (prompt tokens count less what the server had cached; reasoning is a part
    of the answers), seconds of the server's `gpus`, seconds in all, and characters read by tools. `answer_tokens`
    bounds one answer, `answer_seconds` the wait for it. From `context_tokens` on old results are shortened."""

    steps: int = 40
    prompt_tokens: int = 400_000
    cached_tokens: int = 4_000_000
    completion_tokens: int = 60_000
    reasoning_tokens: int = 60_000
    gpu_seconds: float = 7_200.0
    gpus: int = 1
    seconds: float = 900.0
    tool_bytes: int = 200_000
    answer_tokens: int = 8_192
    answer_seconds: float = 300.0
    context_tokens: int = 40_000


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A patch that the model proposed: canonical bytes on `base`, and what the sandbox said about it."""

    base: str
    patch: bytes
    title: str
    verified: Verified


class EndReason(StrEnum):
    """DONE: the model came to its conclusion. LIMIT: a budget was used up. GAVE_UP: it made nothing of its task."""

    DONE = "done"
    LIMIT = "limit"
    GAVE_UP = "gave_up"


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """What a finished run leaves: why it ended, its last words, its proposals (oldest first).

    At a limit `text` names it, and `so_far` are the newest words of the model before. `approvers` are the people that
    the run's profile leaves to approve; () = all of the policy's.
    """

    why: EndReason
    text: str
    proposals: tuple[Proposal, ...] = ()
    so_far: str = ""
    approvers: tuple[str, ...] = ()

    @property
    def repairs(self) -> int:
        """Return how often a patch that did not hold was repaired: every proposal but the first."""
        return max(0, len(self.proposals) - 1)

    @property
    def best(self) -> Proposal | None:
        """Return the newest verified proposal, else the newest."""
        verified = tuple(proposal for proposal in self.proposals if proposal.verified.is_verified)
        return next(reversed(verified or self.proposals), None)
