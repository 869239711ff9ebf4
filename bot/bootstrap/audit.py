"""`verify-audit`: the chain of the timeline, against itself and against the heads that were published."""

import asyncio
from dataclasses import dataclass

from sqlmodel import Session

from bot.domain.timeline import parse_anchor, verify_chain
from bot.errors import NightshiftError, Reason, Refused
from bot.ports.clock import SystemClock
from bot.settings import Settings
from bot.store.database import SqlStore, open_engine
from connectors.workspaces.git import Git

TRAILER = "Nightshift-Audit:"
BRANCHES = "nightshift/"


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    ok: bool
    text: str


class _NoPhases:
    """Reading needs no phases."""

    def __init__(self, _session: Session) -> None:
        pass

    def enqueue(self, *_args: object, **_options: object) -> None:
        raise Refused("The audit only reads.", Reason.NOT_ALLOWED)


def check_audit(settings: Settings, anchors: list[str]) -> AuditReport:
    """Check the trail against the heads on approval cards, in pushed commits, and those given."""
    path = settings.server.state_dir.absolute() / "nightshift.db"
    if not path.exists():
        raise Refused(f"There is no store at {path}.", Reason.NOT_FOUND)
    given = [parse_anchor(text) for text in anchors]
    engine = open_engine(f"sqlite:///{path}")
    store = SqlStore(engine, SystemClock(), _NoPhases)
    try:
        with store.begin() as work:
            events, cards = work.timeline.all(), work.timeline.anchors()
    finally:
        engine.dispose()
    commits, unread = asyncio.run(_read_trailers(settings))
    fault = verify_chain(events, [*given, *cards, *commits])
    notes = "".join(f"\nNot read: {text}" for text in unread)
    if fault is not None:
        return AuditReport(ok=False, text=f"The audit trail was tampered with: {fault.what}.{notes}")
    heads = len(given) + len(cards) + len(commits)
    return AuditReport(ok=True, text=f"The audit trail is sound: {len(events)} rows, {heads} published heads.{notes}")


async def _read_trailers(settings: Settings) -> tuple[list[tuple[int, str]], list[str]]:
    """Return the heads in the commits Nightshift pushed, and which repositories could not be asked."""
    heads: list[tuple[int, str]] = []
    unread: list[str] = []
    git = Git()
    for service in settings.service_map().values():
        folder = settings.server.state_dir.absolute() / "audit" / service.name
        try:
            checkout = await git.open(service.repository, folder)
            for message in await checkout.messages(BRANCHES):
                lines = [line for line in message.splitlines() if line.startswith(TRAILER)]
                heads += [parse_anchor(line.removeprefix(TRAILER)) for line in lines]
        except NightshiftError as error:
            unread.append(f"{service.name}: {error}")
    return heads, unread
