"""Policies: rules add up, a further rule or freeze never lets more through, and broken ones stop the start."""

import random
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.approval import Vote, cast_vote, check_still_valid, request_approval
from bot.domain.approvals.freeze import Freeze, Weekday, find_freeze
from bot.domain.approvals.policy import ApprovalPolicy, ApprovalRule, Scope
from bot.domain.draft import ChangeKind, Draft, DraftState, FileChange, Patch, Risk
from bot.domain.oncall import Person, Role, Roster
from bot.domain.patches.patch import parse_patch
from bot.domain.patches.risk import RiskFacts, classify_risk
from bot.domain.patches.risk_kind import RiskKind, kinds_of
from bot.errors import ConfigError, Refused
from bot.settings import load_settings
from tests.worldkit import diff, verified

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)  # a Wednesday
NAMES = ("ada", "ben", "cleo", "dan")
ROSTER = Roster(people={name: Person(id=name, name=name, role=Role.APPROVER) for name in NAMES})
PATHS = ("shop/cart.py", "shop/billing/tax.py", "docs/readme.md")

rules = st.builds(
    ApprovalRule,
    services=st.sampled_from([(), ("shop",), ("search",)]),
    paths=st.sampled_from([(), ("shop",), ("shop/billing",), ("docs/*.md",)]),
    risks=st.sampled_from([(), (RiskKind.BUILD,), (RiskKind.SIZE, RiskKind.OTHER)]),
    approvers=st.none() | st.lists(st.sampled_from(NAMES), unique=True).map(tuple),
    quorum=st.integers(1, 3),
    self_approval=st.booleans(),
    expiry=st.none() | st.sampled_from([timedelta(minutes=1), timedelta(hours=3)]),
)
freezes = st.builds(
    Freeze,
    reason=st.just("calm"),
    services=st.sampled_from([(), ("shop",), ("search",)]),
    weekdays=st.lists(st.sampled_from(list(Weekday)), unique=True).map(tuple),
    start=st.sampled_from([time(0), time(12), time(18)]),
    end=st.sampled_from([time(0), time(6), time(13)]),
)
policies = st.builds(
    ApprovalPolicy,
    version=st.just("v"),
    approvers=st.lists(st.sampled_from(NAMES), unique=True, min_size=1).map(tuple),
    quorum=st.integers(1, 2),
    self_approval=st.booleans(),
    rules=st.lists(rules, max_size=3).map(tuple),
    freezes=st.lists(freezes, max_size=2).map(tuple),
)
cases = st.tuples(
    st.sampled_from(PATHS),
    st.sampled_from([(), ("changes a build script: Makefile",), ("changes 500 lines (more than 200)",)]),
    st.none() | st.sampled_from(NAMES),
    st.lists(st.sampled_from(NAMES), unique=True).map(tuple),
)


def make_draft(path: str, risk: tuple[str, ...]) -> Draft:
    change = FileChange(path=path, kind=ChangeKind.MODIFIED, added=1, removed=1)
    return Draft(
        incident="INC-1",
        patch=Patch(text=path.encode(), files=(change,)),
        base="b" * 40,
        branch="main",
        title="t",
        culprit=None,
        author="nightshift",
        verified=verified(),
        risk=Risk(reasons=risk),
        state=DraftState.PROPOSED,
        created_at=NOON,
        service="shop",
    )


def gets_through(policy: ApprovalPolicy, case: tuple) -> bool:
    """Say whether a patch that some people approve two minutes later is pushed two minutes after that."""
    path, risk, requester, voters = case
    try:
        approval = request_approval(
            make_draft(path, risk), now=NOON, policy=policy, requester=requester, target="t", audit_head=""
        )
    except Refused:
        return False
    at = NOON + timedelta(minutes=2)
    for person in voters:
        vote = Vote(person=person, approve=True, at=at, channel="web", event=person)
        try:
            approval = cast_vote(approval, vote, digest=approval.digest, now=at, roster=ROSTER, policy=policy)
        except Refused:
            continue
    try:
        check_still_valid(approval, digest=approval.digest, now=at + timedelta(minutes=2), roster=ROSTER, policy=policy)
    except Refused:
        return False
    return True


