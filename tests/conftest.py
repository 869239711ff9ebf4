"""Holds for all tests."""

import gc


def pytest_collection_finish() -> None:
    """Collect garbage seldom, and never again among what is loaded: looking for it took a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
