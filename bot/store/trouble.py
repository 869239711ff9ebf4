"""What a database may answer, in the terms of the ports."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bot.errors import Reason, Unavailable


@contextmanager
def as_unavailable() -> Iterator[None]:
    """A database that is down, full, locked or in the middle of a restart is `Unavailable`.

    `InternalError` is how PostgreSQL reports a session that it ended, and a server that only reads after a failover.
    """
    try:
        yield
    except (OperationalError, InterfaceError, InternalError) as error:
        raise Unavailable(f"The store did not answer: {error.orig}", Reason.UNREACHABLE, 1.0) from error
    except sqlite3.OperationalError as error:  # of a statement that went to the driver as it is
        raise Unavailable(f"The store did not answer: {error}", Reason.UNREACHABLE, 1.0) from error
    except PoolTimeout as error:
        raise Unavailable("The store has more to do than it can.", Reason.OVERLOADED, 1.0) from error
