"""Routing: which service an alert is about, who is paged, and where it is shown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import re2

from bot.domain.alert import AlertGroup

MAX_PATTERN = 200


@dataclass(frozen=True, kw_only=True)
class Matcher:
    """One label and the pattern its whole value must match. A missing label is an empty value."""

    label: str
    pattern: str

    def fault(self) -> str:
        """Return what is wrong with the pattern, "" when it is fine."""
        if len(self.pattern) > MAX_PATTERN:
            return f"is longer than {MAX_PATTERN} characters"
        options = re2.Options()
        options.log_errors = False
        try:
            re2.compile(self.pattern, options)
        except re2.error as error:
            said = error.args[0] if error.args else ""
            return f"is not a regular expression: {said.decode(errors='replace') if isinstance(said, bytes) else said}"
        return ""

    def matches(self, labels: Mapping[str, str]) -> bool:
        return re2.fullmatch(self.pattern, labels.get(self.label, "")) is not None


@dataclass(frozen=True, kw_only=True)
class Route:
    """The first route whose matchers all match wins."""

    matchers: tuple[Matcher, ...]
    service: str
    escalation: str
    channels: tuple[str, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(matcher.matches(labels) for matcher in self.matchers)


def choose_route(routes: Sequence[Route], labels: Mapping[str, str]) -> Route | None:
    """Return the first matching route; None when nobody claims the alert."""
    return next((route for route in routes if route.matches(labels)), None)


def incident_key(group: AlertGroup, service: str, alert_name: str) -> str:
    """Return the key under which deliveries merge: same sender, same group, same alert, same service."""
    return json.dumps((group.source, group.group_key or alert_name, alert_name, service), ensure_ascii=False)
