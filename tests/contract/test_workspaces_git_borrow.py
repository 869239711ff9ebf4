"""A clone that borrows another one's objects is a workspace like any other."""

import subprocess

import pytest

from bot.errors import Rejected
from connectors.workspaces.git_borrow import BORROWED, BorrowingGit
from tests.contract.git_origin import Origin
from tests.contract.workspace_suite import WorkspaceContract, WorkspaceWorld, edit, fill


@pytest.fixture
def origin(tmp_path):
    made = Origin(tmp_path / "far")
    fill(made)
    return made


class TestWorkspacesGitBorrow(WorkspaceContract):
    @pytest.fixture
    async def world(self, tmp_path, origin):
        return WorkspaceWorld(workspaces=BorrowingGit(), url=str(origin.bare), origin=origin, folder=tmp_path / "clone")

    async def test_opening_again_brings_what_is_new(self, world):
        """Objects are there as soon as their owner has them; branches move when it is opened again."""
        checkout = await world.workspaces.open(world.url, world.folder)
        old = await checkout.resolve("main")
        sha = edit(world.origin, 3, "three\n")
        assert await checkout.resolve("main") == old
        checkout = await world.workspaces.open(world.url, world.folder)
        assert await checkout.resolve("main") == sha


def git(folder, *args):
    who = ("-c", "user.name=A", "-c", "user.email=a@b.example")
    return subprocess.run(["git", *who, *args], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "tree"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "a.txt").write_text("one\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "One")
    return folder


async def test_a_head_that_is_on_no_branch_is_borrowed_too(tree, tmp_path):
    git(tree, "checkout", "-q", "--detach")
    (tree / "a.txt").write_text("two\n")
    git(tree, "commit", "-q", "-a", "-m", "Two")
    checkout = await BorrowingGit().open(str(tree), tmp_path / "clone")
    assert await checkout.resolve(BORROWED) == git(tree, "rev-parse", "HEAD")
    assert await checkout.read(BORROWED, "a.txt") == b"two\n"


async def test_the_repository_is_left_as_it_was(tree, tmp_path):
    before = sorted(str(path) for path in (tree / ".git").rglob("*"))
    checkout = await BorrowingGit().open(str(tree), tmp_path / "clone")
    patch = b"diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-one\n+two\n"
    await checkout.patched_tree(BORROWED, patch)
    assert sorted(str(path) for path in (tree / ".git").rglob("*")) == before


async def test_a_folder_that_is_no_repository_is_rejected(tmp_path):
    with pytest.raises(Rejected, match="is not a git repository with a commit"):
        await BorrowingGit().open(str(tmp_path), tmp_path / "clone")
