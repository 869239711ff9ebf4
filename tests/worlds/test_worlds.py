"""The generated repositories: green at every commit, red for one request since the culprit, cured by its revert."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.demo.history import git, grow_repository, load_series
from tests.worlds.recipes import ALL, PARCELS, STOCKROOM, TICKETS
from tests.worlds.world import SERIES, Recipe, World, build_world, check_out, run_checks, run_service

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module", params=ALL, ids=lambda recipe: recipe.name)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, World]:
    recipe: Recipe = request.param
    return recipe, build_world(recipe, tmp_path_factory.mktemp(recipe.name), now=NOW)


def status_at(recipe: Recipe, world: World, tree: Path, folder: Path) -> int:
    with run_service(world, tree, folder / "service.log", health=recipe.health) as send:
        return send(world.failing)


def test_every_commit_passes_its_own_checks(made: tuple[Recipe, World], tmp_path: Path) -> None:
    _, world = made
    results = {commit: run_checks(world, check_out(world, commit, tmp_path / commit)) for commit in world.commits}
    assert {code for codes in results.values() for code in codes.values()} == {0}


def test_the_request_fails_since_the_culprit_only(made: tuple[Recipe, World], tmp_path: Path) -> None:
    recipe, world = made
    seen = {
        name: status_at(recipe, world, check_out(world, commit, tmp_path / name), tmp_path)
        for name, commit in {"head": world.head, "culprit": world.culprit, "parent": f"{world.culprit}^"}.items()
    }
    assert (seen["head"], seen["culprit"]) == (500, 500)
    assert seen["parent"] < 500


def test_the_culprit_is_old_enough_and_touches_no_tests(made: tuple[Recipe, World]) -> None:
    _, world = made
    assert world.culprit in world.commits[-6:-2]
    assert world.culprit_files
    assert not any(path.startswith("tests/") for path in world.culprit_files)


def test_the_log_tells_the_failure(made: tuple[Recipe, World]) -> None:
    _, world = made
    text = world.log.read_text()
    assert text.count("Traceback (most recent call last)") == 10
    assert world.failing.target in text


def test_the_same_time_gives_the_same_commits(made: tuple[Recipe, World], tmp_path: Path) -> None:
    recipe, world = made
    again = grow_repository(load_series(recipe.series or SERIES / recipe.name), tmp_path / "again.git", now=NOW)
    assert again.commits == world.commits


def test_a_revert_cures_it(made: tuple[Recipe, World], tmp_path: Path) -> None:
    recipe, world = made
    tree = tmp_path / "clone"
    git("clone", "--quiet", str(world.repository), str(tree), cwd=tmp_path)
    back = git("diff", "--no-renames", world.culprit, f"{world.culprit}^", cwd=tree)
    if recipe.whole_revert:
        git("apply", "--3way", "-", cwd=tree, given=back)
    else:
        with pytest.raises(subprocess.CalledProcessError):
            git("apply", "--3way", "-", cwd=tree, given=back)
        git("reset", "--quiet", "--hard", cwd=tree)
        with pytest.raises(subprocess.CalledProcessError):  # --reject says so where a hunk is left out
            git("apply", "--reject", "-", cwd=tree, given=back)
    assert set(run_checks(world, tree).values()) == {0}
    assert status_at(recipe, world, tree, tmp_path) < 500


def test_the_newest_commit_of_the_stockroom_is_an_innocent_bystander() -> None:
    newest, culprit = load_series(SERIES / STOCKROOM.name)[-1], load_series(SERIES / STOCKROOM.name)[-3]
    assert culprit.is_regression
    assert "stockroom/report.py" in newest.diff
    assert "stockroom/report.py" not in culprit.diff


def test_the_later_commit_of_the_tickets_changes_the_same_line_again() -> None:
    culprit, later = load_series(SERIES / TICKETS.name)[-3:-1]
    assert culprit.is_regression
    assert "+PAGE_SIZE = 40" in culprit.diff
    assert "-PAGE_SIZE = 40" in later.diff


def test_the_toolchain_is_enough_to_run_flask(tmp_path: Path) -> None:
    env = {"NIGHTSHIFT_TOOLCHAIN": str(tmp_path), "PATH": "/usr/bin:/bin"}
    subprocess.run(PARCELS.setup, env=env, check=True)
    code = f"import sys; sys.path = [p for p in sys.path if 'site-packages' not in p] + [{str(tmp_path / 'lib')!r}]; "
    code += "import flask; print(flask.__file__)"
    found = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.startswith(str(tmp_path))
