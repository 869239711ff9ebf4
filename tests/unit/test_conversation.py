"""What people press and type: once each, only what their role allows, and always a calm answer."""

from dataclasses import replace

import pytest

from bot.domain.chat import Press
from bot.domain.incident import IncidentState
from bot.domain.oncall import Person, Roster
from bot.engine.chat_inbox import StoreInbox
from bot.errors import Reason, Unavailable
from tests.worldkit import NOW, PEOPLE, World, alert, diff, group, make_world, quiet  # noqa: F401 -- `quiet` is a fixture


@pytest.fixture
def world(tmp_path) -> World:
    return make_world(tmp_path, opened=True)


class TestWhoMay:
    @pytest.mark.parametrize("account", ["mallory@web", "", "ada", "ADA@web"])
    def test_a_stranger_is_told_how_to_get_access(self, world, account):
        reply = world.press("ack:INC-1", account)
        assert not reply.ok
        assert "ask an admin to add your web account" in reply.text
        assert world.incident().owner is None

    @pytest.mark.parametrize(
        "button", ["ack:INC-1", "escalate:INC-1:0", "silence:INC-1:1h", "resolve:INC-1", f"approve:INC-1:{'a' * 12}"]
    )
    def test_a_viewer_may_only_look(self, world, button):
        before = world.kinds()
        reply = world.press(button, "vic@web")
        assert not reply.ok
        assert 'yours is "viewer"' in reply.text
        assert world.kinds() == before

    def test_a_viewer_is_told_who_can_help(self, world):
        told = world.press("ack:INC-1", "vic@web").text
        assert told.endswith(
            'This needs the role "responder"; yours is "viewer". Ask Ada Lovelace, Ben Okri or Cleo Vance.'
        )
        told = world.press(f"approve:INC-1:{'a' * 12}", "vic@web").text
        assert told.endswith("Ask Ada Lovelace or Ben Okri.")

    def test_a_refusal_names_a_few_people_only(self, world):
        many = {f"p{n}": Person(id=f"p{n}", name=f"Person {n}") for n in range(9)}
        world.rules = replace(world.rules, roster=Roster(people={"vic": PEOPLE["vic"], **many}))
        told = world.press("ack:INC-1", "vic@web").text
        assert told.endswith("Ask Person 0, Person 1, Person 2 or one of 6 others.")

    def test_where_nobody_has_the_role_that_is_said(self, world):
        world.rules = replace(world.rules, roster=Roster(people={"vic": PEOPLE["vic"]}))
        assert "Nobody has it" in world.press("ack:INC-1", "vic@web").text

    @pytest.mark.parametrize("text", ["", "/help", "/incident list", "/incident status INC-1", "/oncall who"])
    def test_a_viewer_may_read(self, world, text):
        assert world.say(text, "vic@web").ok

    def test_a_viewer_may_read_patch_and_ci(self, world):
        world.propose()
        for text in ("/patch show INC-1", "/ci status INC-1", "/ci logs INC-1"):
            assert world.say(text, "vic@web").ok

    @pytest.mark.parametrize(
        "text",
        [
            "/incident ack INC-1",
            "/incident triage INC-1",
            "/incident declare checkout nobody can pay",
            "/incident agent off INC-1",
            "/patch reject INC-1 no",
            "/patch changes INC-1 smaller",
            "/patch revert INC-1",
            "/patch rollback INC-1",
            "/patch merge INC-1",
            "/patch break-glass INC-1 now",
            "/ci rerun INC-1",
            "/ci cancel INC-1",
        ],
    )
    def test_a_viewer_may_type_nothing_that_changes_anything(self, world, text):
        world.propose()
        before = world.kinds()
        reply = world.say(text, "vic@web")
        assert (reply.ok, 'yours is "viewer"' in reply.text) == (False, True)
        assert world.kinds() == before

    def test_a_responder_may_not_approve(self, world):
        digest = world.propose().digest[:12]
        for verb in ("approve", "reject", "renew"):
            reply = world.press(f"{verb}:INC-1:{digest}", "cleo@web")
            assert (reply.ok, 'needs the role "approver"' in reply.text) == (False, True)

    def test_a_stranger_learns_nothing_from_a_command(self, world):
        reply = world.say("/incident status INC-1", "mallory@web")
        assert "checkout" not in reply.text


class TestOnce:
    def test_the_same_event_again_gets_the_same_answer_and_acts_once(self, world):
        first = world.press("ack:INC-1", event="e-1")
        assert world.press("ack:INC-1", event="e-1") == first
        assert world.kinds().count("acknowledged") == 1

    def test_a_refused_event_again_gets_the_same_refusal_even_when_it_would_be_allowed_now(self, world):
        first = world.press("ack:INC-1", "mallory@web", event="e-1")
        assert world.press("ack:INC-1", "ada@web", event="e-1") == first
        assert world.incident().owner is None

    def test_the_same_id_on_another_channel_is_another_event(self, world):
        world.press("ack:INC-1", event="e-1")
        other = Press(event="e-1", channel="console", account="ada", button="resolve:INC-1", pressed_at=NOW)
        assert StoreInbox(world.store, world.rules)._handle(other).ok
        assert world.incident().state is IncidentState.RESOLVED

    def test_an_event_survives_a_restart(self, world):
        first = world.press("ack:INC-1", event="e-1")
        assert world.reopen().press("ack:INC-1", event="e-1") == first


