"""Senders of alerts."""

from typing import Protocol

from bot.domain.alert import AlertGroup
from bot.ports.http import WebRequest


class AlertSource(Protocol):
    """One kind of sender, mounted at `POST /v1/alerts/<name>`. Pure: no I/O."""

    def verify(self, request: WebRequest) -> None:
        """Check who sent it, over the raw body, before anything is parsed. Raises `Refused`.

        It is asked twice: before the body is read (`is_whole` is False; refuse what is certainly wrong), and with it.
        """
        ...

    def parse(self, body: bytes) -> AlertGroup:
        """Read one delivery. Raises `Refused` with the place of the first fault."""
        ...
