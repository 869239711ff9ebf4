"""From results to findings, and from findings to words."""

from dataclasses import replace

import pytest

from bot.domain.chat import Bullets, Code, Paragraph, Tone
from bot.domain.checks.reproduction import Reproduce
from bot.domain.conclusion import conclude
from bot.domain.evidence import Check, CheckRun, Evidence, Finding
from bot.domain.investigation import Collected, Confirmed, Drafted, StageResult, Suspected, Verified
from bot.render.progress import render_findings, render_status
from tests.unit.render_cases import (
    COLLECTED,
    CONFIRMED,
    CULPRIT,
    DRAFTED,
    INCIDENT,
    NOW,
    RECORD,
    SUSPECT,
    SUSPECTED,
    VERIFIED,
)

ALL: tuple[StageResult, ...] = (COLLECTED, SUSPECTED, CONFIRMED, DRAFTED, VERIFIED)


def points(results: tuple[StageResult, ...], running: str | None = None, failed: str | None = None) -> str:
    message = render_status(INCIDENT, results, running=running, failed=failed, now=NOW)
    return "\n".join(item for block in message.blocks if isinstance(block, Bullets) for item in block.items)


@pytest.mark.parametrize("count", range(len(ALL) + 1))
def test_every_finding_cites_evidence_that_exists(count: int) -> None:
    findings, evidence = conclude(ALL[:count])
    known = {piece.id for piece in evidence}
    assert len(known) == len(evidence)
    assert all(set(finding.evidence) <= known and finding.evidence for finding in findings)
    assert all(finding.refuted_by for finding in findings)


def test_the_whole_story_is_confirmed() -> None:
    findings, evidence = conclude(ALL)
    cause, patch, error = findings
    assert cause.claim.startswith('a1b2c3d4e5f6 "Cache totals" by Bo broke it')
    assert error.claim.startswith("KeyError at cart.py:41, 38 times")
    assert error.evidence == ("E1",)
    assert 'Revert "Cache totals" mends it' in patch.claim
    assert {finding.confidence for finding in findings} == {"confirmed"}
    assert [piece.id for piece in evidence] == [f"E{n}" for n in range(1, len(evidence) + 1)]


def test_a_check_that_the_patch_turns_red_and_that_does_not_count_is_not_passed_over() -> None:
    style = CheckRun(name="style", at="tree", verdict=Check.RED, seconds=1, required=False)
    told = {}
    for already_red in ((), ("style",)):
        verified = replace(VERIFIED, runs=(*VERIFIED.runs, style), already_red=already_red)
        findings, _ = conclude((COLLECTED, DRAFTED, verified))
        told[already_red] = next(finding.claim for finding in findings if "mends it" in finding.claim)
    assert told[()].endswith("and no required check turns red")
    assert told["style",].endswith("and no check turns red")


def test_doubt_is_said() -> None:
    (likely, _), _ = conclude(ALL[:2])
    assert likely.confidence == "likely"
    runs = (CheckRun(name="POST /pay", at=CULPRIT, verdict=Check.GREEN, seconds=1),)
    not_blamed = Confirmed(culprit=None, request=None, runs=runs, how="the request works everywhere")
    (doubtful, _), _ = conclude((COLLECTED, SUSPECTED, not_blamed))
    assert doubtful.confidence == "inconclusive"
    unproven = Confirmed(culprit=CULPRIT, request=None, runs=(), how="only by its frames")
    (cause, *_), _ = conclude((COLLECTED, SUSPECTED, unproven))
    assert cause.confidence == "likely"
    unrun = replace(VERIFIED, after=Check.UNKNOWN, notes=("the request could not be sent",))
    findings, _ = conclude((COLLECTED, DRAFTED, unrun))
    assert findings[-1].confidence == "inconclusive"
    assert "the request could not be sent" in findings[-1].claim


def test_a_check_that_was_always_red_is_refuted_by_a_commit_at_which_it_passes() -> None:
    runs = (CheckRun(name="tests", at=CULPRIT, verdict=Check.RED, seconds=1),)
    always = Confirmed(culprit=None, request=None, runs=runs, how="always red", reproduce=Reproduce.CHECK)
    (finding, *_), _ = conclude((COLLECTED, SUSPECTED, always))
    assert (finding.confidence, finding.refuted_by) == ("inconclusive", "a commit at which it passes")


def test_an_error_of_many_lines_is_said_in_one_and_its_kind_once() -> None:
    record = replace(COLLECTED.records[0], kind="KeyError", headline="KeyError: 'a'\n + where 'a' = f()")
    (finding, *_), _ = conclude((replace(COLLECTED, records=(record,)),))
    assert finding.claim.endswith(": 'a'")
    assert finding.claim.count("KeyError") == 1


def test_nothing_found_is_a_result() -> None:
    silent = Collected(records=(), requests=(), evidence=(), lines_read=20, notes=("no line after 02:00",))
    ((finding,), (piece,)) = conclude((silent,))
    assert (finding.confidence, finding.evidence) == ("inconclusive", (piece.id,))
    assert piece.text == "no line after 02:00"
    assert conclude(()) == ((), ())
    assert conclude((Suspected(head="c" * 40, suspects=()),)) == ((), ())


