"""What every workspace must do: subclass `WorkspaceContract` and give it a world.

class TestWorkspacesGit(WorkspaceContract):
    @pytest.fixture
    async def world(self, tmp_path): ...     # yields a WorkspaceWorld
"""

import io
import tarfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.domain.approvals.rollback import Release
from bot.domain.patches.patch import parse_patch
from bot.errors import Reason, Rejected
from bot.ports.workspace import CommitPlan, Workspaces
from tests.contract.git_origin import Origin

AT = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
SOURCE = "".join(f"line {n}\n" for n in range(1, 31))
BRANCH = "nightshift/INC-1/0123456789ab"


@dataclass(kw_only=True)
class WorkspaceWorld:
    """The connector, the address it is given, and the far side with one commit on `main` (app.py, README)."""

    workspaces: Workspaces
    url: str
    origin: Origin
    folder: Path


def fill(origin: Origin) -> str:
    return origin.commit("Start", {"app.py": SOURCE, "README": "hello\n"})


def edit(origin: Origin, number: int, text: str, subject: str = "Edit") -> str:
    lines = (origin.work / "app.py").read_text().splitlines(keepends=True)
    lines[number - 1] = text
    return origin.commit(subject, {"app.py": "".join(lines)})


def plan_of(base: str, patch: bytes) -> CommitPlan:
    return CommitPlan(
        base=base,
        patch=patch,
        message="Revert the slow query\n\nNightshift-Approval: abc",
        author="Nightshift",
        email="nightshift@example.org",
        at=AT,
    )


def changing(number: int, new: str) -> bytes:
    first, last = max(1, number - 3), min(30, number + 3)
    body = "".join(f"-line {n}\n+{new}\n" if n == number else f" line {n}\n" for n in range(first, last + 1))
    count = last - first + 1
    head = f"diff --git a/app.py b/app.py\n--- a/app.py\n+++ b/app.py\n@@ -{first},{count} +{first},{count} @@\n"
    return (head + body).encode()


