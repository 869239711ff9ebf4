"""Repositories that were made to harm whoever reads them, and processes that die in between."""

import asyncio
import io
import os
import signal
import sys
import tarfile
from pathlib import Path

import pytest

from bot.domain.patches.patch import parse_patch
from bot.errors import Reason, Rejected
from connectors.workspaces.git import Git, GitCheckout, Settings
from tests.contract.git_origin import Origin, serve_git
from tests.contract.workspace_suite import BRANCH, SOURCE, changing, edit, fill, plan_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def origin(tmp_path):
    made = Origin(tmp_path / "far")
    fill(made)
    return made


def names_in(tar_bytes: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(tar_bytes)) as tar:
        return {member.name: member.linkname for member in tar.getmembers()}


async def use_everything(git: Git, checkout: GitCheckout, url: str) -> None:
    """Do with a checkout all that Nightshift ever does."""
    base = await checkout.resolve("main")
    commits = await checkout.log("main", 20)
    await checkout.archive(base)
    await checkout.read(base, "app.py")
    for commit in commits:
        await checkout.revert(commit.sha, base)
    sha = await git.commit(checkout, plan_of(base, changing(10, "ten")))
    await git.push(checkout, url, sha, BRANCH)
    assert await git.remote_sha(url, BRANCH) == sha


async def test_configuration_hooks_and_drivers_of_a_repository_run_nothing(tmp_path, origin):
    mark = tmp_path / "owned"
    evil = f"touch {mark}"
    edit(origin, 20, "twenty\n")
    clean = origin.folder / "reader.git"
    git = Git()
    checkout = await git.open(str(origin.bare), clean)
    # The clone never takes these over; here somebody has even written them into it.
    for folder in (checkout.folder, origin.bare):
        config = folder / "config"
        config.write_text(
            config.read_text()
            + f'[core]\n\tfsmonitor = "{evil}"\n\tsshCommand = "{evil}"\n\tpager = "{evil}"\n\teditor = "{evil}"\n'
            f'\tgitProxy = "{evil}"\n[diff]\n\texternal = "{evil}"\n[diff "evil"]\n\ttextconv = "{evil}"\n'
            f'\tcommand = "{evil}"\n[filter "evil"]\n\tclean = "{evil}"\n\tsmudge = "{evil}"\n\trequired = true\n'
            f'[credential]\n\thelper = "!{evil}"\n[gpg]\n\tprogram = "{evil}"\n[commit]\n\tgpgSign = true\n'
            f'[uploadpack]\n\tpackObjectsHook = "{evil}"\n[protocol "ext"]\n\tallow = always\n'
        )
        (folder / "info").mkdir(exist_ok=True)
        (folder / "info" / "attributes").write_text("* diff=evil filter=evil\n")
    hooks = checkout.folder / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in (
        "post-checkout",
        "reference-transaction",
        "pre-push",
        "post-index-change",
        "pre-commit",
        "fsmonitor-watchman",
    ):
        (hooks / name).write_text(f"#!/bin/sh\n{evil}\n")
        (hooks / name).chmod(0o755)
    again = await git.open(str(origin.bare), clean)
    await use_everything(git, again, str(origin.bare))
    assert not mark.exists()


async def test_attributes_in_the_tree_change_nothing(tmp_path, origin):
    text = "* merge=union -diff export-subst text eol=crlf filter=lfs\nREADME export-ignore\n"
    origin.commit("Tricks", {".gitattributes": text, "id.txt": "$Format:%H$\n"})
    culprit = edit(origin, 10, "slow\n")
    edit(origin, 11, "also\n")
    checkout = await Git().open(str(origin.bare), tmp_path / "clone")
    files = names_in(await checkout.archive("main"))
    assert {"README", "id.txt", "app.py"} <= files.keys()
    with tarfile.open(fileobj=io.BytesIO(await checkout.archive("main"))) as tar:
        inner = tar.extractfile("id.txt")
        assert inner is not None
        assert inner.read() == b"$Format:%H$\n"
    newest, *_ = await checkout.log("main", 1)
    assert "+also" in newest.diff
    revert = await checkout.revert(culprit, "main")
    assert revert is not None
    assert b"\n-slow\n+line 10\n also\n" in revert.diff, "the change alone, not a union of both sides"
    assert not revert.is_clean


async def test_links_leave_the_archive_when_they_leave_the_tree(tmp_path, origin):
    links = {
        "in": "app.py",
        "deep/up": "../app.py",
        "dir": "deep",
        "out": "../secret",
        "abs": "/etc/passwd",
        "git": ".git/config",
        "deep/two": "../../secret",
        "climb": "dir/../../secret",
        "bend": "deep/../app.py",
    }
    for name, target in links.items():
        path = origin.work / name
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(target)
    origin.commit("Links", {})
    checkout = await Git().open(str(origin.bare), tmp_path / "clone")
    files = names_in(await checkout.archive("main"))
    assert {name: target for name, target in files.items() if target} == {
        "in": "app.py",
        "deep/up": "../app.py",
        "dir": "deep",
    }
    assert await checkout.read("main", "in") is None
    assert await checkout.read("main", "abs") is None
    assert await checkout.read("main", "dir/up") is None


