"""What every store must do, whatever database it is on: subclass `StoreContract` and give it a rig.

class TestStoreSqlite(StoreContract):
    @pytest.fixture
    def rig(self, tmp_path): ...     # returns a StoreRig on an empty database
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from bot.domain.alert import Alert, AlertStatus, LastWord
from bot.domain.approval import Approval, ApprovalState, Vote
from bot.domain.chat import Reply
from bot.domain.ci import CIRun, CIState
from bot.domain.ci_logs.jobs import MAX_JOBS, GreenLog
from bot.domain.draft import Draft, DraftState, Risk
from bot.domain.incident import Incident, IncidentState, Severity
from bot.domain.investigation import Collected, Drafted
from bot.domain.linking import CodeOffer, LinkedAccount
from bot.domain.models.spending import Spent
from bot.domain.past import PastIncident
from bot.domain.patches.patch import parse_patch
from bot.domain.suspects.happened import Happened, WhatKind
from bot.domain.suspects.told_change import ToldChange
from bot.domain.timeline import GENESIS, hash_event, verify_chain
from bot.errors import Reason, Refused
from bot.ports.work import EffectState, Store
from tests.worldkit import BASE, NOW, FixedClock, PhaseLog, alert, diff, verified

ODD = "ünïcode 😀 \u202e 'quoted' \"twice\" %_\\ \r\n\t"


@dataclass(kw_only=True)
class StoreRig:
    """`another` opens the same database once more, as a second process would."""

    store: Store
    clock: FixedClock
    phases: PhaseLog
    another: Callable[[], Store]


def incident(key: str = "k", **changes: object) -> Incident:
    value = Incident(
        id="",
        key=key,
        title=ODD,
        service="checkout",
        severity=Severity.CRITICAL,
        state=IncidentState.TRIGGERED,
        opened_at=NOW,
        changed_at=NOW,
        labels={"a": ODD, "": ""},
        annotations={"x": "y"},
        alert_started_at=NOW - timedelta(minutes=3, microseconds=17),
        channels=("web", "console"),
    )
    return replace(value, **changes)  # type: ignore[arg-type]  # tests name real fields


def draft(patch: bytes = diff(), **changes: object) -> Draft:
    value = Draft(
        incident="INC-1",
        patch=parse_patch(patch),
        base=BASE,
        branch="main",
        title=ODD,
        culprit=None,
        author="nightshift",
        verified=verified(),
        risk=Risk(reasons=("one", "two")),
        state=DraftState.PROPOSED,
        created_at=NOW,
        notes=("n",),
    )
    return replace(value, **changes)  # type: ignore[arg-type]  # tests name real fields


def approval(digest: str = draft().digest, **changes: object) -> Approval:
    value = Approval(
        incident="INC-1",
        digest=digest,
        base=BASE,
        target="t",
        policy_version="v1",
        state=ApprovalState.PENDING,
        needs=1,
        risk=(),
        requested_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        audit_head="",
    )
    return replace(value, **changes)  # type: ignore[arg-type]  # tests name real fields


def voted(before: Approval, person: str = "ada") -> Approval:
    vote = Vote(person=person, approve=True, at=NOW, channel="web", event="e", reason=ODD)
    return replace(before, state=ApprovalState.APPROVED, votes=(*before.votes, vote))


class StoreContract:
    def test_what_is_preliminary_gives_way_once_and_a_run_can_be_begun_anew(self, rig: StoreRig):
        whole = Collected(records=(), requests=(), evidence=(), lines_read=2)
        early = replace(whole, lines_read=1, pending=("loki log",))
        with rig.store.begin() as work:
            earlier = replace(early, lines_read=0)
            for result, is_taken in ((earlier, True), (early, True), (whole, True), (early, False)):
                assert work.investigations.add("r", result) is is_taken
            work.investigations.add("other", whole)
        with rig.store.begin() as work:
            assert work.investigations.of("r") == (whole,)
            work.investigations.drop("r")
            assert work.investigations.of("r") == ()
            assert work.investigations.of("other") == (whole,)

    def test_a_unit_is_all_or_nothing(self, rig: StoreRig):
        with pytest.raises(RuntimeError), rig.store.begin() as work:  # noqa: PT012 -- the whole unit is what fails
            added = work.incidents.add(incident())
            work.alerts.put(added.id, [alert()])
            work.investigations.add("r", Collected(records=(), requests=(), evidence=(), lines_read=1))
            work.drafts.add(draft())
            work.approvals.add(approval())
            work.ci_runs.put("INC-1", "d", CIRun(id="1", sha="s", state=CIState.QUEUED))
            work.effects.intend("k", "chat:web", {})
            work.postings.put("INC-1", "web", "card", "m1")
            work.timeline.append("INC-1", "opened", "nightshift", "x")
            work.chat_events.claim("web", "e")
            work.switches.set("paused", "yes")
            work.phases.enqueue("triage", "k", {})
            raise RuntimeError
        assert not rig.phases.committed
        with rig.store.begin() as work:
            assert not work.incidents.recent()
            assert work.alerts.firing("INC-1") == 0
            assert work.investigations.of("r") == ()
            assert not work.drafts.of("INC-1")
            assert not work.approvals.of("INC-1")
            assert not work.ci_runs.of("INC-1")
            assert work.effects.backlog() == (0, 0.0)
            assert work.postings.ref("INC-1", "web", "card") is None
            assert work.timeline.head() == (0, GENESIS)
            assert work.chat_events.claim("web", "e") is None
            assert work.switches.get("paused") == ""

    def test_what_was_committed_is_seen_by_everybody(self, rig: StoreRig):
        other = rig.another()
        with rig.store.begin() as work:
            added = work.incidents.add(incident())
        with other.begin() as work:
            assert work.incidents.get(added.id) == added

    def test_a_unit_has_one_time(self, rig: StoreRig):
        with rig.store.begin() as work:
            rig.clock.advance(hours=1)
            assert work.now == NOW
            assert work.timeline.append("INC-1", "a", "b", "c").at == NOW


class IncidentContract:
    def test_comes_back_as_it_went_in_with_a_number(self, rig: StoreRig):
        with rig.store.begin() as work:
            first, second = work.incidents.add(incident()), work.incidents.add(incident())
            assert (first.id, second.id) == ("INC-1", "INC-2")
        with rig.another().begin() as work:
            assert replace(work.incidents.get("INC-1"), id="") == incident()

    @pytest.mark.parametrize(
        "name", ["", "INC-", "INC-0", "INC-2", "INC-01", "inc-1", "INC-1 ", "INC-١", "INC-" + "9" * 30]
    )
    def test_what_is_not_there_is_refused(self, rig: StoreRig, name: str):
        with rig.store.begin() as work:
            work.incidents.add(incident())
        with rig.store.begin() as work, pytest.raises(Refused) as refusal:
            work.incidents.get(name)
        assert refusal.value.reason is Reason.NOT_FOUND

    def test_the_newest_of_a_key_is_found(self, rig: StoreRig):
        with rig.store.begin() as work:
            for key in ("a", "b", "a"):
                work.incidents.add(incident(key))
            newest = work.incidents.latest("a")
            assert newest is not None
            assert newest.id == "INC-3"
            assert work.incidents.latest("A") is None
            assert work.incidents.latest("") is None

    def test_saving_writes_everything_but_the_state(self, rig: StoreRig):
        with rig.store.begin() as work:
            added = work.incidents.add(incident())
            work.incidents.save(
                replace(added, owner="ada", state=IncidentState.RESOLVED, changed_at=NOW + timedelta(1))
            )
        with rig.store.begin() as work:
            assert work.incidents.get("INC-1") == replace(added, owner="ada")

    def test_a_state_is_entered_once(self, rig: StoreRig):
        later = NOW + timedelta(minutes=1)
        with rig.store.begin() as work:
            work.incidents.add(incident())
            assert work.incidents.advance("INC-1", IncidentState.ACKNOWLEDGED, later)
            assert not work.incidents.advance("INC-1", IncidentState.ACKNOWLEDGED, later)
            assert not work.incidents.advance("INC-1", IncidentState.TRIGGERED, later)
            assert not work.incidents.advance("INC-9", IncidentState.RESOLVED, later)
            assert (work.incidents.get("INC-1").state, work.incidents.get("INC-1").changed_at) == (
                IncidentState.ACKNOWLEDGED,
                later,
            )

    def test_two_at_once_enter_a_state_once(self, rig: StoreRig):
        with rig.store.begin() as work:
            work.incidents.add(incident())

        def take(store: Store) -> bool:
            with store.begin() as work:
                return work.incidents.advance("INC-1", IncidentState.ACKNOWLEDGED, NOW)

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(take, [rig.store, rig.another()] * 2)) == [False, False, False, True]

    def test_open_ones_are_listed_first_newest_first(self, rig: StoreRig):
        with rig.store.begin() as work:
            for _ in range(4):
                work.incidents.add(incident())
            work.incidents.advance("INC-4", IncidentState.RESOLVED, NOW)
            work.incidents.advance("INC-2", IncidentState.RESOLVED, NOW)
            assert [item.id for item in work.incidents.recent()] == ["INC-3", "INC-1", "INC-4", "INC-2"]
            assert [item.id for item in work.incidents.recent(1)] == ["INC-3"]

    def test_open_ones_are_counted_by_state(self, rig: StoreRig):
        with rig.store.begin() as work:
            assert work.incidents.count_open() == {}
            for _ in range(4):
                work.incidents.add(incident())
            work.incidents.advance("INC-4", IncidentState.RESOLVED, NOW)
            work.incidents.advance("INC-2", IncidentState.ACKNOWLEDGED, NOW)
            assert work.incidents.count_open() == {IncidentState.TRIGGERED: 2, IncidentState.ACKNOWLEDGED: 1}


class AlertMemoryContract:
    def test_only_news_counts(self, rig: StoreRig):
        earlier, later = NOW - timedelta(hours=1), NOW + timedelta(hours=1)
        with rig.store.begin() as work:

            def put(incident: str, said: Alert) -> bool:
                return work.alerts.put(incident, [said]) == [said]

            assert put("INC-1", alert(starts_at=NOW))
            assert not put("INC-1", alert(starts_at=NOW))
            assert not put("INC-1", alert(starts_at=earlier))
            assert not put("INC-1", alert(starts_at=earlier, firing=False))
            assert work.alerts.firing("INC-1") == 1
            assert put("INC-1", alert(starts_at=NOW, firing=False))
            assert not put("INC-1", alert(starts_at=NOW))
            assert work.alerts.firing("INC-1") == 0
            assert put("INC-1", alert(starts_at=later))
            assert work.alerts.firing("INC-1") == 1
            assert work.alerts.firing("INC-2") == 0

    def test_times_of_other_zones_are_the_same_times(self, rig: StoreRig):
        with rig.store.begin() as work:
            work.alerts.put("INC-1", [alert(starts_at=NOW)])
            assert not work.alerts.put("INC-1", [alert(starts_at=NOW.astimezone(timezone(timedelta(hours=9))))])

    def test_many_at_once_are_looked_at_in_their_order(self, rig: StoreRig):
        later = NOW + timedelta(hours=1)
        crowd = [replace(alert(starts_at=NOW), fingerprint=f"{number:016x}") for number in range(1201)]
        again = [replace(crowd[0], status=AlertStatus.RESOLVED), replace(crowd[0], starts_at=later)]
        with rig.store.begin() as work:
            assert work.alerts.put("INC-1", [*crowd, *again]) == [*crowd, *again]
            assert work.alerts.firing("INC-1") == 1201
            assert work.alerts.put("INC-1", [*crowd, *again]) == []

    def test_the_newest_word_of_an_alert_is_known_over_all_incidents_of_a_key(self, rig: StoreRig):
        minute, word = timedelta(minutes=1), alert()
        with rig.store.begin() as work:
            for key in ("k", "k", "other", "k"):
                work.incidents.add(incident(key))
            work.alerts.put("INC-1", [alert(starts_at=NOW + minute), alert(firing=False, starts_at=NOW + minute)])
            work.alerts.put("INC-2", [alert(starts_at=NOW, instance="b")])
            work.alerts.put("INC-3", [alert(starts_at=NOW + 9 * minute)])
            work.alerts.put("INC-4", [alert(starts_at=NOW)])
        with rig.another().begin() as work:
            b, c = alert(instance="b"), alert(instance="c")
            assert work.alerts.known("k", [word, b, c]) == {
                word.fingerprint: LastWord(starts_at=NOW + minute, is_over=True),
                b.fingerprint: LastWord(starts_at=NOW, is_over=False),
            }
            assert work.alerts.known("nobody's", [word]) == {}
            assert work.alerts.known("k", []) == {}

    def test_a_word_without_an_incident_is_known_under_its_key(self, rig: StoreRig):
        word, key = alert(firing=False, starts_at=NOW), ODD * 500
        with rig.store.begin() as work:
            work.alerts.keep(key, [word])
            work.alerts.keep(key, [word, alert(firing=False, starts_at=NOW - timedelta(minutes=1))])
        with rig.another().begin() as work:
            assert work.alerts.known(key, [word]) == {word.fingerprint: LastWord(starts_at=NOW, is_over=True)}
            assert work.alerts.known("k", [word]) == {}
            assert not work.incidents.recent()


class PatchContract:
    def test_stages_come_back_in_order_and_are_stored_once(self, rig: StoreRig):
        drafted = Drafted(base=BASE, patch=b"\x00\xff", title=ODD, culprit=None)
        collected = Collected(records=(), requests=(), evidence=(), lines_read=1, notes=(ODD,))
        with rig.store.begin() as work:
            assert work.investigations.add("r", drafted)
            assert work.investigations.add("r", collected)
            assert not work.investigations.add("r", replace(collected, lines_read=2))
        with rig.another().begin() as work:
            assert work.investigations.of("r") == (collected, drafted)
            assert work.investigations.of("other") == ()

    def test_a_draft_comes_back_byte_for_byte(self, rig: StoreRig):
        with rig.store.begin() as work:
            work.drafts.add(draft())
        with rig.another().begin() as work:
            assert work.drafts.get("INC-1", draft().digest) == draft()
            assert work.drafts.get("INC-1", draft().digest[:12]) == draft()
            assert work.drafts.of("INC-1") == [draft()]
            work.drafts.supersede("INC-1", draft().digest)
            assert work.drafts.get("INC-1", draft().digest).state is DraftState.SUPERSEDED

    @pytest.mark.parametrize(
        "digest", ["", "a", "%" * 12, "_" * 12, "f" * 12, draft().digest[:11], draft().digest + "0"]
    )
    def test_a_digest_names_one_patch_or_none(self, rig: StoreRig, digest: str):
        with rig.store.begin() as work:
            work.drafts.add(draft())
            work.approvals.add(approval())
        for name in ("drafts", "approvals"):
            with rig.store.begin() as work, pytest.raises(Refused) as refusal:
                getattr(work, name).get("INC-1", digest)
            assert refusal.value.reason is Reason.NOT_FOUND

    def test_an_approval_is_replaced_only_as_it_was_read(self, rig: StoreRig):
        first = approval()
        with rig.store.begin() as work:
            work.approvals.add(first)
            assert work.approvals.waiting() == [first]
            assert work.approvals.replace(first, voted(first))
            assert not work.approvals.replace(first, voted(first, "ben"))
            assert work.approvals.get("INC-1", first.digest) == voted(first)
        with rig.another().begin() as work:
            assert work.approvals.of("INC-1") == [voted(first)]
            assert not work.approvals.waiting()
            assert work.approvals.replace(voted(first), replace(voted(first), state=ApprovalState.EXECUTED))

    def test_two_votes_at_once_are_one_vote(self, rig: StoreRig):
        first = approval()
        with rig.store.begin() as work:
            work.approvals.add(first)

        def vote(store: Store, person: str) -> bool:
            with store.begin() as work:
                return work.approvals.replace(first, voted(first, person))

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(vote, [rig.store, rig.another()], ["ada", "ben"])) == [False, True]

    def test_a_ci_run_is_known_by_its_sha_and_keeps_its_verdict(self, rig: StoreRig):
        queued = CIRun(id="1", sha="s", state=CIState.QUEUED, started_at=NOW, log_tail=ODD)
        passed = replace(queued, state=CIState.PASSED)
        with rig.store.begin() as work:
            put = work.ci_runs.put
            assert put("INC-1", "d", queued)
            assert not put("INC-1", "d", queued)
            assert put("INC-1", "d", passed)
            assert not put("INC-1", "d", queued)
            assert not put("INC-1", "d", replace(passed, state=CIState.FAILED))
            assert work.ci_runs.of("INC-1") == [("d", passed)]
            assert work.ci_runs.find("s") == ("INC-1", "d")
            assert work.ci_runs.find("t") is None
            assert put("INC-1", "d", replace(queued, attempt=2))
            assert put("INC-1", "e", replace(queued, sha="t"))
        with rig.another().begin() as work:
            assert [(digest, run.sha, run.attempt) for digest, run in work.ci_runs.of("INC-1")] == [
                ("d", "s", 2),
                ("e", "t", 1),
            ]


class OutboxContract:
    def test_a_promise_is_written_once_for_ever(self, rig: StoreRig):
        with rig.store.begin() as work:
            assert work.effects.intend("k", "chat:web", {"a": ODD})
            assert not work.effects.intend("k", "chat:console", {"b": "other"})
            work.effects.settle("k", EffectState.DONE)
            assert not work.effects.intend("k", "chat:web", {})
            effect = work.effects.get("k")
            assert effect is not None
            assert (effect.state, effect.payload, effect.target) == (EffectState.DONE, {"a": ODD}, "chat:web")
            assert work.effects.get("K") is None

    def test_a_target_s_promises_come_in_order_until_they_are_kept(self, rig: StoreRig):
        with rig.store.begin() as work:
            for number in range(5):
                work.effects.intend(f"web-{number}", "chat:web", {})
                work.effects.intend(f"slack-{number}", "chat:slack", {})
            work.effects.settle("web-1", EffectState.DONE)
            work.effects.settle("web-2", EffectState.FAILED, "x" * 100_000)
        with rig.another().begin() as work:
            waiting = work.effects.next_of("chat:web")
            assert [item.key for item in waiting] == ["web-0", "web-3", "web-4"]
            assert sorted({item.seq for item in waiting}) == [item.seq for item in waiting]
            assert [item.key for item in work.effects.next_of("chat:web", 1)] == ["web-0"]
            assert sorted(work.effects.targets("chat:")) == ["chat:slack", "chat:web"]
            assert not work.effects.targets("push:")

    def test_what_was_promised_about_an_incident_is_found_whatever_became_of_it(self, rig: StoreRig):
        about = [("INC-1", "card"), ("INC-12", "card"), ("INC-1", "patch"), ("INC-1", "card"), ("", "summary")]
        with rig.store.begin() as work:
            for number, (incident, what) in enumerate(about):
                work.effects.intend(
                    f"{what}:{incident}::web:{number}", "chat:web", {"what": what, "incident": incident}
                )
            work.effects.intend("card:INC-1::slack:1", "chat:slack", {"what": "verdict", "incident": "INC-1"})
            work.effects.intend("card:x:INC-1:web:1", "chat:web", {"what": "status", "incident": "x"})
            work.effects.settle("card:INC-1::web:0", EffectState.DONE)
            work.effects.settle("patch:INC-1::web:2", EffectState.FAILED)
        with rig.another().begin() as work:
            assert [payload["what"] for payload in work.effects.promised("chat:web", "INC-1")] == ["card", "patch"]
            assert not work.effects.promised("chat:web", "INC-%")

    def test_a_deferred_promise_waits_and_counts(self, rig: StoreRig):
        until = NOW + timedelta(seconds=30)
        with rig.store.begin() as work:
            work.effects.intend("k", "t", {})
            work.effects.defer("k", until, "down")
            work.effects.defer("k", until, "down")
            (effect,) = work.effects.next_of("t")
            assert (effect.not_before, effect.attempts) == (until, 2)

    def test_the_backlog_tells_how_many_and_how_old(self, rig: StoreRig):
        with rig.store.begin() as work:
            work.effects.intend("a", "t", {})
        rig.clock.advance(seconds=90)
        with rig.store.begin() as work:
            work.effects.intend("b", "t", {})
            assert work.effects.backlog() == (2, 90.0)
            work.effects.settle("a", EffectState.DONE)
            assert work.effects.backlog() == (1, 0.0)

    def test_what_waits_for_its_time_is_no_backlog_until_then(self, rig: StoreRig):
        with rig.store.begin() as work:
            work.effects.intend("later", "t", {}, not_before=work.now + timedelta(seconds=180))
            assert work.effects.backlog() == (0, 0.0)
        rig.clock.advance(seconds=190)
        with rig.store.begin() as work:
            assert work.effects.backlog() == (1, 10.0)
            work.effects.defer("later", work.now + timedelta(seconds=60), "down")
            assert work.effects.backlog() == (1, 190.0), "it was tried: it is late"

    def test_a_slot_names_one_message_a_channel(self, rig: StoreRig):
        with rig.store.begin() as work:
            work.postings.put("INC-1", "web", "card", "m1")
            work.postings.put("INC-1", "web", "card", "m2")
            work.postings.put("INC-1", "slack", "card", "m3")
        with rig.another().begin() as work:
            assert work.postings.ref("INC-1", "web", "card") == "m2"
            assert work.postings.ref("INC-1", "slack", "card") == "m3"
            assert work.postings.ref("INC-2", "web", "card") is None

    def test_a_chat_event_is_claimed_once_a_channel_and_keeps_its_answer(self, rig: StoreRig):
        with rig.store.begin() as work:
            assert work.chat_events.claim("web", "e") is None
            work.chat_events.answer("web", "e", Reply(text=ODD, ok=False))
        with rig.another().begin() as work:
            assert work.chat_events.claim("web", "e") == Reply(text=ODD, ok=False)
            assert work.chat_events.claim("slack", "e") is None
            seen = work.chat_events.claim("slack", "e")
            assert seen is not None
            assert seen.text, "a second press while the first has no answer yet gets words too"

    def test_switches_are_empty_until_they_are_set(self, rig: StoreRig):
        with rig.store.begin() as work:
            assert work.switches.get("paused") == ""
            work.switches.set("paused", "yes")
            work.switches.set("paused", "no")
        with rig.another().begin() as work:
            assert work.switches.get("paused") == "no"

    def test_a_phase_starts_with_the_commit_and_once(self, rig: StoreRig):
        with rig.store.begin() as work:
            work.phases.enqueue("triage", "k", {"a": "1"})
            work.phases.enqueue("triage", "k", {"a": "1"})
            assert not rig.phases.committed
        assert rig.phases.keys("triage") == ["k"]


class KeepsakeContract:
    """What is kept beyond an incident: past ones by their words, and changes that others told of."""

    def test_past_incidents_are_found_by_any_of_their_words_the_closest_first(self, rig: StoreRig):
        def past(name: str, *words: str) -> PastIncident:
            return PastIncident(incident=name, service="shop", title=ODD, fix="a revert", words=words, at=NOW)

        with rig.store.begin() as work:
            work.past_incidents.keep(past("INC-1", "rate", "unrelated", "other"))
            work.past_incidents.keep(past("INC-2", "rate", "basket_total", "coupon"))
            work.past_incidents.keep(past("INC-3", "nothing"))
        with rig.another().begin() as work:
            found = work.past_incidents.like(["rate", "basket_total", "coupon"], but="")
            assert [each.incident for each in found] == ["INC-2", "INC-1"]
            assert found[0] == past("INC-2", "rate", "basket_total", "coupon")
            assert [each.incident for each in work.past_incidents.like(["rate"], but="INC-2")] == ["INC-1"]
            assert list(work.past_incidents.like(["", "a' OR 1", "NEAR(x", "*", "ünï"], but="")) == []
        with rig.store.begin() as work:
            work.past_incidents.keep(past("INC-2", "moved"))
            assert [each.incident for each in work.past_incidents.like(["coupon", "moved"], but="")] == ["INC-2"]
            assert list(work.past_incidents.like(["coupon"], but="")) == []

    def test_a_linked_account_is_one_person_s_and_one_of_each_channel(self, rig: StoreRig):
        first = LinkedAccount(channel="slack", account=ODD.strip(), person="ada", linked_at=NOW)
        second, third = replace(first, account="8"), replace(first, channel="telegram")
        with rig.store.begin() as work:
            for link in (first, second, third):
                work.account_links.add(link)
        with rig.another().begin() as work:
            assert work.account_links.find("slack", first.account) is None
            assert list(work.account_links.of("ada")) == [second, third] == list(work.account_links.all())
            work.account_links.add(replace(second, person="ben"))
            assert list(work.account_links.of("ada")) == [third]
            assert work.account_links.remove("slack", "8")
            assert not work.account_links.remove("slack", "8")

    def test_a_code_is_good_once_in_time_and_one_for_each_person(self, rig: StoreRig):
        offer = CodeOffer(person="ada", channel="slack", digest="d1", expires_at=NOW + timedelta(minutes=10))
        with rig.store.begin() as work:
            for one in (offer, replace(offer, digest="d2"), replace(offer, person="ben", digest="d3")):
                work.link_codes.offer(one)
        with rig.another().begin() as work:
            assert work.link_codes.take("d1") is None
            assert work.link_codes.take("d2") == replace(offer, digest="d2")
            assert work.link_codes.take("d2") is None
        rig.clock.advance(minutes=10)
        with rig.store.begin() as work:
            assert work.link_codes.take("d3") is None

    def test_wrong_codes_are_counted_by_account_for_a_while(self, rig: StoreRig):
        with rig.store.begin() as work:
            for account in ("7", "7", "8"):
                work.link_codes.note_wrong("slack", account)
        with rig.another().begin() as work:
            assert work.link_codes.count_wrong("slack", "7", since=NOW - timedelta(seconds=1)) == 2
            assert work.link_codes.count_wrong("slack", "7", since=NOW) == 0
            assert work.link_codes.count_wrong("telegram", "7", since=NOW - timedelta(seconds=1)) == 0

    def test_changes_that_were_told_are_kept_once_and_found_by_service_and_time(self, rig: StoreRig):
        happened = Happened(kind=WhatKind.FLAG, what=ODD, who="Mara", at=NOW, source="flags")
        with rig.store.begin() as work:
            assert work.told_changes.add(ToldChange(key="1", service="shop", happened=happened))
            assert not work.told_changes.add(ToldChange(key="1", service="shop", happened=happened))
            assert work.told_changes.add(ToldChange(key="2", service="", happened=replace(happened, who="")))
        with rig.another().begin() as work:
            hour = timedelta(hours=1)
            assert work.told_changes.between("shop", NOW - hour, NOW)[0] == happened
            assert [each.who for each in work.told_changes.between("mail", NOW - hour, NOW)] == [""]
            assert list(work.told_changes.between("shop", NOW + hour, NOW + 2 * hour)) == []


class TrailContract:
    def test_rows_are_numbered_without_a_gap_over_all_incidents(self, rig: StoreRig):
        with rig.store.begin() as work:
            first = work.timeline.append("INC-1", "opened", "nightshift", ODD, {"b": ODD, "a": ""})
            assert first.previous == GENESIS
        with rig.another().begin() as work:
            work.timeline.append("INC-2", "opened", "nightshift", "x")
            third = work.timeline.append("INC-1", "paged", "nightshift", "x")
            assert work.timeline.head() == (3, third.hash)
        with rig.store.begin() as work:
            assert [item.seq for item in work.timeline.of("INC-1")] == [1, 3]
            assert work.timeline.of("INC-1")[0] == first
            assert all(hash_event(item) == item.hash for item in work.timeline.all())
            assert verify_chain(work.timeline.all()) is None

    def test_writers_at_the_same_time_make_one_chain(self, rig: StoreRig):
        def write(store: Store) -> None:
            for _ in range(5):
                with store.begin() as work:
                    work.timeline.append("INC-1", "stage", "nightshift", "x")

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(write, [rig.store, rig.another(), rig.another()]))
        with rig.store.begin() as work:
            assert work.timeline.head()[0] == 15
            assert verify_chain(work.timeline.all()) is None

    def test_times_come_back_in_utc_to_the_microsecond(self, rig: StoreRig):
        rig.clock.at = datetime(2026, 3, 4, 12, 0, 0, 123457, timezone(timedelta(hours=5, minutes=45)))
        with rig.store.begin() as work:
            work.timeline.append("INC-1", "a", "b", "c")
        with rig.another().begin() as work:
            (event,) = work.timeline.all()
            assert event.at == rig.clock.at
            assert event.at.tzinfo is UTC
            assert verify_chain([event]) is None

    def test_the_newest_green_log_of_each_job_is_kept_and_only_so_many(self, rig):
        def log(job: str, minutes: int = 0, text: str = "") -> GreenLog:
            return GreenLog(job=job, sha=BASE, at=NOW + timedelta(minutes=minutes), text=text or ODD)

        with rig.store.begin() as work:
            work.green_logs.put("/repo", [log("tests", text="old"), log("style")])
            work.green_logs.put("/repo", [log("tests", 1)])
            work.green_logs.put("/repo", [log("tests", -1, "late")])
            work.green_logs.put("/other", [log("tests", 9, "another")])
        with rig.another().begin() as work:
            assert work.green_logs.of("/repo", ["tests", "none"]) == {"tests": log("tests", 1)}
            work.green_logs.put("/repo", [log(f"job {number}", 2 + number) for number in range(MAX_JOBS - 1)])
            assert set(work.green_logs.of("/repo", ["tests", "style", "job 0"])) == {"tests", "job 0"}
            assert set(work.green_logs.of("/other", ["tests"])) == {"tests"}

    def test_what_models_use_is_counted_once_by_day_with_what_is_reserved(self, rig):
        half = Spent(steps=1, prompt=9_000_000_000, gpu_seconds=1.5)
        with rig.store.begin() as work:
            work.model_spend.charge("INC-1:1", "shop", half)
            work.model_spend.charge("INC-1:1", "shop", half)
            work.model_spend.charge("INC-2:1", "bank", Spent(steps=3))
            work.model_spend.reserve("INC-2:1", "bank", Spent(steps=1), rig.clock.now() + timedelta(minutes=5))
            assert work.model_spend.today() == {"shop": half, "bank": Spent(steps=4)}
        rig.clock.advance(minutes=6)
        with rig.another().begin() as work:
            assert work.model_spend.today() == {"shop": half, "bank": Spent(steps=3)}
        rig.clock.advance(days=1)
        with rig.store.begin() as work:
            work.model_spend.charge("INC-1:1", "shop", half.plus(Spent(steps=1)))
            assert work.model_spend.today() == {"shop": Spent(steps=1)}
