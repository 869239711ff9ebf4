"""A bare repository written straight from dictionaries, and the real git's word on a patch."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

Files = Mapping[bytes, tuple[str, bytes]]
WHO = b"Ada <ada@example.org> 1760000000 +0000"


class BareRepository:
    """One repository; `commit` writes a whole tree as the next commit of a branch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.run("init", "-q", "--bare", "-b", "main", ".")

    def run(self, *args: str, stdin: bytes = b"", check: bool = True) -> subprocess.CompletedProcess[bytes]:
        env = {
            "PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_INDEX_FILE": str(self.folder / "an-index"), "GIT_DIR": str(self.folder), "LC_ALL": "C",
        }  # fmt: skip
        return subprocess.run(["git", *args], cwd=self.folder, env=env, input=stdin, capture_output=True, check=check)

    def read(self, *args: str) -> str:
        return self.run(*args).stdout.decode().strip()

    def commit(self, files: Files, branch: str = "main") -> str:
        parts = [b"reset refs/heads/%b\ncommit refs/heads/%b\ncommitter %b\n" % (branch.encode(), branch.encode(), WHO)]
        parts.append(b"data 5\nFiles\ndeleteall\n")
        for name, (mode, content) in files.items():
            parts.append(b"M %b inline %b\ndata %d\n%b\n" % (mode.encode(), name, len(content), content))
        self.run("fast-import", "--quiet", "--force", stdin=b"".join(parts))
        return self.read("rev-parse", f"refs/heads/{branch}")

    def applies(self, base: str, patch: bytes) -> bool:
        """Say whether `git apply` alone takes a patch."""
        self.run("read-tree", base)
        return self.run("apply", "--cached", "-", stdin=patch, check=False).returncode == 0
