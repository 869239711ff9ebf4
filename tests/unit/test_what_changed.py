"""One list of everything that changed, and what kind each change is."""

from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.evidence import Suspect
from bot.domain.suspects.happened import WhatKind
from bot.domain.suspects.suspicion import Change
from bot.domain.suspects.what_changed import list_changes, name_kind

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (["shop/cart.py"], WhatKind.CODE),
        (["shop/cart.py", "config/app.yaml"], WhatKind.CODE),
        (["config/app.yaml"], WhatKind.CONFIGURATION),
        (["settings/.env.production"], WhatKind.CONFIGURATION),
        (["requirements.txt"], WhatKind.DEPENDENCIES),
        (["package.json", "package-lock.json"], WhatKind.DEPENDENCIES),
        (["requirements-dev.txt", "docs/a.md"], WhatKind.CODE),
        (["config/feature_flags.yaml"], WhatKind.FLAG),
        (["k8s/deployment.yaml"], WhatKind.INFRASTRUCTURE),
        (["Dockerfile"], WhatKind.INFRASTRUCTURE),
        (["main.tf"], WhatKind.INFRASTRUCTURE),
        (["tests/test_cart.py", "README.md"], WhatKind.ASIDE),
    ],
)
def test_a_commit_is_named_by_what_it_changes(files, kind):
    assert name_kind(files) is kind


def test_a_merge_is_a_merge_whatever_it_brings():
    assert name_kind(["shop/cart.py"], is_merge=True) is WhatKind.MERGE


def change(sha, hours, *files):
    return Change(
        sha=sha, parents=("p",), author="Ada", committed_at=NOON - timedelta(hours=hours), subject=f"Change {sha}",
        files=files, diff="",
    )  # fmt: skip


def test_suspects_come_first_then_the_newest():
    changes = [change("new", 1, "a.py"), change("old", 9, "a.yaml"), change("bad", 5, "b.py")]
    bad = Suspect(commit="bad", author="Ada", committed_at=NOON, subject="Change bad", score=0.7, reasons=("why",))
    listed = list_changes(changes, [bad])
    assert [each.source for each in listed] == ["bad", "new", "old"]
    assert listed[0].reasons == ("why",)
    assert listed[2].kind is WhatKind.CONFIGURATION