class TestAddingUp:
    @given(policies, rules, cases)
    def test_one_more_rule_never_lets_a_patch_through_that_was_held_before(self, policy, rule, case):
        if gets_through(replace(policy, rules=(*policy.rules, rule)), case):
            assert gets_through(policy, case)

    @given(policies, freezes, cases)
    def test_one_more_freeze_never_lets_a_patch_through_that_was_held_before(self, policy, freeze, case):
        if gets_through(replace(policy, freezes=(*policy.freezes, freeze)), case):
            assert gets_through(policy, case)

    @given(policies, cases, st.randoms(use_true_random=False))
    def test_neither_the_order_of_the_votes_nor_of_the_rules_decides(self, policy, case, dice: random.Random):
        path, risk, requester, voters = case
        shuffled = replace(policy, rules=tuple(dice.sample(policy.rules, len(policy.rules))))
        other = (path, risk, requester, tuple(dice.sample(voters, len(voters))))
        assert gets_through(policy, case) == gets_through(shuffled, other)

    @given(policies)
    def test_of_a_patch_that_nothing_is_known_of_every_rule_holds(self, policy):
        narrowed = policy.narrow(Scope())
        assert narrowed.quorum == max([policy.quorum, *(rule.quorum for rule in policy.rules)])
        assert narrowed.narrow(Scope()) == narrowed

    def test_a_rule_is_about_a_patch_that_matches_all_that_it_names(self):
        rule = ApprovalRule(services=("shop",), paths=("billing",), risks=(RiskKind.BUILD,), quorum=2)
        whole = Scope(service="shop", paths=("a.py", "billing/tax.py"), kinds=(RiskKind.SIZE, RiskKind.BUILD))
        assert rule.applies_to(whole)
        for change in ({"service": "search"}, {"paths": ("billings/a",)}, {"kinds": (RiskKind.SIZE,)}):
            assert not rule.applies_to(replace(whole, **change))


class TestKinds:
    @pytest.mark.parametrize(
        ("patch", "kind"),
        [
            (diff(".github/workflows/ci.yml"), RiskKind.CI),
            (diff("nightshift.toml"), RiskKind.POLICY),
            (diff("requirements.txt"), RiskKind.DEPENDENCIES),
            (diff("Makefile"), RiskKind.BUILD),
            (diff("db/migrations/1.py"), RiskKind.MIGRATION),
            (diff("login/a.py"), RiskKind.AUTHENTICATION),
            (diff("elsewhere.py"), RiskKind.OUTSIDE),
            (diff("tests/test_a.py", before="assert a", after="pass"), RiskKind.TESTS),
            (diff("tests/test_a.py", before="a", after="@pytest.mark.skip"), RiskKind.TESTS),
            (diff("tests/test_a.py", before="assert a", after="assert b"), RiskKind.TESTS),
        ],
    )
    def test_every_reason_has_its_kind(self, patch, kind):
        facts = RiskFacts(is_verified=True, service_paths=("login",), auth_paths=("login",), max_lines=1, max_files=1)
        kinds = kinds_of(classify_risk(parse_patch(patch), facts=facts).reasons)
        assert kind in kinds
        assert RiskKind.SIZE in kinds
        assert RiskKind.OTHER not in kinds

    def test_not_verified_is_one_and_unknown_words_are_kept_as_other(self):
        assert kinds_of(["was not verified in the sandbox", "not verified in the sandbox"]) == (RiskKind.UNVERIFIED,)
        assert kinds_of(["glows in the dark"]) == (RiskKind.OTHER,)
        assert kinds_of(["changes the mode of x: 644→755"]) == (RiskKind.MODE,)


def weekly(*days: Weekday, start: time = time(0), end: time = time(0), zone: str = "UTC") -> Freeze:
    return Freeze(reason="calm", weekdays=days, start=start, end=end, zone=zone)


