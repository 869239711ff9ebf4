"""What every source of log lines must do, wherever they are kept: subclass `LogContract` and give it a world.

class TestLogsFile(LogContract):
    @pytest.fixture
    def world(self, tmp_path): ...     # returns a LogWorld
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from bot.domain.evidence import LogLine
from bot.ports.logs import LogQuery, LogSource

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = LogQuery(service="checkout", since=NOON, until=NOON + timedelta(hours=1))


@dataclass(kw_only=True)
class LogWorld:
    """`write` makes the place hold exactly these lines, as bytes."""

    source: LogSource
    write: Callable[[Sequence[bytes]], None]

    def read(self, query: LogQuery = HOUR) -> list[LogLine]:
        return list(self.source.read(query))

    def texts(self, query: LogQuery = HOUR) -> list[str]:
        return [line.text for line in self.read(query)]


def stamp(minutes: float, text: str) -> bytes:
    return f"{NOON + timedelta(minutes=minutes):%Y-%m-%d %H:%M:%S},000 {text}".encode()


class LogContract:
    def test_it_has_a_name(self, world: LogWorld):
        assert world.source.name

    def test_lines_come_in_order_each_with_its_place_and_time(self, world: LogWorld):
        world.write([stamp(n, f"INFO line {n}") for n in range(5)])
        lines = world.read()
        assert [line.text.split()[-1] for line in lines] == ["0", "1", "2", "3", "4"]
        assert [line.at for line in lines] == [NOON + timedelta(minutes=n) for n in range(5)]
        assert len({line.cite for line in lines}) == 5
        assert all(line.source and line.number > 0 for line in lines)

    def test_the_range_holds_its_beginning_and_not_its_end(self, world: LogWorld):
        world.write([stamp(n, str(n)) for n in (-1, 0, 59, 60, 61)])
        assert [text[-2:].strip() for text in world.texts()] == ["0", "59"]

    def test_lines_without_a_time_go_with_the_line_before(self, world: LogWorld):
        world.write([stamp(-1, "old"), b"old trace", stamp(1, "new"), b"  new trace", stamp(61, "late"), b"late trace"])
        lines = world.read()
        assert [line.text.split()[-2:] for line in lines] == [["12:01:00,000", "new"], ["new", "trace"]]
        assert lines[1].at is None

    def test_no_data_is_no_error(self, world: LogWorld):
        world.write([stamp(-100, "old")])
        assert world.read() == []

    def test_reading_again_gives_the_same(self, world: LogWorld):
        world.write([stamp(n, str(n)) for n in range(50)])
        assert world.read() == world.read()

    def test_over_the_limit_the_newest_are_kept(self, world: LogWorld):
        world.write([stamp(n / 10, "x" * 100) for n in range(100)])
        lines = world.read(replace(HOUR, max_bytes=1_300))
        assert 1 <= len(lines) <= 10
        assert lines[-1].at == NOON + timedelta(minutes=9.9)
        assert sum(len(line.text) for line in lines) <= 1_300

    def test_junk_between_lines_is_survived(self, world: LogWorld):
        junk = [b"\xff\xfe\x00bad", b"\x1b[31mred\x07", b"", "ünï\u202ecode".encode(), bytes(range(11, 256))]
        world.write([stamp(1, "before"), *junk, stamp(2, "after")])
        texts = world.texts()
        assert texts[0].endswith("before")
        assert texts[-1].endswith("after")
        assert r"\xff\xfe" in texts[1]
        assert "ünï\u202ecode" in texts

    def test_an_endless_line_is_cut_and_says_so(self, world: LogWorld):
        world.write([stamp(1, "before"), stamp(2, "y" * 3_000_000), stamp(3, "after")])
        lines = world.read()
        assert [line.number for line in lines] == [1, 2, 3]
        assert len(lines[1].text) < 70_000
        assert lines[1].text.endswith("cut]")
