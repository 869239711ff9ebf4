"""GitHub in the test's hands: the forge, a connector on it, and commits of every kind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.domain.change import ChangeRequest
from bot.domain.ci import CIRequest, Trigger
from connectors.ci.github import Connector, Settings
from tests.forge.actions import Workflow
from tests.forge.clock import Clock
from tests.forge.openapi import Description
from tests.forge.repository import Hosted
from tests.forge.server import serve_forge
from tests.forge.state import Forge

DESCRIPTION = Path(__file__).resolve().parents[3] / "shared" / "specs" / "github" / "rest_openapi_trimmed.json"
NAME = "octo/shop"
ON = {"push": Trigger.PUSH, "pull_request": Trigger.PULL_REQUEST, "workflow_dispatch": Trigger.DISPATCH}


@dataclass(kw_only=True)
class GitHubWorld:
    """`shop` has one commit on main. `now` is the connector's own clock, which only a test moves."""

    forge: Forge
    shop: Hosted
    trigger: Trigger = Trigger.PUSH
    now: float = 1000.0
    settings: dict[str, Any] = field(default_factory=dict)
    opened: list[Connector] = field(default_factory=list)

    def connect(self, **settings: Any) -> Connector:
        """Return a connector of its own, as another process or a restart would have it."""
        values = {"url": self.forge.api_url, "token": self.forge.token, "poll_seconds": 0, **self.settings, **settings}
        values = {name: value for name, value in values.items() if value is not None}
        made = Connector(Settings.model_validate(values), [self.forge.url_of(self.shop)], clock=lambda: self.now)
        self.opened.append(made)
        return made

    def write(self, outcome: str, branch: str = "") -> CIRequest:
        """Make a commit on a branch of its own; nothing of it is on the forge yet."""
        name, git = branch or f"nightshift/INC-1/{outcome}", self.shop.origin.git
        git("checkout", "-q", "-B", name, "main")
        (self.shop.origin.work / "outcome").write_text(outcome)
        git("add", "-A")
        git("commit", "-q", "-m", f"{outcome} it")
        return CIRequest(
            repository=self.forge.url_of(self.shop),
            sha=git("rev-parse", "HEAD"),
            branch=name,
            incident="INC-1",
            trigger=self.trigger,
            job="ci.yml",
            key=f"INC-1:{outcome}",
        )

    def push(self, request: CIRequest) -> None:
        self.shop.origin.git("push", "-q", "-f", "origin", f"{request.sha}:refs/heads/{request.branch}")
        self.forge.notice_pushes()

    def commit(self, outcome: str, branch: str = "") -> CIRequest:
        """Make a commit and push it."""
        request = self.write(outcome, branch)
        self.push(request)
        return request

    def propose(self, request: CIRequest) -> ChangeRequest:
        """Return the change that a branch is proposed as."""
        return ChangeRequest(
            repository=request.repository,
            branch=request.branch,
            target="main",
            sha=request.sha,
            title="Revert the rounding",
            body="The tests say why.",
        )

    def count_orders(self, ending: str) -> int:
        return sum(1 for asked in self.forge.asked if asked.method == "POST" and asked.path.endswith(ending))


@asynccontextmanager
async def open_world(
    folder: Path, on: str = "push", clock: Clock | None = None, **workflow: Any
) -> AsyncIterator[GitHubWorld]:
    description = Description.read(DESCRIPTION) if DESCRIPTION.is_file() else None
    one = Workflow(on=frozenset({on}), **workflow)
    async with serve_forge(folder, workflows=[one], clock=clock, description=description) as forge:
        shop = forge.host(NAME)
        shop.origin.commit("start", {"README.md": "shop\n"})
        forge.notice_pushes()
        forge.runner.runs.clear()
        world = GitHubWorld(forge=forge, shop=shop, trigger=ON[on])
        try:
            yield world
        finally:
            for connector in world.opened:
                await connector.close()
        assert forge.spec_faults == []
        assert not any(forge.store_asked), "the log store was shown a token"
