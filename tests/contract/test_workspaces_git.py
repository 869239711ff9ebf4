"""Plain git against real repositories: over a file path, and over smart HTTP with a token."""

import asyncio
import os
import time

import pytest

from bot.domain.patches.patch import PatchLimits, parse_patch
from bot.errors import Reason, Rejected, Unavailable
from bot.ports import faults
from connectors.workspaces.git import Git, Settings
from connectors.workspaces.git_commands import side_by_side
from connectors.workspaces.git_remote import check_remote
from tests.contract.git_origin import Origin, serve_git
from tests.contract.workspace_suite import (
    BRANCH,
    WorkspaceContract,
    WorkspaceWorld,
    changing,
    edit,
    fill,
    plan_of,
)

TOKEN = "ghs_Very+Secret/Token=1"


@pytest.fixture
def origin(tmp_path):
    made = Origin(tmp_path / "far")
    fill(made)
    return made


class TestOverFilePath(WorkspaceContract):
    @pytest.fixture
    async def world(self, tmp_path, origin):
        return WorkspaceWorld(workspaces=Git(), url=str(origin.bare), origin=origin, folder=tmp_path / "clone")


class TestOverHttp(WorkspaceContract):
    @pytest.fixture
    async def world(self, tmp_path, origin):
        async with serve_git(origin, TOKEN) as server:
            git = Git(Settings(tokens={"127.0.0.1": TOKEN}))
            yield WorkspaceWorld(workspaces=git, url=server.url, origin=origin, folder=tmp_path / "clone")


async def test_a_file_url_works_too(tmp_path, origin):
    checkout = await Git().open(f"file://{origin.bare}", tmp_path / "clone")
    assert await checkout.resolve("main") == origin.git("rev-parse", "HEAD")


async def test_it_works_with_an_empty_environment(tmp_path, origin, monkeypatch):
    for name in list(os.environ):
        monkeypatch.delenv(name)
    git = Git()
    checkout = await git.open(str(origin.bare), tmp_path / "clone")
    base = await checkout.resolve("main")
    sha = await git.commit(checkout, plan_of(base, changing(10, "ten")))
    await git.push(checkout, str(origin.bare), sha, BRANCH)
    assert origin.branches()[BRANCH] == sha


@pytest.mark.parametrize(
    "userinfo", ["", "x-access-token:" + TOKEN.replace("+", "%2B").replace("/", "%2F") + "@"], ids=["token", "url"]
)
async def test_credentials_reach_the_server_and_nobody_else(tmp_path, origin, userinfo):
    async with serve_git(origin, TOKEN) as server:
        git = Git(Settings(tokens={} if userinfo else {"127.0.0.1": TOKEN}))
        url = server.url.replace("http://", f"http://{userinfo}")
        checkout = await git.open(url, tmp_path / "clone")
        written = b"".join(path.read_bytes() for path in checkout.folder.rglob("*") if path.is_file())
        assert TOKEN.encode() not in written
        assert b"Very" not in written
        server.fail = 403
        with pytest.raises(Rejected) as caught:
            await git.open(url, tmp_path / "clone")
        assert caught.value.reason is Reason.NOT_ALLOWED
        assert "Very" not in str(caught.value)


async def test_a_wrong_token_is_final(tmp_path, origin):
    async with serve_git(origin, TOKEN) as server:
        for git in (Git(), Git(Settings(tokens={"127.0.0.1": "wrong"}))):
            with pytest.raises(Rejected) as caught:
                await git.open(server.url, tmp_path / "clone")
            assert caught.value.reason is Reason.NOT_ALLOWED


def test_a_token_goes_to_its_host_only():
    settings = Settings(tokens={"git.example.org": TOKEN})
    assert not check_remote("https://other.example.org/x.git", settings).config
    remote = check_remote("https://git.example.org/x.git", settings)
    assert list(remote.config) == ["http.https://git.example.org/.extraHeader", "http.followRedirects"]
    assert TOKEN not in remote.url


@pytest.mark.parametrize(
    ("status", "reason"), [(503, Reason.SERVER_ERROR), (500, Reason.SERVER_ERROR), (429, Reason.RATE_LIMITED)]
)
async def test_a_server_in_trouble_may_be_tried_again(tmp_path, origin, status, reason):
    async with serve_git(origin) as server:
        checkout = await Git().open(server.url, tmp_path / "clone")
        server.fail = status
        with pytest.raises(Unavailable) as caught:
            await Git().open(server.url, tmp_path / "clone")
        assert caught.value.reason is reason
        with pytest.raises(Unavailable):
            await Git().push(checkout, server.url, await checkout.resolve("main"), BRANCH)
        assert await checkout.resolve("main")


