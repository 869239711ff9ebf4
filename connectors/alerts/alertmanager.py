"""Alertmanager: webhook version 4 (prometheus/alertmanager, docs/configuration.md, `<webhook_config>`)."""

import base64
import binascii
import hmac
import json
import re
from datetime import UTC, date, datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from bot.domain.alert import Alert, AlertGroup, AlertStatus, fingerprint_labels
from bot.errors import Reason, Refused
from bot.ports.http import WebRequest

MAX_DEPTH = 64
MAX_ALERTS = 20_000
MAX_TRUNCATED = 10**9
NEVER = date.min
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{\]}]', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


_FAULTS: Final = {
    "missing": "is missing",
    "list_type": "is no list",
    "dict_type": "is no object",
    "model_type": "is no object",
    "string_type": "is no text",
    "too_short": "is empty",
    "too_long": f"has more than {MAX_ALERTS:,} entries",
    "enum": "is neither firing nor resolved",
    "datetime_type": "is no time",
    "datetime_parsing": "is no time",
    "datetime_from_date_parsing": "is no time",
}


class Settings(BaseModel):
    """A bearer token, or a user name and password."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    token: SecretStr | None = None
    username: str = ""
    password: SecretStr | None = None


class _Alert(BaseModel):
    model_config = ConfigDict(extra="ignore")
    status: AlertStatus
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    starts_at: datetime = Field(alias="startsAt")
    ends_at: datetime | None = Field(default=None, alias="endsAt")
    generator_url: str = Field(default="", alias="generatorURL")
    fingerprint: str = Field(default="", max_length=128)


class _Delivery(BaseModel):
    model_config = ConfigDict(extra="ignore")
    group_key: str = Field(default="", alias="groupKey")
    truncated: int = Field(default=0, ge=0, le=MAX_TRUNCATED, alias="truncatedAlerts")
    external_url: str = Field(default="", alias="externalURL")
    alerts: list[_Alert] = Field(min_length=1, max_length=MAX_ALERTS)


class Source:
    """`bot.ports.alerts.AlertSource` for Alertmanager, which signs nothing and so must know a secret."""

    def __init__(self, settings: Settings) -> None:
        self._accepted: list[bytes] = []
        if settings.token is not None:
            self._accepted.append(f"bearer {settings.token.get_secret_value()}".encode())
        if settings.password is not None:
            pair = f"{settings.username}:{settings.password.get_secret_value()}"
            self._accepted.append(f"basic {pair}".encode())

    def verify(self, request: WebRequest) -> None:
        if not self._accepted:
            raise Refused("Nightshift has no secret for Alertmanager; set NIGHTSHIFT_ALERT_TOKEN.", Reason.NOT_ALLOWED)
        shown = _credential(request.headers.get("authorization", ""))
        if not any(hmac.compare_digest(shown, wanted) for wanted in self._accepted):
            raise Refused("The Authorization header is missing or wrong.", Reason.BAD_SIGNATURE)

    def parse(self, body: bytes) -> AlertGroup:
        try:
            delivery = _Delivery.model_validate(_load(body))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "body"
            raise Refused(f"{place} {_FAULTS.get(first['type'], 'cannot be read')}", Reason.BAD_INPUT) from None
        return AlertGroup(
            source="alertmanager",
            group_key=delivery.group_key[:1000],
            alerts=tuple(_alert(alert) for alert in delivery.alerts),
            truncated=delivery.truncated,
            dashboard_url=delivery.external_url,
        )


def _credential(header: str) -> bytes:
    """Return "bearer <token>" or "basic <user>:<password>", whatever the header's spelling; b"" for neither."""
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() == "bearer":
        return f"bearer {value.strip()}".encode(errors="replace")
    if scheme.lower() == "basic":
        try:
            return b"basic " + base64.b64decode(value.strip(), validate=True)
        except (binascii.Error, ValueError):
            return b""
    return b""


def _load(body: bytes) -> Any:  # noqa: ANN401 -- JSON that was not checked yet
    """Read JSON of bounded depth. Raises `Refused`."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(f"byte {error.start}: the body is not UTF-8", Reason.BAD_INPUT) from None
    _require_shallow(text)
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refused("the body has half of a surrogate pair, which is not text", Reason.BAD_INPUT) from None
    except json.JSONDecodeError as error:
        raise Refused(f"the body is not JSON (line {error.lineno}, column {error.colno})", Reason.BAD_INPUT) from None
    except RecursionError:
        raise Refused(f"the body is nested deeper than {MAX_DEPTH}", Reason.BAD_INPUT) from None
    except ValueError as error:
        raise Refused(f"the body has a number that cannot be read: {error}", Reason.BAD_INPUT) from None
    return value


def _require_shallow(text: str) -> None:
    depth = 0
    for token in _TOKEN.finditer(text):
        mark = text[token.start()]
        if mark in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise Refused(f"the body is nested deeper than {MAX_DEPTH}", Reason.BAD_INPUT)
        elif mark in "]}":
            depth -= 1


def _refuse_constant(name: str) -> None:
    raise Refused(f"{name} is not JSON", Reason.BAD_INPUT)


def _alert(alert: _Alert) -> Alert:
    starts = _aware(alert.starts_at)
    ends = _aware(alert.ends_at) if alert.ends_at else None
    return Alert(
        fingerprint=alert.fingerprint or fingerprint_labels(alert.labels),
        status=alert.status,
        labels=alert.labels,
        annotations=alert.annotations,
        starts_at=starts,
        ends_at=ends if ends and ends.date() != NEVER and alert.status is AlertStatus.RESOLVED else None,
        source_url=alert.generator_url,
    )


def _aware(at: datetime) -> datetime:
    """Return a time in UTC. Go's zero time stands for "unset", whatever its zone. Raises `Refused`."""
    if at.tzinfo is None or at.date() == NEVER:
        return at.replace(tzinfo=UTC)
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise Refused(f"alerts: the date {at.isoformat()} is out of range", Reason.BAD_INPUT) from None
