"""Alertmanager, held to the contract of senders and to what it really sends."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import SecretStr

from bot.domain.alert import AlertStatus
from bot.errors import Refused
from connectors.alerts.alertmanager import MAX_DEPTH, Settings, Source
from tests.contract.alerts_suite import LABELS, AlertContract, AlertRig

TOKEN = "fBq4-example-token-77"
SOURCE = Source(Settings(token=SecretStr(TOKEN)))


def delivery(labels: Mapping[str, str], status: AlertStatus = AlertStatus.FIRING, **changes: Any) -> dict[str, Any]:
    """A delivery with every field that Alertmanager 0.28 sends."""
    ended = "2026-11-20T12:05:00Z" if status is AlertStatus.RESOLVED else "0001-01-01T00:00:00Z"
    alert = {
        "status": status.value,
        "labels": dict(labels),
        "annotations": {"summary": "half of all requests fail"},
        "startsAt": "2026-11-20T12:00:00Z",
        "endsAt": ended,
        "generatorURL": "http://prometheus.example:9090/graph?g0.expr=up",
        "fingerprint": hashlib.sha256(repr(sorted(labels.items())).encode()).hexdigest()[:16],
    }
    return {
        "receiver": "nightshift",
        "status": status.value,
        "alerts": [{**alert, **changes.pop("alert", {})}],
        "groupLabels": {"alertname": "High5xx"},
        "commonLabels": dict(labels),
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example:9093",
        "version": "4",
        "groupKey": '{}:{alertname="High5xx"}',
        "truncatedAlerts": 0,
        **changes,
    }


def encode(value: object) -> bytes:
    return json.dumps(value).encode()


class TestAlertsAlertmanager(AlertContract):
    @pytest.fixture
    def rig(self) -> AlertRig:
        return AlertRig(
            source=SOURCE,
            stranger=Source(Settings()),
            body=lambda labels, status: encode(delivery(labels, status)),
            proof=lambda _body: {"authorization": f"Bearer {TOKEN}"},
        )


class TestAlertsAlertmanagerBasic(AlertContract):
    """The same sender with a user name and a password."""

    @pytest.fixture
    def rig(self) -> AlertRig:
        pair = base64.b64encode(b"alertmanager:pass:with:colons").decode()
        return AlertRig(
            source=Source(Settings(username="alertmanager", password=SecretStr("pass:with:colons"))),
            stranger=Source(Settings()),
            body=lambda labels, status: encode(delivery(labels, status)),
            proof=lambda _body: {"authorization": f"Basic {pair}"},
        )


def test_one_secret_does_not_open_the_other_s_door() -> None:
    both = Source(Settings(token=SecretStr("one"), username="am", password=SecretStr("two")))
    rig = AlertRig(source=both, stranger=both, body=lambda *_: b"", proof=lambda _: {})
    swapped = base64.b64encode(b"am:one").decode()
    for header in ("Bearer two", "Bearer am:two", f"Basic {swapped}", "one"):
        with pytest.raises(Refused):
            both.verify(rig.request(b"", {"authorization": header}))
    both.verify(rig.request(b"", {"authorization": "bearer one"}))


def test_the_group_and_what_was_left_out_are_read() -> None:
    group = SOURCE.parse(encode(delivery(LABELS, truncatedAlerts=12)))
    assert group.group_key == '{}:{alertname="High5xx"}'
    assert group.truncated == 12
    assert group.dashboard_url == "http://alertmanager.example:9093"


def test_a_large_batch_is_read_whole() -> None:
    one = delivery(LABELS)
    alerts = [{**one["alerts"][0], "labels": {**LABELS, "instance": str(n)}, "fingerprint": ""} for n in range(3_000)]
    group = SOURCE.parse(encode({**one, "alerts": alerts}))
    assert len({alert.fingerprint for alert in group.alerts}) == 3_000


@pytest.mark.parametrize(
    "changes",
    [
        {"alerts": []},
        {"alerts": {}},
        {"alerts": "firing"},
        {"truncatedAlerts": -1},
        {"alert": {"status": "burning"}},
        {"alert": {"startsAt": "yesterday"}},
        {"alert": {"startsAt": None}},
        {"alert": {"labels": {"a": 1}}},
        {"alert": {"labels": {"a": "\ud800"}, "fingerprint": ""}},
        {"alert": {"labels": ["a"]}},
        {"alert": {"annotations": None}},
        {"alert": {"fingerprint": "f" * 1000}},
        {"alert": {"startsAt": "9999-12-31T23:59:59-23:00"}},
        {"alert": {"startsAt": 1e300}},
    ],
    ids=str,
)
def test_a_fault_is_refused_and_named(changes: dict[str, Any]) -> None:
    with pytest.raises(Refused, match=r"alerts|truncated|date|surrogate"):
        SOURCE.parse(encode(delivery(LABELS, **changes)))


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"NaN",
        b"1e999999",
        b'{"alerts": Infinity}',
        b"9" * 10_000,
        b"\xff\xfe{}",
        b"null",
    ],
    ids=["arrays", "objects", "nan", "huge", "infinity", "digits", "utf16", "null"],
)
def test_hostile_json_is_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        SOURCE.parse(body)


def test_depth_is_counted_outside_of_strings() -> None:
    SOURCE.parse(encode(delivery({**LABELS, "a": "[" * 1000 + '\\"' + "{" * 1000})))
    nested: Any = "x"
    for _ in range(MAX_DEPTH):
        nested = [nested]
    with pytest.raises(Refused, match="deeper"):
        SOURCE.parse(encode(delivery(LABELS, extra=nested)))
