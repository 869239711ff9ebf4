"""The document of a rollback: one canonical form, and nothing that could be taken for a patch."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.approvals.order import Order, Ordered, read_order
from bot.domain.approvals.rollback import Release, Rollback, judge_rollback, parse_rollback
from bot.domain.patches.patch import parse_patch
from bot.domain.patches.risk_kind import RiskKind, kinds_of
from bot.errors import Refused

ROLLBACK = Rollback(
    incident="INC-7",
    request=17,
    service="checkout",
    repository="https://github.com/octo/shop",
    job="rollback.yml",
    present=Release(tag="v1.4.2", sha="2" * 40),
    previous=Release(tag="v1.4.1", sha="1" * 40),
)
DOCUMENT = f"""\
nightshift-rollback: v1
incident: INC-7
request: 17
service: checkout
repository: https://github.com/octo/shop
job: rollback.yml
from-tag: v1.4.2
from-commit: {"2" * 40}
to-tag: v1.4.1
to-commit: {"1" * 40}
""".encode()

lines = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1, max_size=60)
tags = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+/-]{0,30}", fullmatch=True)
shas = st.from_regex(r"[0-9a-f]{40}", fullmatch=True)
releases = st.builds(Release, tag=tags, sha=shas)


@st.composite
def rollbacks(draw: st.DrawFn) -> Rollback:
    present, previous = draw(releases), draw(releases)
    if present.tag == previous.tag or present.sha == previous.sha:
        present = Release(tag=f"{previous.tag[:20]}-next", sha=previous.sha[::-1][:-1] + "0")
    try:
        return Rollback(
            incident=f"INC-{draw(st.integers(1, 10**9))}",
            request=draw(st.integers(0, 10**9)),
            service=draw(lines).strip() or "shop",
            repository=draw(lines).strip() or "/srv/shop.git",
            job=draw(lines).strip() or "back",
            present=present,
            previous=previous,
        )
    except Refused:
        return ROLLBACK


def test_the_document_has_one_key_a_line_in_a_fixed_order():
    assert ROLLBACK.document == DOCUMENT
    assert ROLLBACK.digest == hashlib.sha256(DOCUMENT).hexdigest()
    assert parse_rollback(DOCUMENT) == ROLLBACK


@given(rollbacks())
def test_a_document_reads_back_as_what_it_was_written_from(rollback):
    assert parse_rollback(rollback.document) == rollback
    assert rollback.document.count(b"\n") == 10


@given(rollbacks(), rollbacks())
def test_two_rollbacks_share_a_digest_only_where_they_are_the_same(one, other):
    assert (one.digest == other.digest) == (one == other)


@given(rollbacks(), st.data())
def test_a_changed_document_is_another_rollback_or_none(rollback, data):
    text = rollback.document
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.binary(max_size=3)) + text[at + 1 :]
    try:
        read = parse_rollback(changed)
    except Refused:
        return
    assert read.document == changed


@pytest.mark.parametrize(
    "changed",
    [
        b"",
        DOCUMENT[:-1],
        DOCUMENT + b"\n",
        DOCUMENT + b"job: other.yml\n",
        DOCUMENT.replace(b"request: 17", b"request: 017"),
        DOCUMENT.replace(b"request: 17", "request: \uff11\uff17".encode()),
        DOCUMENT.replace(b"\n", b"\r\n"),
        DOCUMENT.replace(b": v1\n", b": v2\n", 1),
        DOCUMENT.replace(b"v1.4.1", b"v1.4.2"),
        b"\xff" + DOCUMENT,
    ],
)
def test_whatever_is_not_the_canonical_form_is_refused(changed):
    with pytest.raises(Refused):
        parse_rollback(changed)


@pytest.mark.parametrize(
    "changes",
    [
        {"service": "shop\nto-tag: v9"},
        {"job": ""},
        {"job": " back"},
        {"repository": "a\u202eb"},
        {"incident": "INC-1 "},
        {"request": -1},
        {"present": Release(tag="-f", sha="2" * 40)},
        {"present": Release(tag="v1 .4", sha="2" * 40)},
        {"present": Release(tag="v1.4.2", sha="main")},
        {"present": Release(tag="v1.4.1", sha="2" * 40)},
        {"previous": Release(tag="v1.4.1", sha="2" * 40)},
    ],
)
def test_what_does_not_fit_on_its_line_or_changes_nothing_is_refused(changes):
    with pytest.raises(Refused):
        replace(ROLLBACK, **changes)


def test_a_document_is_no_patch_and_a_patch_is_no_document():
    with pytest.raises(Refused):
        parse_patch(DOCUMENT)
    with pytest.raises(Refused):
        parse_rollback(b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n")


def test_a_rollback_always_takes_a_second_person_and_says_why():
    assert kinds_of(judge_rollback(["shop/cart.py"]).reasons) == (RiskKind.ROLLBACK,)
    names = [f"shop/migrations/{number:04}_totals.py" for number in range(8)]
    risk = judge_rollback(["shop/cart.py", *names])
    assert kinds_of(risk.reasons) == (RiskKind.ROLLBACK, RiskKind.MIGRATION)
    assert risk.reasons[1] == "goes back over a database migration: shop/migrations/0000_totals.py"
    assert risk.reasons[-1] == "goes back over a database migration: 3 more of them"


def test_its_order_has_a_key_of_its_own_that_a_button_can_name():
    order = Order(incident="INC-7", digest=ROLLBACK.digest, what=Ordered.ROLLBACK)
    assert order.key == f"nightshift-INC-7-{ROLLBACK.digest[:12]}-rollback"
    assert read_order("INC-7", ROLLBACK.digest, order.arg) == order
