"""What is shown is what is hashed, applied and pushed, byte for byte: random trees and edits, with the real git."""

import asyncio
import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.domain.chat import Bullets, Message
from bot.domain.draft import Patch
from bot.domain.investigation import Drafted
from bot.domain.patches.patch import PatchLimits, parse_patch
from bot.domain.service import Service
from bot.errors import Refused
from bot.render.patch import render_patch
from bot.services import drafting, rollout, triage
from bot.store.board import SqlBoard
from bot.web.views import read_diff
from connectors.workspaces.git import Git
from tests.patches.repository import BareRepository, Files
from tests.worldkit import World, make_rules, make_world, verified

NAMES = [b"a.py", b"src/app.py", b"src/deep/x", b"with space", "grün/世界.md".encode(), b"[glob]*", b"run.sh", b"x b/x"]
TEXTS = [
    b"x = 1", b"y = 2", b"", b"    pass", b"\ttab", b"-- a/b", b"++ b/b", b"--- a/b", b"+++ b/b", b"@@ -1 +1 @@",
    b"-- ", b"diff --git a/x b/x", b"\\ No newline at end of file",
    "é, 世界 ⚠️".encode(), b"crlf\r", b" space at the end ",
]  # fmt: skip
UNSHOWABLE = b"caf\xe9"
BINARY_PATHS = ("assets/**", "*.bin")
LIMITS = PatchLimits(binary_paths=BINARY_PATHS)
BINARY_NAMES = [b"assets/logo.png", "assets/grün/世界".encode(), b"odd name.bin"]
BINARIES = st.one_of(
    st.binary(max_size=300).map(lambda tail: b"\0" + tail),
    st.integers(1, 140_000).map(lambda size: b"\0" * size),
)
LINES = st.lists(st.sampled_from(TEXTS), max_size=12)
OLD_LINES = st.lists(st.sampled_from([*TEXTS, UNSHOWABLE]), max_size=12)
MODES = st.sampled_from(["100644", "100644", "100755"])


def join(lines: list[bytes], has_end: bool) -> bytes:
    return b"\n".join(lines) + (b"\n" if has_end and lines else b"")


@st.composite
def binary_changes(draw) -> tuple[Files, Files]:
    """Draw binary files, and what they are after some edits, additions, deletions and renames."""
    names = draw(st.lists(st.sampled_from(BINARY_NAMES), unique=True))
    old = {name: (draw(MODES), draw(BINARIES)) for name in names}
    new = dict(old)
    for name in names:
        edit = draw(st.sampled_from(["keep", "bytes", "text", "delete", "rename"]))
        if edit in {"bytes", "text"}:
            new[name] = (draw(MODES), draw(BINARIES) if edit == "bytes" else join(draw(LINES), has_end=True))
        elif edit in {"delete", "rename"}:
            del new[name]
            if edit == "rename":
                new[b"assets/moved/" + name] = (draw(MODES), old[name][1])
    if draw(st.booleans()):
        new[b"assets/new"] = (draw(MODES), draw(BINARIES))
    return old, new


