"""What a connector keeps over a restart stands in the store, under its channel's name."""

from pathlib import Path

from bot.bootstrap.chat import StoreMemory
from tests.worldkit import make_world


def test_a_text_outlives_its_process_and_no_other_channel_sees_it(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    own = StoreMemory(store=world.store, channel="whatsapp")
    assert own.change(lambda before: f"{before}one") == "one"
    again = world.reopen()
    assert StoreMemory(store=again.store, channel="whatsapp").change(lambda before: f"{before}, two") == "one, two"
    assert StoreMemory(store=again.store, channel="second").change(str) == ""
