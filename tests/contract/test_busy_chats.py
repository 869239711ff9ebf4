"""Every kind of chat at once under its service's limits: nothing lost, nothing twice, in order, each press answered."""

from pathlib import Path

from tests.bench.drain import play, report
from tests.busy_chats import open_scene

INCIDENTS = {"slack": 4, "discord": 4, "telegram": 4, "whatsapp": 4}
PRESSES = dict.fromkeys(INCIDENTS, 2)


async def test_what_comes_faster_than_services_take_it_goes_out_whole_in_order_and_without_a_refusal(
    tmp_path: Path,
) -> None:
    async with open_scene(tmp_path, [(kind, 0) for kind in INCIDENTS]) as scene:
        outcome = await play(scene, INCIDENTS, PRESSES, 0.5)
    rows = report(INCIDENTS, outcome)
    assert [row.what for row in rows if row.kept is False] == []
    assert {name: one["refused"] for name, one in outcome.told.items()} == {f"{kind}0": 0 for kind in INCIDENTS}
    assert {name: len(one["answered"]) for name, one in outcome.told.items()} == {f"{kind}0": 2 for kind in INCIDENTS}
