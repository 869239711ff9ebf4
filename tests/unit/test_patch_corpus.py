"""Every hostile diff of the collection, the whole way: reading, drafting, risk, exact apply on a real repository."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from bot.domain.approval import request_approval
from bot.domain.draft import ChangeKind
from bot.domain.investigation import Drafted
from bot.domain.patches.patch import PatchLimits, parse_patch, read_patch
from bot.errors import Reason, Refused, Rejected
from bot.services.drafting import build_draft
from connectors.workspaces.git import Git
from tests.patches.hostile import CONFLICTS, FILES, GOOD, REFUSED, RISKY, add, chmod, delete, edit, rename
from tests.patches.hostile_binary import ALLOWED
from tests.patches.repository import BareRepository
from tests.worldkit import NOW, make_world, verified

ORDINARY = {
    "modify": GOOD,
    "modify a file without a last line end": edit(
        b"noend.txt",
        b"@@ -1,2 +1,2 @@\n-first\n+1st\n last\n\\ No newline at end of file\n",
    ),
    "give a file its last line end": edit(
        b"noend.txt", b"@@ -1,2 +1,2 @@\n first\n-last\n\\ No newline at end of file\n+last\n"
    ),
    "modify a file of CRLF": edit(b"crlf.txt", b"@@ -1,3 +1,3 @@\n one\r\n-two\r\n+2\r\n three\r\n"),
    "modify a file of another language": edit(
        b"docs/caf\xc3\xa9.md", "@@ -1 +1,2 @@\n coffee\n+Grüße, 世界 ⚠️\n".encode()
    ),
    "name in octal": edit(b"docs/caf\xc3\xa9.md", b"@@ -1 +1 @@\n-coffee\n+tea\n").replace(
        b"a/docs/caf\xc3\xa9.md b/docs/caf\xc3\xa9.md", b'"a/docs/caf\\303\\251.md" "b/docs/caf\\303\\251.md"'
    ),
    "remove a line that looks like a header": edit(b"schema.sql", b"@@ -1,2 +1 @@\n--- a table\n SELECT 1;\n"),
    "add": add(b"docs/new.md", b"hello"),
    "add an empty file": b"diff --git a/docs/x b/docs/x\nnew file mode 100644\n",
    "add a name of another language": add("docs/weiß 世界.md".encode(), b"hello"),
    "add into a new folder": add(b"pay/cards/visa.py", b"x = 1"),
    "add into a folder that the base spells in two ways": add(b"logs/c", b"c")
    + edit(b"Logs/a", b"@@ -1 +1 @@\n-a\n+b\n"),
    "delete": delete(b"docs/guide.md", b"# Guide", b"", b"Read it."),
    "delete an empty file": b"diff --git a/empty b/empty\ndeleted file mode 100644\n",
    "delete a program": delete(b"run.sh", b"#!/bin/sh", b"exec python app.py", mode=b"100755"),
    "rename": rename(b"docs/guide.md", b"docs/manual.md"),
    "rename to other capitals": rename(b"docs/guide.md", b"docs/Guide.md"),
    "rename and modify": rename(
        b"twins.py",
        b"settings.py",
        b"--- a/twins.py\n+++ b/settings.py\n@@ -1,4 +1,4 @@\n"
        b"-limit = 10\n+limit = 9\n retry = 3\n allow = False\n limit = 10\n",
    ),
    "a file instead of a folder": delete(b"app/migrations/0001.py", b"up = 1") + add(b"app", b"x"),
    "a program": chmod(b"docs/guide.md", b"100644", b"100755"),
}
# The workspace leaves the size, and where binary files are allowed, to the reader.
JUDGED_BEFORE = ("at most", "binary_paths", "are left")
LIMITS = PatchLimits(binary_paths=ALLOWED)
RISKY_ALL_THE_SAME = {"a program", "a file instead of a folder"}


@pytest.fixture(scope="module")
def far(tmp_path_factory):
    """The repository, its base commit, a clone of ours, and the world in which INC-1 is open."""
    folder = tmp_path_factory.mktemp("corpus")
    bare = BareRepository(folder / "far.git")
    base = bare.commit(FILES)
    checkout = asyncio.run(Git().open(str(bare.folder), folder / "clone"))
    world = make_world(folder, opened=True)
    checked = {name: replace(service, binary_paths=ALLOWED) for name, service in world.rules.services.items()}
    world.rules = replace(world.rules, services=checked)
    return SimpleNamespace(bare=bare, base=base, checkout=checkout, world=world)


def drafted(far, raw: bytes):
    """Return the draft as the service makes it, and the approval that is asked for."""
    world = far.world
    stage = Drafted(base=far.base, patch=raw, title="Mend it", culprit=None)
    with world.unit() as work:
        draft = build_draft(work, work.incidents.get("INC-1"), stage, verified(), world.rules)
    target = "checkout main"
    return draft, request_approval(
        draft, now=NOW, policy=world.rules.policy, requester=None, target=target, audit_head="1"
    )


def apply(far, patch: bytes) -> str:
    return asyncio.run(far.checkout.patched_tree(far.base, patch))


def test_the_collection_is_large():
    assert len(REFUSED) + len(CONFLICTS) + len(RISKY) >= 235


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_a_diff_that_hides_something_becomes_no_draft(far, case):
    with pytest.raises(Refused, match=case.words) as caught:
        drafted(far, case.raw)
    assert caught.value.reason is Reason.HOSTILE_PATCH
    assert str(caught.value).startswith("This patch is refused: ")
    assert str(caught.value).replace("…", "").isprintable()
    if not any(words in str(caught.value) for words in JUDGED_BEFORE):
        with pytest.raises(Rejected):
            apply(far, case.raw)


@pytest.mark.parametrize("case", CONFLICTS.values(), ids=CONFLICTS.keys())
def test_a_diff_that_says_what_is_not_so_is_applied_nowhere(far, case):
    patch = parse_patch(case.raw, LIMITS)
    with pytest.raises(Rejected, match=case.words):
        apply(far, patch.text)


@pytest.mark.parametrize("case", RISKY.values(), ids=RISKY.keys())
def test_a_dangerous_diff_needs_two_people_and_says_why(far, case):
    draft, approval = drafted(far, case.raw)
    assert any(case.words in reason for reason in draft.risk.reasons), draft.risk.reasons
    assert approval.needs == 2
    tree = apply(far, draft.patch.text)
    assert parse_patch(draft.patch.text, LIMITS) == draft.patch
    if any(change.binary and change.kind is not ChangeKind.RENAMED for change in draft.patch.files):
        assert parse_patch(asyncio.run(far.checkout.diff(far.base, tree)), LIMITS).digest == draft.digest


@pytest.mark.parametrize(("name", "raw"), ORDINARY.items(), ids=ORDINARY.keys())
def test_ordinary_patches_always_pass(far, name, raw):
    draft, approval = drafted(far, raw)
    assert approval.needs == (2 if name in RISKY_ALL_THE_SAME else 1), draft.risk.reasons
    tree = apply(far, draft.patch.text)
    assert parse_patch(asyncio.run(far.checkout.diff(far.base, tree))).digest == draft.digest
    assert read_patch(draft.patch)


def test_git_alone_would_take_many_of_them(far):
    """The collection means something: what we refuse is not what git refuses anyway."""
    taken = [name for name, case in (REFUSED | CONFLICTS).items() if far.bare.applies(far.base, case.raw)]
    assert len(taken) > 70, taken