async def test_a_server_that_hangs_and_one_that_is_gone_may_be_tried_again(tmp_path, origin):
    async with serve_git(origin) as server:
        server.hang = True
        began = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await Git(Settings(remote_seconds=0.5)).open(server.url, tmp_path / "clone")
        assert caught.value.reason is Reason.TIMEOUT
        assert time.monotonic() - began < 5
        url = server.url
    with pytest.raises(Unavailable) as caught:
        await Git().remote_sha(url, "main")
    assert caught.value.reason is Reason.UNREACHABLE


async def test_a_protected_branch_is_final(tmp_path, origin):
    hook = origin.bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho GH006: protected branch hook >&2\nexit 1\n")
    hook.chmod(0o755)
    git = Git()
    checkout = await git.open(str(origin.bare), tmp_path / "clone")
    base = await checkout.resolve("main")
    sha = await git.commit(checkout, plan_of(base, changing(10, "ten")))
    with pytest.raises(Rejected) as caught:
        await git.push(checkout, str(origin.bare), sha, BRANCH)
    assert caught.value.reason is Reason.NOT_ALLOWED


async def test_a_branch_that_appears_between_look_and_push_is_not_moved(tmp_path, origin, monkeypatch):
    git = Git()
    checkout = await git.open(str(origin.bare), tmp_path / "clone")
    base = await checkout.resolve("main")
    sha = await git.commit(checkout, plan_of(base, changing(10, "ten")))
    reached = []

    def appear(name: str) -> None:
        reached.append(name)
        if name == "push.before":
            origin.in_bare("branch", BRANCH, base)

    monkeypatch.setattr(faults, "reach", appear)
    with pytest.raises(Rejected) as caught:
        await git.push(checkout, str(origin.bare), sha, BRANCH)
    assert caught.value.reason is Reason.CONFLICT
    assert origin.branches()[BRANCH] == base
    assert reached == ["push.before"]


async def test_the_same_push_by_two_at_once_succeeds_for_both(tmp_path, origin, monkeypatch):
    git = Git()
    checkout = await git.open(str(origin.bare), tmp_path / "clone")
    base = await checkout.resolve("main")
    sha = await git.commit(checkout, plan_of(base, changing(10, "ten")))
    reached = []
    monkeypatch.setattr(faults, "reach", reached.append)
    await asyncio.gather(*(git.push(checkout, str(origin.bare), sha, BRANCH) for _ in range(4)))
    assert origin.branches()[BRANCH] == sha
    assert "push.before" in reached
    assert "push.after" in reached


async def test_a_cancelled_call_leaves_no_process(tmp_path, origin):
    async with serve_git(origin) as server:
        server.hang = True
        task = asyncio.create_task(Git().open(server.url, tmp_path / "clone"))
        while not server.paths:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
        server.hang = False
        await Git().open(server.url, tmp_path / "clone")


async def test_two_hundred_commits_are_read_in_about_a_second(tmp_path, origin):
    parts = []
    for n in range(220):
        content = f"value = {n}\n".encode() * 20
        parts.append(
            b"commit refs/heads/many\ncommitter A <a@x> %d +0000\ndata 2\nc\nM 100644 inline f%d.py\ndata %d\n%b\n"
            % (1_700_000_000 + n, n % 7, len(content), content)
        )
    origin.git("fast-import", "--quiet", stdin=b"".join(parts))
    origin.git("push", "-q", "origin", "refs/heads/many")
    checkout = await Git().open(str(origin.bare), tmp_path / "clone")
    began = time.monotonic()
    commits = await checkout.log("many", 200)
    assert time.monotonic() - began < 2
    assert len(commits) == 200
    assert all(len(commit.files) == 1 and commit.diff.startswith("diff --git ") for commit in commits)


async def test_a_huge_commit_keeps_the_beginning_of_its_diff(tmp_path, origin):
    origin.commit("Vendor", {"big.txt": "".join(f"{n} abcdefghij\n" for n in range(200_000))})
    sha = edit(origin, 3, "three\n")
    checkout = await Git(Settings(commit_diff_bytes=1000)).open(str(origin.bare), tmp_path / "clone")
    newest, huge, *_ = await checkout.log("main", 3)
    assert newest.sha == sha
    assert "+three" in newest.diff
    assert 900 <= len(huge.diff) <= 1001
    assert huge.files == ("big.txt",)


