"""Four repositories that nothing in the bot knows, investigated from their own logs to a verified revert."""

import asyncio
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.domain.evidence import Check
from bot.domain.investigation import Job
from bot.domain.patches.patch import parse_patch
from bot.domain.playbook import parse_playbook
from bot.worker.investigate import Investigation, Tools
from connectors.logs.file import Source
from connectors.sandboxes.bubblewrap import Bubblewrap
from connectors.workspaces.git import Git
from tests.worlds.recipes import ALL
from tests.worlds.world import build_world

PLAYBOOK = parse_playbook((Path(__file__).parents[2] / "playbooks" / "http-5xx.md").read_text())


async def run_setup(service, folder: Path) -> Path | None:
    if not service.setup:
        return None
    toolchain = folder / "toolchain"
    toolchain.mkdir(parents=True, exist_ok=True)
    env = {"PATH": os.environ["PATH"], "NIGHTSHIFT_TOOLCHAIN": str(toolchain)}
    process = await asyncio.create_subprocess_exec(*service.setup, env=env)
    assert await process.wait() == 0
    return toolchain


@pytest.mark.parametrize("recipe", ALL, ids=lambda recipe: recipe.name)
async def test_a_world_is_mended(recipe, tmp_path):
    world = await asyncio.to_thread(build_world, recipe, tmp_path)
    tools = Tools(
        log_source=lambda place: Source(place.kind, place.path),
        workspaces=Git(),
        sandbox=Bubblewrap(),
        redact=lambda text: text,
        redact_lines=list,
        prepare_toolchain=run_setup,
    )
    job = Job(
        run="INC-1:1", incident="INC-1", service=world.service, playbook=PLAYBOOK, title="Errors",
        alert_started_at=world.alert_started_at, now=datetime.now(UTC), folder=str(tmp_path / "work"),
    )  # fmt: skip
    began = time.monotonic()
    results = [result async for result in Investigation(tools=tools).investigate(job)]
    seconds = time.monotonic() - began
    collected, suspected, confirmed, drafted, verified = results

    assert collected.records[0].count == 10
    assert world.culprit in [suspect.commit for suspect in suspected.suspects[:3]]
    assert confirmed.culprit == world.culprit, confirmed.how
    words = "Revert part of" if drafted.scope == "part" else "Revert"
    assert drafted.title == f'{words} "{world.culprit_subject}"'
    assert {change.path for change in parse_patch(drafted.patch).files} <= set(world.culprit_files)
    assert bool(drafted.notes) is not world.whole_revert
    assert verified.is_verified, verified.notes
    assert verified.after is Check.GREEN
    assert seconds < 60, "the time that an investigation has by default"
