from pathlib import Path

import pytest

from bot.demo.folder import DemoError, free_ports, fresh_folder


def test_wipes_what_an_earlier_demo_left(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with fresh_folder(folder) as first:
        (first / "releases").mkdir()
        (first / "current").write_text("x")
    with fresh_folder(folder) as again:
        assert [entry.name for entry in again.iterdir()] == [".nightshift-demo"]


def test_never_wipes_a_folder_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(DemoError, match="not a demo's"), fresh_folder(tmp_path):
        pass
    assert (tmp_path / "thesis.tex").exists()


def test_one_demo_at_a_time(tmp_path: Path) -> None:
    with (
        fresh_folder(tmp_path / "demo"),
        pytest.raises(DemoError, match="Another demo"),
        fresh_folder(tmp_path / "demo"),
    ):
        pass


def test_ports_differ() -> None:
    assert len(set(free_ports(5))) == 5
