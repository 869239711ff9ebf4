from datetime import UTC, datetime
from pathlib import Path

from bot.demo.alarm import describe_alert
from bot.demo.alertmanager import build_payload, fingerprint
from bot.demo.service import DemoService
from bot.domain.alert import AlertStatus
from connectors.alerts.alertmanager import Settings, Source

AT = datetime(2026, 3, 1, 2, 4, 5, 678000, tzinfo=UTC)
SERVICE = DemoService(state=Path("/s"), repository=Path("/r"), port=8001, run=("python",))
ALERT = describe_alert(SERVICE, 0.1034, AT)


def test_the_fingerprint_is_prometheus_own() -> None:
    # The two cases of prometheus/common, model/signature_test.go.
    assert int(fingerprint({}), 16) == 14695981039346656037
    assert int(fingerprint({"name": "garland, briggs", "fear": "love is not enough"}), 16) == 5799056148416392346


def test_a_firing_alert_is_read_by_the_connector() -> None:
    group = Source(Settings()).parse(build_payload(ALERT))
    (alert,) = group.alerts
    assert group.group_key == '{}:{alertname="CheckoutHigh5xxRate", service="checkout"}'
    assert (alert.status, alert.starts_at, alert.ends_at) == (AlertStatus.FIRING, AT, None)
    assert alert.labels == ALERT.labels
    assert "10.3%" in alert.summary


def test_resolved_is_the_same_alert_with_an_end() -> None:
    firing, resolved = (
        Source(Settings()).parse(build_payload(ALERT, ends_at=end)) for end in (None, AT.replace(minute=30))
    )
    assert resolved.group_key == firing.group_key
    assert resolved.alerts[0].fingerprint == firing.alerts[0].fingerprint
    assert (resolved.alerts[0].status, resolved.alerts[0].ends_at) == (AlertStatus.RESOLVED, AT.replace(minute=30))
