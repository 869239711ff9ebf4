"""Properties over generated changes, judged by the real git: canonical bytes apply as they read."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.domain.draft import ChangeKind
from bot.domain.patches.patch import apply_hunks, parse_patch, read_patch
from bot.errors import Refused

NAMES = ["a.py", "b.txt", "src/app.py", "src/deep/x", "with space", "grün.md", "[glob]*"]
LINE = st.sampled_from(
    ["x = 1", "y = 2", "", "    pass", "--- a/b", "+++ b/b", "@@ -1 +1 @@", "diff --git a/x b/x", "é\r"]
)
CONTENT = st.builds(
    lambda lines, end: ("\n".join(lines) + ("\n" if end and lines else "")).encode(),
    st.lists(LINE, max_size=14),
    st.booleans(),
)
FILES = st.dictionaries(st.sampled_from(NAMES), st.tuples(CONTENT, st.sampled_from(["100644", "100755"])), max_size=4)


class GitBox:
    """A bare repository that writes trees from dictionaries."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run("init", "-q", "--bare", ".")

    def run(self, *args: str, stdin: bytes = b"", check: bool = True) -> subprocess.CompletedProcess[bytes]:
        env = {
            "PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_INDEX_FILE": str(self.folder / "tmp-index"), "GIT_DIR": str(self.folder), "LC_ALL": "C",
        }  # fmt: skip
        return subprocess.run(["git", *args], cwd=self.folder, env=env, input=stdin, capture_output=True, check=check)

    def tree(self, files: dict[str, tuple[bytes, str]]) -> str:
        parts = [b"commit refs/heads/x\ncommitter a <a> 0 +0000\ndata 0\ndeleteall\n"]
        for name, (content, mode) in files.items():
            quoted = name.encode()
            parts.append(b"M %b inline %b\ndata %d\n%b\n" % (mode.encode(), quoted, len(content), content))
        self.run("fast-import", "--quiet", "--force", stdin=b"".join(parts))
        return self.run("rev-parse", "refs/heads/x^{tree}").stdout.decode().strip()

    def diff(self, old: str, new: str) -> bytes:
        return self.run("diff-tree", "-r", "-p", "-M", "--full-index", old, new).stdout

    def apply(self, base: str, patch: bytes) -> str | None:
        self.run("read-tree", base)
        if self.run("apply", "--cached", "-", stdin=patch, check=False).returncode:
            return None
        return self.run("write-tree").stdout.decode().strip()


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    return GitBox(tmp_path_factory.mktemp("box.git"))


def read_literally(old: dict[str, tuple[bytes, str]], patch_text: bytes) -> dict[str, tuple[bytes, str]]:
    """Apply the patch by reading it, without git."""
    new = dict(old)
    for diff in read_patch(parse_patch(patch_text)):
        change = diff.change
        content, mode = old.get(change.old_path or change.path, (b"", ""))
        if change.kind in {ChangeKind.DELETED, ChangeKind.RENAMED}:
            del new[change.old_path or change.path]
        if change.kind is not ChangeKind.DELETED:
            new[change.path] = (apply_hunks(diff, content), diff.new_mode or mode)
    return new


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=FILES, new=FILES)
def test_what_is_read_is_what_git_applies(box, old, new):
    before, after = box.tree(old), box.tree(new)
    raw = box.diff(before, after)
    if not raw:
        assert before == after
        return
    patch = parse_patch(raw)
    assert parse_patch(patch.text) == patch
    assert box.apply(before, patch.text) == after
    assert read_literally(old, patch.text) == new


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_diffs_are_refused_or_mean_one_thing(data):
    raw = (
        b"diff --git a/a.py b/a.py\nindex 1234567..89abcde 100644\n--- a/a.py\n+++ b/a.py\n"
        b"@@ -1,3 +1,3 @@ def f\n x\n-y\n+z\n w\n"
        b"diff --git a/b.py b/b.py\nnew file mode 100644\n--- /dev/null\n+++ b/b.py\n@@ -0,0 +1 @@\n+new\n"
        b"diff --git a/c b/d\nsimilarity index 100%\nrename from c\nrename to d\n"
    )
    at = data.draw(st.integers(0, len(raw)))
    cut = data.draw(st.integers(0, 12))
    put = data.draw(
        st.sampled_from([b"", b"\n", b" ", b"+", b"-", b"\r", b"\x00", b"/", b"../", b"\\", b'"', b"@@", b"\t"])
    )
    try:
        patch = parse_patch(raw[:at] + put + raw[at + cut :])
    except Refused:
        return
    again = parse_patch(patch.text)
    assert again == patch
    assert again.digest == patch.digest
    assert {diff.change for diff in read_patch(patch)} == set(patch.files)
    shown = patch.text.decode("utf-8", "strict")
    for change in patch.files:
        assert change.path in shown


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(max_size=200))
def test_bytes_of_any_kind_never_break_the_reader(raw):
    try:
        patch = parse_patch(b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n" + raw)
    except Refused:
        return
    assert parse_patch(patch.text) == patch


def test_a_large_patch_is_read_in_little_time():
    body = b"".join(b"-old %d\n+new %d\n" % (n, n) for n in range(4_500))
    raw = b"--- a/x\n+++ b/x\n@@ -1,4500 +1,4500 @@\n" + body
    began = time.process_time()
    patch = parse_patch(raw)
    assert (patch.added, patch.removed) == (4_500, 4_500)
    assert time.process_time() - began < 2.0
