import pytest

from bot.domain.service import LogPlace
from connectors.logs.loki import Settings, Source
from tests.contract.log_servers import LogServer, answer_loki
from tests.contract.log_stores_suite import LogStoreContract, Shop
from tests.contract.logs_suite import HOUR

PLACE = LogPlace(kind="loki", query='{app="shop"} |= "error"')


class TestLogsLoki(LogStoreContract):
    @pytest.fixture
    def shop(self):
        server = LogServer(answer=answer_loki)
        stop = server.start()
        yield Shop(server=server, connect=lambda **more: Source(PLACE, Settings(**{"url": server.url, **more})))
        stop()

    def test_the_query_goes_as_it_is_with_the_tenant(self, shop: Shop):
        list(shop.connect(tenant="team-a").read(HOUR))
        ((_, asked, _),) = shop.server.asked
        assert asked == {
            "query": PLACE.query,
            "start": "1795176000000000000",
            "end": "1795179600000000000",
            "limit": "1000",
            "direction": "backward",
        }
        assert shop.server.headers[0]["X-Scope-OrgID".title()] == "team-a"

    def test_values_that_are_none_are_left_out(self, shop: Shop):
        at = "1795176000000000000"
        values = [["x", "a"], ["1" * 30, "b"], [1], "c", None, [at, 7], [at, "good", {}]]
        result = [{"stream": {}, "values": values}, {"values": "x"}, 3]
        shop.server.answer = lambda *_: {"status": "success", "data": {"resultType": "streams", "result": result}}
        assert [line.text for line in shop.connect().read(HOUR)] == ["good"]

    def test_the_same_line_twice_at_one_moment_is_two_lines(self, shop: Shop):
        shop.server.entries += [(1795176000000000000, "again")] * 2
        assert [line.text for line in shop.connect().read(HOUR)] == ["again", "again"]
