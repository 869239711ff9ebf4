"""GitHub's webhooks: what is news of a commit, and which workflow is red on the default branch.

The kind of event stands in a header that a stored delivery no longer has, so it is read from the body's shape: each
event has a member of its own. An event that comes twice, or after a newer one, changes nothing of an incident that is
there, and opens none: an alert's time is the start of the run it tells of, and intake takes no word that is not newer
than what is known.
"""

import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from bot.domain.alert import Alert, AlertGroup, AlertStatus, fingerprint_labels
from bot.errors import Reason, Refused
from bot.ports.http import WebRequest
from connectors.ci.github.text import is_sha
from connectors.ci.http_values import as_link, as_text, as_time

SOURCE: Final = "github"
OWN_BRANCHES: Final = "nightshift/"

_SIGNATURE: Final = re.compile(r"sha256=[0-9a-f]{64}")
_RED: Final = frozenset({"failure", "timed_out", "startup_failure"})
_HEADS: Final = ("workflow_run", "check_run", "check_suite", "workflow_job")
_PROPOSED: Final = frozenset({"pull_request", "pull_request_target", "merge_group"})


class GitHubHooks:
    """`AlertSource` for GitHub, which signs every body with the secret of its webhook."""

    def __init__(self, secret: str, tell: Callable[[Sequence[str]], None]) -> None:
        self._secret = secret.encode()
        self._tell = tell

    def verify(self, request: WebRequest) -> None:
        shown = request.headers.get("x-hub-signature-256", "")
        if _SIGNATURE.fullmatch(shown) is None:
            raise Refused("The X-Hub-Signature-256 header is missing or has another form.", Reason.BAD_SIGNATURE)
        if not request.is_whole:
            return
        wanted = hmac.new(self._secret, request.body, "sha256").hexdigest()
        if not hmac.compare_digest(shown.removeprefix("sha256="), wanted):
            raise Refused("The X-Hub-Signature-256 header does not fit the body.", Reason.BAD_SIGNATURE)

    def parse(self, body: bytes) -> AlertGroup:
        event = _load(body)
        commits = tuple(dict.fromkeys(_commits(event)))
        alert = _alert(event)
        self._tell(commits)
        return AlertGroup(
            source=SOURCE,
            group_key=f"{alert.labels['repository']}@{alert.labels['branch']}" if alert else "",
            alerts=(alert,) if alert else (),
            commits=commits,
            ended=_ended(event),
            repeats=False,
        )


def _load(body: bytes) -> Mapping[str, Any]:
    if body.startswith(b"payload="):
        text = "the body is a form; choose the content type application/json in GitHub's webhook settings"
        raise Refused(text, Reason.BAD_INPUT)
    try:
        event = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Refused(f"the body is not JSON: {str(error)[:200]}", Reason.BAD_INPUT) from None
    if not isinstance(event, dict):
        raise Refused("the body is no object", Reason.BAD_INPUT)
    return event


def _commits(event: Mapping[str, Any]) -> Sequence[str]:
    """Return the whole ids of the commits that an event is about."""
    found: list[object] = [_member(event, name).get("head_sha") for name in _HEADS]
    found.append(_member(_member(event, "pull_request"), "head").get("sha"))
    if "context" in event and "state" in event:
        found.append(event.get("sha"))
    return [sha for sha in found if isinstance(sha, str) and is_sha(sha)]


def _ended(event: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the head of a pull request that was merged or closed."""
    head = _member(_member(event, "pull_request"), "head").get("sha")
    return (head,) if event.get("action") == "closed" and isinstance(head, str) and is_sha(head) else ()


def _alert(event: Mapping[str, Any]) -> Alert | None:
    """Return the alert of a finished run on the default branch; None for a run of a proposal or of another branch."""
    run, repository = _member(event, "workflow_run"), _member(event, "repository")
    status = _status(run) if event.get("action") == "completed" else None
    branch, name = run.get("head_branch"), repository.get("full_name")
    if status is None or not isinstance(branch, str) or not isinstance(name, str) or not name:
        return None
    if branch != repository.get("default_branch") or branch.startswith(OWN_BRANCHES) or run.get("event") in _PROPOSED:
        return None
    if _member(run, "head_repository").get("full_name") != name:
        return None
    started = _need_time(run, "run_started_at" if run.get("run_started_at") else "created_at")
    return _describe(run, {"repository": as_text(name), "branch": as_text(branch)}, status, started)


def _describe(run: Mapping[str, Any], place: Mapping[str, str], status: AlertStatus, started: datetime) -> Alert:
    """One workflow of one branch is one alert, whichever commit made it red."""
    workflow = as_text(run.get("name") or run.get("path"), 100) or "a workflow without a name"
    sha = run.get("head_sha")
    lasting = {"alertname": "CIFailed", **place, "workflow": workflow}
    what = "failed" if status is AlertStatus.FIRING else "passed"
    subject = as_text(run.get("display_title"))
    return Alert(
        fingerprint=fingerprint_labels(lasting),
        status=status,
        labels={**lasting, **({"sha": sha} if isinstance(sha, str) and is_sha(sha) else {})},
        annotations={
            "summary": f"{workflow} {what} on {place['branch']} of {place['repository']}",
            **({"description": subject} if subject else {}),
        },
        starts_at=started,
        ends_at=_need_time(run, "updated_at") if status is AlertStatus.RESOLVED else None,
        source_url=as_link(run.get("html_url")),
    )


def _status(run: Mapping[str, Any]) -> AlertStatus | None:
    """A run that was cancelled or skipped says nothing of the branch."""
    conclusion = run.get("conclusion")
    if conclusion == "success":
        return AlertStatus.RESOLVED
    return AlertStatus.FIRING if isinstance(conclusion, str) and conclusion in _RED else None


def _need_time(run: Mapping[str, Any], key: str) -> datetime:
    at = as_time(run.get(key))
    if at is None:
        raise Refused(f"workflow_run.{key}: no time with a zone", Reason.BAD_INPUT)
    return at


def _member(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = event.get(name)
    return value if isinstance(value, dict) else {}
