"""The approval card shows exact bytes, asks only while it may, and says who decided."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.approval import ApprovalState, Vote
from bot.domain.chat import Bullets, Code, Fields, Message, Paragraph, Tone
from bot.domain.ci import CIState
from bot.domain.draft import BinaryChange, ChangeKind, FileChange, Patch, Risk
from bot.domain.evidence import Check, CheckRun
from bot.domain.incident import DECLARED
from bot.render.excerpt import LINES, cut_excerpt
from bot.render.patch import render_patch, render_verdict
from tests.unit.render_cases import APPROVAL, DIFF, DRAFT, INCIDENT, NAMES, NOW, RUN, VERIFIED

YES = Vote(person="ana", approve=True, at=NOW, channel="console", event="e1")


def patch(draft=DRAFT, approval=APPROVAL, now=NOW, ring=("ana",), run=None) -> Message:  # type: ignore[no-untyped-def]  # test helper
    return render_patch(draft, approval, now=now, names=NAMES, ring=ring, run=run)


def texts(message: Message) -> str:
    return " ".join(block.text for block in message.blocks if isinstance(block, Paragraph))


def test_a_pending_patch_asks_and_rings() -> None:
    message = patch()
    assert message.headline == 'Patch ready: Revert "Cache totals"'
    assert message.slot == f"patch:{DRAFT.digest[:12]}"
    assert message.rings == ("ana",)
    assert [(button.label, button.key) for button in message.buttons] == [("Approve", "y"), ("Reject", "n")]
    assert message.buttons[0].id == f"approve:INC-7:{DRAFT.digest[:12]}"
    assert message.buttons[1].form is not None
    assert "Approving pushes exactly this diff and starts CI. Expires at 03:18 UTC." in texts(message)
    assert "Verified: failing request red → green · tests and lint green (" in texts(message)
    assert Bullets(items=("+1 −1 cart.py",)) in message.blocks


def test_the_whole_diff_is_there_byte_for_byte() -> None:
    message = patch()
    assert message.files[0].text.encode() == DRAFT.patch.text
    assert Code(text=DIFF.rstrip("\n"), language="diff") in message.blocks


def test_the_seal_names_patch_base_and_audit() -> None:
    (fields,) = [block for block in patch().blocks if isinstance(block, Fields)]
    assert dict(fields.items) == {
        "Patch": DRAFT.digest[:12],
        "Base": "cccccccccccc on main",
        "Target": "main",
        "Audit": "f" * 12,
    }


def test_a_risky_patch_says_why_and_who_else() -> None:
    risky = replace(DRAFT, risk=Risk(reasons=("it changes CI files", "240 lines")))
    approval = replace(APPROVAL, needs=2, excluded=("cem",))
    asked = texts(patch(risky, approval))
    assert "2 people must approve" in asked
    assert "Cem cannot approve this one." in asked
    assert "Risky: it changes CI files and 240 lines." in asked
    half = texts(patch(risky, replace(approval, votes=(YES,))))
    assert "Ana approved at 02:18 UTC. 1 more person must approve" in half


@pytest.mark.parametrize(
    ("state", "headline", "says"),
    [
        (ApprovalState.APPROVED, "Patch approved", "Ana approved at 02:18 UTC. The push follows."),
        (ApprovalState.EXECUTED, "Patch pushed", f"Pushed to {DRAFT.push_branch}."),
        (ApprovalState.FAILED, "Patch could not be pushed", "The push failed; main is as it was."),
        (ApprovalState.SUPERSEDED, "Patch superseded", "Nothing was pushed."),
    ],
)
def test_a_decided_patch_has_no_live_button(state: ApprovalState, headline: str, says: str) -> None:
    message = patch(approval=replace(APPROVAL, state=state, votes=(YES,)))
    assert message.headline.startswith(f"{headline}: ")
    assert says in texts(message)
    assert (message.buttons, message.rings) == ((), ())
    assert message.slot == patch().slot


@pytest.mark.parametrize(
    ("state", "headline", "tone", "says"),
    [
        (CIState.FAILED, "Patch pushed, CI red", Tone.BAD, "; main is as it was."),
        (CIState.CANCELLED, "Patch pushed, CI cancelled", Tone.WARN, "; main is as it was."),
        (CIState.RUNNING, "Patch pushed", Tone.WARN, "; main is as it was."),
        (CIState.PASSED, "Patch pushed, CI green", Tone.GOOD, "."),
    ],
)
def test_a_pushed_patch_that_ci_did_not_pass_does_not_say_that_the_push_failed(state, headline, tone, says) -> None:  # type: ignore[no-untyped-def]  # parametrized
    approval = replace(APPROVAL, state=ApprovalState.FAILED, votes=(YES,))
    message = patch(approval=approval, run=replace(RUN, state=state))
    assert (message.headline.split(":")[0], message.tone) == (headline, tone)
    assert f"Ana approved at 02:18 UTC. Pushed to {DRAFT.push_branch}{says}" in texts(message)


@pytest.mark.parametrize("ci", [CIState.QUEUED, CIState.RUNNING])
def test_a_patch_whose_ci_runs_does_not_say_that_its_push_follows(ci: CIState) -> None:
    approval = replace(APPROVAL, state=ApprovalState.APPROVED, votes=(YES,))
    message = patch(approval=approval, run=replace(RUN, state=ci))
    assert message.headline.startswith("Patch pushed: ")
    assert f"Ana approved at 02:18 UTC. Pushed to {DRAFT.push_branch}." in texts(message)


def test_a_rejection_gives_its_reason() -> None:
    no = replace(YES, approve=False, reason="Wrong cause")
    message = patch(approval=replace(APPROVAL, state=ApprovalState.REJECTED, votes=(no,)))
    assert "Ana rejected it at 02:18 UTC: Wrong cause." in texts(message)
    assert (message.buttons, message.tone) == ((), Tone.CALM)


@pytest.mark.parametrize("state", [ApprovalState.PENDING, ApprovalState.EXPIRED])
def test_an_expired_approval_can_only_be_renewed(state: ApprovalState) -> None:
    message = patch(approval=replace(APPROVAL, state=state), now=NOW + timedelta(minutes=60))
    assert [button.label for button in message.buttons] == ["Renew"]
    assert message.rings == ()
    assert "Nobody decided before 03:18 UTC." in texts(message)


@pytest.mark.parametrize(
    ("verified", "says"),
    [
        (None, "Not verified: it was never run."),
        (replace(VERIFIED, after=Check.RED), "Not verified: Failing request red → red"),
        (replace(VERIFIED, runs=(), notes=("no sandbox here",)), "Not verified: No sandbox here."),
        (replace(VERIFIED, already_red=("e2e",)), "red without the patch too: e2e."),
    ],
)
def test_what_was_tested_is_said_exactly(verified, says: str) -> None:  # type: ignore[no-untyped-def]  # parametrized
    assert says in texts(patch(replace(DRAFT, verified=verified)))


LOGO = BinaryChange(old_size=1_234, new_size=2_345, sha256="ab" * 32)


def test_files_say_how_they_change() -> None:
    files = (
        FileChange(path="new.py", kind=ChangeKind.ADDED, added=3, removed=0),
        FileChange(path="b.py", kind=ChangeKind.RENAMED, added=0, removed=0, old_path="a.py"),
        FileChange(path="run.sh", kind=ChangeKind.MODIFIED, added=0, removed=0, mode="644→755"),
        FileChange(path="old.py", kind=ChangeKind.DELETED, added=0, removed=9),
        FileChange(path="logo.png", kind=ChangeKind.MODIFIED, added=0, removed=0, binary=LOGO),
    )
    (shown,) = [
        block
        for block in patch(replace(DRAFT, patch=Patch(text=b"x", files=files))).blocks
        if isinstance(block, Bullets)
    ]
    assert shown.items == (
        "+3 −0 new.py, new file",
        "+0 −0 b.py, was a.py",
        "+0 −0 run.sh, mode 644→755",
        "+0 −9 old.py, deleted",
        f"logo.png: binary, 1,234 → 2,345 bytes, sha256 {'ab' * 32}",
    )


def test_an_excerpt_keeps_changes_and_says_what_it_leaves_out() -> None:
    context = "".join(f" line {n}\n" for n in range(40))
    diff = f"diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1,80 +1,80 @@\n{context}-old\n+new\n{context}"
    shown = cut_excerpt(diff, "INC-7.diff").split("\n")
    assert len(shown) <= LINES
    assert {"+++ b/a.py", "-old", "+new", " line 39", " line 38"} <= set(shown)
    assert " line 20" not in shown
    assert shown[-1] == "… the whole diff is in INC-7.diff"
    many = "+++ b/a.py\n@@ -1 +1,99 @@\n" + "".join(f"+row {n}\n" for n in range(99))
    cut = cut_excerpt(many, "INC-7.diff").split("\n")
    assert len(cut) == LINES
    assert cut[-1] == f"… {99 - (LINES - 3)} more changed lines in INC-7.diff"


def test_long_lines_do_not_flood_a_phone() -> None:
    shown = cut_excerpt("+++ b/a.js\n@@ -1 +1 @@\n+" + "x" * 9000, "INC-7.diff")
    assert max(len(line) for line in shown.split("\n")) <= 160


def test_bytes_that_are_no_text_are_shown_escaped() -> None:
    odd = replace(DRAFT, patch=Patch(text=b"+caf\xe9\n", files=()))
    assert patch(odd).files[0].text == "+caf\\xe9\n"


def test_verdicts() -> None:
    def verdict(run, incident=INCIDENT) -> Message:  # type: ignore[no-untyped-def]  # test helper
        return render_verdict(incident, DRAFT, run, approvers=["ana", "ana"], names=NAMES, now=NOW)

    green = verdict(RUN)
    assert (green.headline, green.tone, green.rings) == ('CI green: Revert "Cache totals"', Tone.GOOD, ("ana",))
    assert "The alert still fires." in texts(green)
    assert "The alert has cleared." in texts(verdict(RUN, replace(INCIDENT, firing=0)))
    declared = replace(INCIDENT, labels={"alertname": DECLARED})
    assert "Resolve it when you see that it is over." in texts(verdict(RUN, declared))
    failed = replace(RUN, state=CIState.FAILED, failed_step="tests", log_tail="\n".join(f"l{n}" for n in range(50)))
    red = verdict(failed)
    assert (red.headline, red.tone, red.slot) == ('CI red: Revert "Cache totals"', Tone.BAD, green.slot)
    assert "First failing step: tests." in texts(red)
    (tail,) = [block for block in red.blocks if isinstance(block, Code)]
    assert tail.text.startswith("… 30 lines before\nl30")
    running = verdict(replace(RUN, state=CIState.RUNNING, finished_at=None, attempt=2))
    assert (running.headline, running.rings) == ('CI is running: Revert "Cache totals"', ())


def test_the_record_lists_every_run_with_what_it_said() -> None:
    tests = CheckRun(
        name="unit", at="x", verdict=Check.UNKNOWN, seconds=9.0, output="1 failed", note="failed in 1 of 3 runs",
        kind="test", exit_code=1, attempts=3, greens=2,
    )  # fmt: skip
    style = CheckRun(name="style", at="x", verdict=Check.RED, seconds=1.0, exit_code=2, required=False)
    before = CheckRun(name="reproduction", at="b", verdict=Check.RED, seconds=0.5, output="POST /checkout → 500")
    verified = replace(VERIFIED, runs=(tests, style), base_runs=(before,), notes=("not verified: unit is flaky",))
    message = patch(replace(DRAFT, verified=verified))
    record = message.files[1]
    assert record.name.endswith("-verification.txt")
    assert "Not verified; sandbox:" in record.text
    assert "Without the patch:\n* reproduction: red, 0.5 s\n    POST /checkout → 500" in record.text
    assert "* unit (test): not judged, 9.0 s, exit 1, green in 2 of 3 runs\n    1 failed" in record.text
    assert "* style: red, 1.0 s, exit 2, not required" in record.text
    assert "Not verified: Unit is flaky." in texts(message)


def test_a_draft_that_was_never_run_has_no_record() -> None:
    assert len(patch(replace(DRAFT, verified=None)).files) == 1
