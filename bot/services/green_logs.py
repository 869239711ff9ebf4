"""The last green log of every CI job: kept when a run is seen green, and found again when one is red."""

from collections.abc import Iterable, Mapping, Sequence

from bot.domain.alert import Alert, AlertStatus
from bot.domain.ci_logs.jobs import GreenLog, job_keys, keep_green
from bot.domain.ci_logs.log import find_commit
from bot.ports.work import UnitOfWork
from bot.services.rulebook import Rulebook

WORKFLOW, CHECK = "workflow", "check"
CI_FAILED = "CIFailed"
"""What connections call a red default branch; a green run of GitLab's says no more than that and its commit."""


def note_green(work: UnitOfWork, alerts: Iterable[Alert], service: str, rules: Rulebook) -> None:
    """Have the log fetched of each run that CI says has passed. May be repeated: a commit's is fetched once."""
    known = rules.services.get(service)
    if known is None or known.is_ci_local:
        return
    for alert in alerts:
        sha, workflow = find_commit(alert.labels), alert.labels.get(WORKFLOW, "")
        is_run = bool(workflow or alert.labels.get(CHECK)) or alert.labels.get("alertname") == CI_FAILED
        if alert.status is AlertStatus.RESOLVED and sha and is_run:
            args = {"service": service, "sha": sha, "workflow": workflow}
            work.phases.enqueue("green", f"{service}:{sha}:{workflow}"[:200], args)


def keep(work: UnitOfWork, service: str, text: str, sha: str, rules: Rulebook, *, workflow: str = "") -> None:
    """Keep what the jobs of a green run wrote; `text` is plain and redacted."""
    known = rules.services.get(service)
    if known is not None and text:
        work.green_logs.put(known.repository, keep_green(text, sha=sha, at=work.now, workflow=workflow))


def find(work: UnitOfWork, service: str, text: str, rules: Rulebook) -> Mapping[str, str]:
    """Return by their keys what the jobs of a red run's log wrote when they were last green."""
    known = rules.services.get(service)
    keys: Sequence[str] = job_keys(text)
    logs: Mapping[str, GreenLog] = work.green_logs.of(known.repository, keys) if known is not None and keys else {}
    return {key: log.text for key, log in logs.items()}
