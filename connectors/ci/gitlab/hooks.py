"""Webhooks of GitLab (docs.gitlab.com/user/project/integrations/webhook_events): a red default branch is an alert.

All deliveries about pipelines, jobs and merge requests name commits; whoever waits for one looks again at once.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from bot.domain.alert import Alert, AlertGroup, AlertStatus, fingerprint_labels
from bot.errors import Reason, Refused
from bot.ports.clock import Clock, SystemClock
from bot.ports.http import WebRequest
from connectors.ci.gitlab.settings import Settings
from connectors.ci.http_values import (
    as_count,
    as_entries,
    as_link,
    as_object,
    as_sha,
    as_text,
    as_time,
    load_json,
)

WINDOW: Final = 300.0
OWN_BRANCHES: Final = "nightshift/"
STATUSES: Final = {"failed": AlertStatus.FIRING, "success": AlertStatus.RESOLVED}


class GitLabHooks:
    """`AlertSource` for GitLab. With a signing secret the signature counts; else the secret token must be right."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._token = settings.webhook_secret.get_secret_value().encode() if settings.webhook_secret else b""
        signing = settings.webhook_signing_secret
        self._key = _read_key(signing.get_secret_value()) if signing else b""
        self._clock = clock or SystemClock()

    def verify(self, request: WebRequest) -> None:
        if self._key:
            self._verify_signature(request)
        elif not self._token:
            text = "Nightshift has no secret for GitLab; set NIGHTSHIFT_GITLAB_WEBHOOK_SECRET."
            raise Refused(text, Reason.NOT_ALLOWED)
        elif not hmac.compare_digest(_header(request, "x-gitlab-token"), self._token):
            raise Refused("The X-Gitlab-Token header is missing or wrong.", Reason.BAD_SIGNATURE)

    def _verify_signature(self, request: WebRequest) -> None:
        stamp = _header(request, "webhook-timestamp")
        if not (stamp.isdigit() and len(stamp) < 12):
            raise Refused("The webhook-timestamp header is missing or wrong.", Reason.BAD_SIGNATURE)
        if abs(self._clock.now().timestamp() - int(stamp)) > WINDOW:
            raise Refused("The delivery is too old or from the future.", Reason.STALE)
        told = _header(request, "webhook-id") + b"." + stamp + b"." + request.body
        wanted = b"v1," + base64.b64encode(hmac.new(self._key, told, hashlib.sha256).digest())
        shown = _header(request, "webhook-signature").split(b" ")[:10]
        if not any(hmac.compare_digest(one, wanted) for one in shown):
            raise Refused("The webhook-signature header is missing or wrong.", Reason.BAD_SIGNATURE)

    def parse(self, body: bytes) -> AlertGroup:
        try:
            told = load_json(body)
        except ValueError:
            raise Refused("the body is not JSON", Reason.BAD_INPUT) from None
        if not isinstance(told, dict) or not isinstance(told.get("object_kind"), str):
            raise Refused("object_kind: missing, so this is no delivery of GitLab", Reason.BAD_INPUT)
        alert = _read_alert(told, self._clock.now()) if told["object_kind"] == "pipeline" else None
        project = as_text(as_object(told.get("project")).get("path_with_namespace"))
        return AlertGroup(
            repeats=False,
            source="gitlab",
            group_key=f"gitlab {project} {as_text(_subject(told).get('ref'))}",
            alerts=(alert,) if alert else (),
            commits=_read_commits(told),
            ended=_read_ended(told),
        )


def _subject(told: Mapping[str, Any]) -> Mapping[str, Any]:
    return as_object(told.get("object_attributes"))


def _read_commits(told: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the commits that a delivery has news of."""
    subject = _subject(told)
    named = {
        "pipeline": [subject.get("sha")],
        "build": [told.get("sha")],
        "merge_request": [
            as_object(subject.get("last_commit")).get("id"),
            subject.get("merge_commit_sha"),
            subject.get("oldrev"),
        ],
    }.get(told["object_kind"], [])
    return tuple(dict.fromkeys(sha for value in named if (sha := as_sha(value))))


def _read_ended(told: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the head of a merge request that was merged or closed."""
    subject = _subject(told)
    is_over = told["object_kind"] == "merge_request" and as_text(subject.get("action")) in {"merge", "close"}
    head = as_sha(as_object(subject.get("last_commit")).get("id"))
    return (head,) if is_over and head else ()


def _read_alert(told: Mapping[str, Any], now: datetime) -> Alert | None:
    """Return the alert of a finished pipeline of the default branch, None for every other one."""
    subject, project = _subject(told), as_object(told.get("project"))
    branch, repository = as_text(subject.get("ref")), as_text(project.get("path_with_namespace"))
    status = STATUSES.get(as_text(subject.get("status")))
    is_change = subject.get("source") == "merge_request_event" or bool(told.get("merge_request"))
    is_default = bool(branch) and branch == as_text(project.get("default_branch")) and subject.get("tag") is not True
    if status is None or is_change or not is_default or branch.startswith(OWN_BRANCHES) or not repository:
        return None
    stable = {"alertname": "CIFailed", "repository": repository, "branch": branch}
    check = _failed_job(told) if status is AlertStatus.FIRING else ""
    at = as_time(subject.get("finished_at")) or as_time(subject.get("created_at")) or now
    link = as_link(subject.get("url")) or _pipeline_link(project, subject)
    commit = as_text(as_object(told.get("commit")).get("message"))
    what = f"CI of {repository} is red on {branch}" + (f": {check} failed" if check else "")
    return Alert(
        fingerprint=fingerprint_labels(stable),
        status=status,
        labels={**stable, "sha": as_sha(subject.get("sha")), **({"check": check} if check else {})},
        annotations={"summary": what, **({"description": f"Commit: {commit}"} if commit else {})},
        starts_at=at,
        ends_at=at if status is AlertStatus.RESOLVED else None,
        source_url=link,
    )


def _failed_job(told: Mapping[str, Any]) -> str:
    """Return the first job that failed and had to pass."""
    failed = [
        job
        for job in as_entries(told.get("builds"))
        if job.get("status") == "failed" and job.get("allow_failure") is not True
    ]
    first = min(failed, key=lambda job: as_count(job.get("id")), default=None)
    return as_text(first.get("name")) if first else ""


def _pipeline_link(project: Mapping[str, Any], subject: Mapping[str, Any]) -> str:
    home, number = as_link(project.get("web_url")), as_count(subject.get("id"))
    return f"{home}/-/pipelines/{number}" if home and number else ""


def _header(request: WebRequest, name: str) -> bytes:
    return request.headers.get(name, "").encode(errors="replace")


def _read_key(secret: str) -> bytes:
    """Return the key of a signing secret: base64 after "whsec_", else its own bytes."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        return secret.encode()
