"""A workflow fails on the default branch of a hosted CI: from its webhook to a verified revert, with CI's log read."""

import asyncio
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.domain.incident import RunState
from bot.domain.investigation import Collected, Confirmed, Job, Suspected, Verified
from bot.domain.routing import Matcher, Route
from bot.engine.compose import Composer
from bot.engine.drainer import Drainer
from bot.engine.handlers import Handlers
from bot.engine.tools import Tools
from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from bot.render.links import Links
from bot.store.inbox import Inbox
from bot.worker.investigate import Investigation
from bot.worker.messages import ORDERS, Investigate, OrderFrame
from connectors.ci.github.hooks import GitHubHooks
from tests.playbooks.scenario import HERE, PLAYBOOKS, Scenario, play
from tests.worldkit import CHANNELS, World, alert, group, make_rules, make_world

LOG = (HERE / "ci-failure" / "hosted" / "ci.log").read_text()


@dataclass
class ScriptedCI:
    """A CI that answers every question about a log with the same text, or the same error."""

    answer: str | NightshiftError
    asked: list[str] = field(default_factory=list)

    async def log(self, sha: str) -> str:
        self.asked.append(sha)
        if isinstance(self.answer, NightshiftError):
            raise self.answer
        return self.answer


@dataclass
class Worker:
    """Investigates what it gets as the worker process gets it: through JSON."""

    scenario: Scenario
    jobs: list[Job] = field(default_factory=list)

    async def investigate(self, job: Job):
        order = ORDERS.validate_json(ORDERS.dump_json(OrderFrame(order=Investigate(call=1, job=job)))).order
        assert isinstance(order, Investigate)
        self.jobs.append(order.job)
        async for result in Investigation(tools=self.scenario.tools).investigate(order.job):
            yield result


@dataclass(kw_only=True)
class Night:
    scenario: Scenario
    world: World
    inbox: Inbox
    ci: ScriptedCI
    worker: Worker

    async def fail(self, **changes: object) -> None:
        """Let GitHub say that the workflow failed at the head, and take that in."""
        sha = self.scenario.world.head
        now = self.world.clock.now()
        run = {
            "name": "CI",
            "head_branch": "main",
            "head_sha": sha,
            "event": "push",
            "conclusion": "failure",
            "display_title": "Thank the testers",
            "html_url": "https://github.com/octo/ledger/actions/runs/1",
            "run_started_at": now.isoformat(),
            "updated_at": now.isoformat(),
            "head_repository": {"full_name": "octo/ledger"},
            **changes,
        }
        place = {"full_name": "octo/ledger", "default_branch": "main"}
        event = {"action": "completed", "workflow_run": run, "repository": place}
        await self.inbox.keep("github", json.dumps(event).encode())
        hooks = {"github": GitHubHooks("secret", lambda _: None)}
        await Drainer(self.inbox, self.world.store, hooks, self.world.rules, sweep=60).drain()

    async def triage(self) -> list:
        """Run the phase that the alert has queued; return what it stored."""
        tools = Tools(
            investigator=self.worker,
            workspaces=self.scenario.tools.workspaces,
            ci={"cloud": self.ci},
            folder=self.scenario.folder,
            redact=lambda text: text.replace("hunter2", "[redacted]"),
        )
        (queued,) = self.world.phases.of("triage")
        phase = next(p for p in Handlers(self.world.store, self.world.rules, tools).phases() if p.name == "triage")
        await phase.run(queued.args)
        with self.world.unit() as work:
            return list(work.investigations.of(queued.args["run"]))

    def shown(self, what: str) -> str:
        composer = Composer(self.world.store, self.world.rules, Links())
        message = composer.compose(self.world.promised(what)[-1], "web")
        assert message is not None
        return str(message)


@pytest.fixture
def make_night(tmp_path: Path):
    inboxes: list[Inbox] = []

    def make(answer: str | NightshiftError = LOG, **service: object) -> Night:
        scenario = play("ci-failure", tmp_path)
        ledger = replace(scenario.world.service, **{"ci": "cloud", **service})
        route = Route(
            matchers=(Matcher(label="repository", pattern="octo/ledger"),),
            service="ledger",
            escalation="default",
            channels=CHANNELS,
        )
        rules = make_rules(services={"ledger": ledger}, routes=(route,), playbooks=PLAYBOOKS)
        world = make_world(tmp_path, rules)
        world.clock.at = datetime.now(UTC)
        inboxes.append(Inbox(tmp_path / "inbox.db", world.clock, max_pending=100))
        return Night(scenario=scenario, world=world, inbox=inboxes[-1], ci=ScriptedCI(answer), worker=Worker(scenario))

    yield make
    for inbox in inboxes:
        inbox.close()


