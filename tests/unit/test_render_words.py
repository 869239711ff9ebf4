"""Times and counts in words."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from bot.render.links import Links, link_to
from bot.render.words import (
    write_clock,
    write_count,
    write_line,
    write_list,
    write_people,
    write_sentence,
    write_span,
    write_until,
)

NOW = datetime(2026, 3, 12, 2, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (42, "42 s"),
        (90, "2 min"),
        (240, "4 min"),
        (3570, "1 h"),
        (4320, "1 h 12 min"),
        (50 * 3600, "2 d 2 h"),
        (72 * 3600, "3 d"),
    ],
)
def test_spans_read_well(seconds: int, text: str) -> None:
    assert write_span(timedelta(seconds=seconds)) == text


def test_clock_names_the_day_only_when_needed() -> None:
    assert write_clock(NOW, NOW) == "02:14 UTC"
    assert write_clock(NOW, NOW + timedelta(days=1)) == "12 Mar 02:14 UTC"
    assert write_clock(NOW.astimezone(timezone(timedelta(hours=9))), NOW) == "02:14 UTC"


def test_until() -> None:
    assert write_until(NOW + timedelta(hours=1), NOW) == "until 03:14 UTC"
    assert write_until(datetime.max.replace(tzinfo=UTC), NOW) == "until it resolves"


def test_counts_lists_and_people() -> None:
    assert write_count(1, "alert") == "1 alert"
    assert write_count(4312, "log line") == "4,312 log lines"
    assert write_list(["Ana", "Bo", "Cem"]) == "Ana, Bo and Cem"
    assert write_people(["ana", "zed", "ana"], {"ana": "Ana"}) == "Ana and zed"
    assert write_people([], {}) == "nobody"


def test_lines_and_sentences() -> None:
    assert write_line("a\n b\t c") == "a b c"
    assert write_line("x" * 50, 10) == "x" * 9 + "…"
    assert write_sentence(" no log line ") == "No log line."
    assert write_sentence("done.") == "done.".capitalize()
    assert write_sentence("") == ""


@pytest.mark.parametrize(
    "url", ["", "javascript:alert(1)", "https://", "ftp://x/y", "https://x/ y", "https://x/\x1b[2J", "https://[", "//x"]
)
def test_only_plain_web_addresses_become_links(url: str) -> None:
    assert link_to("Runbook", url) is None


def test_own_pages_are_linked_only_with_a_public_url() -> None:
    assert Links().to_incident("INC-7") is None
    assert Links().to_patch("INC-7", "ab" * 32) is None
    patch = Links(base="https://bot.example/").to_patch("INC-7", "ab" * 32)
    assert patch is not None
    assert patch.url == "https://bot.example/incidents/INC-7/patches/abababababab"
    link = Links(base="https://bot.example/").to_incident("INC-7")
    assert link is not None
    assert link.url == "https://bot.example/incidents/INC-7"
