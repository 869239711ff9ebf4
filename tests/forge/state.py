"""What the forge knows and does, whatever surface it is asked through."""

import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from tests.forge.actions import Run, Runner, Workflow
from tests.forge.clock import Clock
from tests.forge.faults import Faults
from tests.forge.github_shapes import Shape, Shapes
from tests.forge.repository import Hosted, Pull


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One REST call as it was seen. `authorization` is the header; `status` what was answered, 0 for nothing."""

    method: str
    path: str
    authorization: str
    status: int


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One webhook: its event, its id, its body."""

    event: str
    id: str
    body: bytes


@dataclass(kw_only=True)
class Forge:
    """`api_url` is the base of the REST surface, `web_url` that of git. Tests read `asked`, `store_asked` and
    `spec_faults`, and bend `faults`, `clock` and `page_size`."""

    folder: Path
    clock: Clock
    workflows: tuple[Workflow, ...]
    token: str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"
    base_path: str = "/api/v3"
    web_url: str = ""
    store_url: str = ""
    faults: Faults = field(default_factory=Faults)
    runner: Runner = field(default_factory=Runner)
    hosted: dict[str, Hosted] = field(default_factory=dict)
    page_size: int = 100
    hook_url: str = ""
    hook_secret: str = ""
    asked: list[Asked] = field(default_factory=list)
    store_asked: list[str] = field(default_factory=list)
    spec_faults: list[str] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    waiting: list[Delivery] = field(default_factory=list)

    @property
    def api_url(self) -> str:
        return self.web_url + self.base_path

    @property
    def shapes(self) -> Shapes:
        return Shapes(self.api_url, self.web_url)

    def host(self, name: str) -> Hosted:
        """Host a new, empty repository "owner/name"."""
        hosted = self.hosted[name] = Hosted(name, self.folder / name)
        return hosted

    def url_of(self, hosted: Hosted) -> str:
        return f"{self.web_url}/{hosted.name}.git"

    def notice_pushes(self) -> None:
        """Begin the runs of everything that was pushed since this was called last; git's own pushes call it."""
        for hosted in self.hosted.values():
            for branch, sha in hosted.news().items():
                body = {"ref": f"refs/heads/{branch}", "before": "0" * 40, "after": sha}
                self._deliver("push", hosted, body)
                self._begin_all(hosted, branch, sha, "push")
                for pull in hosted.pulls:
                    if pull.is_open and pull.branch == branch:
                        self.take_pull(hosted, pull, "synchronize")

    def take_pull(self, hosted: Hosted, pull: Pull, action: str) -> None:
        shape = self.shapes.whole_pull(hosted, pull)
        self._deliver("pull_request", hosted, {"action": action, "number": pull.number, "pull_request": shape})
        if action != "closed":
            self._begin_all(hosted, pull.branch, hosted.head(pull.branch), "pull_request")

    def begin(self, hosted: Hosted, branch: str, sha: str, workflow: Workflow, event: str) -> Run:
        run = self.runner.begin(hosted, branch, sha, workflow=workflow, event=event, at=self.clock.now())
        run.listed_at += self.faults.lag
        return run

    def note_runs(self) -> None:
        """Deliver what runs have come to since this was called last."""
        now = self.clock.now()
        for run in self.runner.runs:
            state = (len(run.attempts), run.status(now))
            if state == run.told:
                continue
            run.told = state
            action = "completed" if state[1] == "completed" else "requested" if state[1] == "queued" else state[1]
            shape = {
                "workflow_run": self.shapes.run(run, now),
                "workflow": self.shapes.workflow(run.workflow, run.hosted),
            }
            self._deliver("workflow_run", run.hosted, {"action": action, **shape})

    def redeliver(self) -> None:
        """Deliver everything once more, as a person may ask GitHub to."""
        self.waiting += self.deliveries

    def _begin_all(self, hosted: Hosted, branch: str, sha: str, event: str) -> None:
        for workflow in self.workflows:
            if event in workflow.on:
                self.begin(hosted, branch, sha, workflow, event)

    def _deliver(self, event: str, hosted: Hosted, body: Shape) -> None:
        whole = {**body, "repository": self.shapes.repository(hosted), "sender": self.shapes.user("ada")}
        delivery = Delivery(event=event, id=str(uuid.uuid4()), body=json.dumps(whole).encode())
        self.deliveries.append(delivery)
        self.waiting.append(delivery)
