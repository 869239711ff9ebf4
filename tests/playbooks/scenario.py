"""A playbook's scenario folder, played: its repository grown, its service really run, its log what that wrote."""

import json
import shutil
import subprocess
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.demo.folder import free_ports
from bot.demo.history import git, grow_repository, load_series
from bot.domain.investigation import Job, StageResult
from bot.domain.playbook import Playbook, choose_playbook, parse_playbook
from bot.domain.service import LogPlace, Service
from bot.worker.investigate import Investigation, Tools
from connectors.logs.file import Source
from connectors.sandboxes.bubblewrap import Bubblewrap
from connectors.workspaces.git import Git
from tests.worlds.world import Request, World, _host_argv, _host_env, check_out, run_service

HERE = Path(__file__).parent
PLAYBOOKS = tuple(
    parse_playbook(path.read_text())
    for path in sorted((HERE.parents[1] / "playbooks").glob("*.md"))
    if path.name != "README.md"
)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What one folder says, played in a folder of the test's own."""

    name: str
    folder: Path
    world: World
    labels: dict[str, str]
    expected: dict
    playbook: Playbook

    @property
    def tools(self) -> Tools:
        return Tools(
            log_source=lambda place: Source(place.kind, place.path),
            workspaces=Git(),
            sandbox=Bubblewrap(),
            redact=lambda text: text,
            redact_lines=list,
            prepare_toolchain=no_toolchain,
        )

    def job(self, *done: StageResult) -> Job:
        return Job(
            run="INC-1:1", incident="INC-1", service=self.world.service, playbook=self.playbook, title="Alert",
            alert_started_at=self.world.alert_started_at, now=datetime.now(UTC) + timedelta(seconds=1),
            folder=str(self.folder / "work"), labels=self.labels, done=done,
        )  # fmt: skip

    async def investigate(self, *done: StageResult, tools: Tools | None = None) -> list[StageResult]:
        investigation = Investigation(tools=tools or self.tools)
        return [*done, *[result async for result in investigation.investigate(self.job(*done))]]


async def no_toolchain(service, folder):
    return None


def play(name: str, folder: Path) -> Scenario:
    """Grow the scenario's repository in `folder`, and play what its service went through."""
    here = HERE / name
    alert, plan, expected = (
        json.loads((here / f"{file}.json").read_text()) for file in ("alert", "scenario", "expected")
    )
    history = grow_repository(load_series(here / "series"), folder / f"{name}.git", now=datetime.now(UTC))
    log = folder / "service.log"
    log.touch()
    labels = {key: value.replace("{head}", history.head) for key, value in alert["labels"].items()}
    service = Service(
        name=labels["service"],
        repository=str(history.repository),
        logs=(LogPlace(kind="file", path=str(log)),),
        run=tuple(plan.get("run", ())),
        checks={name: tuple(argv) for name, argv in plan["checks"].items()},
    )
    world = World(
        name=name, service=service, repository=history.repository, commits=history.commits, culprit=history.culprit,
        culprit_subject=git("log", "-1", "--format=%s", history.culprit, cwd=history.repository).strip(),
        failing=Request(method="GET", target="/"), whole_revert=True, alert_started_at=datetime.now(UTC),
    )  # fmt: skip
    started_at = None
    for number, step in enumerate(plan["play"]):
        started_at = datetime.now(UTC) if step.get("alert") else started_at
        _play_step(world, step, folder / f"tree-{number}", log)
    world = replace(world, alert_started_at=started_at or datetime.now(UTC))
    playbook = choose_playbook(PLAYBOOKS, labels)
    assert playbook is not None
    return Scenario(name=name, folder=folder, world=world, labels=labels, expected=expected, playbook=playbook)


def _play_step(world: World, step: dict, folder: Path, log: Path) -> None:
    """Run the service at a commit: send it requests, or let a supervisor start it again and again."""
    at = {"head": world.head, "culprit": world.culprit, "culprit^": f"{world.culprit}^"}[step["at"]]
    tree = check_out(world, at, folder)
    if "restart" in step:
        start_again(world, tree, log, step["restart"])
    else:
        with run_service(world, tree, log, health=step.get("health", "/health")) as send:
            for _ in range(step["times"]):
                for request in step["send"]:
                    send(Request(**request))
    shutil.rmtree(tree)


def start_again(world: World, tree: Path, log: Path, times: int) -> None:
    """Start the service until it has ended `times` times, as a supervisor does, and log each end."""
    for number in range(1, times + 1):
        argv = [part.replace("{port}", str(free_ports(1)[0])) for part in _host_argv(world.service.run)]
        with log.open("a") as output:
            code = subprocess.run(
                argv, cwd=tree, env=_host_env(), stdout=output, stderr=output, timeout=20, check=False
            ).returncode
            stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
            print(f"{stamp} supervisor: {world.service.name} exited with code {code} (restart {number})", file=output)
