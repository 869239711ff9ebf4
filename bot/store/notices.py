"""What changed on the board, told from process to process."""

import threading
from collections.abc import Callable
from typing import Final

import psycopg
import structlog
from sqlalchemy import text
from sqlmodel import Session

from bot.store.postgres import BOARD_CHANNEL, CONNECT, libpq_url

log = structlog.get_logger(__name__)
LOOK_SECONDS: Final = 1.0
AGAIN_SECONDS: Final = 2.0
_NOTIFY: Final = text("SELECT pg_notify(:channel, :incident)")


def publish_change(session: Session, incident: str) -> None:
    """Tell every process, when this transaction commits, that an incident's page changed."""
    session.execute(_NOTIFY, {"channel": BOARD_CHANNEL, "incident": incident})


class Notices:
    """Listens in a thread of its own, on a connection of its own, opened again when it was lost.

    What is told meanwhile is lost: a page that is looked at catches up at its next change or reload.
    """

    def __init__(self, url: str, heard: Callable[[str], None]) -> None:
        self._url = libpq_url(url)
        self._heard = heard
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="notices", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, **CONNECT) as connection:
                    connection.execute(f"LISTEN {BOARD_CHANNEL}")
                    self._listen(connection)
            except psycopg.Error as error:
                log.warning("notices_lost", error=str(error))
                self._stop.wait(AGAIN_SECONDS)

    def _listen(self, connection: "psycopg.Connection[tuple[object, ...]]") -> None:
        while not self._stop.is_set():
            for notice in connection.notifies(timeout=LOOK_SECONDS):
                self._heard(notice.payload)