async def test_a_patch_never_touches_a_link_or_goes_through_one(tmp_path, origin):
    (origin.work / "link").symlink_to("app.py")
    (origin.work / "there").symlink_to("/tmp")
    base = origin.commit("Links", {})
    checkout = await Git().open(str(origin.bare), tmp_path / "clone")
    end = b"\n\\ No newline at end of file\n"
    patches = [
        b"--- a/link\n+++ b/link\n@@ -1 +1 @@\n-app.py" + end + b"+/etc/passwd" + end,
        b"--- /dev/null\n+++ b/there/x\n@@ -0,0 +1 @@\n+x\n",
        b"diff --git a/link b/moved\nrename from link\nrename to moved\n",
        b"--- a/link\n+++ /dev/null\n@@ -1 +0,0 @@\n-app.py\n\\ No newline at end of file\n",
    ]
    for raw in patches:
        with pytest.raises(Rejected):
            await checkout.patched_tree(base, parse_patch(raw).text)


async def test_submodules_are_left_out(tmp_path, origin):
    head = origin.git("rev-parse", "HEAD")
    origin.git("update-index", "--add", "--cacheinfo", f"160000,{head},module")
    origin.git("commit", "-q", "-m", "Module")
    sha = origin.push()
    checkout = await Git().open(str(origin.bare), tmp_path / "clone")
    assert "module" not in names_in(await checkout.archive(sha))
    assert await checkout.read(sha, "module") is None
    draft = await checkout.revert(sha, "main")
    assert draft is None


async def test_a_revert_names_what_no_patch_may_hold(tmp_path, origin):
    (origin.work / "link").symlink_to("/etc/passwd")
    files = {"app.py": "new\n", "logo.png": b"\x89PNG\x00\x01", ".gitattributes": "* text\n"}
    culprit = origin.commit("Much", files)
    checkout = await Git().open(str(origin.bare), tmp_path / "clone")
    draft = await checkout.revert(culprit, "main")
    assert draft is not None
    assert [change.path for change in parse_patch(draft.diff).files] == ["app.py"]
    words = " | ".join(draft.partial)
    assert all(name in words for name in ("link", "logo.png", ".gitattributes"))
    assert len(draft.partial) == 3


@pytest.mark.parametrize("name", [".git", ".GIT", "..", "."])
async def test_objects_that_git_itself_distrusts_are_refused(tmp_path, origin, name):
    blob = origin.git("hash-object", "-w", "--stdin", stdin=b"evil")
    inner = origin.git("mktree", stdin=f"100644 blob {blob}\tconfig\n".encode())
    tree = origin.git("mktree", stdin=f"040000 tree {inner}\t{name}\n".encode())
    sha = origin.git("commit-tree", tree, "-m", "Evil")
    origin.git("push", "-q", "origin", f"{sha}:refs/heads/evil")
    with pytest.raises(Rejected) as caught:
        await Git().open(str(origin.bare), tmp_path / "clone")
    assert caught.value.reason is Reason.UNSAFE


async def test_refs_that_look_like_options_are_harmless(tmp_path, origin):
    head = origin.git("rev-parse", "HEAD")
    names = ("-x", "--output=owned", "--all")
    for name in names:
        (origin.bare / "refs" / "heads" / name).write_text(head + "\n")
    git = Git()
    checkout = await git.open(str(origin.bare), tmp_path / "clone")
    assert await checkout.resolve("main") == head
    for name in names:
        for reading in (checkout.log(name, 3), checkout.archive(name), checkout.read(name, "README")):
            with pytest.raises(Rejected):
                await reading
        with pytest.raises(Rejected):
            await git.remote_sha(str(origin.bare), name)