def test_the_newest_result_of_a_stage_counts() -> None:
    other = replace(COLLECTED, records=(replace(RECORD, headline="ValueError: x", kind="ValueError", count=99),))
    (finding,), _ = conclude((COLLECTED, other))
    assert finding.claim.startswith("ValueError")


def test_progress_grows_line_by_line_and_says_what_is_missing() -> None:
    assert points((COLLECTED,), running="suspect").splitlines() == [
        "✓ read 4,312 log lines: 38 errors of one kind",
        "✓ KeyError: 'price_cents' (checkout.log:412)",
        "– payments.log could not be read",
        "→ looking for the change behind it",
    ]
    whole = points(ALL)
    assert '✓ first suspect: a1b2c3d4e5f6 "Cache totals" by Bo, 1 other after it' in whole
    assert "✓ patch tested: failing request red → green, 2 checks green" in whole
    assert "→" not in whole.replace("red → green", "")


def test_failures_are_not_dressed_up() -> None:
    broken = (CheckRun(name="tests", at="t", verdict=Check.RED, seconds=1),)
    nothing = Drafted(base="c", patch=b"", title="", culprit=None, notes=("every hunk conflicts",))
    text = points((Suspected(head="c", suspects=()), nothing, replace(VERIFIED, runs=broken)))
    assert text.splitlines() == [
        "– no recent change looks suspicious",
        "– no patch drafted",
        "– every hunk conflicts",
        "– patch not verified: failing request red → green, tests red",
    ]
    assert "no check was run" in points((Verified(before=Check.RED, after=Check.UNKNOWN, runs=()),))


def test_the_headline_tells_what_goes_on() -> None:
    status = render_status(INCIDENT, ALL[:1], running="suspect", failed=None, now=NOW)
    assert status.headline == "Investigating: looking for the change behind it"
    assert (status.slot, status.rings) == ("status", ())
    other = render_status(INCIDENT, (), running="waiting for a free worker", failed=None, now=NOW)
    assert other.headline == "Investigating: waiting for a free worker"
    stopped = render_status(INCIDENT, (), running=None, failed="the worker died", now=NOW)
    assert (stopped.headline, stopped.tone) == ("Investigation stopped: the worker died", Tone.WARN)
    assert render_status(INCIDENT, ALL, running=None, failed=None, now=NOW).headline == "Investigation finished"


def test_findings_come_with_their_citations() -> None:
    message = render_findings(INCIDENT, *conclude(ALL))
    assert message.headline.startswith('a1b2c3d4e5f6 "Cache totals" by Bo broke it')
    listed = [item for block in message.blocks if isinstance(block, Bullets) for item in block.items]
    assert any(item.startswith("E1 checkout.log:412: KeyError") for item in listed)
    assert any(item.endswith("[E1]") for item in listed)
    assert any(isinstance(block, Code) and "Traceback" in block.text for block in message.blocks)


def test_of_code_the_line_is_cited_that_the_frame_names() -> None:
    finding = Finding(claim="x", evidence=("E7",), confidence="likely")
    code = Evidence(
        id="E7", kind="code", cite="cart.py:8", text="total\n     7 a = 1\n>    8     a -= 2 // 100\n     9 b\n"
    )
    (listed,) = [one for one in render_findings(INCIDENT, (finding,), (code,)).blocks if isinstance(one, Bullets)]
    assert listed.items == ("E7 cart.py:8: a -= 2 // 100",)


def test_of_ci_s_log_it_is_cited_what_failed() -> None:
    finding = Finding(claim="x", evidence=("E1",), confidence="confirmed")
    text = "tests: AssertionError: 999 != 1000\nFAIL: test_split\nFinished: FAILURE"
    ci = Evidence(id="E1", kind="ci", cite="CI log of tests, line 9", text=text)
    (listed,) = [one for one in render_findings(INCIDENT, (finding,), (ci,)).blocks if isinstance(one, Bullets)]
    assert listed.items == ("E1 CI log of tests, line 9: tests: AssertionError: 999 != 1000",)


def test_a_line_that_is_on_the_stack_twice_is_cited_once() -> None:
    code = Evidence(id="", kind="code", cite="cart.py:41 at a1b2c3d4e5f6", text="total\n> 41 return rows[0]")
    findings, _ = conclude((COLLECTED, replace(SUSPECTED, code=(code, code))))
    assert findings[-1].evidence == ("E1", "E3")


def test_evidence_nobody_cites_is_only_counted() -> None:
    findings, evidence = conclude((COLLECTED, SUSPECTED))
    message = render_findings(INCIDENT, findings[:1], evidence)
    assert Paragraph(text="1 more piece of evidence, on which nothing here rests.") in message.blocks
    assert SUSPECT.subject in message.headline
    assert render_findings(INCIDENT, (), ()).headline == "Nothing was found that explains it"
