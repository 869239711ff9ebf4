"""A pause: the agent and every push stand still, for one incident or for all of them. Paging never does."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

MAX_REASON: Final = 200


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Who stopped Nightshift, since when, and why. `incident` is None where it stands for all of them.

    `since` is None where the stored text cannot be read: something was stopped, so it stays stopped.
    """

    who: str
    reason: str = ""
    since: datetime | None = None
    incident: str | None = None

    def __str__(self) -> str:
        what = "Nightshift is" if self.incident is None else f"The agent is off for {self.incident}:"
        since = f" since {self.since:%H:%M} UTC" if self.since else ""
        why = f": {self.reason}" if self.reason else ""
        return f"{what} paused by {self.who}{since}{why}"


def write_pause(pause: Pause) -> str:
    """Return a pause as it is stored."""
    since = pause.since.isoformat() if pause.since else ""
    return json.dumps({"who": pause.who, "reason": pause.reason[:MAX_REASON], "since": since})


def read_pause(text: str, incident: str | None) -> Pause | None:
    """Read what `write_pause` wrote; None for "". Text that cannot be read is a pause all the same."""
    if not text:
        return None
    try:
        stored = json.loads(text)
        since = datetime.fromisoformat(stored["since"])
        return Pause(who=str(stored["who"]), reason=str(stored["reason"]), since=since, incident=incident)
    except (ValueError, KeyError, TypeError):
        return Pause(who="somebody", incident=incident)
