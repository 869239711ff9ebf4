"""Files laid over a tree before something runs in it: a test that is newer than the commit it judges."""

import io
import tarfile
from collections.abc import Mapping


def lay_over(archive: bytes, files: Mapping[str, bytes]) -> bytes:
    """Return the archive with these files in the place of its own of the same names."""
    if not files:
        return archive
    buffer = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as old,
        tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in old:
            if member.name.removeprefix("./") not in files:
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            new.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def read_members(archive: bytes, names: frozenset[str], folders: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Return the files of these names, and those in these folders ("tests/"), that the archive holds."""
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if (name in names or name.startswith(folders)) and member.isreg() and (file := tar.extractfile(member)):
                found[name] = file.read()
    return found
