"""How long a question to Telegram waits: as long as it may, and shorter where a proxy cuts what is quiet."""

import asyncio
from types import SimpleNamespace

import pytest
from telegram.error import NetworkError

from bot.errors import Unavailable
from connectors.chat.telegram import polling
from connectors.chat.telegram.polling import Polling


class Line:
    """A bot whose questions are cut after `cut` seconds, and answered by nothing after theirs. Nobody waits for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cut: float, turns: int) -> None:
        self.now = 0.0
        self.cut = cut
        self.asked: list[int] = []
        self._turns = turns
        monkeypatch.setattr(polling, "time", SimpleNamespace(monotonic=lambda: self.now))

    async def get_updates(self, *, offset: int | None, timeout: int, allowed_updates: list[str]) -> tuple[()]:
        self.asked.append(timeout)
        if len(self.asked) > self._turns:
            raise asyncio.CancelledError
        self.now += min(timeout, self.cut)
        if timeout > self.cut:
            raise NetworkError("the line was cut")
        return ()


async def ask(line: Line, longest: int) -> list[int]:
    with pytest.raises(asyncio.CancelledError):
        await Polling(line, longest).run(None)  # type: ignore[arg-type]  # nothing comes that could be taken
    return line.asked


async def test_a_line_that_is_cut_is_asked_shorter_and_now_and_then_a_little_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await ask(Line(monkeypatch, cut=20.5, turns=5), 50) == [50, 19, 20, 21, 19, 20]


async def test_a_quiet_line_that_holds_is_asked_as_long_as_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await ask(Line(monkeypatch, cut=100, turns=3), 25) == [25] * 4


async def test_a_line_that_breaks_at_once_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable):
        await Polling(Line(monkeypatch, cut=0.1, turns=3), 25).run(None)  # type: ignore[arg-type]  # as above