class TestFreezes:
    def test_a_weekend_is_one_freeze_from_friday_evening_to_monday_morning(self):
        weekend = (
            weekly(Weekday.FRI, start=time(18)),
            weekly(Weekday.SAT, Weekday.SUN),
            weekly(Weekday.MON, end=time(6)),
        )
        friday = datetime(2026, 3, 6, 18, 0, tzinfo=UTC)
        frozen = find_freeze(weekend, service="shop", now=friday)
        assert frozen is not None
        assert frozen.say(friday) == "Freeze until Mon 06:00 UTC: calm."
        assert find_freeze(weekend, service="shop", now=friday - timedelta(seconds=1)) is None
        assert find_freeze(weekend, service="shop", now=frozen.until) is None

    def test_a_night_reaches_into_the_next_day(self):
        night = (weekly(Weekday.WED, start=time(22), end=time(6)),)
        for hours, holds in ((-1, False), (10, True), (17, True), (18, False)):
            assert (find_freeze(night, service="s", now=NOON + timedelta(hours=hours)) is not None) is holds

    def test_local_time_follows_the_clock_change(self):
        night = (weekly(Weekday.SUN, end=time(6), zone="Europe/Berlin"),)
        before, after = datetime(2026, 3, 22, 3, tzinfo=UTC), datetime(2026, 3, 29, 3, tzinfo=UTC)
        ends = [find_freeze(night, service="s", now=now).until.hour for now in (before, after)]
        assert ends == [5, 4]

    def test_a_far_end_names_its_date(self):
        long = Freeze(reason="migration.", since=NOON, until=NOON + timedelta(days=30))
        assert find_freeze((long,), service="s", now=NOON).say(NOON) == "Freeze until 2026-04-03 12:00 UTC: migration."

    def test_a_freeze_that_never_ends_is_found_in_bounded_time(self):
        always = (weekly(*Weekday),)
        assert find_freeze(always, service="s", now=NOON) is not None


BASE = """
[people.ada]
name = "Ada"
role = "approver"
[people.rob]
name = "Rob"
[services.shop]
repository = "/srv/shop"
[approval]
approvers = ["ada"]
"""


TEAM = """
[people.ada]
name = "Ada"
role = "admin"
[people.ben]
name = "Ben"
role = "approver"
[people.cleo]
name = "Cleo"
role = "admin"
[people.dan]
name = "Dan"
role = "admin"
[approval]
approvers = ["ada", "ben", "cleo"]
"""


def load(tmp_path, monkeypatch, text: str, base: str = BASE):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nightshift.toml").write_text(base + text, encoding="utf-8")
    return load_settings(tmp_path / "nightshift.toml")


