"""Packs a job for the launcher inside the sandbox, and refuses a hostile tree before anything starts.

The tree's tar archive is read here once and written again as plain fields, so that only one parser ever decides
what an archive holds, and the launcher needs no archive code.
"""

import io
import os
import re
import shutil
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from bot.errors import LimitReached, Reason, Rejected
from bot.ports.sandbox import SandboxJob

_PAGE: Final = 4096
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_SYSTEM_PATH: Final = "/usr/local/bin:/usr/bin:/bin"

LAUNCHER: Final = Path(__file__).with_name("launcher.py").read_text()
PYTHON_HOME: Final = "/python"
TOOLS: Final = "/opt/nightshift/bin"


def find_python() -> tuple[Path, str]:
    """Return the running Python's prefix and the path of its program below it."""
    base = Path(sys.base_prefix)
    version = f"bin/python{sys.version_info.major}.{sys.version_info.minor}"
    return base, version


def build_environment(job: SandboxJob, tools: str = TOOLS) -> dict[str, str]:
    """Return all the variables that the job sees."""
    path = f"{tools}:{_SYSTEM_PATH}"
    if job.toolchain is not None:
        path = f"/toolchain/bin:{path}"
    return {"PATH": path, "HOME": "/tmp", "LANG": "C.UTF-8", **job.env}  # noqa: S108 - inside the sandbox


def check_job(job: SandboxJob) -> None:
    """Refuse a job that no rung could run as it is worded."""
    if not job.argv or not job.argv[0]:
        raise Rejected("The sandbox was asked to run an empty command.", Reason.BAD_INPUT)
    for name in job.files:
        if not _FILE_NAME.fullmatch(name):
            raise Rejected(f"{name!r} cannot be the name of a file in the sandbox.", Reason.BAD_INPUT)
    for name in job.env:
        if not _VARIABLE.fullmatch(name):
            raise Rejected(f"{name!r} cannot be the name of a variable in the sandbox.", Reason.BAD_INPUT)
    if any("\0" in text for text in (*job.argv, *job.env.values())):
        raise Rejected("A command for the sandbox holds a NUL character.", Reason.BAD_INPUT)
    if job.toolchain is not None and not job.toolchain.is_dir():
        raise Rejected(f"The toolchain folder {job.toolchain} does not exist.", Reason.NOT_FOUND)
    for folder in job.readable:
        if not folder.is_absolute() or ".." in folder.parts or len(folder.parts) < 3 or not folder.is_dir():
            raise Rejected(f"{folder} is not a folder that the sandbox can be shown.", Reason.BAD_INPUT)


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _field(text: bytes) -> bytes:
    return _number(len(text)) + text


class _TreePacker:
    """Checks each member of an archive and writes it as fields."""

    def __init__(self, archive: tarfile.TarFile, sink: BinaryIO, limit: int) -> None:
        self._archive = archive
        self._sink = sink
        self._limit = limit
        self._used = 0
        self._folders: set[tuple[str, ...]] = {()}
        self._leaves: set[tuple[str, ...]] = set()

    def add(self, member: tarfile.TarInfo) -> None:
        parts = self._parts(member)
        if not parts:
            return
        if member.isdir():
            self._make_folders(parts)
            return
        if parts in self._leaves or parts in self._folders:
            raise _hostile(member, "is there twice")
        self._make_folders(parts[:-1])
        self._leaves.add(parts)
        if member.issym():
            self._grow(_PAGE)
            self._write(b"L", parts, 0, _field(os.fsencode(member.linkname)))
        elif member.isfile():
            self._add_file(member, parts)
        else:
            raise _hostile(member, "is not a file, folder or symbolic link")

    def _parts(self, member: tarfile.TarInfo) -> tuple[str, ...]:
        if member.name.startswith("/") or "\0" in member.name or "\0" in member.linkname:
            raise _hostile(member, "has no relative path")
        parts = PurePosixPath(member.name).parts
        if ".." in parts:
            raise _hostile(member, "leads out of the tree")
        return parts

    def _make_folders(self, parts: tuple[str, ...]) -> None:
        for depth in range(1, len(parts) + 1):
            folder = parts[:depth]
            if folder in self._leaves:
                raise Rejected(f"The tree's {'/'.join(folder)!r} is used as a folder.", Reason.UNSAFE)
            if folder not in self._folders:
                self._folders.add(folder)
                self._grow(_PAGE)
                self._write(b"D", folder, 0o755, b"")

    def _add_file(self, member: tarfile.TarInfo, parts: tuple[str, ...]) -> None:
        self._grow(_PAGE + member.size)
        source = self._archive.extractfile(member)
        if source is None:
            raise _hostile(member, "cannot be read")
        self._write(b"F", parts, 0o755 if member.mode & 0o100 else 0o644, _number(member.size))
        shutil.copyfileobj(source, self._sink, 1 << 20)

    def _write(self, kind: bytes, parts: tuple[str, ...], mode: int, rest: bytes) -> None:
        self._sink.write(_field(kind) + _field(os.fsencode("/".join(parts))) + _number(mode) + rest)

    def _grow(self, size: int) -> None:
        self._used += size
        if self._used > self._limit:
            raise LimitReached(
                f"The work tree is larger than {self._limit // (1 << 20)} MiB; raise the sandbox's tree limit.",
                Reason.TOO_LARGE,
            )


def _hostile(member: tarfile.TarInfo, why: str) -> Rejected:
    return Rejected(f"The tree's member {member.name[:200]!r} {why}.", Reason.UNSAFE)


def write_parcel(sink: BinaryIO, job: SandboxJob, env: Mapping[str, str], argv: Sequence[str]) -> None:
    """Write the command, its variables and the tree. Raises `Rejected` or `LimitReached`."""
    sink.write(_number(len(argv)) + b"".join(_field(os.fsencode(text)) for text in argv))
    sink.write(_number(len(env)))
    for name, value in env.items():
        sink.write(_field(name.encode()) + _field(os.fsencode(value)))
    if job.tree is not None:
        try:
            with tarfile.open(fileobj=io.BytesIO(job.tree), mode="r:") as archive:
                packer = _TreePacker(archive, sink, job.limits.tree)
                for member in archive:
                    packer.add(member)
        except (tarfile.TarError, UnicodeError, EOFError, ValueError) as error:
            raise Rejected(f"The work tree is not a readable tar archive: {error}", Reason.BAD_INPUT) from error
    sink.write(_field(b""))


@contextmanager
def in_memory(name: str, content: bytes) -> Iterator[int]:
    """Hold bytes in an anonymous file; yield its descriptor, rewound."""
    with open_memory(name) as file:
        file.write(content)
        file.flush()
        file.seek(0)
        yield file.fileno()


def open_memory(name: str) -> BinaryIO:
    """Return an anonymous file in memory, open for writing and reading."""
    return os.fdopen(os.memfd_create(name), "w+b")
