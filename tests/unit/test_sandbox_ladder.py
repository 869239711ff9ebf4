"""Choosing a rung, and the rung that refuses."""

import pytest

from bot.errors import Reason, Unavailable
from bot.ports.sandbox import SandboxJob, SandboxResult
from connectors.sandboxes.ladder import choose_sandbox


class Rung:
    def __init__(self, rung, answer):
        self.rung = rung
        self._answer = answer

    async def run(self, job):
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    async def probe(self):
        return ()


def ends(code, output=b"nightshift\n", ended_by=""):
    return SandboxResult(exit_code=code, output=output, seconds=0.1, ended_by=ended_by)


GOOD = Rung("landlock", ends(0))
AWAY = Rung("bubblewrap", Unavailable("bubblewrap is not installed", Reason.NOT_FOUND))


async def test_first_rung_that_runs_is_chosen():
    assert await choose_sandbox([AWAY, GOOD, Rung("late", ends(0))]) is GOOD


@pytest.mark.parametrize(
    "broken",
    [ends(1), ends(0, b"something else\n"), ends(None, b"", "time")],
    ids=["fails", "says something else", "hangs"],
)
async def test_rung_that_runs_a_job_wrongly_is_not_trusted(broken):
    assert await choose_sandbox([Rung("container", broken), GOOD]) is GOOD


async def test_no_rung_means_nothing_runs_and_the_reasons_are_told():
    chosen = await choose_sandbox([AWAY, Rung("container", ends(3))])
    assert chosen.rung == "none"
    assert list(await chosen.probe()) == []
    with pytest.raises(Unavailable) as caught:
        await chosen.run(SandboxJob(argv=("pytest",)))
    text = str(caught.value)
    assert text.startswith("Not verified: there is no safe place here to run 'pytest'.")
    assert "bubblewrap: bubblewrap is not installed" in text
    assert "container: a trivial job ended with 3" in text
