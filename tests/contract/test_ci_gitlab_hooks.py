"""Webhooks that GitLab sends: `connectors.ci.gitlab` as a sender of alerts."""

import base64
import copy
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.domain.alert import AlertStatus
from bot.errors import Refused
from bot.ports.http import WebRequest
from connectors.ci.gitlab import Connector, GitLabHooks, Settings
from tests.contract.far_side import make_sha

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "samples" / "gitlab" / "webhooks"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = b"k" * 32
SIGNING = "whsec_" + base64.b64encode(KEY).decode()
PIPELINE = {
    "object_kind": "pipeline",
    "object_attributes": {
        "id": 31,
        "ref": "main",
        "tag": False,
        "sha": make_sha("red"),
        "source": "push",
        "status": "failed",
        "created_at": "2026-01-02 03:00:00 UTC",
        "finished_at": "2026-01-02 03:03:00 UTC",
    },
    "merge_request": None,
    "project": {
        "path_with_namespace": "team/shop",
        "web_url": "https://gitlab.example.com/team/shop",
        "default_branch": "main",
    },
    "commit": {"id": make_sha("red"), "message": "Round later\n\nLong story"},
    "builds": [
        {"id": 9, "name": "deploy", "status": "failed", "allow_failure": False},
        {"id": 7, "name": "style", "status": "failed", "allow_failure": True},
        {"id": 8, "name": "tests", "status": "failed", "allow_failure": False},
    ],
}


class FixedClock:
    def now(self):
        return NOW


def hooks(**secrets: str) -> GitLabHooks:
    return GitLabHooks(Settings(token="t", **secrets), FixedClock())


def post(body: bytes = b"{}", **headers: str) -> WebRequest:
    named = {key.replace("_", "-"): text for key, text in headers.items()}
    return WebRequest(method="POST", path="/v1/alerts/gitlab", headers=named, body=body)


def signed(body: bytes = b"{}", *, at: datetime = NOW, key: bytes = KEY, number: str = "msg_1") -> WebRequest:
    stamp = str(int(at.timestamp()))
    told = f"{number}.{stamp}.".encode() + body
    mark = "v1," + base64.b64encode(hmac.new(key, told, hashlib.sha256).digest()).decode()
    return post(body, webhook_id=number, webhook_timestamp=stamp, webhook_signature=f"v1,b2xk {mark}")


def read(changes: dict | None = None, **attributes: object):
    told = copy.deepcopy(PIPELINE) | (changes or {})
    if isinstance(told["object_attributes"], dict):
        told["object_attributes"] |= attributes
    return hooks().parse(json.dumps(told).encode())


def test_a_red_default_branch_is_one_alert_that_the_ci_playbook_takes():
    group = read()
    [alert] = group.alerts
    assert alert.status is AlertStatus.FIRING
    assert alert.labels == {
        "alertname": "CIFailed",
        "repository": "team/shop",
        "branch": "main",
        "sha": make_sha("red"),
        "check": "tests",
    }
    assert alert.summary == "CI of team/shop is red on main: tests failed"
    assert alert.source_url == "https://gitlab.example.com/team/shop/-/pipelines/31"
    assert alert.starts_at == datetime(2026, 1, 2, 3, 3, tzinfo=UTC)
    assert group.commits == (make_sha("red"),)


def test_green_again_resolves_the_same_alert():
    red, green = read().alerts[0], read(status="success", sha=make_sha("green"), id=32).alerts[0]
    assert (green.fingerprint, green.status) == (red.fingerprint, AlertStatus.RESOLVED)
    assert green.ends_at is not None


@pytest.mark.parametrize(
    ("changes", "attributes"),
    [
        ({}, {"status": "running"}),
        ({}, {"status": "canceled"}),
        ({}, {"ref": "feature"}),
        ({}, {"ref": "nightshift/inc-1/abc"}),
        ({}, {"tag": True}),
        ({}, {"source": "merge_request_event"}),
        ({"merge_request": {"iid": 1}}, {}),
        ({"project": {}}, {}),
        ({"project": {"path_with_namespace": "a/b", "default_branch": "nightshift/x"}}, {"ref": "nightshift/x"}),
    ],
)
def test_everything_else_only_names_its_commit(changes, attributes):
    group = read(changes, **attributes)
    assert (group.alerts, group.commits) == ((), (make_sha("red"),))


