"""Evidence of kinds of lines that are new, or much more frequent, since the incident."""

from datetime import UTC, datetime, timedelta

from bot.domain.evidence import ErrorRecord, LogLine
from bot.domain.investigation import Job
from bot.domain.playbook import Playbook
from bot.domain.service import Service
from bot.worker.changes import MAX_LISTED, tell_changes

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
JOB = Job(
    run="INC-1:1", incident="INC-1", service=Service(name="shop", repository="file:///shop"),
    playbook=Playbook(name="p", title="P", when={"a": "b"}), title="T", alert_started_at=NOON,
    now=NOON + timedelta(minutes=5), folder="/nowhere",
)  # fmt: skip


def write(*texts: str, start: timedelta, number: int = 1) -> list[LogLine]:
    """Return a line a second, each with its time at its beginning."""
    found = []
    for place, text in enumerate(texts):
        at = NOON + start + timedelta(seconds=place)
        stamped = f"{at:%Y-%m-%dT%H:%M:%S}Z INFO shop: {text}"
        found.append(LogLine(source="app.log", number=number + place, text=stamped, at=at))
    return found


QUIET = write(*(f"cart {n} stored" for n in range(600)), start=timedelta(minutes=-30), number=1_001)


def test_what_is_new_and_what_is_much_more_frequent_are_pieces_of_evidence() -> None:
    slow = write("pool is slow", "pool is slow", start=timedelta(minutes=-20), number=1_601)
    since = write(
        *["release 17 started", *["pool is slow"] * 60, *["cart 1 stored"] * 30],
        start=timedelta(minutes=-9),
        number=1_603,
    )
    pieces = tell_changes(JOB, [*QUIET, *slow, *since], ())
    assert [(kind, cite) for kind, cite, _text in pieces] == [("new", "app.log:1603"), ("more", "app.log:1604")]
    assert pieces[0][2] == (
        "not written before, since 11:50:00\n  1 ×  app.log:1603  2026-03-04T11:51:00Z INFO shop: release 17 started"
    )
    assert "\n  60 × (2 before)  app.log:1604  " in pieces[1][2]


def test_the_lines_of_errors_are_not_told_twice() -> None:
    since = write(*["failed: KeyError"] * 30, start=timedelta(minutes=-2), number=2_000)
    record = ErrorRecord(headline="failed", kind="KeyError", frames=(), lines=(since[0],))
    assert [kind for kind, _cite, _text in tell_changes(JOB, [*QUIET, *since], ())] == ["new"]
    assert tell_changes(JOB, [*QUIET, *since], (record,)) == []


def test_nothing_is_said_where_little_was_written_before_or_since() -> None:
    assert tell_changes(JOB, QUIET[:100] + write(*["x"] * 90, start=timedelta(minutes=-1)), ()) == []
    assert tell_changes(JOB, QUIET + write(*["x"] * 5, start=timedelta(minutes=-1)), ()) == []
    assert tell_changes(JOB, (), ()) == []


def test_a_piece_of_evidence_lists_few_kinds_and_counts_the_others() -> None:
    words = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india")
    since = write(*[f"{word} {word} {word} came" for word in words] * 3, start=timedelta(minutes=-3), number=3_000)
    text = tell_changes(JOB, [*QUIET, *since], ())[0][2]
    assert f"{MAX_LISTED} of {len(words)} kinds of lines" in text
    assert len(text.split("\n")) == 1 + MAX_LISTED