async def test_a_merge_is_reverted_on_its_first_parent(tmp_path, origin):
    base = origin.git("rev-parse", "HEAD")
    origin.git("checkout", "-q", "-b", "side")
    origin.commit("On the side", {"side.py": "x\n"}, branch="side")
    origin.git("checkout", "-q", "main")
    edit(origin, 4, "four\n")
    origin.git("merge", "-q", "--no-ff", "-m", "Merge side", "side")
    merge = origin.push()
    checkout = await Git().open(str(origin.bare), tmp_path / "clone")
    commits = {commit.sha: commit for commit in await checkout.log("main", 10)}
    assert commits[merge].files == ("side.py",)
    assert "+x" in commits[merge].diff
    draft = await checkout.revert(merge, "main")
    assert draft is not None
    assert b"deleted file mode" in draft.diff
    assert b"side.py" in draft.diff
    assert base in commits


def draw_logo(origin: Origin, content: bytes) -> str:
    return origin.commit("Draw a logo", {"assets/logo.png": content, "README": f"{len(content)} bytes\n"})


async def test_a_revert_brings_back_a_binary_file_where_that_is_allowed(tmp_path, origin):
    old = b"\x89PNG\0" + bytes(range(256)) * 40
    draw_logo(origin, old)
    culprit = draw_logo(origin, old[:5_000] + b"broken" + old[5_000:])  # git would write the difference alone
    checkout = await Git().open(str(origin.bare), tmp_path / "clone")
    draft = await checkout.revert(culprit, "main", binary_paths=("*.png",))
    assert draft is not None
    assert draft.partial == ()
    assert b"delta" not in draft.diff
    patch = parse_patch(draft.diff, PatchLimits(binary_paths=("*.png",)))
    tree = await checkout.patched_tree("main", patch.text)
    assert await checkout.read(tree, "assets/logo.png") == old
    assert parse_patch(await checkout.diff("main", tree), PatchLimits(binary_paths=("*.png",))) == patch


async def test_a_revert_leaves_a_binary_file_out_where_nothing_allows_it(tmp_path, origin):
    draw_logo(origin, b"\0old")
    culprit = draw_logo(origin, b"\0newer")
    checkout = await Git().open(str(origin.bare), tmp_path / "clone")
    draft = await checkout.revert(culprit, "main", binary_paths=("other/",))
    assert draft is not None
    assert b"logo.png" not in draft.diff
    assert "logo.png" in draft.partial[0]
    assert "binary_paths" in draft.partial[0]


async def test_a_revert_leaves_a_binary_file_out_that_was_changed_again(tmp_path, origin):
    draw_logo(origin, b"\0old")
    culprit = draw_logo(origin, b"\0newer")
    origin.commit("Draw it again", {"assets/logo.png": b"\0newest"})
    checkout = await Git().open(str(origin.bare), tmp_path / "clone")
    draft = await checkout.revert(culprit, "main", binary_paths=("assets",))
    assert draft is not None
    assert draft.partial == ("assets/logo.png: it was changed again since",)


async def test_a_binary_file_that_is_too_large_is_left_out(tmp_path, origin):
    draw_logo(origin, b"\0old")
    culprit = draw_logo(origin, bytes(40_000))
    checkout = await Git(Settings(patch_bytes=20_000)).open(str(origin.bare), tmp_path / "clone")
    draft = await checkout.revert(culprit, "main", binary_paths=("assets",))
    assert draft is not None
    assert "without its bytes" in draft.partial[0]


async def test_a_revert_follows_a_file_to_its_name_of_today(tmp_path, origin):
    culprit = edit(origin, 10, "broken\n", "Break it")
    text = (origin.work / "app.py").read_text()
    origin.commit("Rename it, and change another line", {"app.py": None, "shop.py": text.replace("line 25", "other")})
    checkout = await Git().open(str(origin.bare), tmp_path / "clone")
    draft = await checkout.revert(culprit, "main")
    assert draft is not None
    assert draft.partial == ()
    tree = await checkout.patched_tree("main", draft.diff)
    assert (
        await checkout.read(tree, "shop.py") == text.replace("broken", "line 10").replace("line 25", "other").encode()
    )
    assert await checkout.read(tree, "app.py") is None


async def test_of_two_commands_at_once_none_goes_on_when_the_other_fails():
    ended = []

    async def go_on():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("the other")

    async def fail():
        raise Rejected("no such commit", Reason.NOT_FOUND)

    with pytest.raises(Rejected, match="no such commit"):
        await side_by_side(go_on(), fail())
    assert ended == ["the other"]
