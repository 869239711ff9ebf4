"""Files that somebody names on the command line."""

from pathlib import Path

from bot.errors import Reason, Refused


def read_named(path: Path, *, most: int) -> bytes:
    """Return a file's bytes. Raises `Refused` where it cannot be read, or has more than `most`."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror or error}.", Reason.NOT_FOUND) from None
    if len(data) > most:
        raise Refused(f"{path} has more than {most // 2**20:,} MiB.", Reason.TOO_LARGE)
    return data
