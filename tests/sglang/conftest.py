"""One server for most tests of this folder. None of them runs without being asked for: `make test-sglang`."""

import pytest

from tests.sglang.servers import need_environment, serve_sglang


@pytest.fixture(scope="session")
def sglang():
    need_environment()
    with serve_sglang() as live:
        yield live
