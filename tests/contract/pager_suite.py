"""What every way to wake people must do, against the far side of its service."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Protocol

import pytest

from bot.errors import NightshiftError, Rejected, Unavailable
from bot.ports.pager import Pager, PageText

PAGE = PageText(
    title="INC-7 critical: checkout answers 38 % of requests with 500",
    body="Ana, since 02:14 UTC. Acknowledge: https://night.example.org/incidents/INC-7",
)


class PagerRig(Protocol):
    """A pager and its service. `secrets` are what of its address nobody may read; `got` are the texts that arrived."""

    pager: Pager
    secrets: tuple[str, ...]
    got: list[str]

    def fail(self, how: str) -> None:
        """From now on the service is "busy" (try later), "closed" to us for good, or "silent"."""
        ...

    async def stop(self) -> None:
        """Nothing listens any more."""
        ...


class _Log(logging.Handler):
    """Everything that reaches the log of the process, at any level."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def logged() -> Iterator[list[str]]:
    root, handler = logging.getLogger(), _Log()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler.lines
    root.setLevel(before)
    root.removeHandler(handler)


class PagerContract:
    """Subclasses give a `rig`."""

    @pytest.fixture
    async def rig(self) -> PagerRig:
        pytest.fail("the subclass has to give this")

    async def test_a_page_arrives_whole_with_what_is_wrong_first(self, rig):
        await rig.pager.send(PAGE)
        (text,) = rig.got
        assert text.index(PAGE.title) < text.index(PAGE.body)

    async def test_each_call_rings_again(self, rig):
        await rig.pager.send(PAGE)
        await rig.pager.send(PageText(title="Another", body="page"))
        assert len(rig.got) == 2
        assert "Another" in rig.got[1]

    async def test_letters_of_every_alphabet_arrive(self, rig):
        await rig.pager.send(PageText(title="Прод не отвечает", body="Zoë, 東京 ☎ 50 % > 5 & <b>"))
        assert "Прод не отвечает" in rig.got[0]
        assert "Zoë, 東京 ☎ 50 % > 5 & <b>" in rig.got[0]

    async def test_a_service_that_is_busy_may_be_asked_again(self, rig):
        rig.fail("busy")
        with pytest.raises(Unavailable):
            await rig.pager.send(PAGE)

    async def test_nobody_there_may_be_asked_again(self, rig):
        await rig.stop()
        with pytest.raises(Unavailable):
            await rig.pager.send(PAGE)

    @pytest.mark.parametrize("how", ["busy", "closed"])
    async def test_a_failure_is_one_try_and_tells_nothing_of_the_address(self, rig, how, logged):
        rig.fail(how)
        with pytest.raises(NightshiftError) as fault:
            await rig.pager.send(PAGE)
        assert isinstance(fault.value, Unavailable | Rejected)
        for secret in rig.secrets:
            assert secret not in f"{fault.value}{fault.value!r}"
            assert not [line for line in logged if secret in line]
        assert not rig.got

    async def test_one_that_is_silent_can_be_left_at_once(self, rig):
        rig.fail("silent")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await rig.pager.send(PAGE)
