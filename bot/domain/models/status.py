"""How a model server is doing, from what it publishes; and what a server of another kind does not let one see."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

PREFIX: Final = "sglang:"

_WHOLE: Final = frozenset({"", None})


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One line of a server's metrics. `priority` is that label: none or empty where the line is for all."""

    name: str
    value: float
    priority: str | None = None


@dataclass(frozen=True, kw_only=True)
class Readings:
    """What a server answered: its models, its version, and its metrics; empty where it has no such answer."""

    models: tuple[str, ...] = ()
    version: str = ""
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelStatus:
    """A figure is None where the server does not say it. `hit_rate` and `cache_used` are parts of one."""

    models: tuple[str, ...]
    version: str = ""
    is_sglang: bool = False
    running: int | None = None
    queued: int | None = None
    hit_rate: float | None = None
    cached_since_start: float | None = None
    cache_used: float | None = None
    tokens_per_second: float | None = None
    accept_length: float | None = None

    @property
    def unseen(self) -> tuple[str, ...]:
        """What this server does not let one see."""
        figures = {
            "running requests": self.running,
            "the queue": self.queued,
            "cache hits": self.hit_rate,
            "how full the cache is": self.cache_used,
            "tokens per second": self.tokens_per_second,
        }
        return tuple(name for name, value in figures.items() if value is None)


def read_status(readings: Readings) -> ModelStatus:
    """Return the status; several workers in one server are added up, their parts averaged."""
    samples = readings.samples
    read, cached = _since_start(samples, "prompt_tokens_total"), _since_start(samples, "cached_tokens_total")
    return ModelStatus(
        models=readings.models,
        version=readings.version,
        is_sglang=any(sample.name.startswith(PREFIX) for sample in samples),
        running=_count(_total(samples, "num_running_reqs")),
        queued=_count(_total(samples, "num_queue_reqs")),
        hit_rate=_mean(samples, "cache_hit_rate"),
        cached_since_start=min(cached / read, 1.0) if read else None,
        cache_used=_mean(samples, "token_usage"),
        tokens_per_second=_total(samples, "gen_throughput"),
        accept_length=_mean(samples, "spec_accept_length") or None,
    )


def _values(samples: Sequence[Sample], name: str) -> list[float]:
    """Return the values for all priorities together: a gauge has a line for each beside that."""
    return [sample.value for sample in _named(samples, name) if sample.priority in _WHOLE]


def _since_start(samples: Sequence[Sample], name: str) -> float:
    """Return a counter's sum: it has lines for each priority, and none for all."""
    return sum(sample.value for sample in _named(samples, name))


def _named(samples: Sequence[Sample], name: str) -> list[Sample]:
    wanted = PREFIX + name
    return [sample for sample in samples if sample.name == wanted and 0 <= sample.value < float("inf")]


def _total(samples: Sequence[Sample], name: str) -> float | None:
    values = _values(samples, name)
    return sum(values) if values else None


def _mean(samples: Sequence[Sample], name: str) -> float | None:
    values = _values(samples, name)
    return sum(values) / len(values) if values else None


def _count(value: float | None) -> int | None:
    return None if value is None else round(value)
