"""Which files are one log: finds rotated files beside the current one and puts them in the order of writing."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from glob import glob, has_magic
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, Final

MAX_FILES: Final = 200
_REAL_MTIME: Final = 946_684_800  # images are often built with all times at 1970
_PACKED: Final = re.compile(r"\.(?:gz|zst)$")
_OTHER_PACKED: Final = (".bz2", ".xz", ".zip", ".lz4")
_DATE: Final = re.compile(r"[._-]?(\d{4})[-_.]?([01]\d)[-_.]?([0-3]\d)(?:[T._-](\d{1,6}))?(?=[._-]|$)")
_NUMBER: Final = re.compile(r"[.-](\d{1,5})$")


@dataclass(frozen=True, kw_only=True)
class OpenFile:
    """A log file that stays open, so that a rotation while it is read changes nothing."""

    path: Path
    stream: BinaryIO
    mtime: float

    @property
    def written_at(self) -> datetime | None:
        """Return when it was last written, None where the file system's time means nothing."""
        return datetime.fromtimestamp(self.mtime, UTC) if self.mtime >= _REAL_MTIME else None


def find_files(pattern: str) -> list[Path]:
    """Return what `pattern` matches, the rotated files of an exact name included; at most the newest `MAX_FILES`."""
    if has_magic(pattern):
        paths = {Path(name) for name in glob(pattern, recursive=True)}  # noqa: PTH207 - Path.glob takes no absolute pattern
    else:
        exact = Path(pattern)
        folder = exact.parent
        names = {path for path in (folder.iterdir() if folder.is_dir() else ()) if _base(path.name) == exact.name}
        paths = names | ({exact} if exact.exists() else set())
    paths = {path for path in paths if path.suffix not in _OTHER_PACKED and not path.is_dir()}
    return sorted(paths, key=lambda path: (_mtime(path), path.name))[-MAX_FILES:]


def sort_files(files: Iterable[OpenFile]) -> list[OpenFile]:
    """Return the files oldest first: logs by their newest file, within one log by date, number and time of writing."""
    found = sorted(files, key=lambda file: (str(file.path.parent), _base(file.path.name)))
    logs = [list(run) for _, run in groupby(found, key=lambda file: (str(file.path.parent), _base(file.path.name)))]
    logs.sort(key=lambda log: (max(file.mtime for file in log), str(log[0].path)))
    return [file for log in logs for file in sorted(log, key=_age)]


def _base(name: str) -> str:
    """Return the name of the current file that `name` is a rotation of."""
    name = _PACKED.sub("", name)
    without = _DATE.sub("", name, count=1)
    return _NUMBER.sub("", without) if without != name else _NUMBER.sub("", name)


def _age(file: OpenFile) -> tuple[bool, str, int, float, str]:
    name = _PACKED.sub("", file.path.name)
    date = _DATE.search(name)
    if date is not None:
        return False, "".join(date.groups()[:3]), int(date.group(4) or 0), file.mtime, name
    number = _NUMBER.search(name)
    if number is not None:
        return False, "", -int(number.group(1)), file.mtime, name
    return True, "", 0, file.mtime, name


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
