"""Repositories that nothing in the bot knows go the whole way, from the alert to green CI and resolved."""

import asyncio

import pytest

from bot.domain.patches.patch import parse_patch
from tests.e2e.walk import Walk
from tests.playbooks.world import run_git
from tests.worlds.recipes import ALL, Recipe
from tests.worlds.world import build_world


def is_one_of_the_rest(recipe: Recipe) -> bool:
    """`make test-long` walks these; all of them are investigated in tests/worlds and tests/playbooks."""
    return recipe.name != "parcels"


RECIPES = [
    pytest.param(recipe, id=recipe.name, marks=pytest.mark.long if is_one_of_the_rest(recipe) else ())
    for recipe in ALL
    if recipe.name != "checkout"
]


@pytest.mark.parametrize("recipe", RECIPES)
async def test_a_world_goes_the_whole_way(recipe, tmp_path):
    world = await asyncio.to_thread(build_world, recipe, tmp_path)
    walk = Walk(folder=tmp_path, service=world.service)
    try:
        await walk.run()
    finally:
        walk.stop()
    [sha] = run_git(world.repository, "for-each-ref", "--format=%(objectname)", "refs/heads/nightshift/").split()
    pushed = run_git(world.repository, "diff", "--full-index", world.head, sha.decode())
    [(shown, body)] = walk.query("SELECT patch, body FROM draft")
    assert parse_patch(pushed).text == shown, "the pushed bytes are the bytes that were shown"
    assert world.culprit in body
    assert walk.query("SELECT state FROM ci_run") == [("passed",)]
