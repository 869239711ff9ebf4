"""Holds for all tests."""

import gc

import pytest

gc.disable()  # while tests are collected: what is loaded stays, and looking for garbage took a fifth of the time


def pytest_collection_finish() -> None:
    """Collect garbage seldom, and never again among what is loaded: looking for it took a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the walks, spread over the processes that run tests, each of which gets its share of this list in one
    piece: what takes longest is not left for last."""
    count = getattr(config, "workerinput", {}).get("workercount", 1)
    walks = [item for item in items if "e2e" in item.path.parts]
    rest = [item for item in items if "e2e" not in item.path.parts]
    shares = [(walks[n::count], rest[len(rest) * n // count : len(rest) * (n + 1) // count]) for n in range(count)]
    items[:] = [item for share in shares for part in share for item in part]
