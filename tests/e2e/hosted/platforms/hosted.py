"""A CI and a forge in a folder: their state outlives the bot, and two equal orders are two runs."""

import fcntl
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel

from bot.domain.change import BranchRules, Change, ChangeRequest, ChangeState
from bot.domain.ci import CIRequest, CIRun, CIState
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.chat import Health

TAKES = 0.3


class Settings(BaseModel):
    """`loses` is how many orders get lost before one arrives."""

    folder: Path
    loses: int = 0


class Book:
    """What CI and the forge know, one JSON file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._path = folder / "book.json"

    @contextmanager
    def open(self) -> Iterator[dict]:
        with self._path.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            book = json.loads(file.read() or '{"orders": 0, "runs": [], "changes": [], "merges": 0}')
            yield book
            file.truncate(0)
            file.write(json.dumps(book))


class CI:
    def __init__(self, settings: Settings, book: Book) -> None:
        self._settings = settings
        self._book = book

    async def start(self, request: CIRequest) -> CIRun:
        with self._book.open() as book:
            book["orders"] += 1
            is_lost = book["orders"] <= self._settings.loses
            if not is_lost:
                run = {
                    "sha": request.sha,
                    "key": request.key,
                    "job": request.job,
                    "tag": request.tag,
                    "at": time.time(),
                }
                book["runs"].append(run)
        if is_lost:
            raise Unavailable("the order got lost", Reason.TIMEOUT)
        return CIRun(id=request.key, sha=request.sha, state=CIState.QUEUED)

    async def status(self, sha: str) -> CIRun | None:
        return self._find(sha=sha)

    async def find_order(self, request: CIRequest) -> CIRun | None:
        return self._find(sha=request.sha, key=request.key)

    def _find(self, **wanted: str) -> CIRun | None:
        with self._book.open() as book:
            run = next((run for run in book["runs"] if wanted.items() <= run.items()), None)
        if run is None:
            return None
        state = CIState.PASSED if time.time() - run["at"] > TAKES else CIState.RUNNING
        return CIRun(id=run["key"], sha=run["sha"], state=state)

    async def log(self, sha: str) -> str:
        return "all is well\n"

    async def cancel(self, sha: str) -> CIRun:
        raise Rejected("not here", Reason.NOT_FOUND)

    async def rerun(self, sha: str) -> CIRun:
        raise Rejected("not here", Reason.NOT_FOUND)

    async def check(self) -> Health:
        return Health(ok=True, text="in a folder")


class Forge:
    def __init__(self, book: Book) -> None:
        self._book = book

    async def rules(self, repository: str, branch: str) -> BranchRules:
        return BranchRules(exists=False, is_default=branch == "main", is_protected=False)

    async def find(self, repository: str, branch: str) -> Change | None:
        with self._book.open() as book:
            found = [change for change in book["changes"] if change["branch"] == branch]
        return _read(found[-1]) if found else None

    async def propose(self, request: ChangeRequest) -> Change:
        """Twice is two, so that the test would see it."""
        with self._book.open() as book:
            change = {"number": len(book["changes"]) + 1, "branch": request.branch, "sha": request.sha, "merged": ""}
            book["changes"].append(change)
        return _read(change)

    async def merge(self, repository: str, number: int, sha: str) -> Change:
        with self._book.open() as book:
            change = book["changes"][number - 1]
            book["merges"] += 1
            folder = repository.removeprefix("file://")
            subprocess.run(["git", "-C", folder, "update-ref", "refs/heads/main", sha], check=True)
            change["merged"] = sha
        return _read(change)

    async def check(self) -> Health:
        return Health(ok=True, text="in a folder")


def _read(change: dict) -> Change:
    found = Change(number=change["number"], state=ChangeState.OPEN, sha=change["sha"])
    return replace(found, state=ChangeState.MERGED, merged_sha=change["merged"]) if change["merged"] else found


class Connector:
    hooks = None

    def __init__(self, settings: Settings, repositories: object) -> None:
        book = Book(settings.folder)
        self.ci = CI(settings, book)
        self.forge = Forge(book)

    async def close(self) -> None:
        return
