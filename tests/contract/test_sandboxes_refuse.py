"""The last rung runs nothing at all: of the contract there is only its refusal to hold."""

import pytest

from bot.errors import Unavailable
from bot.ports.sandbox import SandboxJob
from connectors.sandboxes.refuse import Refuse


async def test_nothing_runs_and_the_word_is_not_verified(tmp_path):
    target = tmp_path / "ran"
    with pytest.raises(Unavailable, match=r"^Not verified"):
        await Refuse().run(SandboxJob(argv=("touch", str(target))))
    assert not target.exists()
    assert Refuse().rung == "none"
    assert list(await Refuse().probe()) == []