async def test_the_failing_job_s_log_is_evidence_and_the_check_it_names_is_reproduced(make_night):
    night = await asyncio.to_thread(make_night)
    await night.fail()
    results = await night.triage()

    assert night.ci.asked == [night.scenario.world.head]
    collected, suspected, confirmed, _, verified = results
    (piece,) = collected.evidence
    assert (piece.id, piece.kind, piece.cite) == ("E1", "ci", "CI log of CI, attempt 1, line 17")
    assert piece.text.splitlines()[0] == "tests: Run the tests failed: AssertionError: 999 != 1000"
    assert "    self.assertEqual(sum(split_evenly(1000, 3)), 1000)" in piece.text.splitlines()
    assert "a step that passed" not in piece.text
    assert collected.ci_job == "tests: Run the tests"
    assert suspected.suspects[0].commit == confirmed.culprit == night.scenario.world.culprit
    assert {run.name for run in confirmed.runs} == {"tests"}, "the other check is not tried"
    assert verified.is_verified, verified.notes
    assert night.world.incident().run_state is RunState.WAITING

    card = night.shown("card")
    assert "CI on branch main, commit " + night.scenario.world.head[:12] in card
    assert "label='CI run', url='https://github.com/octo/ledger/actions/runs/1'" in card
    assert "read CI's log: tests: Run the tests failed: AssertionError: 999 != 1000" in night.shown("status")
    findings = night.shown("findings")
    assert "In CI, tests: Run the tests failed: AssertionError: 999 != 1000" in findings
    assert "E1 CI log of CI, attempt 1, line 17" in findings


async def test_its_secrets_and_hidden_characters_stay_out_of_everything(make_night):
    night = await asyncio.to_thread(make_night)
    await night.fail()
    await night.triage()
    (job,) = night.worker.jobs
    texts = [job.ci_log.text, *(night.shown(what) for what in ("card", "status", "findings"))]
    with night.world.unit() as work:
        texts.append(str(work.investigations.of("INC-1:1")))
    for text in texts:
        assert "hunter2" not in text
        assert "\x1b" not in text
        assert "\u202e" not in text


async def test_where_the_check_cannot_be_reproduced_its_errors_in_ci_rank_the_commits(make_night):
    night = await asyncio.to_thread(make_night, checks={})
    await night.fail()
    _, suspected, *_ = await night.triage()
    assert suspected.suspects[0].commit == night.scenario.world.culprit
    assert not any("nothing was found" in note for note in suspected.notes)
    assert "In CI, tests: Run the tests failed" in night.shown("findings")


async def test_where_the_alert_says_what_was_green_last_only_the_commits_after_it_are_suspects(make_night):
    night = await asyncio.to_thread(make_night)
    commits = night.scenario.world.commits
    green = commits[commits.index(night.scenario.world.culprit) - 1]
    said = {"summary": "CI is red", "last_green_sha": green}
    labels = {"repository": "octo/ledger", "workflow": "CI", "sha": night.scenario.world.head}
    night.world.receive(group(alert("CIFailed", annotations=said, starts_at=night.world.clock.now(), **labels)))
    _, suspected, confirmed, *_ = await night.triage()
    after = commits[commits.index(green) + 1 :]
    assert {suspect.commit for suspect in suspected.suspects} <= set(after)
    assert f"only commits after {green[:12]}, where CI was last green, are suspects" in suspected.notes
    assert confirmed.culprit == night.scenario.world.culprit


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (Unavailable("GitHub did not answer", Reason.TIMEOUT), "CI's log could not be read: GitHub did not answer"),
        (
            Rejected("There is no run of it.", Reason.NOT_FOUND),
            "CI's log could not be read: There is no run of it.",
        ),
        ("", "CI's log could not be read: cloud keeps none of"),
    ],
    ids=["unavailable", "rejected", "empty"],
)
async def test_without_the_log_everything_goes_on_and_a_note_says_why(make_night, answer, note):
    night = await asyncio.to_thread(make_night, answer)
    await night.fail()
    results = await night.triage()
    assert [type(result) for result in results[:3]] == [Collected, Suspected, Confirmed]
    assert results[0].evidence == ()
    assert results[0].notes[0].startswith(note)
    assert isinstance(results[-1], Verified)
    assert results[-1].is_verified
    assert note in night.shown("status")


async def test_a_service_whose_ci_is_local_is_investigated_as_ever(make_night):
    night = await asyncio.to_thread(make_night, ci="local")
    await night.fail()
    results = await night.triage()
    assert night.ci.asked == []
    assert results[0].evidence == results[0].notes == ()
    assert results[-1].is_verified
