"""One night with an incident: its service really runs and fails, an alert comes in, and the phases of the bot do what
they do, in this process. Store, worker tools, sandbox and the client of the model are the real ones."""

import asyncio
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path

from bot.agent.redaction import load_redactor
from bot.agent.transcript import fold
from bot.bootstrap.worker import open_model
from bot.demo.history import git
from bot.domain.approval import ApprovalState
from bot.domain.draft import Draft
from bot.domain.investigation import StageResult
from bot.domain.playbook import choose_playbook
from bot.domain.routing import Matcher, Route
from bot.domain.runs.transcript import Budget, Conclusion, Step
from bot.domain.service import LogPlace, Service
from bot.engine.handlers import Handlers
from bot.engine.model_phase import ModelPhase, ModelTools
from bot.engine.tools import Tools as EngineTools
from bot.ports.model import ModelPlace
from bot.worker.drafting import ModelDrafting
from bot.worker.investigate import Investigation
from bot.worker.tools import Tools
from connectors.logs.file import Source
from connectors.sandboxes.bubblewrap import Bubblewrap
from connectors.workspaces.git import Git
from tests.playbooks.scenario import PLAYBOOKS, start_again
from tests.playbooks.world import write_repository
from tests.worldkit import CHANNELS, FixedClock, PhaseLog, World, alert, group, make_rules, make_store, make_world
from tests.worlds.incidents.story import Story
from tests.worlds.world import Request, check_out, run_service
from tests.worlds.world import World as Played

RUN = "INC-1:1"
KEY = "sk-key-of-the-model-4711"


@dataclass(frozen=True, kw_only=True)
class Night:
    """An incident after its triage: the investigation without a model is done, and its result is proposed."""

    story: Story
    played: Played
    world: World

    @property
    def drafts(self) -> Sequence[Draft]:
        with self.world.unit() as work:
            return work.drafts.of("INC-1")

    @property
    def approvals(self) -> dict[str, ApprovalState]:
        """Return the state of each patch's approval, by the patch's digest."""
        with self.world.unit() as work:
            return {approval.digest: approval.state for approval in work.approvals.of("INC-1")}

    @property
    def found(self) -> Sequence[StageResult]:
        with self.world.unit() as work:
            return work.investigations.of(RUN)

    @property
    def refs(self) -> str:
        """Return every branch of the repository, with its commit."""
        return git("for-each-ref", cwd=self.played.repository)

    @property
    def steps(self) -> tuple[Step, ...]:
        with self.world.unit() as work:
            return work.transcripts.of(RUN)

    @property
    def conclusion(self) -> Conclusion:
        found = fold(self.steps).conclusion
        assert found is not None
        return found

    def copy_to(self, folder: Path) -> "Night":
        """Return the same night in a store of its own, for another model to work on."""
        self.world.store.engine.dispose()
        folder.mkdir()
        shutil.copyfile(self.world.path / "nightshift.db", folder / "nightshift.db")
        clock, phases = FixedClock(self.world.clock.at + timedelta(minutes=1)), PhaseLog(self.world.clock)
        phases.committed.update(self.world.phases.committed)
        store = make_store(folder, clock, phases, fresh=False)
        return replace(self, world=replace(self.world, path=folder, clock=clock, phases=phases, store=store))

    async def ask(self, url: str, *, budget: Budget | None = None) -> None:
        """Let the model at a URL work until its run has ended, and propose what it came to."""
        tools = ModelTools(
            drafter=ModelDrafting(tools=_make_tools(), open_model=open_model),
            place=ModelPlace(url=url, name="model", api_key=KEY),
            budget=budget or Budget(),
            folder=self.world.path,
            redact=lambda text: text.replace(KEY, "[redacted]"),
            localize=_leave,
        )
        (queued,) = self.world.phases.of("model")
        await ModelPhase(self.world.store, self.world.rules, tools).phase().run(dict(queued.args))


