"""A revert that brings back what nobody can read: from the worker's draft over the card's risk to the applied bytes."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from bot.domain.service import Service
from bot.errors import Refused
from bot.services.drafting import build_draft
from bot.worker.revert import Target, draft_revert
from connectors.workspaces.git import Git
from tests.contract.git_origin import Origin
from tests.worldkit import make_world, verified

OLD = b"\x89PNG\0" + bytes(range(256)) * 20
NEW = b"\x89PNG\0" + bytes(range(255, -1, -1)) * 20
JOINED = "crew = '\U0001f469\u200d\U0001f680'\n"
NAMES = "family = '\U0001f469\u200d\U0001f467'\n" + "a = 1\n" * 9


class Night:
    """One repository whose last commit is reverted, for a service with or without `binary_paths`."""

    def __init__(self, path, *binary_paths: str) -> None:
        self.origin = Origin(path / "far")
        self.path = path
        self.service = Service(name="checkout", repository=str(self.origin.bare), binary_paths=binary_paths)
        self.world = make_world(path, opened=True)
        self.world.rules = replace(self.world.rules, services={"checkout": self.service})

    async def draft(self, culprit: str):
        """Let the worker draft the revert, and the front make of it what people are asked."""
        self.checkout = await Git().open(str(self.origin.bare), self.path / "clone")
        tools = SimpleNamespace(clean=lambda text, _limit: text)
        bench = SimpleNamespace(tools=tools, checkout=self.checkout, service=self.service)
        target = Target(commit=culprit, subject="Draw it anew")
        drafted = (await draft_revert(bench, target, head=culprit, trial=None)).drafted
        return drafted, self.build(drafted)

    def build(self, drafted):
        with self.world.unit() as work:
            return build_draft(work, work.incidents.get("INC-1"), drafted, verified(), self.world.rules)


async def test_a_picture_comes_back_byte_for_byte_and_takes_two_people(tmp_path):
    night = Night(tmp_path, "assets/")
    night.origin.commit("Begin", {"assets/logo.png": OLD})
    culprit = night.origin.commit("Draw it anew", {"assets/logo.png": NEW, "app.py": "x = 1\n"})
    drafted, draft = await night.draft(culprit)
    assert drafted.notes == ()
    assert draft.risk.reasons == ("holds a binary file nobody can read: assets/logo.png",)
    tree = await night.checkout.patched_tree(culprit, draft.patch.text)
    assert await night.checkout.read(tree, "assets/logo.png") == OLD
    assert await night.checkout.read(tree, "app.py") is None


async def test_without_the_setting_the_rest_is_reverted_and_the_picture_named(tmp_path):
    night = Night(tmp_path)
    night.origin.commit("Begin", {"assets/logo.png": OLD})
    culprit = night.origin.commit("Draw it anew", {"assets/logo.png": NEW, "app.py": "x = 1\n"})
    drafted, draft = await night.draft(culprit)
    assert [change.path for change in draft.patch.files] == ["app.py"]
    assert "assets/logo.png" in drafted.notes[0]
    assert "binary_paths" in drafted.notes[0]


async def test_the_setting_of_the_front_counts_whatever_the_worker_drafted(tmp_path):
    night = Night(tmp_path, "assets/")
    night.origin.commit("Begin", {"assets/logo.png": OLD})
    drafted, _ = await night.draft(night.origin.commit("Draw it anew", {"assets/logo.png": NEW}))
    night.world.rules = replace(
        night.world.rules, services={"checkout": replace(night.service, binary_paths=("docs/",))}
    )
    with pytest.raises(Refused, match="binary_paths"):
        night.build(drafted)


async def test_a_joined_emoji_comes_back_where_its_file_has_another(tmp_path):
    night = Night(tmp_path)
    night.origin.commit("Begin", {"names.py": NAMES + JOINED})
    culprit = night.origin.commit("Remove the crew", {"names.py": NAMES})
    drafted, draft = await night.draft(culprit)
    assert drafted.existing == (("names.py", 0x200D),)
    assert draft.risk.is_risky
    tree = await night.checkout.patched_tree(culprit, draft.patch.text)
    assert await night.checkout.read(tree, "names.py") == (NAMES + JOINED).encode()
    with pytest.raises(Refused, match="zero-width"):
        night.build(replace(drafted, existing=()))
