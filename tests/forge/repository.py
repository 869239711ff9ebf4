"""A repository that the forge hosts: a real bare one, with its pull requests."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.contract.git_origin import Origin


@dataclass(kw_only=True)
class Pull:
    number: int
    title: str
    body: str
    branch: str
    target: str
    created_at: float
    base: str
    head: str = ""
    is_open: bool = True
    merged_at: float | None = None
    merged_sha: str = ""


@dataclass(kw_only=True)
class Reported:
    """A check of another app, or (with `is_status`) a commit status, as a test puts it on a commit."""

    name: str
    status: str = "completed"
    conclusion: str | None = "success"
    summary: str = ""
    is_status: bool = False


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule of a ruleset, for the branches that fit a pattern, whether they are there or not."""

    branches: str
    type: str
    parameters: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of_checks(cls, branches: str, *checks: str, on_create: bool = True) -> "Rule":
        given: dict[str, object] = {
            "required_status_checks": [{"context": check} for check in checks],
            "strict_required_status_checks_policy": False,
            "do_not_enforce_on_create": not on_create,
        }
        return cls(branches=branches, type="required_status_checks", parameters=given)


@dataclass
class Hosted:
    """`name` is "owner/name". `origin` is the bare repository and a work tree beside it, in the test's hands."""

    name: str
    folder: Path
    default_branch: str = "main"
    protected: set[str] = field(default_factory=lambda: {"main"})
    rules: list[Rule] = field(default_factory=list)
    pulls: list[Pull] = field(default_factory=list)
    reported: dict[str, list[Reported]] = field(default_factory=dict)
    origin: Origin = field(init=False)
    _known: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.origin = Origin(self.folder)
        self.origin.in_bare("config", "http.receivepack", "true")

    @property
    def owner(self) -> str:
        return self.name.partition("/")[0]

    def news(self) -> dict[str, str]:
        """Return the branches that were pushed to since this was asked last, with where they stand."""
        now = self.origin.branches()
        changed = {branch: sha for branch, sha in now.items() if self._known.get(branch) != sha}
        self._known = now
        return changed

    def head(self, branch: str) -> str:
        return self.origin.branches().get(branch, "")

    def holds(self, sha: str) -> bool:
        return bool(self._try("rev-parse", "--verify", "-q", f"{sha}^{{commit}}"))

    def read(self, sha: str, path: str) -> str:
        """Return a file of a commit, "" where it has none."""
        return self._try("show", f"{sha}:{path}")

    def show(self, sha: str, form: str) -> str:
        return self.origin.in_bare("show", "-s", f"--format={form}", sha)

    def pull(self, number: int) -> Pull | None:
        return next((pull for pull in self.pulls if pull.number == number), None)

    def merge(self, pull: Pull, at: float) -> str:
        """Merge with a merge commit, and return it; "" where it conflicts."""
        base, head = self.head(pull.target), self.head(pull.branch)
        tree = self._try("merge-tree", "--write-tree", base, head)
        if not tree:
            return ""
        message = f"Merge pull request #{pull.number} from {self.owner}/{pull.branch}\n\n{pull.title}"
        merged = self.origin.in_bare("commit-tree", tree, "-p", base, "-p", head, "-m", message)
        self.origin.in_bare("update-ref", f"refs/heads/{pull.target}", merged, base)
        pull.head, pull.is_open, pull.merged_at, pull.merged_sha = head, False, at, merged
        return merged

    def _try(self, *args: str) -> str:
        try:
            return self.origin.in_bare(*args)
        except subprocess.CalledProcessError:
            return ""
