"""Who may let a patch through, when, and for how long: one scenario per test, given / when / then."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.approval import (
    NO_APPROVALS,
    Approval,
    ApprovalPolicy,
    ApprovalState,
    Vote,
    cast_vote,
    check_still_valid,
    enter_state,
    expire,
    renew,
    request_approval,
    states_before,
    who_may_approve,
)
from bot.domain.draft import Draft, DraftState, Patch, Risk
from bot.domain.evidence import Check, CheckRun
from bot.domain.investigation import Verified
from bot.domain.oncall import Person, Role, Roster
from bot.errors import Reason, Refused

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POLICY = ApprovalPolicy(version="v1", approvers=("ada", "ben", "cleo"))
GREEN = Verified(
    before=Check.RED,
    after=Check.GREEN,
    runs=(CheckRun(name="tests", at="patched", verdict=Check.GREEN, seconds=1.0),),
)


def person(name: str, role: Role = Role.APPROVER) -> Person:
    return Person(id=name, name=name.title(), role=role, accounts={"web": f"{name}@web", "slack": f"U-{name}"})


ROSTER = Roster(people={name: person(name) for name in ("ada", "ben", "cleo")} | {"rob": person("rob", Role.RESPONDER)})


def draft(*risk: str, author: str = "nightshift", verified: Verified | None = GREEN) -> Draft:
    return Draft(
        incident="INC-7",
        patch=Patch(text=b"--- a\n+++ b\n", files=()),
        base="b" * 40,
        branch="main",
        title="Revert the tax change",
        culprit="c" * 40,
        author=author,
        verified=verified,
        risk=Risk(reasons=risk),
        state=DraftState.PROPOSED,
        created_at=NOON,
    )


def asked(*risk: str, requester: str | None = None, author: str = "nightshift") -> Approval:
    return request_approval(
        draft(*risk, author=author), now=NOON, policy=POLICY, requester=requester, target="shop main", audit_head="h1"
    )


def press(who: str, *, approve: bool = True, event: str | None = None, at: datetime = NOON + MINUTE) -> Vote:
    name = event or f"{who}-{'yes' if approve else 'no'}"
    return Vote(
        person=who, approve=approve, at=at, channel="web", event=name, reason="" if approve else "wrong suspect"
    )


def decide(
    approval: Approval,
    vote: Vote,
    *,
    now: datetime | None = None,
    roster: Roster = ROSTER,
    policy: ApprovalPolicy = POLICY,
    digest: str | None = None,
) -> Approval:
    return cast_vote(approval, vote, digest=digest or approval.digest, now=now or vote.at, roster=roster, policy=policy)


def check(
    approval: Approval, *, now: datetime = NOON + 2 * MINUTE, roster: Roster = ROSTER, policy: ApprovalPolicy = POLICY
) -> None:
    check_still_valid(approval, digest=approval.digest, now=now, roster=roster, policy=policy)


def without(name: str) -> Roster:
    return Roster(people={key: value for key, value in ROSTER.people.items() if key != name})


class TestAsking:
    def test_an_ordinary_patch_needs_one_person_and_excludes_nobody(self):
        approval = asked(requester="ada", author="ben")
        assert (approval.state, approval.needs, approval.excluded) == (ApprovalState.PENDING, 1, ())
        assert approval.expires_at == NOON + 60 * MINUTE

    def test_a_risky_patch_needs_two_people_and_excludes_author_and_requester(self):
        approval = asked("touches CI files", requester="ada", author="ben")
        assert (approval.needs, set(approval.excluded)) == (2, {"ada", "ben"})

    def test_a_patch_nobody_verified_is_risky_even_if_the_draft_forgot_to_say_so(self):
        request = {"now": NOON, "policy": POLICY, "requester": None, "target": "t", "audit_head": "h"}
        assert request_approval(draft(verified=None), **request).needs == 2
        assert request_approval(draft(verified=replace(GREEN, after=Check.RED)), **request).needs == 2

    def test_a_quorum_above_two_holds_for_risky_patches_too(self):
        policy = replace(POLICY, quorum=3)
        approval = request_approval(draft("size"), now=NOON, policy=policy, requester=None, target="t", audit_head="h")
        assert approval.needs == 3

    def test_a_replaced_draft_cannot_be_put_up_for_approval(self):
        old = replace(draft(), state=DraftState.SUPERSEDED)
        with pytest.raises(Refused, match="newer") as refused:
            request_approval(old, now=NOON, policy=POLICY, requester=None, target="t", audit_head="h")
        assert refused.value.reason is Reason.STALE

    def test_a_missing_policy_asks_nobody_and_lets_nobody_through(self):
        with pytest.raises(Refused, match="Nobody may approve"):
            request_approval(draft(), now=NOON, policy=NO_APPROVALS, requester=None, target="t", audit_head="h")
        with pytest.raises(Refused, match="Nobody may approve"):
            decide(asked(), press("ada"), policy=NO_APPROVALS)
        approved = decide(asked(), press("ada"))
        with pytest.raises(Refused, match="Nobody may approve"):
            check(approved, policy=NO_APPROVALS)

    @pytest.mark.parametrize(
        "broken", [{"quorum": 0}, {"risky_quorum": 1}, {"expiry": timedelta(0)}, {"version": ""}], ids=str
    )
    def test_a_policy_that_would_let_patches_through_cannot_be_made(self, broken):
        with pytest.raises(ValueError, match="let patches through"):
            ApprovalPolicy(**{"version": "v", **broken})

    def test_the_card_names_only_people_whose_approval_would_count(self):
        approval = asked("size", requester="ada")
        assert who_may_approve(approval, roster=without("cleo"), policy=POLICY) == ("ben",)


class TestPress:
    def test_the_lone_on_call_who_asked_approves_an_ordinary_patch(self):
        approval = decide(asked(requester="ada"), press("ada"))
        assert (approval.state, approval.approved_by) == (ApprovalState.APPROVED, ("ada",))
        check(approval)

    def test_who_asked_for_a_risky_patch_cannot_approve_it(self):
        with pytest.raises(Refused, match="risky \\(touches CI files\\)") as refused:
            decide(asked("touches CI files", requester="ada"), press("ada"))
        assert refused.value.reason is Reason.NOT_ALLOWED

    def test_who_wrote_a_risky_patch_cannot_approve_it(self):
        with pytest.raises(Refused, match="author"):
            decide(asked("size", author="ben"), press("ben"))

    def test_a_risky_patch_waits_for_the_second_person(self):
        one = decide(asked("size"), press("ada"))
        assert (one.state, one.missing) == (ApprovalState.PENDING, 1)
        with pytest.raises(Refused, match="not approved yet; 1 more person must"):
            check(one)
        two = decide(one, press("ben"))
        assert (two.state, two.approved_by) == (ApprovalState.APPROVED, ("ada", "ben"))

    def test_the_same_person_pressing_again_is_not_a_second_person(self):
        one = decide(asked("size"), press("ada"))
        with pytest.raises(Refused, match="already approved this; 1 more person must"):
            decide(one, press("ada", event="another press"))

    def test_one_person_with_two_accounts_counts_once(self):
        web, slack = ROSTER.find("web", "ada@web"), ROSTER.find("slack", "U-ada")
        assert web is slack is not None
        one = decide(asked("size"), press(web.id, event="web-1"))
        with pytest.raises(Refused) as refused:
            decide(one, replace(press(slack.id, event="slack-1"), channel="slack"))
        assert refused.value.reason is Reason.ALREADY_DONE

    def test_a_replayed_event_changes_nothing_before_and_after_the_decision(self):
        one = decide(asked("size"), press("ada"))
        assert decide(one, press("ada")) is one
        two = decide(one, press("ben"))
        assert decide(two, press("ben")) is two
        late = NOON + timedelta(days=2)
        assert decide(two, press("ben"), now=late) is two

    def test_an_event_replayed_under_another_name_is_no_free_pass(self):
        one = decide(asked("size"), press("ada", event="e1"))
        with pytest.raises(Refused):
            decide(one, press("rob", event="e1"))

    def test_a_double_press_is_told_who_approved(self):
        approved = decide(asked(), press("ada"))
        with pytest.raises(Refused, match="already approved by Ada"):
            decide(approved, press("ben"))

    def test_a_card_that_shows_another_patch_is_stale(self):
        for digest in ("0" * 64, asked().digest[:11], ""):
            with pytest.raises(Refused, match="newest card") as refused:
                cast_vote(asked(), press("ada"), digest=digest, now=NOON, roster=ROSTER, policy=POLICY)
            assert refused.value.reason is Reason.STALE

    def test_twelve_characters_of_the_digest_are_enough_for_a_button(self):
        assert decide(asked(), press("ada"), digest=asked().digest[:12]).state is ApprovalState.APPROVED

    def test_a_superseded_card_says_so(self):
        old = enter_state(asked(), ApprovalState.SUPERSEDED)
        with pytest.raises(Refused, match="replaced by a newer one") as refused:
            decide(old, press("ada"))
        assert refused.value.reason is Reason.STALE

    def test_a_press_at_the_last_moment_counts_and_one_at_the_expiry_does_not(self):
        last = NOON + 60 * MINUTE - timedelta(microseconds=1)
        assert decide(asked(), press("ada", at=last)).state is ApprovalState.APPROVED
        with pytest.raises(Refused, match="ran out at 13:00 UTC; renew") as refused:
            decide(asked(), press("ada", at=NOON + 60 * MINUTE))
        assert refused.value.reason is Reason.EXPIRED

    def test_a_stranger_is_told_how_to_get_in(self):
        with pytest.raises(Refused, match="mallory is not on the roster; an administrator"):
            decide(asked(), press("mallory"))

    @pytest.mark.parametrize("approve", [True, False])
    def test_a_responder_can_neither_approve_nor_reject(self, approve):
        policy = replace(POLICY, approvers=("rob",))
        with pytest.raises(Refused, match="Rob has the role responder"):
            decide(asked(), press("rob", approve=approve), policy=policy)

    def test_an_approver_the_policy_does_not_name_is_refused(self):
        policy = replace(POLICY, approvers=("ada",))
        with pytest.raises(Refused, match="Ben is not among the approvers"):
            decide(asked(), press("ben"), policy=policy)

    def test_a_policy_that_changed_since_the_card_asks_for_a_renewal(self):
        newer = replace(POLICY, version="v2")
        with pytest.raises(Refused, match="policy has changed") as refused:
            decide(asked(), press("ada"), policy=newer)
        assert refused.value.reason is Reason.STALE
        renewed = renew(asked(), now=NOON + MINUTE, policy=newer)
        assert decide(renewed, press("ada"), policy=newer).policy_version == "v2"


class TestRejection:
    def test_one_rejection_is_final_and_keeps_its_reason(self):
        no = decide(asked("size"), press("ben", approve=False))
        assert (no.state, no.rejection and no.rejection.reason) == (ApprovalState.REJECTED, "wrong suspect")
        with pytest.raises(Refused, match="rejected by Ben: wrong suspect"):
            decide(no, press("ada"))

    def test_a_rejection_without_a_reason_is_asked_for_one(self):
        with pytest.raises(Refused, match="Say why"):
            decide(asked(), replace(press("ada", approve=False), reason="  "))

    def test_who_approved_a_risky_patch_may_still_stop_it(self):
        one = decide(asked("size"), press("ada"))
        assert decide(one, press("ada", approve=False)).state is ApprovalState.REJECTED

    def test_who_asked_for_a_risky_patch_may_stop_it_also_under_a_new_policy(self):
        no = decide(asked("size", requester="ada"), press("ada", approve=False), policy=replace(POLICY, version="v2"))
        assert no.state is ApprovalState.REJECTED

    def test_a_rejection_after_the_approval_comes_too_late(self):
        approved = decide(asked(), press("ada"))
        with pytest.raises(Refused, match="already approved by Ada") as refused:
            decide(approved, press("ben", approve=False))
        assert refused.value.reason is Reason.ALREADY_DONE


class TestBeforeThePush:
    def test_a_restart_between_press_and_push_changes_nothing_within_the_hour(self):
        check(decide(asked(), press("ada")), now=NOON + 59 * MINUTE)

    def test_an_approval_that_ran_out_before_the_push_does_not_count(self):
        with pytest.raises(Refused, match="ran out at 13:00 UTC before it was carried out") as refused:
            check(decide(asked(), press("ada")), now=NOON + 60 * MINUTE)
        assert refused.value.reason is Reason.EXPIRED

    def test_an_approver_who_left_the_roster_no_longer_counts(self):
        with pytest.raises(
            Refused, match=r"no longer counts: ada is not on the roster.* Nothing was pushed"
        ) as refused:
            check(decide(asked(), press("ada")), roster=without("ada"))
        assert refused.value.reason is Reason.REVOKED

    def test_an_approver_who_was_demoted_no_longer_counts(self):
        demoted = Roster(people={**ROSTER.people, "ada": person("ada", Role.RESPONDER)})
        with pytest.raises(Refused, match="Ada has the role responder"):
            check(decide(asked(), press("ada")), roster=demoted)

    def test_a_stricter_policy_stops_what_the_old_one_let_through(self):
        approved = decide(asked(), press("ada"))
        with pytest.raises(Refused, match="now asks for 2 people, 1 approved"):
            check(approved, policy=replace(POLICY, version="v2", quorum=2))
        with pytest.raises(Refused, match="Ada is not among the approvers"):
            check(approved, policy=replace(POLICY, version="v2", approvers=("ben",)))
        with pytest.raises(Refused, match="ran out at 12:05 UTC"):
            check(approved, policy=replace(POLICY, version="v2", expiry=5 * MINUTE), now=NOON + 6 * MINUTE)

    def test_a_policy_that_is_not_stricter_leaves_the_approval_standing(self):
        check(decide(asked(), press("ada")), policy=replace(POLICY, version="v2", approvers=("ada", "ben", "zoe")))

    def test_other_bytes_than_the_approved_ones_are_never_pushed(self):
        approved = decide(asked(), press("ada"))
        for digest in ("0" * 64, approved.digest[:12], ""):
            with pytest.raises(Refused, match="not the bytes that were approved"):
                check_still_valid(approved, digest=digest, now=NOON, roster=ROSTER, policy=POLICY)

    def test_an_approval_is_carried_out_once(self):
        done = enter_state(decide(asked(), press("ada")), ApprovalState.EXECUTED)
        with pytest.raises(Refused, match="approved by Ada and has been pushed") as refused:
            check(done)
        assert refused.value.reason is Reason.ALREADY_DONE

    @pytest.mark.parametrize("state", [ApprovalState.REJECTED, ApprovalState.SUPERSEDED, ApprovalState.FAILED])
    def test_nothing_but_an_approved_patch_is_pushed(self, state):
        with pytest.raises(Refused):
            check(replace(decide(asked(), press("ada")), state=state))


class TestExpiryAndRenewal:
    def test_the_timer_expires_what_nobody_decided_and_only_when_it_is_time(self):
        assert expire(asked(), now=NOON + 59 * MINUTE).state is ApprovalState.PENDING
        expired = expire(asked(), now=NOON + 60 * MINUTE)
        assert expired.state is ApprovalState.EXPIRED
        with pytest.raises(Refused, match="renew it to ask again"):
            decide(expired, press("ada", at=NOON + 61 * MINUTE))

    def test_the_timer_never_touches_what_was_decided(self):
        no = decide(asked(), press("ada", approve=False))
        assert expire(no, now=NOON + timedelta(days=1)) is no

    def test_one_tap_renews_an_expired_approval_and_asks_for_every_vote_again(self):
        one = decide(asked("size"), press("ada"))
        again = renew(expire(one, now=NOON + 61 * MINUTE), now=NOON + 61 * MINUTE, policy=POLICY)
        assert (again.state, again.votes, again.renewals) == (ApprovalState.PENDING, (), 1)
        assert again.expires_at == NOON + 121 * MINUTE
        assert again.digest == one.digest

    def test_a_vote_from_before_the_renewal_does_not_come_back(self):
        one = decide(asked("size"), press("ada"))
        again = renew(one, now=NOON + 50 * MINUTE, policy=POLICY)
        with pytest.raises(Refused, match="older than this request"):
            decide(again, press("ada"), now=NOON + 51 * MINUTE)

    def test_a_renewal_is_offered_near_the_end_and_refused_before(self):
        with pytest.raises(Refused, match="still runs until 13:00 UTC"):
            renew(asked(), now=NOON + 44 * MINUTE, policy=POLICY)
        assert renew(asked(), now=NOON + 45 * MINUTE, policy=POLICY).renewals == 1

    def test_a_renewal_takes_the_stricter_policy_and_keeps_who_is_excluded(self):
        stricter = replace(POLICY, version="v2", risky_quorum=3)
        again = renew(asked("size", requester="ada"), now=NOON + MINUTE, policy=stricter)
        assert (again.needs, again.policy_version) == (3, "v2")
        assert "ada" in again.excluded

    @pytest.mark.parametrize("state", [s for s in ApprovalState if s.is_final] + [ApprovalState.APPROVED])
    def test_a_decided_approval_cannot_be_renewed(self, state):
        with pytest.raises(Refused):
            renew(replace(asked(), state=state), now=NOON + 90 * MINUTE, policy=POLICY)

    def test_a_renewal_needs_a_policy(self):
        with pytest.raises(Refused, match="Nobody may approve"):
            renew(asked(), now=NOON + 90 * MINUTE, policy=NO_APPROVALS)


def test_only_votes_approve_and_only_a_renewal_reopens():
    for state in (ApprovalState.APPROVED, ApprovalState.PENDING):
        with pytest.raises(Refused):
            enter_state(asked(), state)
    assert states_before(ApprovalState.APPROVED) == {ApprovalState.PENDING}
    assert states_before(ApprovalState.EXECUTED) == {ApprovalState.APPROVED, ApprovalState.FAILED}
    assert {s for s in ApprovalState if s.is_final} == {
        ApprovalState.REJECTED,
        ApprovalState.SUPERSEDED,
        ApprovalState.EXECUTED,
        ApprovalState.FAILED,
    }