@pytest.mark.parametrize(
    ("told", "commits"),
    [
        ({"object_kind": "build", "sha": make_sha("a"), "build_status": "failed"}, (make_sha("a"),)),
        (
            {
                "object_kind": "merge_request",
                "object_attributes": {"last_commit": {"id": make_sha("a")}, "merge_commit_sha": make_sha("b")},
            },
            (make_sha("a"), make_sha("b")),
        ),
        ({"object_kind": "push", "after": make_sha("a")}, ()),
        ({"object_kind": "build", "sha": "--upload-pack=x"}, ()),
        ({"object_kind": "pipeline", "object_attributes": [1], "builds": "no"}, ()),
        ({"object_kind": "merge_request", "object_attributes": {"last_commit": "x"}}, ()),
    ],
)
def test_jobs_and_merge_requests_name_their_commits(told, commits):
    group = hooks().parse(json.dumps(told).encode())
    assert (group.alerts, group.commits) == ((), commits)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"\xff", b'{"object_kind": 7}', b"[" * 100_000])
def test_what_is_no_delivery_is_refused(body):
    with pytest.raises(Refused):
        hooks().parse(body)


def test_hostile_names_are_kept_short_and_hide_nothing():
    builds = [{"id": "x", "name": "te\u202est\x00" + "y" * 9000, "status": "failed"}, 7, None]
    project = {"path_with_namespace": "team/shop\n@all", "default_branch": "main", "web_url": "javascript:x"}
    [alert] = read({"builds": builds, "project": project}, finished_at=9, created_at=[]).alerts
    assert alert.labels["repository"] == "team/shop @all"
    assert alert.labels["check"].startswith("te st y")
    assert len(alert.labels["check"]) <= 200
    assert alert.source_url == ""


def test_the_secret_token_is_asked_for():
    source = hooks(webhook_secret="right")
    source.verify(post(x_gitlab_token="right"))
    for wrong in ({}, {"x_gitlab_token": ""}, {"x_gitlab_token": "wrong"}, {"x_gitlab_token": "right "}):
        with pytest.raises(Refused):
            source.verify(post(**wrong))


def test_without_a_secret_nobody_is_heard():
    for source in (hooks(), hooks(webhook_secret=""), hooks(webhook_signing_secret="")):
        with pytest.raises(Refused, match="NIGHTSHIFT_GITLAB_WEBHOOK_SECRET"):
            source.verify(post(x_gitlab_token=""))
    assert Connector(Settings(token="t"), []).hooks is None


def test_a_signature_counts_and_then_the_token_alone_does_not():
    source = hooks(webhook_secret="right", webhook_signing_secret=SIGNING)
    source.verify(signed())
    with pytest.raises(Refused):
        source.verify(post(x_gitlab_token="right"))


@pytest.mark.parametrize(
    "forged",
    [
        signed(key=b"other"),
        signed(at=NOW - timedelta(minutes=6)),
        signed(at=NOW + timedelta(minutes=6)),
        post(b"changed", **{k.replace("-", "_"): v for k, v in signed().headers.items()}),
        post(**{k.replace("-", "_"): v for k, v in signed().headers.items()} | {"webhook_id": "msg_2"}),
        post(webhook_timestamp="\u0661" * 10, webhook_signature="v1,"),
        post(webhook_timestamp="9" * 400, webhook_signature="v1,"),
    ],
)
def test_a_forged_changed_or_replayed_delivery_is_refused(forged):
    with pytest.raises(Refused):
        hooks(webhook_signing_secret=SIGNING).verify(forged)


@pytest.mark.parametrize("name", ["pipeline", "build", "job", "merge_request", "push", "note_issue"])
def test_recorded_deliveries_can_be_read(name):
    path = SAMPLES / f"{name}.json"
    if not path.is_file():
        pytest.skip("no recorded deliveries here")
    group = hooks().parse(path.read_bytes())
    assert bool(group.commits) is (name in {"pipeline", "build", "job", "merge_request"})
