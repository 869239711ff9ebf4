"""What is read from the logs for each kind of reproduction, what is left out, and what is said of what is missing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.checks.reproduction import Reproduce, word
from bot.domain.conclusion import conclude
from bot.domain.evidence import Check, CheckRun, LogLine
from bot.domain.investigation import Collected, Confirmed, Drafted, Job, Verified
from bot.domain.playbook import Playbook
from bot.domain.service import LogPlace, Service
from bot.render.progress import render_status, say_change
from bot.store.codec import dump_stage, load_stage
from bot.worker.collect import collect
from bot.worker.tools import Tools
from tests.unit.test_playbook import make_incident

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


class Source:
    name = "app.log"

    def __init__(self, texts):
        self._texts = texts

    def read(self, query):
        for number, text in enumerate(self._texts, 1):
            yield LogLine(source="app.log", number=number, text=text, at=NOON + timedelta(seconds=number))


def gather(kind: Reproduce, *texts: str, evidence=("logs", "changes"), redact=lambda line: line) -> Collected:
    playbook = Playbook(name="p", title="P", when={"a": "b"}, reproduce=kind, evidence=evidence)
    service = Service(name="shop", repository="file:///shop", logs=(LogPlace(kind="file", path="app.log"),))
    job = Job(
        run="INC-1:1", incident="INC-1", service=service, playbook=playbook, title="T", alert_started_at=NOON,
        now=NOON + timedelta(minutes=5), folder="/nowhere",
    )  # fmt: skip
    tools = Tools(
        log_source=lambda place: Source(texts), workspaces=None, sandbox=None, redact=redact,
        redact_lines=lambda lines: [redact(line) for line in lines], prepare_toolchain=None,
    )  # fmt: skip
    return collect(job, tools)


def test_a_start_needs_no_request():
    collected = gather(Reproduce.START, "ERROR request failed: GET /x 500", "exited with code 1", "exited with code 1")
    assert [piece.kind for piece in collected.evidence] == ["exit", "error"]
    assert collected.requests == ()
    assert collected.notes == ()


def test_a_log_without_an_end_is_said_to_have_none():
    notes = gather(Reproduce.START, "ready").notes
    assert "the logs do not say that the service ended or was started again" in notes


def test_what_is_slow_is_sent_again_and_its_onset_counts():
    texts = ["GET /a 200 5ms"] * 6 + ["GET /a 200 900ms"] * 6
    collected = gather(Reproduce.SLOW, *texts)
    assert [request.target for request in collected.requests] == ["/a"]
    assert collected.began_at == NOON + timedelta(seconds=7)
    findings, _ = conclude([collected])
    assert findings[0].claim.startswith("GET /a became slower at 2026-03-04 12:00:07 UTC: median 900 ms of 6 requests")


def test_a_log_without_times_is_said_to_have_none():
    collected = gather(Reproduce.SLOW, "GET /a 200", "ready")
    assert any("no request slower than 40 ms among 2 log lines" in note for note in collected.notes)
    assert conclude([collected])[0] == ()


def test_logs_that_are_not_asked_for_are_not_read():
    collected = gather(Reproduce.CHECK, "ERROR never read", evidence=("changes",))
    assert (collected.lines_read, collected.records, collected.notes) == (0, (), ())
    assert conclude([collected])[0] == ()
    message = render_status(make_incident(), [collected], running="confirm", failed=None, now=NOON)
    assert message.headline == "Investigating: running the failing check at the suspects"
    assert "log line" not in str(message.blocks)


def test_secrets_are_gone_from_ends_and_slow_requests():
    def redact(line):
        return line.replace("hunter2", "[redacted]")

    ends = gather(Reproduce.START, "shop --token=hunter2 exited with code 1", redact=redact)
    slow = gather(Reproduce.SLOW, *['POST /a 200 900ms body={"token": "hunter2"}'] * 6, redact=redact)
    assert "hunter2" not in f"{ends} {slow}"
    assert "[redacted]" in ends.evidence[0].text


@pytest.mark.parametrize("kind", Reproduce)
def test_every_kind_has_its_words(kind):
    words = word(kind)
    run = CheckRun(name="reproduction", at="a" * 40, verdict=Check.RED, seconds=0.1, output="boom")
    confirmed = Confirmed(culprit="b" * 40, request=None, runs=(run,), how=f"it {words.fails}", reproduce=kind)
    empty = Collected(records=(), requests=(), evidence=(), lines_read=0, reproduce=kind)
    findings, evidence = conclude([empty, confirmed])
    assert findings[0].refuted_by == f"{words.relapse} at the commit before it"
    assert any(words.running in piece.text for piece in evidence)
    verified = Verified(before=Check.RED, after=Check.GREEN, runs=(run,), reproduce=kind)
    assert say_change(verified) == f"{words.trial} red → green"
    running = render_status(make_incident(), [empty], running="confirm", failed=None, now=NOON)
    assert running.headline == f"Investigating: {words.running} at the suspects"


def test_commits_that_cannot_be_judged_are_what_to_look_at_and_their_runs_say_why():
    red = CheckRun(name="run", at="d" * 40, verdict=Check.RED, seconds=0.1, output="boom")
    output = "E   SyntaxError: unmatched '}'\n1 error in 0.2s\nERROR: found no collectors for tests/test_cart.py"
    blind = replace(red, at="c" * 40, verdict=Check.UNKNOWN, output=output)
    mute = replace(red, at="b" * 40, verdict=Check.UNKNOWN, output="not run: the sandbox is gone\n")
    confirmed = Confirmed(
        culprit=None, request=None, runs=(red, blind, mute), how="the check run fails since one of 3 commits",
        reproduce=Reproduce.CHECK, left=("c" * 40, "d" * 40, "b" * 40),
    )  # fmt: skip
    empty = Collected(records=(), requests=(), evidence=(), lines_read=0, reproduce=Reproduce.CHECK)
    findings, evidence = conclude([empty, confirmed])
    assert findings[0].next.endswith("and what cccccccccccc, dddddddddddd, bbbbbbbbbbbb changed")
    told = {piece.cite: piece.text for piece in evidence}
    assert told["run at cccccccccccc"] == "could not be judged after 0.1 s (SyntaxError: unmatched '}')"
    assert told["run at bbbbbbbbbbbb"] == "could not be judged after 0.1 s (not run: the sandbox is gone)"


def test_a_patch_that_mends_it_and_breaks_something_else_is_known_to_and_so_is_one_that_mends_nothing():
    green = CheckRun(name="run", at="e" * 40, verdict=Check.GREEN, seconds=0.1, output="")
    suite = replace(green, name="suite", verdict=Check.RED)
    drafted = Drafted(patch=b"x", base="a" * 40, title='Revert "Round"', culprit="b" * 40)
    verified = Verified(
        before=Check.RED, after=Check.GREEN, runs=(green, suite), reproduce=Reproduce.CHECK,
        newly_failing=("test_a", "test_b", "test_c", "test_d"),
    )  # fmt: skip

    def judge(result):
        ((finding,), _) = conclude([drafted, result])
        return finding.confidence, finding.claim

    confidence, claim = judge(verified)
    assert (confidence, claim[:60]) == ("confirmed", 'Revert "Round" mends what failed and breaks something else: ')
    assert claim.endswith("passes with it, and test_a, test_b, test_c and 1 more fail that passed without it")
    unnamed = judge(replace(verified, newly_failing=()))[1]
    assert unnamed.endswith("and the check suite fails that passed without it")
    still_red = replace(verified, after=Check.RED, runs=(replace(green, verdict=Check.RED),))
    assert judge(still_red) == ("confirmed", 'Revert "Round" does not mend it (the same check failing with it too)')
    unjudged = replace(verified, runs=(green, replace(suite, verdict=Check.UNKNOWN)), newly_failing=())
    assert judge(unjudged)[0] == "inconclusive"


def test_results_are_stored_with_their_kind_and_older_ones_are_still_read():
    collected = gather(Reproduce.SLOW, *["GET /a 200 5ms"] * 6, *["GET /a 200 900ms"] * 6)
    confirmed = Confirmed(culprit=None, request=None, runs=(), how="x", reproduce=Reproduce.CHECK)
    verified = Verified(before=Check.RED, after=Check.GREEN, runs=(), reproduce=Reproduce.START)
    for result in (collected, confirmed, verified):
        stage, body = dump_stage(result)
        assert load_stage(stage, body) == result
        older = {key: value for key, value in body.items() if key not in {"reproduce", "began_at"}}
        assert load_stage(stage, older).reproduce is Reproduce.REQUEST
