"""Runs at once on one repository share its bare clone, and nothing that one of them can change for another."""

import asyncio
import json

from bot.domain.patches.patch import parse_patch
from bot.ports.sandbox import SandboxJob
from connectors.sandboxes.bubblewrap import Bubblewrap
from connectors.workspaces.git import Git
from tests.contract.git_origin import Origin

FILES = ("a.py", "b.py")
LOOK = """
import json, os, pathlib, subprocess, sys, time
clone, own = sys.argv[1:]
found = {"git": os.path.lexists(".git"), "clone": os.path.lexists(clone), "before": sorted(os.listdir())}
tried = []
for place in (".", "/w", "/tmp", "/nightshift", "/toolchain", clone, os.path.dirname(clone), "/"):
    try:
        pathlib.Path(place, "mark-" + own).write_text(own)
        tried.append(place)
    except OSError:
        pass
pathlib.Path("shared.py").write_text(own)
time.sleep(0.3)
marks = [p.name for top in (".", "/tmp", "/") for p in pathlib.Path(top).glob("mark-*")]
found |= {"marks": sorted(set(marks)), "shared": pathlib.Path("shared.py").read_text(), "wrote": tried}
found["text"] = pathlib.Path(own).read_text()
print(json.dumps(found))
"""


def patch_of(name: str) -> bytes:
    text = f"diff --git a/{name} b/{name}\n--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n-old\n+mended {name}\n"
    return parse_patch(text.encode()).text


async def test_neither_sees_or_changes_the_tree_the_index_or_the_refs_of_the_other(tmp_path):
    origin = Origin(tmp_path / "far")
    origin.commit("Begin", dict.fromkeys((*FILES, "shared.py"), "old\n"))
    clone = tmp_path / "clone"
    one, other = [await Git().open(str(origin.bare), clone) for _ in FILES]
    base, before = await one.resolve("main"), snapshot(clone)
    trees = await asyncio.gather(
        *(checkout.patched_tree(base, patch_of(name)) for checkout, name in zip((one, other), FILES, strict=True))
    )
    for name, tree in zip(FILES, trees, strict=True):
        diff = (await one.diff(base, tree)).decode()
        assert [line for line in diff.splitlines() if line.startswith("+++")] == [f"+++ b/{name}"]
    seen = await asyncio.gather(*(look(other, tree, clone, name) for tree, name in zip(trees, FILES, strict=True)))
    for name, found in zip(FILES, seen, strict=True):
        assert (found["git"], found["clone"], found["before"]) == (False, False, [*FILES, "shared.py"])
        assert (found["marks"], found["shared"]) == ([f"mark-{name}"], name)
        assert found["text"] == f"mended {name}\n"
        assert set(found["wrote"]) <= {".", "/w", "/tmp"}
    assert snapshot(clone) == before, "no ref, no HEAD, no index and no configuration of the clone has changed"
    assert await one.read(base, "a.py") == b"old\n"


async def look(checkout, tree: str, clone, own: str) -> dict:
    job = SandboxJob(argv=["python3", "-c", LOOK, str(clone), own], tree=await checkout.archive(tree))
    result = await Bubblewrap().run(job)
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def snapshot(clone) -> dict[str, bytes]:
    """Return every file of the clone but its objects, which are named by what they hold."""
    paths = [path for path in clone.rglob("*") if path.is_file() and path.relative_to(clone).parts[0] != "objects"]
    return {str(path.relative_to(clone)): path.read_bytes() for path in paths}
