"""One server for most tests of this folder, and one for each further parser of calls. None of these tests runs without
being asked for: `make test-sglang`."""

from contextlib import nullcontext

import pytest

from connectors.models import openai_contract, openai_count
from tests.sglang.servers import PARSERS, SHARED, need_environment, serve_sglang


@pytest.fixture(scope="session")
def sglang():
    need_environment()
    with serve_sglang() as live:
        yield live


@pytest.fixture(scope="session", params=PARSERS)
def served(request):
    """Return the name of a parser, and a server with it; tests of the same parser share one."""
    need_environment()
    is_shared = request.param == SHARED
    running = nullcontext(request.getfixturevalue("sglang")) if is_shared else serve_sglang(request.param)
    with running as live:
        yield request.param, live


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Give a call the time that it takes on a CPU with other work."""
    monkeypatch.setattr(openai_contract, "CALL_SECONDS", 120.0)
    monkeypatch.setattr(openai_count, "SECONDS", 60.0)