async def test_authors_subjects_and_names_cannot_forge_commits(tmp_path, origin):
    origin.git("config", "user.name", "x")
    subject = "Fix\x1b[2J %H %x00 \u202e"
    name = "line\nbreak \x01 é.py"
    sha = origin.commit(subject, {name: "x = 1\n", "b.py": "diff --git a/x b/x\ncommit " + "0" * 40 + "\n"})
    checkout = await Git().open(str(origin.bare), tmp_path / "clone")
    commits = await checkout.log("main", 10)
    assert commits[0].sha == sha
    assert len(commits) == 2
    assert set(commits[0].files) == {name, "b.py"}
    assert "+diff --git a/x b/x" in commits[0].diff


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% owned",
        "ext::sh",
        "fd::17",
        "--upload-pack=touch owned",
        "-oProxyCommand=touch owned",
        "ssh://-oProxyCommand=touch/x",
        "ssh://host name/x",
        "git://example.org/x.git",
        "ftp://example.org/x.git",
        "file://example.org/x.git",
        "https://",
        "https://example.org/\nx",
        "",
    ],
)
async def test_addresses_that_run_programs_are_refused(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    git = Git()
    with pytest.raises(Rejected) as caught:
        await git.open(url, tmp_path / "clone")
    assert caught.value.reason is Reason.NOT_ALLOWED
    with pytest.raises(Rejected):
        await git.remote_sha(url, "main")
    assert [path.name for path in tmp_path.iterdir()] == []


async def test_a_tree_too_large_is_said_so(tmp_path, origin):
    settings = Settings(tree_bytes=100, file_bytes=50)
    checkout = await Git(settings).open(str(origin.bare), tmp_path / "clone")
    for reading in (checkout.archive("main"), checkout.read("main", "app.py")):
        with pytest.raises(Rejected) as caught:
            await reading
        assert caught.value.reason is Reason.TOO_LARGE
    assert await checkout.read("main", "README") == b"hello\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_a_repository_of_another_user_is_read_and_written(tmp_path, origin):
    for path in [origin.bare, *origin.bare.rglob("*")]:
        os.chown(path, 12345, 12345)
    git = Git()
    checkout = await git.open(str(origin.bare), tmp_path / "clone")
    await use_everything(git, checkout, str(origin.bare))


CHILD = """
import asyncio, sys
from pathlib import Path
from connectors.workspaces.git import Git
asyncio.run(Git().open(sys.argv[1], Path(sys.argv[2])))
"""

PUSHER = """
import asyncio, sys
from pathlib import Path
from connectors.workspaces.git import Git
async def main():
    git = Git()
    checkout = await git.open(sys.argv[1], Path(sys.argv[2]))
    await git.push(checkout, sys.argv[1], sys.argv[3], sys.argv[4])
asyncio.run(main())
"""


async def start(script: str, *args: str, **env: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, *args, cwd=ROOT, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env}
    )


async def test_a_clone_killed_half_way_is_thrown_away(tmp_path, origin):
    place = tmp_path / "near" / "clone"
    async with serve_git(origin) as server:
        server.hang = True
        child = await start(CHILD, server.url, str(place))
        while not server.paths:
            await asyncio.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        await child.wait()
        assert not place.exists()
        assert [path for path in place.parent.iterdir() if "partial" in path.name]
        server.hang = False
        checkout = await Git().open(server.url, place)
    assert await checkout.read("main", "app.py") == SOURCE.encode()
    assert sorted(path.name for path in place.parent.iterdir()) == [".clone.lock", "clone"]


async def test_locks_of_a_killed_refresh_are_cleared(tmp_path, origin):
    place = tmp_path / "clone"
    checkout = await Git().open(str(origin.bare), place)
    for lock in ("packed-refs.lock", "refs/heads/main.lock", "HEAD.lock", "config.lock"):
        (checkout.folder / lock).touch()
    sha = edit(origin, 3, "three\n")
    await Git().open(str(origin.bare), place)
    assert await checkout.resolve("main") == sha


async def test_a_damaged_clone_is_made_anew(tmp_path, origin):
    place = tmp_path / "clone"
    checkout = await Git().open(str(origin.bare), place)
    for path in [*place.glob("objects/pack/*"), *place.glob("objects/??/*")]:
        path.unlink()
    edit(origin, 3, "three\n")
    await Git().open(str(origin.bare), place)
    assert await checkout.read("main", "README") == b"hello\n"


async def test_what_is_not_ours_is_never_removed(tmp_path, origin):
    place = tmp_path / "home"
    place.mkdir()
    (place / "thesis.txt").write_text("years of work")
    with pytest.raises(Rejected):
        await Git().open(str(origin.bare), place)
    assert (place / "thesis.txt").read_text() == "years of work"


async def test_another_address_replaces_the_clone(tmp_path, origin):
    place = tmp_path / "clone"
    await Git().open(str(origin.bare), place)
    other = Origin(tmp_path / "other")
    sha = other.commit("Else", {"x": "y"})
    checkout = await Git().open(str(other.bare), place)
    assert await checkout.resolve("main") == sha
    assert len(await checkout.log("main", 9)) == 1


async def test_many_openings_at_once_end_in_one_clone(tmp_path, origin):
    place = tmp_path / "clone"
    checkouts = await asyncio.gather(*(Git().open(str(origin.bare), place) for _ in range(5)))
    for checkout in checkouts:
        assert await checkout.read("main", "README") == b"hello\n"


@pytest.mark.parametrize("point", ["push.before", "push.after"])
async def test_a_push_killed_around_the_act_is_repeated_harmlessly(tmp_path, origin, point):
    git = Git()
    checkout = await git.open(str(origin.bare), tmp_path / "clone")
    base = await checkout.resolve("main")
    sha = await git.commit(checkout, plan_of(base, changing(10, "ten")))
    faults = {"NIGHTSHIFT_FAULT_POINT": point, "NIGHTSHIFT_ALLOW_FAULTS": "1"}
    child = await start(PUSHER, str(origin.bare), str(checkout.folder), sha, BRANCH, **faults)
    assert await child.wait() == -signal.SIGKILL
    assert (BRANCH in origin.branches()) == (point == "push.after")
    await git.push(checkout, str(origin.bare), sha, BRANCH)
    assert origin.branches() == {"main": base, BRANCH: sha}
