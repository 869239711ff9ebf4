from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from connectors.metrics.prometheus import Settings, Source
from tests.contract.log_servers import LogServer, read_basic
from tests.contract.metrics_suite import HALF, Gauge, MetricContract, answer, matrix


class TestMetricsPrometheus(MetricContract):
    @pytest.fixture
    def gauge(self):
        server = LogServer(answer=answer)
        stop = server.start()
        yield Gauge(server=server, connect=lambda **more: Source(Settings(**{"url": server.url, **more})))
        stop()

    def test_the_query_goes_as_it_is_with_its_range_and_time_out(self, gauge: Gauge):
        gauge.connect(url=gauge.server.url + "/").read(HALF)
        ((_, asked, _),) = gauge.server.asked
        assert float(asked.pop("timeout")) <= 9
        assert asked == {"query": "up > 0", "start": "1795174200.000", "end": "1795176000.000", "step": "15"}

    def test_a_tenant_and_a_user_go_along(self, gauge: Gauge):
        gauge.connect(tenant="team-a", username="ana", password="pw").read(HALF)
        (headers,) = gauge.server.headers
        assert headers["X-Scope-OrgID".title()] == "team-a"
        assert read_basic(headers["Authorization"]) == "ana:pw"

    def test_a_range_that_is_no_multiple_of_the_step_ends_at_its_end(self, gauge: Gauge):
        until = datetime(2026, 11, 20, 12, 0, 7, 500_000, tzinfo=UTC)
        (series, _) = (
            gauge.connect()
            .read(HALF.__class__(expr="up", since=until - timedelta(seconds=20), until=until, step=15))
            .series
        )
        assert [at for at, _ in series.points] == [until.timestamp() - 15, until.timestamp()]

    def test_victoriametrics_says_that_an_answer_is_partial(self, gauge: Gauge):
        gauge.server.answer = lambda *_: matrix(isPartial=True)
        assert gauge.connect().read(HALF).notes == ("the server says that its answer is only a part",)

    def test_nobody_waits_longer_than_ten_seconds(self):
        with pytest.raises(ValidationError):
            Settings(url="http://p", answer_seconds=11)