@st.composite
def changes(draw) -> tuple[Files, Files]:
    """Draw a tree, and what it is after some edits, additions, deletions, renames and mode changes."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1, max_size=5))
    old = {name: (draw(MODES), join(draw(OLD_LINES), draw(st.booleans()))) for name in names}
    new = dict(old)
    for name in names:
        mode, content = old[name]
        edit = draw(st.sampled_from(["keep", "lines", "lines", "delete", "rename", "mode", "end"]))
        if edit == "lines":
            lines = content.split(b"\n")
            at = draw(st.integers(0, len(lines)))
            lines[at : at + draw(st.integers(0, 3))] = draw(LINES)
            new[name] = (mode, b"\n".join(lines))
        elif edit == "mode":
            new[name] = ("100755" if mode == "100644" else "100644", content)
        elif edit == "end":
            new[name] = (mode, content.removesuffix(b"\n") if content.endswith(b"\n") else content + b"\n")
        elif edit in {"delete", "rename"}:
            del new[name]
            if edit == "rename":
                new[b"moved/" + name] = (draw(MODES), content)
    if draw(st.booleans()):
        new[b"new/" + draw(st.sampled_from(NAMES))] = (draw(MODES), join(draw(LINES), draw(st.booleans())))
    was, becomes = draw(binary_changes())
    return old | was, new | becomes


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """One approved patch: its world, its bytes, and where they went."""

    world: World
    patch: Patch
    sha: str
    branch: str


class Ground:
    """One bare repository and one clone for all examples; each example is a branch and a world of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bare = BareRepository(folder / "far.git")
        self.numbers = count(1)

    def push(self, old: Files, new: Files) -> Pushed | None:
        """Propose, approve and push the change as the bot does; None where it is no change or is refused."""
        number = next(self.numbers)
        base, wanted = self.bare.commit(old, f"base-{number}"), self.bare.commit(new, f"wanted-{number}")
        if self.bare.read("rev-parse", f"{base}^{{tree}}") == self.bare.read("rev-parse", f"{wanted}^{{tree}}"):
            return None
        return asyncio.run(self._push(base, wanted))

    async def _push(self, base: str, wanted: str) -> Pushed | None:
        git = Git()
        checkout = await git.open(str(self.bare.folder), self.folder / "clone")
        try:
            patch = parse_patch(await checkout.diff(base, wanted), LIMITS)
        except Refused:
            return None
        world = self._propose(base, patch)
        for account in ("ada@web", "ben@web"):
            world.press(f"approve:INC-1:{patch.digest[:12]}", account)
        with world.unit() as work:
            plan = rollout.plan_push(work, "INC-1", patch.digest)
        assert plan is not None
        sha = await git.commit(checkout, plan.plan)
        branch = f"{plan.branch}-{base[:12]}"  # the same patch on another base is another incident outside of tests
        await git.push(checkout, plan.repository, sha, branch)
        assert await checkout.patched_tree(base, patch.text) == self.bare.read("rev-parse", f"{wanted}^{{tree}}")
        return Pushed(world=world, patch=patch, sha=sha, branch=branch)

    def _propose(self, base: str, patch: Patch) -> World:
        world = make_world(Path(tempfile.mkdtemp(dir=self.folder)), opened=True)
        service = Service(name="checkout", repository=str(self.bare.folder), run=("serve", "{port}"))
        service = replace(service, binary_paths=BINARY_PATHS)
        world.rules = make_rules(services={"checkout": service})
        with world.unit() as work:
            run = work.incidents.get("INC-1").run
            assert triage.plan_job(work, "INC-1", run=run, folder="/tmp/none", rules=world.rules) is not None
            drafted = Drafted(base=base, patch=patch.text, title="Mend it", culprit=None)
            triage.record_stage(work, "INC-1", run=run, result=drafted)
            triage.record_stage(work, "INC-1", run=run, result=verified())
            assert drafting.propose(work, "INC-1", world.rules)
        return world


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    return Ground(tmp_path_factory.mktemp("pushed"))


def say_bullets(card: Message) -> Iterator[str]:
    return (item for block in card.blocks if isinstance(block, Bullets) for item in block.items)


def check_bytes(ground: Ground, old: Files, new: Files) -> None:
    pushed = ground.push(old, new)
    if pushed is None:
        return
    world, patch = pushed.world, pushed.patch
    digest = hashlib.sha256(patch.text).hexdigest()
    approval = world.approval(digest)
    with world.unit() as work:
        draft = work.drafts.get("INC-1", digest)
    card = render_patch(draft, approval, now=world.clock.now(), names={})
    downloaded = SqlBoard(world.store, world.clock).patch_text("INC-1", digest[:12])
    assert downloaded is not None
    assert downloaded.encode(errors="surrogateescape") == patch.text
    typed = world.say("/patch show INC-1").text
    page = read_diff(downloaded)
    assert "".join(f"{line.text}\n" for file in page.files for line in file.lines) == downloaded
    assert [file.path for file in page.files] == [change.path for change in patch.files]
    if UNSHOWABLE in patch.text:
        assert any("not UTF-8" in reason for reason in draft.risk.reasons)
    else:
        lines = [f"{change.path}: {change.binary}\n" for change in patch.files if change.binary]
        assert card.files[0].text.encode() == patch.text
        assert typed.encode() == "".join(lines).encode() + patch.text
        assert all(line.strip() in "\n".join(say_bullets(card)) for line in lines)
    if any(change.binary for change in patch.files):
        assert approval.needs == 2
        assert any("nobody can read" in reason for reason in draft.risk.reasons)
    check_far_side(ground, pushed, draft.base, new)


def check_far_side(ground: Ground, pushed: Pushed, base: str, new: Files) -> None:
    """The branch on the remote is one commit on the base, holds the wanted tree, and differs by exactly these bytes."""
    bare = ground.bare
    assert bare.read("rev-parse", f"refs/heads/{pushed.branch}") == pushed.sha
    assert bare.read("rev-parse", f"{pushed.sha}^") == base
    checkout = asyncio.run(Git().open(str(bare.folder), ground.folder / "clone"))
    raw = asyncio.run(checkout.diff(base, pushed.sha))
    assert parse_patch(raw, LIMITS).text == pushed.patch.text
    wanted = bare.commit(new, "again")
    assert bare.read("rev-parse", f"{pushed.sha}^{{tree}}") == bare.read("rev-parse", f"{wanted}^{{tree}}")


BOUNDED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@settings(BOUNDED, max_examples=15)
@given(change=changes())
def test_the_bytes_that_are_shown_are_the_bytes_that_are_pushed(ground, change):
    check_bytes(ground, *change)


@pytest.mark.long
@settings(BOUNDED, max_examples=1000)
@given(change=changes())
def test_a_thousand_times_the_bytes_that_are_shown_are_pushed(ground, change):
    check_bytes(ground, *change)
