"""The running demo service: a folder per release, the file that names the current one, and its health."""

import http.client
import json
import os
import re
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bot.demo.history import git

_SHA = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class DemoService:
    """How the service of one demo runs; stored in its state folder for the supervisor and the deploy job."""

    state: Path
    repository: Path
    port: int
    run: tuple[str, ...]

    @property
    def log(self) -> Path:
        return self.state / "checkout.log"

    @property
    def releases(self) -> Path:
        return self.state / "releases"

    @property
    def current_file(self) -> Path:
        return self.state / "current"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def argv(self) -> list[str]:
        """Return the command line that serves from a release folder."""
        program, *rest = (part.replace("{port}", str(self.port)) for part in self.run)
        return [sys.executable if program == "python" else program, *rest, "--log", str(self.log)]

    def save(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**asdict(self), "state": str(self.state), "repository": str(self.repository)})
        _replace(self.state / "service.json", text)


def load_service(state: Path) -> DemoService:
    fields = json.loads((state / "service.json").read_text(encoding="utf-8"))
    return DemoService(
        state=Path(fields["state"]),
        repository=Path(fields["repository"]),
        port=fields["port"],
        run=tuple(fields["run"]),
    )


def unpack_release(service: DemoService, sha: str) -> Path:
    """Check a commit out into its release folder, unless it is there. Raises `ValueError` for what is no SHA."""
    if not _SHA.fullmatch(sha):
        raise ValueError(f"not a commit: {sha!r}")
    folder = service.releases / sha
    if folder.exists():
        return folder
    partial = service.releases / f".{sha}.{os.getpid()}"
    partial.mkdir(parents=True)
    index = service.releases / f".{sha}.{os.getpid()}.index"
    places = {"GIT_DIR": str(service.repository), "GIT_WORK_TREE": str(partial), "GIT_INDEX_FILE": str(index)}
    git("read-tree", sha, cwd=partial, env=places)
    git("checkout-index", "--all", cwd=partial, env=places)
    index.unlink()
    try:
        partial.rename(folder)
    except OSError:  # another deploy of the same commit was faster
        shutil.rmtree(partial)
    return folder


def read_current(service: DemoService) -> str | None:
    """Return the SHA that should be running, None before the first release."""
    try:
        return service.current_file.read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None


def switch_current(service: DemoService, sha: str) -> None:
    """Name another release; the supervisor notices and restarts the service from it."""
    _replace(service.current_file, sha + "\n")


def running_release(service: DemoService) -> str | None:
    """Ask the service itself which release answers; None while nothing does."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=1)
    try:
        connection.request("GET", "/healthz")
        answer = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    release = answer.get("release") if isinstance(answer, dict) else None
    return release if isinstance(release, str) else None


def wait_for_release(service: DemoService, sha: str, *, seconds: float) -> bool:
    """Wait until the release answers. Returns whether it does."""
    deadline = time.monotonic() + seconds
    while running_release(service) != sha:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.03)
    return True


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
