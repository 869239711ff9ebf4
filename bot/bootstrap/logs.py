"""Structured logs: one JSON object per line, with the incident's id wherever there is one; never a secret."""

import logging
import logging.handlers
import sys
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

import structlog

FILE_BYTES: Final = 10 * 1024 * 1024
FILES: Final = 5


class _Cleaner:
    """The last processor before a line is written: takes secrets out of every text, however deep it lies."""

    def __init__(self) -> None:
        self.redact: Callable[[str], str] = str

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {key: self._clean(value) for key, value in event.items()}

    def _clean(self, value: object) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {self.redact(str(key)): self._clean(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean(item) for item in value]
        return self.redact(value if isinstance(value, str) else repr(value))


_cleaner: Final = _Cleaner()


def redact_logs(redact: Callable[[str], str]) -> None:
    """Take secrets out of every line from now on. Until it is called nothing was read that could hold one."""
    _cleaner.redact = redact


def configure_logs(file: Path | None) -> None:
    """Write to `file` (rotated at 10 MiB, five kept), or to standard error where it is None."""
    logging.raiseExceptions = False  # a full disk must not print the line, unredacted, on the terminal
    handler: logging.Handler
    if file is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        for folder in (file.parent.parent, file.parent):  # the state folder too: `parents` would open it to everybody
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handler = logging.handlers.RotatingFileHandler(file, maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8")

    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _cleaner,
                structlog.processors.JSONRenderer(),
            ],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for noisy in ("dbos", "alembic", "apscheduler", "aiohttp.access", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
