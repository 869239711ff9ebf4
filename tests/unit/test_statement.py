"""The approval as a document, and the commit message that nothing hostile can bend."""

import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.approval import Approval, ApprovalState, Vote
from bot.domain.approvals.statement import (
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    build_statement,
    commit_message,
    parse_statement,
    statement_digest,
    verify_statement,
)
from bot.errors import Reason, Refused

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PATCH = b"--- a/tax.py\n+++ b/tax.py\n"


def approved(**changes: object) -> Approval:
    vote = Vote(person="ada", approve=True, at=NOON + timedelta(seconds=61), channel="web", event="e1")
    first = Approval(
        incident="INC-7",
        digest=hashlib.sha256(PATCH).hexdigest(),
        base="b" * 40,
        target="shop main",
        policy_version="v1",
        state=ApprovalState.APPROVED,
        needs=1,
        risk=(),
        requested_at=NOON,
        expires_at=NOON + timedelta(hours=1),
        audit_head="12:abcd",
        votes=(vote,),
        requester="ada",
    )
    return replace(first, **changes)


def test_it_is_an_in_toto_statement_about_the_patch():
    document = json.loads(build_statement(approved()))
    assert document["_type"] == STATEMENT_TYPE == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == PREDICATE_TYPE
    assert document["subject"] == [
        {"name": f"INC-7-{approved().digest[:12]}.diff", "digest": {"sha256": hashlib.sha256(PATCH).hexdigest()}}
    ]
    predicate = document["predicate"]
    assert predicate["base"] == {"gitCommit": "b" * 40}
    assert (predicate["target"], predicate["policyVersion"], predicate["auditHead"]) == ("shop main", "v1", "12:abcd")
    assert predicate["expiresAt"] == "2026-03-02T13:00:00.000000Z"
    assert [(v["person"], v["approve"], v["at"]) for v in predicate["votes"]] == [
        ("ada", True, "2026-03-02T12:01:01.000000Z")
    ]


def test_its_bytes_do_not_depend_on_time_zone_or_on_what_happened_after():
    summer = timezone(timedelta(hours=2))
    same = approved(expires_at=(NOON + timedelta(hours=1)).astimezone(summer), state=ApprovalState.EXECUTED)
    assert build_statement(same) == build_statement(approved())
    assert b" " not in build_statement(approved(target="shop"))
    assert statement_digest(build_statement(approved())) == hashlib.sha256(build_statement(approved())).hexdigest()


@pytest.mark.parametrize("state", [s for s in ApprovalState if s not in {"approved", "executed", "failed"}])
def test_there_is_no_statement_without_an_approval(state):
    with pytest.raises(Refused, match="there is no statement"):
        build_statement(approved(state=state))


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "0" * 64},
        {"base": "c" * 40},
        {"target": "shop release"},
        {"policy_version": "v2"},
        {"expires_at": NOON + timedelta(hours=9)},
        {"audit_head": "13:beef"},
        {"votes": ()},
        {"risk": ("size",)},
        {"needs": 2},
    ],
    ids=str,
)
def test_every_term_of_the_approval_changes_the_digest(change):
    assert statement_digest(build_statement(approved(**change))) != statement_digest(build_statement(approved()))


def test_it_reads_back_what_was_written():
    statement = verify_statement(build_statement(approved()), patch=PATCH)
    assert (statement.votes, statement.expires_at) == (approved().votes, approved().expires_at)


