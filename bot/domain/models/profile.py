"""What the arithmetic of a launch knows of a model and of a GPU: sizes, and what each token read leaves in memory."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from bot.domain.models.reasoning import Reasoning

GB: Final = 10**9
"""Vendors count memory and files in these; a card reports a little more than its data sheet promises."""

GIB: Final = 2**30

UNEVEN: Final = 1.05
"""Where only a count of parameters is known: embeddings and the last layer stay in 16 bits, so files are larger."""


class CacheKind(StrEnum):
    """How layers remember what was read.

    HEADS: keys and values of each head; the heads are shared out among the GPUs. LATENT: one narrow row per token for
    all heads, whole on every GPU. ROWS: one row of fixed size per so many tokens, whole on every GPU. STATE: nothing
    per token, one state per run.
    """

    HEADS = "heads"
    LATENT = "latent"
    ROWS = "rows"
    STATE = "state"


@dataclass(frozen=True, kw_only=True)
class CacheLayers:
    """Layers that remember in the same way. `slots` is the share of all tokens for which the server keeps room
    here: less than one where only a window of the newest tokens is looked at."""

    kind: CacheKind
    layers: int
    kv_heads: int = 0
    head_size: int = 0
    width: int = 0
    row_bytes: int = 0
    tokens_per_row: int = 1
    run_bytes: int = 0
    slots: float = 1.0

    def token_bytes(self, split: int, element: int) -> float:
        """Return what a token takes on each of `split` GPUs, with so many bytes for a number."""
        each = {
            CacheKind.HEADS: 2.0 * math.ceil(self.kv_heads / split) * self.head_size * element,
            CacheKind.LATENT: float(self.width * element),
            CacheKind.ROWS: self.row_bytes / self.tokens_per_row,
            CacheKind.STATE: 0.0,
        }[self.kind]
        return each * self.layers * self.slots

    def state_bytes(self, split: int) -> int:
        """Return what a run takes on each GPU however long it is."""
        return math.ceil(self.layers * self.run_bytes / split)


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One option of the launch line, and why it is there; `only` names the GPUs that it is for, none = all."""

    name: str
    value: str = ""
    why: str
    only: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A small model that guesses tokens ahead. `gb` is its size where it is not part of the model's files; an
    allowance where nobody publishes it. `layers` remember tokens as the model's own do."""

    gb: float = 0.0
    is_allowance: bool = False
    layers: int = 0
    flags: tuple[Flag, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelProfile:
    """A model that can be planned. `weights_gb` is the size of its files, 0 where only the parameters are known."""

    name: str
    title: str
    repository: str
    parameters_billion: float
    precision: str
    bits: float
    context: int
    layers: int
    cache: tuple[CacheLayers, ...]
    weights_gb: float = 0.0
    heads: int = 0
    most_split: int = 0
    has_vision: bool = False
    tool_parser: str = ""
    reasoning_parser: str = ""
    flags: tuple[Flag, ...] = ()
    draft: Draft | None = None
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    reasoning: Reasoning = field(default_factory=Reasoning)

    @property
    def weights_bytes(self) -> int:
        if self.weights_gb:
            return math.ceil(self.weights_gb * GB)
        return math.ceil(self.parameters_billion * GB * self.bits / 8 * UNEVEN)

    @property
    def draft_bytes(self) -> int:
        return math.ceil(self.draft.gb * GB) if self.draft else 0

    @property
    def has_state(self) -> bool:
        """Whether a part of the layers keeps one state per run instead of something per token."""
        return any(part.kind is CacheKind.STATE for part in self.cache)

    @property
    def has_precision_of_its_own(self) -> bool:
        """Whether a cache in 8 bits changes nothing, because the rows have their own format."""
        return all(part.kind in {CacheKind.ROWS, CacheKind.STATE} for part in self.cache)

    def token_bytes(self, split: int, element: int) -> float:
        """Return what a token takes on each of `split` GPUs, the draft's layers included."""
        own = sum(part.token_bytes(split, element) for part in self.cache)
        guessed = self.draft.layers if self.draft else 0
        return own * (self.layers + guessed) / self.layers

    def state_bytes(self, split: int) -> int:
        return sum(part.state_bytes(split) for part in self.cache)

    def splits(self, gpus: int) -> Iterable[int]:
        """Yield the numbers of GPUs, up to `gpus`, among which the model can be shared out evenly."""
        split = 1
        while split <= gpus and (not self.most_split or split <= self.most_split):
            if not self.heads or self.heads % split == 0:
                yield split
            split *= 2


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A kind of GPU: the memory of its data sheet in GB, and what its driver shows in MiB, where that was seen."""

    name: str
    memory_gb: float
    vendor: str
    source: str
    memory_mib: int = 0

    @property
    def memory_bytes(self) -> int:
        return self.memory_mib * 2**20 or math.floor(self.memory_gb * GB)
