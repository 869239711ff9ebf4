"""Generated repositories whose service really ran and really failed, for the investigation to work on."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from bot.demo.folder import free_ports
from bot.demo.history import git, grow_repository, load_series
from bot.demo.leash import on_leash
from bot.domain.service import LogPlace, Service

SERIES = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Request:
    """One call of a service."""

    method: str
    target: str
    body: str = ""


@dataclass(frozen=True, kw_only=True)
class World:
    """One repository with a regression. `service.logs` names a log that its head wrote while it failed.

    `failing` is answered with 500 at the head and not before the culprit; `alert_started_at` is when it first was.
    `whole_revert` says whether reverting the whole culprit applies to the head without a conflict.
    """

    name: str
    service: Service
    repository: Path
    commits: tuple[str, ...]
    culprit: str
    culprit_subject: str
    failing: Request
    whole_revert: bool
    alert_started_at: datetime
    culprit_files: tuple[str, ...] = ()

    @property
    def head(self) -> str:
        return self.commits[-1]

    @property
    def log(self) -> Path:
        return Path(self.service.logs[0].path)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a world is made: a folder of patch files, how its service runs, and what its users send."""

    name: str
    run: tuple[str, ...]
    failing: Request
    usual: tuple[Request, ...]
    health: str = "/health"
    checks: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"tests": ("python", "-m", "unittest", "-q")})
    setup: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    paths: tuple[str, ...] = ()
    whole_revert: bool = True
    series: Path | None = None


def build_world(recipe: Recipe, folder: Path, *, now: datetime | None = None) -> World:
    """Grow the repository in `folder`, run its head, and send the usual requests and some failing ones."""
    history = grow_repository(
        load_series(recipe.series or SERIES / recipe.name), folder / f"{recipe.name}.git", now=now or datetime.now(UTC)
    )
    log = folder / f"{recipe.name}.log"
    service = Service(
        name=recipe.name,
        repository=str(history.repository),
        logs=(LogPlace(kind="file", path=str(log)),),
        run=recipe.run,
        checks=recipe.checks,
        setup=recipe.setup,
        env=recipe.env,
        paths=recipe.paths,
    )
    world = World(
        name=recipe.name,
        service=service,
        repository=history.repository,
        commits=history.commits,
        culprit=history.culprit,
        culprit_subject=git("log", "-1", "--format=%s", history.culprit, cwd=history.repository).strip(),
        failing=recipe.failing,
        whole_revert=recipe.whole_revert,
        alert_started_at=datetime.now(UTC),
        culprit_files=tuple(git("show", "--format=", "--name-only", history.culprit, cwd=history.repository).split()),
    )
    tree = check_out(world, world.head, folder / "head")
    with run_service(world, tree, log, health=recipe.health) as send:
        for number in range(60):
            send(recipe.usual[number % len(recipe.usual)])
        started_at = datetime.now(UTC)
        for number in range(30):
            send(recipe.failing if number % 3 == 0 else recipe.usual[number % len(recipe.usual)])
    return replace(world, alert_started_at=started_at)


def check_out(world: World, commit: str, folder: Path) -> Path:
    """Write a commit's files into a new folder."""
    folder.mkdir(parents=True)
    index = folder.with_name(folder.name + ".index")
    places = {"GIT_DIR": str(world.repository), "GIT_WORK_TREE": str(folder), "GIT_INDEX_FILE": str(index)}
    git("read-tree", commit, cwd=folder, env=places)
    git("checkout-index", "--all", cwd=folder, env=places)
    index.unlink()
    return folder


def run_checks(world: World, tree: Path) -> dict[str, int]:
    """Run the service's checks outside any sandbox and return their exit codes."""
    return {
        name: subprocess.run(_host_argv(argv), cwd=tree, env=_host_env(), capture_output=True, check=False).returncode
        for name, argv in world.service.checks.items()
    }


class run_service:  # noqa: N801 -- read as a verb in `with`
    """Run a tree's service, its output in a log; yields `send(request) -> status`, and ends the service after."""

    def __init__(self, world: World, tree: Path, log: Path, *, health: str = "/health") -> None:
        (self._port,) = free_ports(1)
        self._argv = [part.replace("{port}", str(self._port)) for part in _host_argv(world.service.run)]
        self._tree = tree
        self._log = log
        self._health = health

    def __enter__(self) -> Callable[[Request], int]:
        with self._log.open("ab") as output:
            self._child = subprocess.Popen(
                on_leash(self._argv), cwd=self._tree, env=_host_env(), stdout=output, stderr=output
            )
        deadline = time.monotonic() + 15
        while self.send(Request(method="GET", target=self._health)) != 200:
            if self._child.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the service did not start:\n{self._log.read_text()}")
            time.sleep(0.02)
        return self.send

    def __exit__(self, *_: object) -> None:
        self._child.terminate()
        self._child.wait(10)

    def send(self, request: Request) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        headers = {"Content-Type": "application/json"} if request.body else {}
        try:
            connection.request(request.method, request.target, request.body or None, headers)
            response = connection.getresponse()
            response.read()
            return response.status
        except OSError:
            return 0
        finally:
            connection.close()


def _host_argv(argv: Sequence[str]) -> list[str]:
    return [sys.executable if argv[0] == "python" else argv[0], *argv[1:]]


def _host_env() -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "TZ": "UTC",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
    }
