"""Addresses of traces: what a service did around the alert, and the trace that an error in its log names."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from bot.domain.evidence import ErrorRecord
from bot.domain.service import Service

AROUND: Final = timedelta(minutes=30)
WINDOW: Final = frozenset({"service", "from", "to", "from_ms", "to_ms", "from_us", "to_us"})
"""What can be put into the braces of `services.<name>.traces`."""
ONE_TRACE: Final = WINDOW | {"trace_id"}
"""What can be put into the braces of `services.<name>.trace`."""
_PLACE: Final = re.compile(r"\{([a-z_]+)\}")
_TRACE_ID: Final = re.compile(
    r"""(?<![a-z])trace(?:[_. -]?id|parent)["']?\s?[:=]\s?["']?(?:00-)?([0-9a-f]{16}(?:[0-9a-f]{16})?)(?![0-9a-f])""",
    re.IGNORECASE,
)
"""W3C Trace Context: 32 hexadecimal digits, in `traceparent` after the version; Zipkin's B3 knows 16 as well."""


def find_unknown(address: str, known: frozenset[str]) -> list[str]:
    """Return the names in braces that nothing can be put in for."""
    return sorted(set(_PLACE.findall(address)) - known)


def find_trace(records: Sequence[ErrorRecord]) -> str:
    """Return the trace that the first error with one names, "" where none does."""
    found = (_TRACE_ID.search(line.text) for record in records for line in record.lines)
    return next((match.group(1).lower() for match in found if match), "")


def link_traces(service: Service, started: datetime) -> str:
    """Return the address of the service's traces around the start of the alert; "" where none is configured."""
    return _fill(service.traces, _window(service, started))


def link_trace(service: Service, started: datetime, trace: str) -> str:
    """Return the address of one trace; "" where none is configured."""
    return _fill(service.trace, {"trace_id": trace, **_window(service, started)})


def _window(service: Service, started: datetime) -> Mapping[str, str]:
    values = {"service": service.name}
    for name, at in (("from", started - AROUND), ("to", started + AROUND)):
        seconds = int(at.timestamp())
        values |= {name: f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{name}_ms": f"{seconds}000", f"{name}_us": f"{seconds}000000"}
    return values


def _fill(address: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: quote(values[place[1]], safe=""), address)
