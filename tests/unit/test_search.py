"""Which commit is run next, and what is left when it was."""

import pytest

from bot.domain.evidence import Check
from bot.domain.suspects.search import Hunt, Link


def line(count):
    return [Link(sha=f"c{n}", parents=(f"c{n + 1}",) if n + 1 < count else ()) for n in range(count)]


MERGED = [
    Link(sha="head", parents=("merge",)),
    Link(sha="merge", parents=("main2", "side2")),
    Link(sha="side2", parents=("side1",)),
    Link(sha="main2", parents=("main1",)),
    Link(sha="side1", parents=("base",)),
    Link(sha="main1", parents=("base",)),
    Link(sha="base", parents=()),
]


def run(hunt, first_red, *, blind=()):
    """Search with an oracle: red are the commits that have `first_red` in their history. Returns what was run."""
    red, parents = set(), {link.sha: link.parents for link in hunt.links}

    def has(sha):
        return sha == first_red or any(has(parent) for parent in parents.get(sha, ()))

    red = {link.sha for link in hunt.links if has(link.sha)}
    asked = []
    while choice := hunt.choose():
        for index in choice:
            sha = hunt.links[index].sha
            asked.append(sha)
            hunt.learn(index, Check.UNKNOWN if sha in blind else Check.RED if sha in red else Check.GREEN)
    return asked


def test_a_ranking_that_is_right_needs_two_runs():
    hunt = Hunt(line(200), {"c77": 0.9, "c3": 0.2, "c150": 0.2})
    assert run(hunt, "c77") == ["c77", "c78"]
    assert hunt.culprit.sha == "c77"


@pytest.mark.parametrize("first_red", [0, 1, 60, 198])
def test_a_ranking_that_is_wrong_costs_a_few_runs_more_than_halving(first_red):
    hunt = Hunt(line(200), {"c77": 0.9, "c3": 0.2, "c150": 0.2})
    assert len(run(hunt, f"c{first_red}")) <= 14
    assert hunt.culprit.sha == f"c{first_red}"


@pytest.mark.parametrize("first_red", ["side1", "side2", "main1", "main2", "merge", "head"])
def test_branches_and_merges_are_searched_as_they_are(first_red):
    hunt = Hunt(MERGED, {})
    run(hunt, first_red)
    assert hunt.culprit.sha == first_red


def test_a_suspect_on_a_branch_is_confirmed_without_running_its_merge():
    hunt = Hunt(MERGED, {"side2": 0.9})
    assert run(hunt, "side2") == ["side2", "side1"]
    assert hunt.culprit.sha == "side2"


def test_what_is_red_since_the_first_commit_has_no_culprit():
    hunt = Hunt(line(5), {})
    run(hunt, "c4")
    assert hunt.culprit is None
    assert not hunt.green_known
    assert not hunt.is_open


def test_a_commit_that_is_said_to_be_well_is_not_run():
    hunt = Hunt(line(50), {"c20": 0.5}, green="c30")
    assert all(int(sha[1:]) < 30 for sha in run(hunt, "c29"))
    assert hunt.culprit.sha == "c29"


def test_commits_that_cannot_be_judged_stay_under_suspicion():
    hunt = Hunt(line(8), {})
    run(hunt, "c4", blind={"c3", "c4", "c5"})
    assert hunt.culprit is None
    assert {hunt.links[index].sha for index in hunt.left} == {"c2", "c3", "c4", "c5"}
