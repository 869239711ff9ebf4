"""One server for most tests of this folder. None of them runs without being asked for: `make test-sglang`."""

import pytest

from connectors.models import openai_contract, openai_count
from tests.sglang.servers import need_environment, serve_sglang


@pytest.fixture(scope="session")
def sglang():
    need_environment()
    with serve_sglang() as live:
        yield live


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Give a call the time that it takes on a CPU with other work."""
    monkeypatch.setattr(openai_contract, "CALL_SECONDS", 120.0)
    monkeypatch.setattr(openai_count, "SECONDS", 60.0)
