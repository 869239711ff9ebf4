import pytest

from bot.domain.service import LogPlace
from connectors.logs.elasticsearch import Settings, Source
from tests.contract.log_servers import LogServer, answer_elasticsearch, as_entries, read_basic
from tests.contract.log_stores_suite import LogStoreContract, Shop
from tests.contract.logs_suite import HOUR, stamp

PLACE = LogPlace(kind="elasticsearch", path="logs-*", query="service.name:shop")


class TestLogsElasticsearch(LogStoreContract):
    @pytest.fixture
    def shop(self):
        server = LogServer(answer=answer_elasticsearch)
        stop = server.start()
        yield Shop(server=server, connect=lambda **more: Source(PLACE, Settings(**{"url": server.url, **more})))
        stop()

    def test_the_range_and_the_query_are_filters(self, shop: Shop):
        list(shop.connect().read(HOUR))
        ((_, _, body),) = shop.server.asked
        span = {"gte": 1795176000000, "lte": 1795179599999, "format": "epoch_millis"}
        query = {"query_string": {"query": "service.name:shop"}}
        assert body["query"] == {"bool": {"filter": [{"range": {"@timestamp": span}}, query]}}
        assert body["sort"] == [{"@timestamp": {"order": "desc"}}]

    @pytest.mark.parametrize(
        ("given", "sent"),
        [({"api_token": "aWQ6a2V5"}, "ApiKey aWQ6a2V5"), ({"username": "ada", "password": "pw"}, "ada:pw")],
    )
    def test_it_may_be_asked_with_a_key_or_a_password(self, shop: Shop, given, sent):
        list(shop.connect(**given).read(HOUR))
        header = shop.server.headers[0]["Authorization"]
        assert sent in (header, read_basic(header) if header.startswith("Basic ") else "")

    def test_the_message_may_lie_deeper_and_a_document_without_one_is_shown_whole(self, shop: Shop):
        at = 1795176000000
        hits = [
            {"_id": "2", "sort": [at + 1], "_source": {"event": {"original": "deep"}}},
            {"_id": "1", "sort": [at * 1_000_000], "_source": {"level": "error"}},
            {"_id": "0", "sort": ["x"], "_source": {}},
            {"_id": "0", "sort": [True], "_source": {}},
            {"_id": "0", "sort": [at], "_source": None},
            7,
        ]
        shop.server.answer = lambda *_: {"hits": {"hits": hits}}
        source = shop.connect(message_field="event.original")
        assert [line.text for line in source.read(HOUR)] == ['{"level": "error"}', "deep"]

    def test_shards_that_did_not_answer_are_said(self, shop: Shop):
        shop.server.entries += as_entries([stamp(1, "x")])
        trouble = {"timed_out": True, "_shards": {"failed": 1}}
        shop.server.answer = lambda *asked: {**answer_elasticsearch(*asked), **trouble}
        source = shop.connect()
        assert len(list(source.read(HOUR))) == 1
        assert source.notes == ["some shards of the index did not answer"]

    def test_an_index_is_one_part_of_the_path(self, shop: Shop):
        place = LogPlace(kind="elasticsearch", path="../_cluster/settings?x#y")
        shop.server.answer = lambda *_: {"hits": {"hits": []}}
        list(Source(place, Settings(url=shop.server.url)).read(HOUR))
        assert shop.server.asked[0][0] == "/..%2F_cluster%2Fsettings%3Fx%23y/_search"