class TestHostileInput:
    def test_a_button_that_was_never_made_does_nothing(self, world):
        before = world.kinds()
        for button in (
            "",
            ":",
            "ack",
            "ack:",
            "ack:INC-1:extra",
            "ack:INC-1\n",
            "ack:INC-99999999999999",
            "ACK:INC-1",
            "delete:INC-1",
            "approve:INC-1:%%%%%%%%%%%%",
            "approve:INC-1:____________",
            "approve:INC-1:" + "a" * 64,
            "silence:INC-1:forever",
            "escalate:INC-1:-1",
            "ack:INC-1 ; ack:INC-2",
            "\ud800",
            "x" * 100_000,
        ):
            assert not world.press(button).ok, button
        assert world.kinds() == before

    def test_an_incident_that_is_not_there_is_not_found(self, world):
        for incident in ("INC-0", "INC-2", "INC-01", "INC-0000000001"):
            reply = world.press(f"ack:{incident}")
            assert (reply.ok, incident in reply.text) == (False, True)

    @pytest.mark.parametrize("text", ["half \ud800 a pair", "a \x00 byte", "\u202egnorw", "😀" * 5000])
    async def test_any_text_can_be_stored_and_answered(self, world, text):
        digest = world.propose().digest[:12]
        inbox = StoreInbox(world.store, world.rules)
        press = Press(
            event=text[:50],
            channel="web",
            account="ada@web",
            button=f"reject:INC-1:{digest}",
            values={"reason": text, "note": text},
            pressed_at=NOW,
        )
        assert (await inbox.receive(press)).ok
        assert "rejected patch" in world.texts("rejected")[0]
        assert not world.say(text).ok
        assert not world.say("/incident status INC-1", text).ok

    async def test_a_store_that_does_not_answer_is_said_so(self, world):
        class Broken:
            def begin(self):
                raise Unavailable("disk is full", Reason.UNREACHABLE)

        press = Press(event="e", channel="web", account="ada@web", button="ack:INC-1", pressed_at=NOW)
        reply = await StoreInbox(Broken(), world.rules).receive(press)
        assert (reply.ok, "Nothing was done" in reply.text) == (False, True)


class TestCommands:
    def test_every_button_can_be_typed(self, world):
        assert world.say("/incident ack INC-1").ok
        assert world.say("incident escalate inc-1").text == "Paged Ben Okri, Cleo Vance."
        assert world.say("/incident silence INC-1 4h").text.startswith("INC-1 will not page for 4h")
        assert world.say("/incident resolve", incident="INC-1").ok
        assert world.kinds()[-1] == "resolved"

    def test_inside_a_thread_the_id_may_be_left_out_but_a_named_one_wins(self, world):
        world.receive(group(alert("DiskFull")))
        world.say("/incident ack INC-2", incident="INC-1")
        assert world.incident("INC-2").owner == "ada"
        assert world.incident("INC-1").owner is None

    def test_without_an_incident_it_is_asked_for(self, world):
        assert world.say("/incident ack").text == "Which incident? Add its id, for example INC-7."

    def test_list_shows_open_incidents_and_who_has_them(self, world):
        world.receive(group(alert("DiskFull")))
        world.press("ack:INC-1")
        world.press("resolve:INC-2")
        lines = world.say("/incident").text.splitlines()
        assert lines == [
            "INC-1 acknowledged · checkout · checkout answers 38 % of requests with 500 · Ada Lovelace",
        ]
        world.press("resolve:INC-1")
        assert world.say("/incident list").text == "No incident is open."

    def test_status_shows_the_newest_events(self, world):
        world.press("ack:INC-1")
        text = world.say("/incident status INC-1").text
        assert text.startswith("INC-1 is acknowledged, Ada Lovelace has it: checkout answers")
        assert text.splitlines()[-1] == "Ada Lovelace acknowledged"

    def test_who_is_on_call(self, world):
        assert world.say("/oncall who").text == "default: Ada Lovelace"

    def test_a_patch_can_be_shown_approved_and_followed(self, world):
        assert world.say("/patch show INC-1").text == "INC-1 has no patch."
        assert world.say("/patch approve INC-1").text == "INC-1 has no patch."
        assert world.say("/ci status INC-1").text == "Nothing was pushed, so CI has nothing to say."
        world.propose()
        assert world.say("/patch show INC-1").text == diff().decode()
        assert world.say("/patch approve INC-1").text.startswith("Approved. Pushing exactly the bytes you saw")

    def test_a_typed_rejection_keeps_its_reason(self, world):
        world.propose()
        assert world.say("/patch reject INC-1 wrong cause").ok
        assert world.texts("rejected")[0].endswith(": wrong cause")

    def test_help_is_never_far(self, world):
        for text in ("", "/", "   ", "/help", "/incident help"):
            assert "/incident list" in world.say(text).text

    def test_what_is_no_command_says_so_and_helps(self, world):
        for text in ("/incident explode INC-1", "why is it down?", "/oncall", "/patch"):
            reply = world.say(text)
            assert not reply.ok
            assert "is not a command" in reply.text
            assert "/incident list" in reply.text


def test_a_service_that_left_the_configuration_cannot_be_pushed_to(world):
    digest = world.propose().digest[:12]
    world.rules = replace(world.rules, services={})
    reply = world.press(f"approve:INC-1:{digest}")
    assert not reply.ok
    assert "no longer configured" in reply.text
    assert not world.phases.of("execute")
