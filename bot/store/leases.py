"""Which front processes live, by the database's clock, and which of them sends to which chat channel."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Engine, text
from sqlmodel import Session

from bot.store.incidents import changed_rows
from bot.store.postgres import REAPER_LOCK, Member
from bot.store.trouble import as_unavailable

_FIRST: Final = text("INSERT INTO front_lease (executor, beat) VALUES (:me, clock_timestamp())")
_BEAT: Final = text("UPDATE front_lease SET beat = clock_timestamp() WHERE executor = :me")
_END: Final = text("DELETE FROM front_lease WHERE executor = :me")
_TRY_REAP: Final = text("SELECT pg_try_advisory_xact_lock(:key)")
_REAP: Final = text("DELETE FROM front_lease WHERE beat < clock_timestamp() - :ttl * interval '1 second'")
_FREE: Final = text("DELETE FROM sender WHERE holder NOT IN (SELECT executor FROM front_lease)")
_LIVE: Final = text("SELECT executor FROM front_lease")
_HOLD: Final = text("""
    INSERT INTO sender (target, holder) VALUES (:target, :me)
    ON CONFLICT (target) DO UPDATE SET holder = :me
    WHERE sender.holder = :me OR NOT EXISTS (
        SELECT 1 FROM front_lease
        WHERE executor = sender.holder AND beat >= clock_timestamp() - :ttl * interval '1 second')
""")
_RELEASE: Final = text("DELETE FROM sender WHERE target = :target AND holder = :me")
_TAKE: Final = text("""
    UPDATE delivery SET state = :state, error = :error WHERE id = ANY(:numbers) AND state = 'pending' RETURNING id
""")


class Leases:
    """The lease of one process. On connections of its own: a beat waits for no unit of the store.

    Every call raises `Unavailable` where the database does not answer.
    """

    def __init__(self, engine: Engine, member: Member) -> None:
        self._engine = engine
        self._member = member

    def begin(self) -> None:
        """Write the first beat."""
        with as_unavailable(), self._engine.begin() as connection:
            connection.execute(_FIRST, {"me": self._member.executor})

    def beat(self) -> bool:
        """Beat once more. False: the others have declared this process dead and taken its work over."""
        with as_unavailable(), self._engine.begin() as connection:
            return changed_rows(connection.execute(_BEAT, {"me": self._member.executor})) == 1

    def end(self) -> None:
        """Give the lease back; what is left undone is taken over at once."""
        with as_unavailable(), self._engine.begin() as connection:
            connection.execute(_END, {"me": self._member.executor})

    def reap(self) -> frozenset[str] | None:
        """End the leases that ran out and return who lives, None while another process does this.

        A process whose lease was ended finds out at its next beat.
        """
        with as_unavailable(), self._engine.begin() as connection:
            if not connection.scalar(_TRY_REAP, {"key": REAPER_LOCK}):
                return None
            connection.execute(_REAP, {"ttl": self._member.lease_seconds})
            connection.execute(_FREE)
            return frozenset(connection.scalars(_LIVE))


def hold_target(session: Session, member: Member, target: str) -> bool:
    """Become, or stay, the only process that sends to a target; False while a living one holds it."""
    values = {"target": target, "me": member.executor, "ttl": member.lease_seconds}
    return changed_rows(session.execute(_HOLD, values)) == 1


def release_target(session: Session, member: Member, target: str) -> None:
    session.execute(_RELEASE, {"target": target, "me": member.executor})


class SqlTaken:
    """`bot.ports.work.Deliveries` where the inbox is a table beside the store."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def take(self, numbers: Sequence[int], *, error: str = "") -> Sequence[int]:
        values = {"numbers": list(numbers), "state": "dead" if error else "done", "error": error}
        return sorted(self._session.execute(_TAKE, values).scalars())


class FileTaken:
    """`bot.ports.work.Deliveries` where the inbox is a file of its own: it is marked after the commit."""

    def take(self, numbers: Sequence[int], *, error: str = "") -> Sequence[int]:  # noqa: ARG002 -- the port's signature
        return numbers