class TestConfiguration:
    def test_a_policy_is_read_as_it_is_written(self, tmp_path, monkeypatch):
        text = """
break_glass = ["ada"]
[[approval.rules]]
paths = ["billing"]
risks = ["build"]
approvers = []
expiry_minutes = 10
[[approval.freezes]]
reason = "evening"
weekdays = ["fri"]
start = "18:00"
zone = "Europe/Berlin"
[[approval.freezes]]
reason = "fair"
since = 2026-12-20T00:00:00+01:00
until = 2027-01-02T00:00:00Z
"""
        policy = load(tmp_path, monkeypatch, text).approval_policy()
        (rule,), (evening, fair) = policy.rules, policy.freezes
        assert (rule.approvers, rule.expiry, rule.risks) == ((), timedelta(minutes=10), (RiskKind.BUILD,))
        assert (evening.start, evening.end, evening.weekdays) == (time(18), time(0), (Weekday.FRI,))
        assert fair.until == datetime(2027, 1, 2, tzinfo=UTC)
        assert policy.break_glass == ("ada",)

    @pytest.mark.parametrize(
        "text",
        [
            "self_approval = false",
            'break_glass = ["ada"]',
            "[[approval.rules]]\nself_approval = false",
            '[[approval.freezes]]\nreason = "x"\nweekdays = ["fri"]',
            'auth_paths = ["a"]',
        ],
    )
    def test_the_version_covers_every_part(self, tmp_path, monkeypatch, text):
        plain = load(tmp_path, monkeypatch, "").approval_policy().version
        assert load(tmp_path, monkeypatch, text).approval_policy().version != plain

    @pytest.mark.parametrize(
        ("break_glass", "people"),
        [
            ('["role:admin"]', ("ada", "cleo")),
            ('["role:approver"]', ("ada", "ben", "cleo")),
            ('["ben", "role:admin", "ada"]', ("ben", "ada", "cleo")),
            ("[]", ()),
        ],
    )
    def test_break_glass_names_people_and_the_approvers_of_a_role(self, tmp_path, monkeypatch, break_glass, people):
        policy = load(tmp_path, monkeypatch, f"break_glass = {break_glass}", TEAM).approval_policy()
        assert policy.break_glass == people

    def test_a_role_that_somebody_gets_or_loses_changes_the_policy(self, tmp_path, monkeypatch):
        before = load(tmp_path, monkeypatch, 'break_glass = ["role:admin"]', TEAM).approval_policy()
        demoted = TEAM.replace('name = "Cleo"\nrole = "admin"', 'name = "Cleo"\nrole = "approver"')
        after = load(tmp_path, monkeypatch, 'break_glass = ["role:admin"]', demoted).approval_policy()
        assert (before.break_glass, after.break_glass) == (("ada", "cleo"), ("ada",))
        assert before.version != after.version

    @pytest.mark.parametrize(
        ("break_glass", "what"),
        [
            ('["role:boss"]', '"role:boss" is no role that approves; use "role:approver" or "role:admin"'),
            ('["role:responder"]', "is no role that approves"),
            ('["role:"]', "is no role that approves"),
            ('["role:admin"]', '"role:admin" names nobody: no person in approval.approvers has that role'),
        ],
    )
    def test_a_role_that_can_approve_nothing_is_said_at_the_start(self, tmp_path, monkeypatch, break_glass, what):
        with pytest.raises(ConfigError) as wrong:
            load(tmp_path, monkeypatch, f"break_glass = {break_glass}")
        (problem,) = wrong.value.problems
        assert problem.where == "approval.break_glass"
        assert what in problem.what

    def test_all_that_is_wrong_is_said_at_the_start(self, tmp_path, monkeypatch):
        text = """
break_glass = ["rob"]
[[approval.rules]]
services = ["search"]
[[approval.rules]]
approvers = ["zoe"]
paths = [" "]
[[approval.rules]]
quorum = 2
[[approval.freezes]]
reason = "neither"
[[approval.freezes]]
reason = "both"
weekdays = ["fri"]
since = 2026-12-20T00:00:00Z
[[approval.freezes]]
reason = "backwards"
since = 2026-12-20T00:00:00Z
until = 2026-12-19T00:00:00Z
start = "08:00"
zone = "Mars/Olympus"
[[approval.freezes]]
reason = "far"
since = 2026-12-20T00:00:00Z
until = 9999-12-31T23:59:59Z
"""
        with pytest.raises(ConfigError) as wrong:
            load(tmp_path, monkeypatch, text)
        said = str(wrong.value)
        for part in (
            "break_glass: add",
            'rules.0.services: no service "search"',
            "rules.0: asks for nothing",
            'rules.1.approvers: add "zoe"',
            "rules.1.paths: holds an empty path",
            "rules.2.quorum: asks for 2 people where 1 may approve",
            "freezes.0: needs either",
            "freezes.1: needs either",
            "freezes.2: needs since, and an until that is later",
            "freezes.2: start and end go with weekdays",
            "freezes.2.zone: is no time zone",
            "freezes.3: is too far away",
        ):
            assert part in said

    @pytest.mark.parametrize(
        "text",
        [
            '[[approval.rules]]\nrisks = ["everything"]\nquorum = 2',
            "[[approval.rules]]\nquorum = 0",
            "[[approval.rules]]\npersons = 2",
            '[[approval.freezes]]\nreason = "x"\nweekdays = ["friday"]',
            '[[approval.freezes]]\nreason = "x"\nsince = 2026-12-20T00:00:00\nuntil = 2026-12-21T00:00:00',
            'rules = "none"',
        ],
    )
    def test_a_malformed_policy_stops_the_start(self, tmp_path, monkeypatch, text):
        with pytest.raises(ConfigError):
            load(tmp_path, monkeypatch, text)


def test_an_ordinary_patch_that_one_approver_approves_gets_through():
    assert gets_through(ApprovalPolicy(version="v", approvers=("ada",)), (PATHS[0], (), None, ("ada",)))
