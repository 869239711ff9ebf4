"""How a model fits on GPUs: what its weights take, what is kept free, and how many runs the rest of the memory holds.

Nothing here is measured. The reserve follows what sglang 0.5.23 keeps for itself where nobody tells it how much.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bot.domain.models.profile import GIB, Gpu, ModelProfile

RUN_TOKENS: Final = 40_960
"""What a run of the agent may hold by default: more makes models less accurate, whatever they claim."""

MOST_RUNS: Final = 256
MOST_NODES: Final = 16
MOST_TOKENS_OF_A_RUN: Final = 10_000_000
MOST_RUNS_WANTED: Final = 100_000

_FEW_NODES: Final = 4
"""More than these are no small change."""

_MIB: Final = 2**20
_LARGE_CARD: Final = 60 * GIB
_LEAST_FREE: Final = 10 * GIB
_IMAGES: Final = 4 * GIB
_GRAPHS: Final = 512 * _MIB
_STATE_SHARE: Final = 0.9 / 1.9
"""Of the room for the cache, what sglang gives to the states of runs (its ratio of state to cache is 0.9)."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What shall run where: GPUs of each node, tokens of each run, and how many runs at a time are wanted."""

    gpu: Gpu
    gpus: int
    nodes: int = 1
    context: int = RUN_TOKENS
    concurrency: int = 1
    cache_bytes: int = 2


@dataclass(frozen=True, kw_only=True)
class Share:
    """The memory of one GPU, in bytes: what is in it, and `room` for the cache (below zero where it is too small)."""

    memory: int
    weights: int
    draft: int
    free: int
    room: int


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One server: shared out among `split` GPUs on `span` nodes. `tokens` and `runs` are what its cache holds."""

    split: int
    span: int
    share: Share
    token_bytes: float
    state_bytes: int
    tokens: int
    runs: int
    fraction: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The best servers that the asked GPUs allow. `fit` is the closest one where nothing fits; then `fits` is false."""

    profile: ModelProfile
    ask: Ask
    fit: Fit
    servers: int

    @property
    def fits(self) -> bool:
        """Whether the weights and at least one run have room."""
        return self.fit.runs >= 1 and self.servers >= 1

    @property
    def runs(self) -> int:
        return self.fit.runs * self.servers

    @property
    def suffices(self) -> bool:
        return self.fits and self.runs >= self.ask.concurrency

    @property
    def unused(self) -> int:
        """GPUs that no server takes."""
        return self.ask.gpus * self.ask.nodes - self.fit.split * self.servers

    @property
    def context_length(self) -> int:
        """The longest prompt that the server takes: twice a run, for its answer and for what one step may add."""
        return max(min(self.profile.context, 2 * self.ask.context, self.fit.tokens), 1)

    @property
    def running(self) -> int:
        """How many requests one server works on at a time; the others queue."""
        return max(min(self.fit.runs, MOST_RUNS), 1)


def make_plan(profile: ModelProfile, ask: Ask) -> Plan:
    """Return the plan whose servers span fewest nodes and still suffice; where none does, the one that holds most."""
    plans = []
    for span in range(1, ask.nodes + 1):
        fit = _best(_fit(profile, ask, split, span) for split in _splits(profile, ask, span))
        if fit is not None:
            plans.append(Plan(profile=profile, ask=ask, fit=fit, servers=ask.nodes // span))
    enough = next((plan for plan in plans if plan.suffices), None)
    return enough or max(plans, key=lambda plan: (plan.runs, plan.fit.share.room))


def find_remedies(plan: Plan, gpus: Sequence[Gpu]) -> tuple[Plan, ...]:
    """Return the smallest changes of what was asked that suffice, each changing one thing: the cache's precision, the
    number of GPUs, of nodes, the kind of GPU, the length of a run."""
    profile, ask = plan.profile, plan.ask
    changes: list[Iterable[Ask]] = [
        () if profile.has_precision_of_its_own or ask.cache_bytes == 1 else (replace(ask, cache_bytes=1),),
        (replace(ask, gpus=count) for count in (2, 4, 8) if count > ask.gpus),
        (replace(ask, nodes=count) for count in range(ask.nodes + 1, _FEW_NODES + 1)),
        (replace(ask, gpu=gpu) for gpu in sorted(gpus, key=_size) if gpu.memory_bytes > ask.gpu.memory_bytes),
        (replace(ask, context=context) for context in (32_768, 16_384, 8_192) if context < ask.context),
    ]
    found = (next((p for p in (make_plan(profile, a) for a in asks) if p.suffices), None) for asks in changes)
    return tuple(remedy for remedy in found if remedy is not None)


def _size(gpu: Gpu) -> int:
    return gpu.memory_bytes


def _splits(profile: ModelProfile, ask: Ask, span: int) -> Iterable[int]:
    """Return the ways to share out a server over so many nodes, each giving equally many of its GPUs."""
    return [split for split in profile.splits(ask.gpus * span) if split % span == 0]


def _best(fits: Iterable[Fit]) -> Fit | None:
    """Return what holds most runs, then most tokens, then takes fewest GPUs; where nothing fits, the closest."""
    return max(fits, key=lambda fit: (fit.runs, fit.tokens, fit.share.room, -fit.split), default=None)


def _fit(profile: ModelProfile, ask: Ask, split: int, span: int) -> Fit:
    memory = ask.gpu.memory_bytes
    fraction = max(math.floor((memory - _reserve(profile, memory, split)) / memory * 100) / 100, 0.0)
    usable = math.floor(memory * fraction)
    weights, draft = math.ceil(profile.weights_bytes / split), math.ceil(profile.draft_bytes / split)
    share = Share(memory=memory, weights=weights, draft=draft, free=memory - usable, room=usable - weights - draft)
    token_bytes, state_bytes = profile.token_bytes(split, ask.cache_bytes), profile.state_bytes(split)
    room = max(share.room, 0)
    for_tokens = room * (1 - _STATE_SHARE) if profile.has_state else float(room)
    tokens = math.floor(for_tokens / token_bytes)
    runs = tokens // ask.context
    if state_bytes:
        runs = min(runs, math.floor(room * _STATE_SHARE / state_bytes))
    return Fit(
        split=split,
        span=span,
        share=share,
        token_bytes=token_bytes,
        state_bytes=state_bytes,
        tokens=tokens,
        runs=runs if ask.context <= profile.context else 0,
        fraction=fraction,
    )


def _reserve(profile: ModelProfile, memory: int, split: int) -> int:
    """Return what is kept free for activations, graphs and buffers, and for the images of a model that sees."""
    chunk = 4_096 if memory < _LARGE_CARD else 8_192 if memory < 160 * GIB else 16_384
    free = _GRAPHS * 2 + chunk * _MIB * 3 // 2 + split * 128 * _MIB
    if memory > _LARGE_CARD:
        free = max(free, _LEAST_FREE)
    return free + (_IMAGES if profile.has_vision else 0)
