"""The first program inside a sandbox: unpacks the parcel on stdin, then becomes the job.

It is handed to `python3 -I -S -c` as text and runs as the sandbox's user under all its limits, so it imports
nothing of Nightshift and as little as it can. The parcel was written by `parcel.py`, which refused what is hostile.
Its one argument names the descriptor for its report: NUL and "R" just before the job starts, or NUL, "U" and why
it could not start. Where that is stderr, the job's own stderr becomes its stdout, so that the two stay in order.
"""

import os
import sys

_CHUNK = 1 << 20


class _Parcel:
    """Length-prefixed fields, read from stdin."""

    def __init__(self) -> None:
        self._source = open(0, "rb", closefd=False)  # noqa: SIM115 - stays open until the job takes over

    def number(self) -> int:
        return int.from_bytes(self._exactly(8), "big")

    def field(self) -> bytes:
        return self._exactly(self.number())

    def copy(self, target: int) -> None:
        left = self.number()
        while left:
            piece = self._exactly(min(left, _CHUNK))
            left -= len(piece)
            while piece:
                piece = piece[os.write(target, piece) :]

    def _exactly(self, size: int) -> bytes:
        data = self._source.read(size)
        if len(data) != size:
            raise OSError("the parcel ended early")
        return data


def _write_file(parcel: _Parcel, path: bytes, mode: int) -> None:
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        parcel.copy(target)
    finally:
        os.close(target)


def _unpack(parcel: _Parcel) -> None:
    while kind := parcel.field():
        path = parcel.field()
        mode = parcel.number()
        if kind == b"F":
            _write_file(parcel, path, mode)
        elif kind == b"L":
            os.symlink(parcel.field(), path)  # noqa: PTH211 - importing pathlib would double the start-up time
        else:
            os.mkdir(path, mode)  # noqa: PTH102 - as above


def main() -> None:
    """Unpack into the current folder, report, and execute."""
    report = os.dup(int(sys.argv[1]))
    if sys.argv[1] == "2":
        os.dup2(1, 2)
    else:
        os.close(int(sys.argv[1]))
    os.umask(0o022)
    try:
        parcel = _Parcel()
        argv = [parcel.field() for _ in range(parcel.number())]
        env = {parcel.field(): parcel.field() for _ in range(parcel.number())}
        _unpack(parcel)
    except (OSError, MemoryError) as error:
        os.write(report, f"\0U{error}".encode())
        sys.exit(125)
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.write(report, b"\0R")
    try:
        os.execvpe(argv[0], argv, env)  # noqa: S606 - that is its purpose
    except OSError as error:
        os.write(2, b"%s: %s\n" % (argv[0], (error.strerror or "cannot be run").encode()))
        sys.exit(126 if isinstance(error, PermissionError) else 127)


if __name__ == "__main__":
    main()
