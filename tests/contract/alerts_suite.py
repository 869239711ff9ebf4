"""What every sender of alerts must do: subclass `AlertContract` and give it a rig.

class TestAlertsAlertmanager(AlertContract):
    @pytest.fixture
    def rig(self): ...     # returns an AlertRig
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from bot.domain.alert import AlertGroup, AlertStatus
from bot.errors import Reason, Refused
from bot.ports.alerts import AlertSource
from bot.ports.http import WebRequest

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@dataclass(kw_only=True)
class AlertRig:
    """`body` is one delivery in the sender's own words: one alert with these labels, firing or resolved.

    `proof` holds the headers with which the sender proves who it is for a body; `stranger` has no secret set.
    """

    source: AlertSource
    stranger: AlertSource
    body: Callable[[Mapping[str, str], AlertStatus], bytes]
    proof: Callable[[bytes], Mapping[str, str]]

    def request(self, body: bytes, headers: Mapping[str, str]) -> WebRequest:
        return WebRequest(method="POST", path="/v1/alerts/x", headers=headers, body=body)


LABELS = {"alertname": "High5xx", "service": "checkout", "severity": "critical"}


class AlertContract:
    def test_the_sender_is_known_by_its_secret(self, rig: AlertRig):
        body = rig.body(LABELS, AlertStatus.FIRING)
        rig.source.verify(rig.request(body, rig.proof(body)))

    @pytest.mark.parametrize("fault", ["nothing", "empty", "cut", "longer", "other scheme", "not ascii"])
    def test_anybody_else_is_refused(self, rig: AlertRig, fault: str):
        body = rig.body(LABELS, AlertStatus.FIRING)
        right = dict(rig.proof(body))
        name, value = next(iter(right.items()))
        wrong = {
            "nothing": {},
            "empty": {name: ""},
            "cut": {name: value[:-1]},
            "longer": {name: value + "x"},
            "other scheme": {name: "Digest " + value.partition(" ")[2]},
            "not ascii": {name: value[:-1] + "\udce9"},
        }[fault]
        with pytest.raises(Refused) as caught:
            rig.source.verify(rig.request(body, {**right, **wrong} if wrong else {}))
        assert caught.value.reason in {Reason.BAD_SIGNATURE, Reason.NOT_ALLOWED}
        assert value.partition(" ")[2] not in str(caught.value)

    def test_without_a_secret_of_ours_nobody_is_known(self, rig: AlertRig):
        body = rig.body(LABELS, AlertStatus.FIRING)
        for headers in ({}, {"authorization": ""}, {"authorization": "Bearer "}, rig.proof(body)):
            with pytest.raises(Refused):
                rig.stranger.verify(rig.request(body, headers))

    @pytest.mark.parametrize("status", AlertStatus)
    def test_what_is_said_is_read(self, rig: AlertRig, status: AlertStatus):
        group = rig.source.parse(rig.body(LABELS, status))
        (alert,) = group.alerts
        assert group.source
        assert alert.labels == LABELS
        assert alert.status is status
        assert alert.starts_at == NOON
        assert alert.ends_at == (NOON + timedelta(minutes=5) if status is AlertStatus.RESOLVED else None)
        assert alert.source_url.startswith("http://")

    def test_an_alert_keeps_its_fingerprint_and_another_has_another(self, rig: AlertRig):
        firing, resolved, other = (
            rig.source.parse(rig.body(labels, status)).alerts[0].fingerprint
            for labels, status in (
                (LABELS, AlertStatus.FIRING),
                (LABELS, AlertStatus.RESOLVED),
                ({**LABELS, "service": "search"}, AlertStatus.FIRING),
            )
        )
        assert firing == resolved != other

    def test_hostile_text_is_only_text(self, rig: AlertRig):
        labels = {**LABELS, "note": "<!here> \x1b[2J \u202e </pre> ${jndi:x}"}
        assert rig.source.parse(rig.body(labels, AlertStatus.FIRING)).alerts[0].labels == labels

    def test_every_beginning_of_a_delivery_is_refused_with_its_reason(self, rig: AlertRig):
        body = rig.body(LABELS, AlertStatus.FIRING)
        for end in range(0, len(body) - 1, 7):
            with pytest.raises(Refused) as caught:
                rig.source.parse(body[:end])
            assert caught.value.reason is Reason.BAD_INPUT

    def test_bytes_are_refused_and_nothing_else_happens(self, rig: AlertRig):
        chance = Random(5)
        for size in range(200):
            with pytest.raises(Refused):
                rig.source.parse(chance.randbytes(size))

    def test_a_wrong_byte_is_read_or_refused(self, rig: AlertRig):
        chance = Random(6)
        whole = rig.body(LABELS, AlertStatus.RESOLVED)
        read = [_read(rig.source, _with_a_wrong_byte(whole, chance)) for _ in range(500)]
        assert any(group is None for group in read)
        alerts = [alert for group in read if group is not None for alert in group.alerts]
        assert alerts
        assert all(alert.starts_at.tzinfo is not None for alert in alerts)


def _with_a_wrong_byte(body: bytes, chance: Random) -> bytes:
    changed = bytearray(body)
    changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _read(source: AlertSource, body: bytes) -> AlertGroup | None:
    try:
        return source.parse(body)
    except Refused:
        return None
