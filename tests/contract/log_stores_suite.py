"""What a log store behind HTTP must do besides the contract of every source: pages, refusals, hostile answers."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from bot.ports.logs import LogSource
from tests.contract.log_servers import LogServer, as_entries, nanoseconds
from tests.contract.logs_suite import HOUR, NOON, LogContract, LogWorld, stamp

HOSTILE: tuple[tuple[int, dict[str, str], bytes], ...] = (
    (200, {}, b""),
    (200, {}, b"{"),
    (200, {}, b"null"),
    (200, {}, b"[]"),
    (200, {}, b'"text"'),
    (200, {}, b"\xff\xfe"),
    (200, {}, b"[" * 100_000),
    (200, {}, b'{"data": 1, "hits": 1}'),
    (200, {}, b'{"data": {"resultType": "matrix", "result": []}, "hits": {"hits": {}}}'),
    (204, {}, b""),
    (302, {"Location": "http://169.254.169.254/latest"}, b""),
    (400, {}, b"parse error at line 1\x1b[31m"),
    (401, {}, b"no"),
    (404, {}, b"<html>"),
)


@dataclass(kw_only=True)
class Shop:
    """A store on loopback, and the source over it."""

    server: LogServer
    connect: Callable[..., LogSource]


class LogStoreContract(LogContract):
    """Subclass it with a fixture `shop` that returns a `Shop`."""

    @pytest.fixture
    def world(self, shop: Shop) -> LogWorld:
        def write(lines: Any) -> None:
            shop.server.entries[:] = as_entries(lines)

        return LogWorld(source=shop.connect(), write=write)

    def test_many_pages_are_one_log(self, shop: Shop):
        shop.server.entries += as_entries([stamp(n / 100, f"line {n}") for n in range(3_500)])
        lines = list(shop.connect().read(HOUR))
        assert [line.text.split()[-1] for line in lines] == [str(n) for n in range(3_500)]
        assert [line.number for line in lines] == list(range(1, 3_501))
        assert len(shop.server.asked) >= 4

    def test_entries_of_one_moment_on_two_pages_are_neither_lost_nor_repeated(self, shop: Shop):
        at = nanoseconds(NOON)
        shop.server.entries += [(at + number // 700 * 10**9, f"line {number:05}") for number in range(2_100)]
        assert sorted(line.text for line in shop.connect().read(HOUR)) == [f"line {n:05}" for n in range(2_100)]

    def test_more_entries_of_one_moment_than_a_page_holds_end_and_the_rest_is_read(self, shop: Shop):
        at = nanoseconds(NOON + timedelta(minutes=1))
        shop.server.entries += [(at, f"line {number}") for number in range(1_500)] + [(at - 10**9, "before")]
        texts = [line.text for line in shop.connect().read(HOUR)]
        assert texts[0] == "before"
        assert len(texts) == 1_001

    def test_over_the_limit_no_further_page_is_asked_for_and_it_is_said(self, shop: Shop):
        shop.server.entries += as_entries([stamp(n / 100, "x" * 50) for n in range(3_000)])
        source = shop.connect()
        assert len(list(source.read(replace(HOUR, max_bytes=5_000)))) < 100
        assert len(shop.server.asked) == 1
        assert source.notes == ["only the newest 5,000 bytes were read"]

    @pytest.mark.parametrize(("status", "kind"), [(429, Reason.RATE_LIMITED), (503, Reason.SERVER_ERROR)])
    def test_who_asks_for_a_pause_is_believed(self, shop: Shop, status, kind):
        shop.server.trouble.append((status, {"Retry-After": "7"}, b"slow down"))
        with pytest.raises(Unavailable, match="slow down") as told:
            list(shop.connect().read(HOUR))
        assert (told.value.reason, told.value.retry_after) == (kind, 7.0)

    def test_a_failure_after_the_first_page_keeps_what_was_read(self, shop: Shop):
        shop.server.entries += as_entries([stamp(n / 100, f"line {n}") for n in range(1_500)])
        source, good = shop.connect(), shop.server.answer

        def fail_later(store: LogServer, *asked: Any) -> Any:
            if len(store.asked) == 1:
                store.trouble.append((500, {}, b""))
            return good(store, *asked)

        shop.server.answer = fail_later
        assert len(list(source.read(HOUR))) == 1_000
        assert "not read to its end" in source.notes[0]

    @pytest.mark.parametrize("answer", HOSTILE, ids=range(len(HOSTILE)))
    def test_what_is_no_answer_is_an_error_of_ours_that_names_query_and_range(self, shop: Shop, answer):
        shop.server.trouble.append(answer)
        with pytest.raises(NightshiftError) as told:
            list(shop.connect().read(HOUR))
        text = str(told.value)
        assert "the log of checkout from 2026-11-20 12:00:00 to 2026-11-20 13:00:00 UTC, filter " in text
        assert text.isprintable()
        assert len(shop.server.asked) == 1, "nobody is followed elsewhere"

    def test_a_server_that_drips_or_hangs_is_not_waited_for(self, shop: Shop):
        shop.server.entries += as_entries([stamp(1, "x")])
        shop.server.drip = 0.02
        began = time.monotonic()
        with pytest.raises(Unavailable) as told:
            list(shop.connect().read(replace(HOUR, seconds=0.3)))
        assert told.value.reason is Reason.TIMEOUT
        assert time.monotonic() - began < 3

    def test_a_server_that_is_not_there_is_unreachable(self, shop: Shop):
        with pytest.raises(Unavailable) as told:
            list(shop.connect(url="http://127.0.0.1:9").read(HOUR))
        assert told.value.reason is Reason.UNREACHABLE

    def test_an_answer_without_end_is_refused(self, shop: Shop, monkeypatch):
        monkeypatch.setattr("connectors.http_reader.MAX_BYTES", 1_000)
        shop.server.trouble.append((200, {}, b" " * 5_000))
        with pytest.raises(Rejected, match="without end"):
            list(shop.connect().read(HOUR))

    def test_credentials_go_along_and_never_into_an_error(self, shop: Shop):
        shop.server.trouble.append((401, {}, b"no such user"))
        with pytest.raises(Rejected) as told:
            list(shop.connect(token="s3cr3t-token").read(HOUR))
        assert shop.server.headers[0]["Authorization"] == "Bearer s3cr3t-token"
        assert "s3cr3t" not in str(told.value)
