"""The timeline of an incident: append-only rows, chained by hashes over all incidents."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bot.errors import Reason, Refused

GENESIS = "0" * 64


@dataclass(frozen=True, kw_only=True)
class TimelineEvent:
    """What happened, who did it ("nightshift" for the bot itself), and the chain that proves it.

    `seq` counts from 1 over the whole store without a gap; `hash` covers this row and the hash before it.
    """

    seq: int
    at: datetime
    incident: str
    kind: str
    actor: str
    text: str
    data: Mapping[str, str] = field(default_factory=dict)
    previous: str = GENESIS
    hash: str = ""


def hash_event(event: TimelineEvent) -> str:
    """Return the sha256, in hex, that seals an event to the one before it."""
    body = [
        event.previous,
        event.seq,
        event.at.astimezone(UTC).isoformat(),
        event.incident,
        event.kind,
        event.actor,
        event.text,
        dict(sorted(event.data.items())),
    ]
    return hashlib.sha256(json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()


def write_anchor(seq: int, head: str) -> str:
    """Return a head as it is published: "<row number>:<hash>"."""
    return f"{seq}:{head}"


def parse_anchor(text: str) -> tuple[int, str]:
    """Read a published head. Raises `Refused`."""
    seq, _, head = text.strip().partition(":")
    if not seq.isdecimal() or len(head) != len(GENESIS):
        raise Refused(f'"{text}" is not an audit head; it looks like 12:<64 hex characters>.', Reason.BAD_INPUT)
    return int(seq), head


@dataclass(frozen=True, kw_only=True)
class ChainFault:
    """The first place where the chain does not hold."""

    seq: int
    what: str


def verify_chain(events: Iterable[TimelineEvent], anchors: Iterable[tuple[int, str]] = ()) -> ChainFault | None:
    """Check rows in order, and heads that were written down outside (`anchors`: seq, hash); None = all sound.

    An edit, a gap and a swap are found by the chain alone; a cut tail and a whole rewrite only by an anchor.
    """
    previous, last = GENESIS, 0
    heads: dict[int, str] = {}
    for event in events:
        if event.seq != last + 1:
            return ChainFault(seq=event.seq, what=f"row {last + 1} is missing")
        if event.previous != previous:
            return ChainFault(seq=event.seq, what=f"row {event.seq} does not follow row {last}")
        if hash_event(event) != event.hash:
            return ChainFault(seq=event.seq, what=f"row {event.seq} was changed")
        previous, last = event.hash, event.seq
        heads[event.seq] = event.hash
    for seq, head in anchors:
        if seq and heads.get(seq) != head:
            return ChainFault(seq=seq, what=f"the head published at row {seq} is not in the trail")
    return None
