"""The console keeps the chat contract, on a terminal and on plain output."""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from bot.domain.chat import Button, File, Paragraph
from bot.ports.chat import ChatConnector
from connectors.chat.console import Connector, Settings
from tests.contract.chat_suite import ChatContract, ChatRig, RecordingInbox, card, note

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_TOKEN = re.compile(r"\x1b\[(\d*)([AJ])|\r|\n|\a|\x1b\[[0-9;]*m|[^\x1b\r\n\a]+", re.DOTALL)
_RULE = re.compile(r"^\s*┃ ?(?:\s*↳ )?")


class Terminal(io.StringIO):
    """A terminal as far as the connector uses one: endless paper, cursor up, clear below."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        rows, row, column = [""], 0, 0
        for match in _TOKEN.finditer(self.getvalue()):
            token = match[0]
            if match[2] == "A":
                row = max(0, row - int(match[1] or 1))
            elif match[2] == "J":
                rows[row] = rows[row][:column]
                del rows[row + 1 :]
            elif token == "\r":
                column = 0
            elif token == "\n":
                row, column = row + 1, 0
                rows += [""] * (row + 1 - len(rows))
            elif not token.startswith(("\x1b", "\a")):
                rows[row] = rows[row][:column] + token
                column += len(token)
        return rows


class ConsoleRig(ChatRig):
    repeats_events = False
    is_shared = False
    channel = "console"
    account = "ana"

    def __init__(self, out: io.StringIO, width: int) -> None:
        self.keys: asyncio.Queue[str] = asyncio.Queue()
        self.out = out
        self.connector = Connector(Settings(person="ana"), out=out, keys=self._read(), width=lambda: width)

    async def _read(self) -> AsyncIterator[str]:
        while True:
            yield await self.keys.get()
            self.keys.task_done()

    def lines(self) -> list[str]:
        if isinstance(self.out, Terminal):
            return self.out.screen()
        return _STYLE.sub("", self.out.getvalue()).split("\n")

    async def shown(self, ref: str) -> str:
        bare = [_RULE.sub("", line).strip() for line in self.lines()]
        return " ".join(bare) + "\n" + "\n".join(bare)

    async def file(self, ref: str, name: str) -> str:
        before = len(self.lines())
        await self._type("v")
        shown = [line for line in self.lines()[before - 3 :] if line.startswith("  ")]
        return "\n".join(line[2:] for line in shown if "┃" not in line)

    async def buttons(self, ref: str) -> Sequence[str]:
        legend = " ".join(self.lines()).rpartition("┃")[2]
        return [label.strip() for label in re.findall(r"\[\S+\] ([^\[]+)", legend)]

    async def live(self, ref: str) -> Sequence[str]:
        written = re.sub(r"\x1b\[[0-9;]*m|\r\x1b\[J|\x1b\[\d+A\r\x1b\[J", "", self.out.getvalue())
        return [char for char in written if char != "\n" and not char.isprintable()]

    async def copies(self, text: str) -> int:
        return (await self.shown("")).partition("\n")[0].count(text)

    async def is_under(self, ref: str, card: str) -> bool:
        lines = [line for line in self.lines() if "┃" in line]
        return lines[0].startswith("┃") and lines[-1].startswith("  ┃") and any("INC-7 ·" in line for line in lines)

    async def press(self, ref: str, button: Button, values: Mapping[str, str]) -> None:
        connector = self.connector
        assert isinstance(connector, Connector)
        key = next(key for key, known in connector._desk.keys().items() if known.id == button.id)
        await self._type(key)
        for field in button.form.fields if button.form else ():
            value = values[field.name]
            await (self._type(str(field.choices.index(value) + 1)) if field.choices else self.say(value))

    async def told(self) -> str:
        return " ".join(self.lines())

    async def say(self, text: str) -> None:
        await self._type(*text, "\r")

    async def _type(self, *keys: str) -> None:
        for key in keys:
            self.keys.put_nowait(key)
        async with asyncio.timeout(5):
            while not self.keys.empty() or self.keys._unfinished_tasks > 0:  # type: ignore[attr-defined]  # the last key was acted on
                await asyncio.sleep(0.001)


class ConsoleContract(ChatContract):
    @pytest.fixture
    def out(self) -> io.StringIO:
        pytest.fail("the subclass has to give this")

    @pytest.fixture
    def columns(self) -> int:
        return 80

    @pytest.fixture(autouse=True)
    def _terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("LINES", "40")
        monkeypatch.delenv("NO_COLOR", raising=False)

    @pytest.fixture
    async def rig(self, inbox: RecordingInbox, out: io.StringIO, columns: int) -> AsyncIterator[ConsoleRig]:
        rig = ConsoleRig(out, columns)
        task = asyncio.create_task(rig.connector.run(inbox))
        yield rig
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    @pytest.fixture
    def idle(self, out: io.StringIO) -> ChatConnector:
        return ConsoleRig(out, 80).connector


class TestChatConsole(ConsoleContract):
    """On a terminal of 80 columns."""

    @pytest.fixture
    def out(self) -> io.StringIO:
        return Terminal()

    async def test_an_edit_in_place_leaves_one_message(self, rig: ConsoleRig) -> None:
        ref = await rig.connector.post("console", card(), "k1", None)
        for step in range(5):
            await rig.connector.edit("console", card(headline=f"step {step}"), ref)
        text = " ".join(rig.lines())
        assert "step 4" in text
        assert not [step for step in range(4) if f"step {step}" in text]

    async def test_an_edit_further_up_prints_one_line(self, rig: ConsoleRig) -> None:
        ref = await rig.connector.post("console", card(), "k1", None)
        await rig.connector.post("console", note(), "k2", ref)
        await rig.connector.edit("console", card(headline="Ana has it"), ref)
        changed = [line for line in rig.lines() if "Ana has it" in line]
        assert changed == ["INC-7 · Ana has it"]
        before = rig.lines()
        await rig.connector.edit("console", card(headline="Ana has it"), ref)
        assert rig.lines() == before

    async def test_what_two_messages_tell_of_one_thing_is_printed_once(self, rig: ConsoleRig) -> None:
        said = Paragraph(text="Change 1 is merged into main.")
        head = await rig.connector.post("console", card(), "k0", None)
        refs = [await rig.connector.post("console", note(slot), slot, head) for slot in ("patch:1", "verdict:1")]
        await rig.connector.post("console", note("last"), "k3", head)
        for ref, slot in zip(refs, ("patch:1", "verdict:1"), strict=True):
            await rig.connector.edit("console", note(slot, blocks=(*note().blocks, said)), ref)
            await rig.connector.edit("console", card(headline=f"and then {slot}"), head)
        assert await rig.copies("is merged into main") == 1

    async def test_what_one_message_says_again_is_printed_again(self, rig: ConsoleRig) -> None:
        head = await rig.connector.post("console", card(), "k0", None)
        await rig.connector.post("console", note(), "k1", head)
        for headline in ("It waits", "It goes on", "It waits"):
            await rig.connector.edit("console", card(headline=headline), head)
        assert await rig.copies("It waits") == 2

    async def test_a_page_rings_only_its_person(self, rig: ConsoleRig) -> None:
        await rig.connector.post("console", note("page:0", rings=("bo",)), "k1", None)
        assert "\a" not in rig.out.getvalue()
        await rig.connector.post("console", note("page:1", rings=("ana",)), "k2", None)
        assert rig.out.getvalue().count("\a") == 1

    async def test_the_last_line_is_clean_after_the_end(self, inbox: RecordingInbox) -> None:
        rig = ConsoleRig(Terminal(), 80)
        task = asyncio.create_task(rig.connector.run(inbox))
        await rig.connector.post("console", card(), "k1", None)
        assert "Acknowledge" in " ".join(rig.lines())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert "Acknowledge" not in " ".join(rig.lines())
        assert rig.lines()[-1] == ""

    async def test_no_line_is_wider_than_the_terminal(self, rig: ConsoleRig) -> None:
        await rig.connector.post("console", card(headline="宽" * 100 + " word " * 50), "k1", None)
        assert max(len(line) + line.count("宽") for line in rig.lines()) < 80


class TestChatConsoleNarrow(ConsoleContract):
    """On a terminal of 40 columns."""

    @pytest.fixture
    def out(self) -> io.StringIO:
        return Terminal()

    @pytest.fixture
    def columns(self) -> int:
        return 40

    async def test_no_line_is_wider_than_the_terminal(self, rig: ConsoleRig) -> None:
        files = (File(name="x" * 80 + ".diff", media_type="text/x-diff", text="+" + "y" * 200),)
        await rig.connector.post("console", card(headline="word " * 50, files=files), "k1", None)
        await rig.file("k1", "")
        assert max(len(line) for line in rig.lines()) < 40


class TestChatConsolePlain(ConsoleContract):
    """Where output is no terminal: nothing is rewritten, nothing is coloured."""

    @pytest.fixture
    def out(self) -> io.StringIO:
        return io.StringIO()

    async def test_no_escape_is_ever_written(self, rig: ConsoleRig) -> None:
        ref = await rig.connector.post("console", card(rings=("ana",)), "k1", None)
        await rig.connector.edit("console", card(buttons=()), ref)
        assert "\x1b" not in rig.out.getvalue()
        assert "\a" not in rig.out.getvalue()

    async def test_an_edit_replaces_the_message(self, rig: ChatRig) -> None:
        ref = await rig.connector.post("console", card(), "k1", None)
        await rig.connector.edit("console", card(headline="checkout works again"), ref)
        assert await rig.copies("checkout works again") == 1
