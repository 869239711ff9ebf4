"""A bare clone that borrows the objects of a repository on this machine: there at once, and never writing to it."""

import asyncio
import shutil
from pathlib import Path
from typing import Final

from bot.errors import Reason, Rejected
from connectors.workspaces.git import Git, GitCheckout
from connectors.workspaces.git_commands import Call, Settings, run_git

#: The branch of the clone that stands where the repository's HEAD stands, also where that is on no branch.
BORROWED: Final = "borrowed-head"


class BorrowingGit(Git):
    """`Git` for one repository that is there already, with the clone in a folder that the caller throws away."""

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings)
        self._own = settings or Settings()

    async def open(self, url: str, folder: Path) -> GitCheckout:
        """Make the clone, or bring it up to date. Raises `Rejected` where `url` is no repository with a commit."""
        source = Path(await _ask(url, "rev-parse", "--path-format=absolute", "--git-common-dir"))
        head = await _ask(url, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        place = await asyncio.to_thread(folder.absolute)
        if not await asyncio.to_thread((place / "HEAD").exists):
            await run_git(Call(args=("init", "--quiet", "--bare", "--template=", str(place))))
        await asyncio.to_thread(_lend, source, place)
        await run_git(Call(args=("update-ref", f"refs/heads/{BORROWED}", head), folder=place))
        return GitCheckout(place, self._own)


def _lend(source: Path, place: Path) -> None:
    """Point at the source's objects, and copy its branches and tags."""
    (place / "objects" / "info").mkdir(parents=True, exist_ok=True)
    (place / "objects" / "info" / "alternates").write_text(f"{source / 'objects'}\n")
    for name in ("packed-refs", "shallow"):
        if (source / name).is_file():
            shutil.copyfile(source / name, place / name)
    for kind in ("heads", "tags"):
        if (source / "refs" / kind).is_dir():
            shutil.copytree(source / "refs" / kind, place / "refs" / kind, dirs_exist_ok=True)


async def _ask(folder: str, *args: str) -> str:
    try:
        return (await run_git(Call(args=("-C", folder, *args)))).text.strip()
    except Rejected as error:
        raise Rejected(f"{folder} is not a git repository with a commit", Reason.NOT_FOUND) from error