async def spend_night(story: Story, folder: Path, *, said: str = "") -> Night:
    """Play the service, raise the alert, and let the triage end. `said` is what a stranger got into code and log."""
    folder.mkdir(exist_ok=True)
    played = await asyncio.to_thread(_play, story, folder, said)
    rules = make_rules(
        services={story.name: played.service},
        routes=(
            Route(
                matchers=(Matcher(label="service", pattern=story.name),),
                service=story.name,
                escalation="default",
                channels=CHANNELS,
            ),
        ),
        playbooks=PLAYBOOKS,
    )
    world = make_world(folder, rules)
    world.clock.at = datetime.now(UTC) + timedelta(seconds=1)
    labels = {key: value for key, value in story.alert.items() if key not in {"alertname", "summary"}}
    said_by_alert = {"summary": story.alert["summary"]}
    firing = alert(
        story.alert["alertname"],
        starts_at=played.alert_started_at,
        annotations=said_by_alert,
        **{"service": story.name, **labels},
    )
    world.receive(group(firing, key=f"{{}}:{{service={story.name}}}"))
    assert choose_playbook(PLAYBOOKS, firing.labels) is not None
    tools = EngineTools(
        investigator=Investigation(tools=_make_tools()),
        workspaces=Git(),
        ci={},
        folder=folder,
        redact=str,
        has_model=True,
    )
    (queued,) = world.phases.of("triage")
    (triage,) = (phase for phase in Handlers(world.store, rules, tools).phases() if phase.name == "triage")
    await triage.run(dict(queued.args))
    return Night(story=story, played=played, world=world)


def _play(story: Story, folder: Path, said: str) -> Played:
    """Grow the repository, and let the service run: well at the culprit's parent, and not at the head."""
    first, *later = story.steps
    noted = replace(first, files={**first.files, "NOTES.md": said or "None.\n"})
    repository = write_repository(folder / f"{story.name}.git", (noted, *later), until=datetime.now(UTC))
    log = folder / f"{story.name}.log"
    log.touch()
    service = Service(
        name=story.name,
        repository=str(repository.folder),
        logs=(LogPlace(kind="file", path=str(log)),),
        run=story.run,
        checks=story.checks,
    )
    played = Played(
        name=story.name,
        service=service,
        repository=repository.folder,
        commits=repository.shas,
        culprit=repository.shas[story.culprit],
        culprit_subject=story.steps[story.culprit].subject,
        failing=Request(method="GET", target="/"),
        whole_revert=True,
        alert_started_at=datetime.now(UTC),
    )
    if story.run:
        _send(story, played, check_out(played, played.commits[story.culprit - 1], folder / "before"), log)
    with log.open("a") as file:
        file.write(_date(said))
    played = replace(played, alert_started_at=datetime.now(UTC))
    if story.is_recorded:
        with log.open("a") as file:
            file.write(_date(story.log))
    elif story.starts:
        start_again(played, check_out(played, played.head, folder / "head"), log, story.starts)
    elif story.run:
        _send(story, played, check_out(played, played.head, folder / "head"), log)
    return played


def _send(story: Story, played: Played, tree: Path, log: Path) -> None:
    with run_service(played, tree, log) as send:
        for number in range(12 * len(story.usual)):
            send(story.usual[number % len(story.usual)])
        for request in story.failing:
            for _ in range(story.times):
                send(request)


def _date(text: str) -> str:
    """Put the time in the place of `{at}`, a little later each time."""
    at = datetime.now(UTC)
    stamps = (f"{at + timedelta(milliseconds=10 * number):%Y-%m-%dT%H:%M:%S.%f}Z" for number in count())
    return re.sub(r"\{at\}", lambda _: next(stamps), text.lstrip("\n"))


@cache
def _make_tools() -> Tools:
    redactor = load_redactor([], os.urandom(32))
    return Tools(
        log_source=lambda place: Source(place.kind, place.path),
        workspaces=Git(),
        sandbox=Bubblewrap(),
        redact=redactor.redact,
        redact_lines=redactor.redact_lines,
        prepare_toolchain=_prepare_nothing,
    )


async def _prepare_nothing(_service: Service, _folder: Path) -> Path | None:
    return None


async def _leave(job):
    return job