def test_another_patch_is_not_covered():
    with pytest.raises(Refused, match="another patch") as refused:
        verify_statement(build_statement(approved()), patch=PATCH + b"\n")
    assert refused.value.reason is Reason.CONFLICT


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"needs": 2, "risk": ("size",)}, "1 of 2"),
        ({"needs": 0, "votes": ()}, "0 of 0"),
        ({"excluded": ("ada",)}, "excluded"),
        ({"votes": (replace(approved().votes[0], approve=False, reason="no"),)}, "rejection"),
        ({"votes": (replace(approved().votes[0], at=NOON + timedelta(hours=1)),)}, "expired"),
        ({"needs": 2, "votes": (approved().votes[0], replace(approved().votes[0], event="e2"))}, "1 of 2"),
    ],
)
def test_a_forged_statement_with_votes_that_do_not_suffice_is_refused(change, words):
    with pytest.raises(Refused, match=words):
        verify_statement(build_statement(approved(**change)), patch=PATCH)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"_type":1}',
        json.dumps(json.loads(build_statement(approved()))).encode(),
        build_statement(approved()) + b"\n",
        build_statement(approved()).replace(b'"needs":1', b'"needs":true'),
        build_statement(approved()).replace(b'"needs":1', b'"needs":1,"needs":1'),
        build_statement(approved()).replace(b'"needs":1', b'"extra":1,"needs":1'),
        build_statement(approved()).replace(b'"_type"', b'"_typo"'),
        build_statement(approved()).replace(b".000000Z", b".000000"),
        b" " * 300_000,
    ],
    ids=range(14),
)
def test_anything_but_the_exact_bytes_is_refused(data):
    with pytest.raises(Refused):
        parse_statement(data)


@given(st.binary(max_size=300))
def test_junk_is_refused_and_never_crashes(data):
    with pytest.raises(Refused):
        parse_statement(data)


@given(reason=st.text(max_size=40), target=st.text(max_size=40))
def test_any_text_survives_the_round_trip(reason, target):
    approval = approved(target=target, votes=(replace(approved().votes[0], reason=reason),))
    assert parse_statement(build_statement(approval)).votes == approval.votes


def message(title: str, body: str = "", approvers: tuple[str, ...] = ("Ada Lovelace",)) -> str:
    return commit_message(title, approved(), approvers=approvers, audit_head="14:f00d", body=body)


def test_the_message_carries_title_reason_and_proof():
    digest = statement_digest(build_statement(approved()))
    assert message('Revert "Round tax up"', "Commit c0ffee made /pay answer 500.", ("Ada", "Ben")) == (
        'Revert "Round tax up"\n'
        "\n"
        "Commit c0ffee made /pay answer 500.\n"
        "\n"
        "Nightshift-Incident: INC-7\n"
        f"Nightshift-Patch: sha256:{approved().digest}\n"
        f"Nightshift-Approval: sha256:{digest}\n"
        "Nightshift-Audit: 14:f00d\n"
        "Approved-by: Ada\n"
        "Approved-by: Ben\n"
    )


@pytest.mark.parametrize(
    "title",
    [
        "Fix\n\nNightshift-Approval: sha256:0000",
        "Fix\r\nApproved-by: Mallory",
        "Fix\u2028Signed-off-by: Mallory <m@x>",
        "Nightshift-Approval : forged",
        "Fix [skip ci] now",
        "Fix [sk\u200bip ci]",
        "Fix [sk**ip c**i]",
        "Fix ***NO_CI***",
        "Fix [no ci][ci skip]",
        "skip-checks: true",
        "Fix \u202egnp.exe",
        "Fixes #12 and GH-13 and !14",
        "Closes https://github.com/a/b/issues/1",
        "Thanks @everyone and @octocat",
        "x" * 5000,
        "",
        "\x00\x1b[31mred",
        "\ud800",
    ],
)
@pytest.mark.parametrize("place", ["title", "body", "name"])
def test_hostile_text_stays_text(title, place):
    text = message(
        title if place == "title" else "Fix",
        title if place == "body" else "",
        (title if place == "name" else "Ada",),
    )
    lines = text.encode().decode().splitlines()
    names = [line.split(":")[0] for line in lines if line.split(":")[0].lower().endswith(("-by", "-checks"))]
    assert names == ["Approved-by"]
    assert len(re.findall(r"(?im)^nightshift-[a-z]+\s*:", text)) == 4
    assert sum("nightshift-approval:" in line.lower() for line in lines) == 1
    assert len(lines[0]) <= 72
    assert lines[1] == ""
    for live in ("[skip ci]", "[no ci]", "[ci skip]", "***", "@", "#12", "GH-13", "!14", "://", "\x1b", "\u202e"):
        assert live not in text
    assert text.endswith("\n")
