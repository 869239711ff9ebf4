"""Which service an alert is about, who is paged for it, and which deliveries are one problem."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.alert import AlertGroup, fingerprint_labels
from bot.domain.oncall import EscalationPolicy, EscalationStep, Person, Role, Roster, plan_page
from bot.domain.routing import MAX_PATTERN, Matcher, Route, choose_route, incident_key

words = st.text(alphabet='ab|"\\,é', max_size=4)


def route(service: str, /, **matchers: str) -> Route:
    pairs = tuple(Matcher(label=label, pattern=pattern) for label, pattern in matchers.items())
    return Route(matchers=pairs, service=service, escalation="default", channels=("web",))


class TestChoosingARoute:
    ROUTES = (route("checkout", service="checkout", severity="critical|page"), route("cart", service="ca.*"))

    @pytest.mark.parametrize(
        ("labels", "service"),
        [
            ({"service": "checkout", "severity": "critical"}, "checkout"),
            ({"service": "cart"}, "cart"),
            ({"service": "carts-and-more"}, "cart"),
        ],
    )
    def test_the_first_whose_matchers_all_match_wins(self, labels, service):
        chosen = choose_route(self.ROUTES, labels)
        assert chosen is not None
        assert chosen.service == service

    @pytest.mark.parametrize(
        "labels",
        [{}, {"service": "checkout"}, {"service": "my-checkout", "severity": "critical"}, {"service": "scar"}],
        ids=["no label", "one of two", "only a part of the value", "not from the start"],
    )
    def test_nobody_claims_the_rest(self, labels):
        assert choose_route(self.ROUTES, labels) is None

    def test_without_matchers_claims_everything(self):
        everything = route("any")
        assert choose_route((*self.ROUTES, everything), {"x": "y"}) is everything

    def test_a_missing_label_is_an_empty_value(self):
        assert Matcher(label="team", pattern="").matches({})
        assert not Matcher(label="team", pattern=".+").matches({})

    @pytest.mark.parametrize("pattern", ["(", "(?=x)", r"(a)\1", "x" * (MAX_PATTERN + 1)])
    def test_a_pattern_that_cannot_be_used_is_named(self, pattern):
        assert Matcher(label="a", pattern=pattern).fault()

    def test_a_pattern_that_hurts_other_engines_ends_at_once(self):
        assert not Matcher(label="a", pattern="(a+)+b").matches({"a": "a" * 50_000})


@given(first=st.tuples(words, words, words), second=st.tuples(words, words, words))
def test_two_problems_never_have_the_same_key(first, second):
    def key(parts: tuple[str, str, str]) -> str:
        return incident_key(AlertGroup(source="s", group_key=f"g{parts[0]}", alerts=()), parts[1], parts[2])

    assert (key(first) == key(second)) is (first == second)


def test_without_a_group_key_the_alert_name_groups():
    unnamed = AlertGroup(source="s", group_key="", alerts=())
    assert incident_key(unnamed, "checkout", "A") != incident_key(unnamed, "checkout", "B")


@given(labels=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=5))
def test_a_fingerprint_does_not_depend_on_the_order_of_labels(labels):
    turned = dict(reversed(list(labels.items())))
    assert fingerprint_labels(turned) == fingerprint_labels(labels)
    assert fingerprint_labels({**labels, "one more": "x"}) != fingerprint_labels(labels)


class TestOnCall:
    POLICY = EscalationPolicy(
        name="default",
        steps=(
            EscalationStep(people=("ada",)),
            EscalationStep(people=("ben", "cleo"), after=timedelta(minutes=5)),
        ),
    )

    def test_each_level_says_who_and_when_the_next_follows(self):
        first, second = plan_page(self.POLICY, 0), plan_page(self.POLICY, 1)
        assert first is not None
        assert second is not None
        assert (first.people, first.next_after) == (("ada",), timedelta(minutes=5))
        assert (second.people, second.next_after) == (("ben", "cleo"), None)

    @pytest.mark.parametrize("level", [-1, 2, 999])
    def test_there_is_nobody_outside_the_policy(self, level):
        assert plan_page(self.POLICY, level) is None

    def test_an_account_belongs_to_one_person_on_one_channel(self):
        ada = Person(id="ada", name="Ada", accounts={"web": "a1", "console": "a2"})
        roster = Roster(people={"ada": ada})
        assert roster.find("web", "a1") is ada
        assert roster.find("console", "a2") is ada
        assert roster.find("web", "a2") is None
        assert roster.find("slack", "a1") is None

    @pytest.mark.parametrize("role", list(Role))
    def test_each_role_may_what_the_ones_before_it_may(self, role):
        allowed = [other for other in Role if Person(id="p", name="P", role=role).may(other)]
        assert allowed == list(Role)[: list(Role).index(role) + 1]
