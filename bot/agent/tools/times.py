"""From when to when a call looks: around the alert where it does not say."""

from datetime import UTC, datetime, timedelta
from typing import Final

from bot.agent.arguments import Param
from bot.agent.tools.tool import Call
from bot.errors import Reason, Refused

_FORM: Final = 'write it as "2026-11-20T14:05:00Z"; without a zone it is UTC'

SINCE: Final = Param(
    name="since", about='From when, such as "2026-11-20T14:05:00Z"; a while before the alert if not given.'
)
UNTIL: Final = Param(name="until", about="Until when; a while after the alert if not given.")


def read_span(call: Call, *, most: timedelta) -> tuple[datetime, datetime]:
    """Return the time a call asks for, what it leaves open filled with the time around the alert. Raises `Refused`."""
    around = call.hands.job.log_span
    since, until = _read(call, "since"), _read(call, "until")
    if since is None:
        since = min(around[0], until - (around[1] - around[0])) if until else around[0]
    until = until or max(around[1], since + timedelta(minutes=1))
    until = min(until, max(call.hands.job.now, around[1]))
    if until <= since:
        raise Refused(f"nothing lies between since ({say(since)}) and until ({say(until)})", Reason.BAD_INPUT)
    if until - since > most:
        span = f"{most.days} days" if most.days > 1 else "24 hours"
        raise Refused(f"at most {span} can be looked at at once; narrow since and until", Reason.TOO_LARGE)
    return since, until


def say(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def say_span(since: datetime, until: datetime) -> str:
    return f"{say(since)} and {say(until)}"


def _read(call: Call, name: str) -> datetime | None:
    text = call.text(name)
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Refused(f"{name} is no time: {_FORM}", Reason.BAD_INPUT) from error
