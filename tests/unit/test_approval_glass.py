"""Break-glass: one person, a reason, two channels, the same bytes, an hour; never CI or policy files."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from bot.domain.approval import ApprovalState
from bot.domain.approvals.statement import parse_statement, statement_digest, verify_message, verify_statement
from bot.domain.chat import Paragraph
from bot.engine.compose import Composer
from bot.errors import Reason, Refused
from bot.render.links import Links
from tests.approvalkit import (
    CI_FILE,
    QUARTER,
    ask,
    check_before_push,
    given,
    message_of,
    press,
    refuse_push,
    state,
    statement_of,
)
from tests.worldkit import NOW, World, alert, diff, group, make_world, verified

WHY = "customers cannot pay"
UNVERIFIED = replace(verified(), runs=())


@pytest.fixture
def world(tmp_path) -> World:
    world = make_world(tmp_path, opened=True)
    given(world, break_glass=("ada",))
    return world


def messages(world: World, what: str, channel: str = "web"):
    composer = Composer(world.store, world.rules, Links())
    return [composer.compose(effect, channel) for effect in world.promised(what, channel)]


def said(world: World) -> str:
    """Return the last words of the announcement."""
    last = messages(world, "glass")[0].blocks[-1]
    assert isinstance(last, Paragraph)
    return last.text


class TestAtThePress:
    def test_one_person_pushes_a_risky_patch_alone_and_everybody_is_told(self, world):
        approval = world.propose(checked=UNVERIFIED)
        assert approval.needs == 2
        reply = press(world, "break", approval, reason=WHY)
        assert reply.text == f"The glass is broken and told in web, console. Pushing exactly {approval.digest[:12]}."
        assert world.phases.keys("execute") == [f"INC-1:{approval.digest[:12]}"]
        assert world.texts("break_glass") == [f"Ada Lovelace broke the glass for patch {approval.digest[:12]}: {WHY}"]
        told = [message.headline for channel in ("web", "console") for message in messages(world, "glass", channel)]
        assert told == [f"Break-glass: {WHY}"] * 2
        assert said(world).endswith("; no freeze holds it. Approved by Ada Lovelace; the policy asks for 2.")
        check_before_push(world, approval)

    def test_it_lifts_a_freeze_also_at_the_push(self, world):
        given(world, break_glass=("ada",), freezes=(QUARTER,))
        approval = world.propose()
        assert press(world, "break", approval, reason=WHY).ok
        assert said(world).endswith("; no freeze holds it."), "one approval was enough"
        check_before_push(world, approval)

    def test_it_can_be_typed(self, world):
        world.propose(checked=UNVERIFIED)
        assert world.say(f"/patch break-glass INC-1 {WHY}").text.startswith("The glass is broken")

    @pytest.mark.parametrize("reason", ["", "  "])
    def test_without_a_reason_nothing_happens(self, world, reason):
        approval = world.propose(checked=UNVERIFIED)
        assert press(world, "break", approval, reason=reason).text.startswith("Say why you break the glass")
        assert state(world, approval) is ApprovalState.PENDING

    def test_it_never_covers_ci_or_policy_files(self, world):
        for patch in (CI_FILE, diff("deploy/nightshift.toml")):
            given(world, break_glass=("ada",))
            approval = world.propose(patch) if patch is CI_FILE else ask(world, patch)
            if patch is CI_FILE:
                assert "never covers CI or policy files" in press(world, "break", approval, reason=WHY).text
            else:
                assert not press(world, "break", approval, reason=WHY).ok
        assert not world.phases.of("execute")

    @pytest.mark.parametrize("who", ["ben", "cleo"])
    def test_only_those_whom_the_policy_trusts_with_it_may(self, world, who):
        approval = world.propose(checked=UNVERIFIED)
        assert not press(world, "break", approval, who, reason=WHY).ok
        assert state(world, approval) is ApprovalState.PENDING

    def test_it_is_off_where_the_policy_names_nobody(self, world):
        given(world)
        approval = world.propose(checked=UNVERIFIED)
        assert "switched off" in press(world, "break", approval, reason=WHY).text

    def test_who_asked_for_a_risky_patch_cannot_break_it_free(self, world):
        given(world, break_glass=("ada",))
        world.propose()
        world.say("/incident triage INC-1", "ada@web")
        approval = world.propose(diff(after="c"), checked=UNVERIFIED)
        assert "who asked for it cannot approve it" in press(world, "break", approval, reason=WHY).text

    def test_an_incident_with_one_channel_is_told_in_every_other_one_too(self, world):
        approval = world.propose(checked=UNVERIFIED)
        with world.unit() as work:
            work.incidents.save(replace(work.incidents.get("INC-1"), channels=("web",)))
        assert press(world, "break", approval, reason=WHY).ok
        assert len(messages(world, "glass", "console")) == 1

    def test_where_only_one_channel_is_configured_it_is_refused(self, world):
        world.rules = replace(world.rules, channels=("web",))
        approval = world.propose(checked=UNVERIFIED)
        with world.unit() as work:
            work.incidents.save(replace(work.incidents.get("INC-1"), channels=("web",)))
        assert "told in two channels, and only one is configured" in press(world, "break", approval, reason=WHY).text
        assert state(world, approval) is ApprovalState.PENDING

    def test_the_same_event_again_breaks_it_once(self, world):
        approval = world.propose(checked=UNVERIFIED)
        first = press(world, "break", approval, event="e", reason=WHY)
        assert press(world, "break", approval, event="e", reason=WHY) == first
        assert not press(world, "break", approval, reason=WHY).ok
        assert world.kinds().count("break_glass") == 1


class TestUntilThePush:
    def test_it_lasts_an_hour_however_long_approvals_run(self, world):
        given(world, break_glass=("ada",), expiry=timedelta(hours=8))
        approval = world.propose(checked=UNVERIFIED)
        press(world, "break", approval, reason=WHY)
        world.clock.advance(minutes=59)
        check_before_push(world, approval)
        world.clock.advance(minutes=1)
        assert refuse_push(world, approval).reason is Reason.EXPIRED

    def test_renewed_it_is_an_ordinary_request_again(self, world):
        approval = world.propose(checked=UNVERIFIED)
        press(world, "break", approval, reason=WHY)
        world.clock.advance(minutes=61)
        refuse_push(world, approval)
        assert press(world, "renew", approval).ok
        assert world.approval(approval.digest).glass is None
        assert press(world, "approve", approval, "ben").text == "Counted. 1 more must approve."

    def test_who_is_no_longer_trusted_with_it_stops_the_push(self, world):
        approval = world.propose(checked=UNVERIFIED)
        press(world, "break", approval, reason=WHY)
        given(world, version="v2")
        assert "switched off" in str(refuse_push(world, approval))


class TestAfterwards:
    def test_the_statement_and_the_commit_tell_of_it(self, world):
        approval = world.propose(checked=UNVERIFIED)
        press(world, "break", approval, reason="line one\nNightshift-Break-Glass: ben: fine")
        data, message = statement_of(world, approval), message_of(world, approval)
        with world.unit() as work:
            patch = work.drafts.get("INC-1", approval.digest).patch.text
        found = verify_statement(data, patch=patch)
        assert found.glass is not None
        assert (found.glass.person, found.glass.at, found.needs) == ("ada", NOW, 2)
        verify_message(message, statement=data, patch_digest=approval.digest)
        told = [line for line in message.splitlines() if line.startswith("Nightshift-Break-Glass")]
        assert told == ["Nightshift-Break-Glass: ada: line one Nightshift-Break-Glass - ben: fine"]

    def test_a_statement_with_its_glass_taken_out_does_not_hold(self, world):
        approval = world.propose(checked=UNVERIFIED)
        press(world, "break", approval, reason=WHY)
        with world.unit() as work:
            patch = work.drafts.get("INC-1", approval.digest).patch.text
        data = statement_of(world, approval)
        start, end = data.index(b'"breakGlass"'), data.index(b'"excluded"')
        with pytest.raises(Refused, match="1 of 2 approvals"):
            verify_statement(data[:start] + data[end:], patch=patch)
        assert parse_statement(data).glass is not None

    def test_the_card_and_the_closing_summary_ask_for_a_review(self, world):
        approval = world.propose(checked=UNVERIFIED)
        press(world, "break", approval, reason=WHY)
        card = messages(world, "patch")[-1]
        assert any("To be reviewed." in getattr(block, "text", "") for block in card.blocks)
        world.receive(group(alert(firing=False)))
        closed = messages(world, "closed")[-1]
        assert "Break-glass, to be reviewed" in str(closed.blocks)


class TestTheCard:
    def test_it_offers_the_glass_only_where_something_holds_the_patch(self, world):
        risky = world.propose(checked=UNVERIFIED)
        labels = [button.label for button in messages(world, "patch")[-1].buttons]
        assert labels == ["Approve", "Reject", "Break glass"]
        press(world, "reject", risky, reason="Wrong cause")
        ask(world, diff(after="c"))
        assert [button.label for button in messages(world, "patch")[-1].buttons] == ["Approve", "Reject", "Break glass"]

    def test_a_freeze_stands_first_on_the_card(self, world):
        given(world, break_glass=("ada",), freezes=(QUARTER,))
        world.propose()
        card = messages(world, "patch")[-1]
        assert card.blocks[0].text == "Freeze until Wed 05:12 UTC: quarter close. Break-glass is possible."
        assert [button.label for button in card.buttons] == ["Approve", "Reject", "Break glass"]

    def test_approve_asks_once_more_where_a_deploy_follows(self, world):
        service = replace(world.rules.services["checkout"], deploy=("deploy",))
        world.rules = replace(world.rules, services={"checkout": service})
        approval = world.propose()
        button = messages(world, "patch")[-1].buttons[0]
        assert button.form is not None
        assert button.form.fields[0].choices == ("Yes",)
        assert press(world, "approve", approval, confirm="Yes").ok
        assert world.approval(approval.digest).votes[0].reason == ""


def test_the_command_line_verifies_a_statement_offline(world, tmp_path):
    approval = world.propose()
    press(world, "approve", approval)
    with world.unit() as work:
        patch = work.drafts.get("INC-1", approval.digest).patch.text
    files = {"s": statement_of(world, approval), "p": patch, "m": message_of(world, approval).encode()}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)

    def verify(*more: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "bot", "approval", "verify", "--statement", str(tmp_path / "s"), *more]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    good = verify("--patch", str(tmp_path / "p"), "--commit-message", str(tmp_path / "m"))
    assert (good.returncode, good.stdout.startswith("The statement holds: sha256:")) == (0, True)
    bad = verify("--patch", str(tmp_path / "m"))
    assert (bad.returncode, "about another patch" in bad.stderr) == (1, True)


def test_the_statement_stays_as_it_was_written_whatever_later_versions_write(world, monkeypatch):
    approval = world.propose()
    press(world, "approve", approval)
    written = statement_of(world, approval)
    monkeypatch.setattr("bot.domain.approvals.statement.PREDICATE_TYPE", "urn:nightshift:approval:v9")
    assert statement_of(world, approval) == written
    with world.unit() as work:
        approved = next(event for event in work.timeline.of("INC-1") if event.kind == "approved")
    assert approved.data["statement"] == statement_digest(written)


def test_the_command_line_exports_a_statement_byte_for_byte(tmp_path):
    asked = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"b":1,"a":"\\u00fc"}')

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.handle_request, daemon=True).start()
        port = str(server.server_address[1])
        env = {**os.environ, "NIGHTSHIFT_SERVER__PORT": port, "NIGHTSHIFT_ADMIN_TOKEN": "admin"}
        env["PYTHONPATH"] = str(Path(__file__).parents[2])
        command = [sys.executable, "-m", "bot", "approval", "export", "INC-1", "a" * 12]
        done = subprocess.run(command, check=False, capture_output=True, env=env, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, b'{"b":1,"a":"\\u00fc"}')
    assert asked == [(f"/v1/incidents/INC-1/patches/{'a' * 12}/statement", "Bearer admin")]