class WorkspaceContract:
    """Inherited by the test class of each implementation."""

    async def test_names_resolve_to_full_shas(self, world):
        sha = world.origin.git("rev-parse", "HEAD")
        world.origin.in_bare("tag", "-a", "-m", "one", "v1", sha)
        checkout = await world.workspaces.open(world.url, world.folder)
        for name in ("main", "v1", sha, sha[:10]):
            assert await checkout.resolve(name) == sha
        for name in ("-x", "--all", "nope", "main..v1", "main^", "HEAD@{1}", "", "a b", ":/Start"):
            with pytest.raises(Rejected):
                await checkout.resolve(name)

    async def test_the_log_is_newest_first_with_files_and_diffs(self, world):
        second = edit(world.origin, 5, "five\n", "Change line five")
        third = world.origin.commit("Remove the readme", {"README": None, "new ü.txt": "x\n"})
        checkout = await world.workspaces.open(world.url, world.folder)
        newest, middle, oldest = await checkout.log("main", 10)
        assert [newest.sha, middle.sha] == [third, second]
        assert newest.parents == (second,)
        assert oldest.parents == ()
        assert (middle.subject, middle.author, middle.email) == ("Change line five", "Ada", "ada@example.org")
        assert middle.committed_at == datetime.fromtimestamp(world.origin.clock - 60, UTC)
        assert sorted(newest.files) == ["README", "new ü.txt"]
        assert middle.files == ("app.py",)
        assert "-line 5\n+five\n" in middle.diff
        assert "+line 1\n" in oldest.diff
        assert parse_patch(middle.diff.encode()).files[0].path == "app.py"
        assert len(await checkout.log("main", 2)) == 2
        assert [c.sha for c in await checkout.log(second, 5)] == [second, oldest.sha]

    async def test_releases_are_the_tags_of_a_branch_newest_first_in_the_history_s_order(self, world):
        def tag(name: str, sha: str, *args: str) -> None:
            world.origin.in_bare("tag", *args, name, sha)

        first, second = edit(world.origin, 3, "three\n"), edit(world.origin, 4, "four\n")
        tag("v2.0", first)
        tag("v1.9", second, "-a", "-m", "older by name, newer by history")
        tag("v1", second)
        tag("nightly", edit(world.origin, 5, "five\n"))
        world.origin.git("checkout", "-q", "-b", "side")
        tag("v3.0", world.origin.commit("Elsewhere", {"README": "side\n"}, branch="side"))
        checkout = await world.workspaces.open(world.url, world.folder)
        found = [Release(tag="v1.9", sha=second), Release(tag="v2.0", sha=first)]
        assert list(await checkout.releases("main", "v*", 5)) == found
        assert list(await checkout.releases("main", "v*", 1)) == found[:1]
        assert list(await checkout.releases("main", "release/*", 5)) == []
        for pattern in ("", "-x", "v *", "--all", "v\n*", "é"):
            with pytest.raises(Rejected):
                await checkout.releases("main", pattern, 5)

    async def test_what_lies_between_two_commits_is_told_newest_first_with_files(self, world):
        first = world.origin.git("rev-parse", "HEAD")
        second, third = edit(world.origin, 3, "three\n", "Three"), world.origin.commit("Bye", {"README": "bye\n"})
        checkout = await world.workspaces.open(world.url, world.folder)
        found = await checkout.between(first, third, 10)
        assert [(c.sha, c.subject, c.files) for c in found] == [
            (third, "Bye", ("README",)),
            (second, "Three", ("app.py",)),
        ]
        assert [c.sha for c in await checkout.between(first, third, 1)] == [third]
        assert list(await checkout.between(third, first, 10)) == []

    async def test_two_commits_are_compared_whole_or_by_path(self, world):
        first = world.origin.git("rev-parse", "HEAD")
        second = world.origin.commit("Both", {"README": "bye\n", "deep/x.py": "x\n"})
        checkout = await world.workspaces.open(world.url, world.folder)
        whole = await checkout.compare(first[:12], second, "")
        assert whole.startswith("1\t1\tREADME\n1\t0\tdeep/x.py\n\ndiff --git a/README b/README\n")
        assert "-hello\n+bye\n" in whole
        assert "README" not in await checkout.compare(first, second, "deep")
        assert await checkout.compare(first, second, "app.py") == await checkout.compare(first, first, "") == ""
        for path in ("*", "-p", "nope"):
            assert await checkout.compare(first, second, path) == ""
        for path in ("../x", "/etc/passwd", "deep/../../x"):
            with pytest.raises(Rejected, match="is no path in the repository"):
                await checkout.compare(first, second, path)
        with pytest.raises(Rejected):
            await checkout.compare("--output=/tmp/x", second, "")
        assert (await checkout.compare("", second, "deep")).startswith("1\t0\tdeep/x.py\n\ndiff --git a/deep/x.py")
        found = await checkout.history(second, "deep", 5)
        assert [(each.sha, each.files, each.diff) for each in found] == [(second, ("README", "deep/x.py"), "")]
        assert [each.sha for each in await checkout.history(second, "", 2)] == [second, first]
        assert list(await checkout.history(second, "*", 2)) == []
        with pytest.raises(Rejected, match="is no path in the repository"):
            await checkout.history(second, "../x", 2)

    async def test_a_huge_diff_is_cut_and_says_so(self, world):
        first = world.origin.git("rev-parse", "HEAD")
        second = world.origin.commit("Huge", {"huge.txt": "line of text\n" * 60_000})
        checkout = await world.workspaces.open(world.url, world.folder)
        diff = await checkout.compare(first, second, "")
        assert len(diff) < 600_000
        assert diff.endswith("ask for one path of it\n")

    async def test_each_line_of_a_file_has_the_commit_that_wrote_it(self, world):
        first = world.origin.git("rev-parse", "HEAD")
        second = edit(world.origin, 5, "five\n", "Change line five")
        checkout = await world.workspaces.open(world.url, world.folder)
        lines = await checkout.blame("main", "app.py", 4, 6)
        assert [(line.number, line.sha) for line in lines] == [(4, first), (5, second), (6, first)]
        assert (lines[1].author, lines[1].subject) == ("Ada", "Change line five")
        assert lines[1].at == datetime.fromtimestamp(world.origin.clock, UTC)
        for path, start, end in (
            ("nope.py", 1, 2),
            ("app.py", 99, 120),
            ("app.py", 3, 2),
            ("../app.py", 1, 2),
            ("", 1, 1),
        ):
            with pytest.raises(Rejected):
                await checkout.blame("main", path, start, end)

    async def test_an_archive_holds_the_files_of_the_tree(self, world):
        sha = world.origin.commit("More", {"deep/er/x.sh": "#!/bin/sh\n", "long/" + "n" * 150: "y"})
        checkout = await world.workspaces.open(world.url, world.folder)
        data = await checkout.archive(sha)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            names = tar.getnames()
            inner = tar.extractfile("deep/er/x.sh")
            assert inner is not None
            assert inner.read() == b"#!/bin/sh\n"
        assert sorted(names) == sorted(["README", "app.py", "deep/er/x.sh", "long/" + "n" * 150])
        assert data == await checkout.archive("main")

    async def test_files_are_read_at_a_commit(self, world):
        first = world.origin.git("rev-parse", "HEAD")
        second = world.origin.commit("Say bye", {"README": "bye\n"})
        checkout = await world.workspaces.open(world.url, world.folder)
        assert await checkout.read(first, "README") == b"hello\n"
        assert await checkout.read(second, "README") == b"bye\n"
        for path in ("nope", "../README", "/etc/passwd", ".git/config", "", "README/x", "*"):
            assert await checkout.read(first, path) is None

    async def test_opening_again_brings_what_is_new(self, world):
        checkout = await world.workspaces.open(world.url, world.folder)
        sha = edit(world.origin, 3, "three\n")
        with pytest.raises(Rejected):
            await checkout.resolve(sha)
        checkout = await world.workspaces.open(world.url, world.folder)
        assert await checkout.resolve("main") == sha

    async def test_a_patch_is_applied_exactly(self, world):
        base = world.origin.git("rev-parse", "HEAD")
        checkout = await world.workspaces.open(world.url, world.folder)
        tree = await checkout.patched_tree(base, changing(10, "ten"))
        assert await checkout.read(tree, "app.py") == SOURCE.replace("line 10\n", "ten\n").encode()
        assert await checkout.read(tree, "README") == b"hello\n"

    async def test_a_patch_that_does_not_fit_exactly_is_rejected(self, world):
        base = world.origin.git("rev-parse", "HEAD")
        moved = world.origin.commit("Shift", {"app.py": "new first line\n" + SOURCE})
        changed = edit(world.origin, 10, "other\n")
        checkout = await world.workspaces.open(world.url, world.folder)
        await checkout.patched_tree(base, changing(10, "ten"))
        for commit in (moved, changed):
            with pytest.raises(Rejected):
                await checkout.patched_tree(commit, changing(10, "ten"))

    async def test_a_patch_that_is_not_canonical_is_rejected(self, world):
        base = world.origin.git("rev-parse", "HEAD")
        checkout = await world.workspaces.open(world.url, world.folder)
        for raw in (changing(10, "ten").replace(b"@@\n", b"@@ hidden\n"), b"", changing(10, "ten") + b"stray\n"):
            with pytest.raises(Rejected) as caught:
                await checkout.patched_tree(base, raw)
            assert caught.value.reason is Reason.HOSTILE_PATCH

    async def test_a_revert_takes_a_commit_back(self, world):
        culprit = edit(world.origin, 10, "slow\n")
        world.origin.commit("Later", {"other.py": "x\n"})
        edit(world.origin, 25, "unrelated\n")
        checkout = await world.workspaces.open(world.url, world.folder)
        draft = await checkout.revert(culprit, "main")
        assert draft is not None
        assert draft.partial == ()
        tree = await checkout.patched_tree("main", parse_patch(draft.diff).text)
        assert await checkout.read(tree, "app.py") == SOURCE.replace("line 25\n", "unrelated\n").encode()
        assert await checkout.read(tree, "other.py") == b"x\n"

    async def test_a_revert_of_lines_that_moved_still_applies(self, world):
        culprit = edit(world.origin, 10, "slow\n")
        text = (world.origin.work / "app.py").read_text()
        world.origin.commit("Insert above", {"app.py": "a\nb\nc\n" + text})
        checkout = await world.workspaces.open(world.url, world.folder)
        draft = await checkout.revert(culprit, "main")
        assert draft is not None
        tree = await checkout.patched_tree("main", draft.diff)
        assert await checkout.read(tree, "app.py") == ("a\nb\nc\n" + SOURCE).encode()

    async def test_a_revert_that_conflicts_keeps_the_hunks_that_apply(self, world):
        lines = SOURCE.splitlines(keepends=True)
        lines[4], lines[24] = "five\n", "slow\n"
        culprit = world.origin.commit("Two places", {"app.py": "".join(lines), "README": "changed\n"})
        lines[4] = "five again\n"
        world.origin.commit("Touch one of them", {"app.py": "".join(lines)})
        checkout = await world.workspaces.open(world.url, world.folder)
        draft = await checkout.revert(culprit, "main")
        assert draft is not None
        assert len(draft.partial) == 1
        assert "app.py: lines 2–8" in draft.partial[0]
        assert b"<<<<<<<" not in draft.diff
        tree = await checkout.patched_tree("main", draft.diff)
        lines[24] = "line 25\n"
        assert await checkout.read(tree, "app.py") == "".join(lines).encode()
        assert await checkout.read(tree, "README") == b"hello\n"

    async def test_a_finer_revert_keeps_of_a_hunk_what_lies_apart_from_later_changes(self, world):
        lines = SOURCE.splitlines(keepends=True)
        lines[4], lines[6], lines[10] = "five\n", "seven\n", "slow\n"
        culprit = world.origin.commit("Three lines of one hunk", {"app.py": "".join(lines)})
        lines[4] = "five again\n"
        world.origin.commit("Touch the first", {"app.py": "".join(lines)})
        checkout = await world.workspaces.open(world.url, world.folder)
        assert await checkout.revert(culprit, "main") is None
        draft = await checkout.revert(culprit, "main", is_finer=True)
        assert draft is not None
        assert draft.partial == ("app.py: lines 2–10 were changed again since",)
        tree = await checkout.patched_tree("main", draft.diff)
        lines[10] = "line 11\n"
        assert await checkout.read(tree, "app.py") == "".join(lines).encode()

    async def test_a_revert_that_leaves_nothing_is_none(self, world):
        culprit = edit(world.origin, 10, "slow\n")
        edit(world.origin, 10, "slower\n")
        taken_back = edit(world.origin, 20, "x\n")
        edit(world.origin, 20, "line 20\n")
        checkout = await world.workspaces.open(world.url, world.folder)
        assert await checkout.revert(culprit, "main") is None
        assert await checkout.revert(taken_back, "main") is None

    async def test_added_deleted_and_renamed_files_come_back(self, world):
        culprit = world.origin.commit("Move", {"README": None, "docs/readme.md": "hello\n", "added.py": "x\n"})
        checkout = await world.workspaces.open(world.url, world.folder)
        draft = await checkout.revert(culprit, "main")
        assert draft is not None
        tree = await checkout.patched_tree("main", draft.diff)
        assert await checkout.read(tree, "README") == b"hello\n"
        assert await checkout.read(tree, "docs/readme.md") is None
        assert await checkout.read(tree, "added.py") is None

    async def test_the_same_plan_is_the_same_commit(self, world):
        base = world.origin.git("rev-parse", "HEAD")
        checkout = await world.workspaces.open(world.url, world.folder)
        plan = plan_of(base, changing(10, "ten"))
        shas = {await world.workspaces.commit(checkout, plan) for _ in range(3)}
        other = await world.workspaces.open(world.url, world.folder.with_name("second"))
        shas.add(await world.workspaces.commit(other, plan))
        assert len(shas) == 1
        assert await world.workspaces.commit(checkout, replace(plan, message="Other")) not in shas
        (commit, parent) = await checkout.log(shas.pop(), 5)
        assert (parent.sha, commit.author, commit.committed_at) == (base, "Nightshift", AT)
        assert commit.subject == "Revert the slow query"

    async def test_a_push_creates_a_branch_and_may_be_repeated(self, world):
        base = world.origin.git("rev-parse", "HEAD")
        checkout = await world.workspaces.open(world.url, world.folder)
        sha = await world.workspaces.commit(checkout, plan_of(base, changing(10, "ten")))
        assert await world.workspaces.remote_sha(world.url, BRANCH) is None
        for _ in range(3):
            await world.workspaces.push(checkout, world.url, sha, BRANCH)
        assert await world.workspaces.remote_sha(world.url, BRANCH) == sha
        assert world.origin.branches() == {"main": base, BRANCH: sha}
        assert world.origin.in_bare("show", f"{BRANCH}:app.py") + "\n" == SOURCE.replace("line 10\n", "ten\n")

    async def test_a_branch_that_stands_elsewhere_is_never_moved(self, world):
        base = world.origin.git("rev-parse", "HEAD")
        checkout = await world.workspaces.open(world.url, world.folder)
        sha = await world.workspaces.commit(checkout, plan_of(base, changing(10, "ten")))
        world.origin.in_bare("branch", BRANCH, base)
        with pytest.raises(Rejected) as caught:
            await world.workspaces.push(checkout, world.url, sha, BRANCH)
        assert caught.value.reason is Reason.CONFLICT
        assert world.origin.branches()[BRANCH] == base

    @pytest.mark.parametrize(
        "branch",
        ["main", "-f", "nightshift", "nightshift/", "nightshift/../main", "refs/heads/nightshift/x", "nightshift/a b",
         "nightshift/x:main", "+nightshift/x", "nightshift/x.lock", "nightshift//x", "nightshift/-x", "other/x", ""],
    )  # fmt: skip
    async def test_only_branches_of_our_own_are_pushed(self, world, branch):
        base = world.origin.git("rev-parse", "HEAD")
        checkout = await world.workspaces.open(world.url, world.folder)
        sha = await world.workspaces.commit(checkout, plan_of(base, changing(10, "ten")))
        with pytest.raises(Rejected) as caught:
            await world.workspaces.push(checkout, world.url, sha, branch)
        assert caught.value.reason is Reason.NOT_ALLOWED
        assert world.origin.branches() == {"main": base}

    async def test_a_default_branch_is_never_pushed_to(self, world):
        base = world.origin.git("rev-parse", "HEAD")
        checkout = await world.workspaces.open(world.url, world.folder)
        sha = await world.workspaces.commit(checkout, plan_of(base, changing(10, "ten")))
        world.origin.in_bare("branch", BRANCH, base)
        world.origin.in_bare("symbolic-ref", "HEAD", f"refs/heads/{BRANCH}")
        with pytest.raises(Rejected) as caught:
            await world.workspaces.push(checkout, world.url, sha, BRANCH)
        assert caught.value.reason is Reason.NOT_ALLOWED

    async def test_a_missing_repository_is_rejected(self, world):
        with pytest.raises(Rejected) as caught:
            await world.workspaces.open(f"{world.url}-nowhere", world.folder.with_name("missing"))
        assert caught.value.reason is Reason.NOT_FOUND
        assert not world.folder.with_name("missing").exists()
