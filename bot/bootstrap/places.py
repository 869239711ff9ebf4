"""What the front process and the worker both know of places. Alone, so that neither loads the other's code."""

from pathlib import Path
from typing import Final

from bot.domain.service import LogPlace
from bot.errors import Reason, Rejected
from bot.ports.logs import LogSource

TOOLCHAINS: Final = "toolchains"


def open_file(place: LogPlace) -> LogSource:
    """Return the source of a place that is files, which the worker reads. Raises `Rejected` for another."""
    if place.kind != "file":
        raise Rejected(f'A log of the kind "{place.kind}" is not read here.', Reason.NOT_FOUND)
    from connectors.logs import file  # noqa: PLC0415 -- the others are imported where they are used

    return file.Source(Path(place.path).name, place.path)
