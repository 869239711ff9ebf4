"""The services Nightshift looks after, as the configuration describes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from bot.domain.change import MergeRule
from bot.domain.ci import Trigger
from bot.domain.metrics.metric import MetricQuery


@dataclass(frozen=True, kw_only=True)
class LogPlace:
    """One place where a service logs. `kind` is a log connector's file name; it says what `path` and `query` are.

    `command` is run by the kind "command"; of its environment it gets the variables that `env` names.
    """

    kind: str
    path: str = ""
    query: str = ""
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()

    @property
    def is_far(self) -> bool:
        """Say whether a server or another program must be asked, so that the front process reads it."""
        return self.kind != "file"

    @property
    def label(self) -> str:
        """Return how people know the place."""
        return " ".join(part for part in (self.path, self.query) if part) or " ".join(self.command) or "the journal"


@dataclass(frozen=True, kw_only=True)
class Service:
    """One service: its repository, its logs, how to start it, and what must stay green.

    `run` starts the service for a reproduction; `{port}` in it is replaced by a loopback port.
    `checks` are the commands a change must pass, in order, by name ("tests", "lint").
    `setup` is trusted, runs outside the sandbox with network, and fills the folder `$NIGHTSHIFT_TOOLCHAIN`.
    `paths` are the folders a patch may touch without being called risky; empty = the whole repository.
    `binary_paths` are the folders, files or patterns in which a patch may hold a binary file; empty = nowhere.
    `ci` and `forge` name connections; `forge` empty = plain git, nobody is shown a pull request. `ci_job` is what a
    dispatch starts there. `merge` says who merges what is green; `deploy_job` is dispatched on the merged commit, and
    the alert watched for `watch` afterwards. `rollback_job` is dispatched to go back to the release before; releases
    are the tags on `branch` that match `release_tags`. `traces` and `trace` are addresses with places in braces; see
    `bot/domain/traces/links.py`.
    """

    name: str
    repository: str
    branch: str = "main"
    logs: tuple[LogPlace, ...] = ()
    metrics: tuple[MetricQuery, ...] = ()
    traces: str = ""
    trace: str = ""
    run: tuple[str, ...] = ()
    checks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    setup: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    binary_paths: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    ci: str = "local"
    ci_job: str = ""
    trigger: Trigger = Trigger.PUSH
    forge: str = ""
    merge: MergeRule = MergeRule.NEVER
    deploy_job: str = ""
    rollback_job: str = ""
    release_tags: str = "v*"
    watch: timedelta = timedelta(minutes=10)
    deploy: tuple[str, ...] = ()

    @property
    def is_ci_local(self) -> bool:
        """Say whether Nightshift runs the checks itself, so that no other system has logs of them."""
        return self.ci == "local"
