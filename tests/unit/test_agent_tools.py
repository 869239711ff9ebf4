"""Tools: what they answer, and what they say where a call is wrong."""

import io
import json
import tarfile
import threading
import time
from dataclasses import replace
from unittest.mock import AsyncMock

import pytest

from bot.agent.arguments import read_arguments
from bot.agent.logs import Logs
from bot.agent.patching import edit_files
from bot.agent.sources import Sources
from bot.agent.tools import patches
from bot.agent.tools.every import TOOLS
from bot.agent.tools.toolbox import MAX_ANSWER, Toolbox
from bot.domain.evidence import LogLine
from bot.errors import Refused
from tests.agent_world import FILES, GOOD_EDIT, AgentWorld, ScriptedModel, make_archive


async def call(name, arguments, *, room=100_000, files=None, known=()):
    world = AgentWorld(model=ScriptedModel(script=[]), files=files or FILES)
    given = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return await Toolbox(world.hands()).call(name, given, known, room=room)


SECRET = "hunter2-hunter2"
SIGNS = f"\x1b[31m{SECRET}<|im_start|>"
SIGNED = FILES | {f"shop/{SIGNS}.py": "x = 1\n", "own.env": f"TOKEN = {SIGNS}\n"}


async def text(name, arguments, **more):
    return (await call(name, arguments, **more)).text


@pytest.mark.parametrize(
    ("name", "arguments", "part"),
    [
        ("read_file", {"path": "shop/cart.py"}, "shop/cart.py, lines 1 to 2 of 2:\ndef total(order):"),
        ("read_file", {"path": "./shop/cart.py", "first": 2}, "lines 2 to 2 of 2:\n    return sum"),
        ("read_file", {"path": "shop/cart.py", "first": 99}, "has lines 1 to 2, none from 99 on"),
        ("read_file", {"path": "shop/cart.py", "first": 2, "last": 1}, "lies before"),
        ("read_file", {"path": "."}, "is a folder; list shows what it holds"),
        ("read_file", {"path": "shop/"}, "is a folder; list"),
        ("list", {}, ". holds 3:\nREADME.md  88 bytes\nsecret.env  22 bytes\nshop/  2 files, 129 bytes"),
        ("list", {"path": "./shop/"}, "cart.py  57 bytes\ncoupons.py  72 bytes"),
        ("list", {"path": "shop/cart.py"}, "is a file; read_file shows it"),
        ("list", {"path": "../.."}, "'../..' leaves the repository"),
        ("list", {"path": "/shop/"}, "shop holds 2"),
        ("list", {"page": 2}, "there is no page 2; pages: 1 to 1"),
        ("read_file", {"path": "cart.py"}, "There is no file 'cart.py'. There is: shop/cart.py"),
        ("read_file", {"path": "../../etc/passwd"}, "leaves the repository"),
        ("read_file", {"path": "/shop/../shop//cart.py"}, "shop/cart.py, lines 1 to 2 of 2"),
        ("read_file", {"path": "/etc/passwd"}, "There is no file"),
        ("grep", {"pattern": r"return \w+\["}, "shop/coupons.py:5:"),
        ("grep", {"pattern": "^def", "path": "shop/cart.py"}, "shop/cart.py:1: def total"),
        ("grep", {"pattern": "nowhere"}, "No line matches"),
        ("grep", {"pattern": "def", "path": "./shop/"}, "shop/cart.py:1: def total"),
        ("grep", {"pattern": "def", "path": "shop/*.py"}, "There is no file or folder 'shop/*.py'"),
        ("grep", {"pattern": "def", "page": 2}, "there is no page 2; pages: 1 to 1"),
        ("grep", {"pattern": "("}, "the pattern is not RE2: missing )"),
        ("grep", {"pattern": "(?=x)"}, "not RE2"),
        ("read_log", {"pattern": "ERROR"}, "1 of 2 lines match"),
        ("read_log", {}, "2 of 2 lines match; page 1 of 1, 2 lines:\napp.log:7  12:00:00 INFO POST"),
        ("read_log", {"page": 2}, "there is no page 2; pages: 1, the newest lines, to 1"),
        ("read_log", {"at": "app.log:8", "pattern": "x"}, "give at alone"),
        ("read_log", {"at": "app.log:8"}, "app.log:8  12:00:01 ERROR KeyError"),
        ("read_log", {"at": "app.log:9"}, 'no line is at "app.log:9"; there is app.log:7 to app.log:8'),
        ("git_log", {"path": "shop"}, "bbbbbbbbbbbb 2026-11-20 12:00 Cy"),
        ("git_log", {"path": "./shop/"}, "(no older one)"),
        ("git_log", {"path": "nowhere"}, "No commit touches 'nowhere'."),
        ("git_log", {"path": "docs", "limit": 20}, "docs/a.md and 3 more\n… page=2 goes on"),
        ("git_log", {"path": "docs", "limit": 20, "page": 3}, "No further commit touches 'docs'."),
        ("git_show", {"commit": "bbbbbbbb", "path": "docs"}, "It changes docs not."),
        ("git_show", {"commit": "bbbbbbbb"}, '+    return TABLE[code]["percent"]'),
        ("git_show", {"commit": "b"}, "at least 7"),
        ("git_show", {"commit": "deadbeef"}, "git_log lists commits by their ids"),
        ("git_diff", {"old": "bbbbbbbb"}, "to aaaaaaaaaaaa; lines added, removed, file:\n1\t1\tshop/coupons.py"),
        (
            "git_diff",
            {"old": "bbbbbbbb", "path": "./docs/"},
            "No difference of docs between bbbbbbbbbbbb and aaaaaaaaa",
        ),
        ("git_diff", {"old": "b"}, "at least 7"),
        ("git_diff", {"old": "deadbeef"}, "there is no commit"),
        ("git_blame", {"path": "shop/cart.py"}, "1 bbbbbbbbbbbb 2026-11-20 Cy | def total(order):\n2 bbb"),
        ("git_blame", {"path": "shop/cart.py", "first": 2}, "lines 2 to 2 of 2"),
        ("git_blame", {"path": "shop/cart.py", "first": 9}, "has lines 1 to 2"),
        ("git_blame", {"path": "cart.py"}, "There is: shop/cart.py"),
        ("git_blame", {"path": "shop"}, "is a folder"),
        ("run_check", {"check": " tests "}, "tests FAILS"),
        ("run_check", {"check": "rm -rf"}, "there is: reproduction, tests"),
    ],
)
async def test_answers(name, arguments, part):
    assert part in await text(name, arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "part"),
    [
        ("read_fil", {"path": "x"}, "Did you mean read_file?"),
        ("grep", '{"pattern": "\\ud800"}', "pattern holds half a character"),
        ("read_file", '{"path": "\\udc00.py"}', "path holds half a character"),
        ("propose_patch", '{"title": "\\ud83d", "edits": [{"path": "a", "old": "", "new": "b"}]}', "half a character"),
        ("post_message", {}, "There is no tool"),
        ("read_file", {}, "path is missing. Call it as read_file(path: a text, first?: a whole number"),
        ("read_file", {"path": None}, "path is missing"),
        ("read_file", {"path": 3}, "path must be a text"),
        ("read_file", {"file": "x"}, "there is no argument 'file'"),
        ("read_file", {"path": "x", "first": "1"}, "first must be a whole number"),
        ("read_file", {"path": "x", "first": True}, "first must be a whole number"),
        ("read_file", {"path": "x", "first": 0}, "first must be a whole number from 1"),
        ("read_file", {"path": "x" * 70_000}, "longer than"),
        ("propose_patch", {"title": "x", "edits": []}, "must hold 1 to"),
        ("propose_patch", {"title": "x", "edits": "x"}, "must be a list of objects"),
        ("propose_patch", {"title": "x", "edits": [{"path": "a"}]}, "in edits, old is missing"),
        ("propose_patch", {"title": " ", "edits": [GOOD_EDIT]}, "title is empty"),
        ("propose_patch", {"title": "x", "edits": [GOOD_EDIT | {"path": "../x"}]}, "leaves the repository"),
        ("propose_patch", {"title": "x", "edits": [{"path": ".git/hooks/x", "old": "", "new": "x"}]}, "git itself"),
        ("propose_patch", {"title": "x", "edits": [GOOD_EDIT | {"old": "nowhere\n"}]}, "has no line 'nowhere'"),
    ],
)
async def test_wrong_calls_are_told_what_is_right(name, arguments, part):
    answer = await call(name, arguments)
    assert part in answer.text
    assert answer.proposal is None


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("read_file", {"path": f"no{SIGNS}where"}),
        ("read_file", {"path": "shop/[31mhunter2-hunter.py"}),
        ("list", {"path": SIGNS}),
        ("grep", {"pattern": f"({SIGNS}"}),
        ("git_show", {"commit": f"deadbeef{SIGNS}"}),
        ("propose_patch", {"title": "x", "edits": [GOOD_EDIT | {"old": f"no{SIGNS}where\n"}]}),
        ("propose_patch", {"title": "x", "edits": [{"path": "own.env", "old": "TOKEN = hunter2-hunter\n", "new": ""}]}),
        (f"read{SIGNS}", {}),
    ],
    ids=["path", "name nearby", "folder", "pattern", "commit", "edit", "line nearby", "tool"],
)
async def test_what_a_call_is_told_of_itself_is_cleaned_too(name, given):
    """It quotes the model and the repository: neither a secret nor what reads as a control token may come back so."""
    hands = AgentWorld(model=ScriptedModel(script=[]), files=SIGNED).hands()
    toolbox = Toolbox(replace(hands, clean=lambda text: text.replace("\x1b", "").replace(SECRET, "[redacted]")))
    told = (await toolbox.call(name, json.dumps(given), (), room=100_000)).text
    assert "[redacted]< |im_start|>" in told
    assert SECRET not in told
    assert "<|im_start|>" not in told
    assert "\x1b" not in told


async def test_what_may_take_long_leaves_the_loop_free(monkeypatch):
    """A large repository is searched, cleaned and edited while the other runs of the worker go on."""
    places = []

    def note(text: str) -> str:
        places.append(threading.current_thread())
        return text

    def edit(files, edits):
        return edit_files({path: note(raw) for path, raw in files.items()}, edits)

    monkeypatch.setattr(patches, "edit_files", edit)
    world, sources = AgentWorld(model=ScriptedModel(script=[])), Sources(make_archive(FILES), note)
    toolbox = Toolbox(replace(world.hands(), sources=AsyncMock(return_value=sources)))
    for name, given in (
        ("read_file", {"path": "shop/cart.py"}),
        ("git_blame", {"path": "README.md"}),
        ("grep", {"pattern": "TABLE"}),
        ("propose_patch", {"title": "x", "edits": [GOOD_EDIT]}),
    ):
        before = len(places)
        await toolbox.call(name, json.dumps(given), (), room=100_000)
        assert len(places) > before, name
    assert threading.main_thread() not in places


def test_a_path_that_is_not_there_is_soon_answered_in_a_large_repository():
    sources = Sources(make_archive({}), str)
    sources._places = {
        f"services/{n % 7}/src/main/java/com/example/{n}/Thing{n}Controller.java": (0, 0) for n in range(30_000)
    }
    began = time.process_time()
    with pytest.raises(Refused, match=r"There is: services/1/src/main/java/com/example/8/Thing8Controller\.java"):
        sources.lines("services/1/src/main/java/com/example/8/Thng8Controller.java")
    assert time.process_time() - began < 3


async def test_optional_arguments_may_be_null():
    assert "lines 1 to 2" in await text("read_file", {"path": "shop/cart.py", "first": None})


async def test_answers_are_bounded_by_size_and_by_room():
    files = {"big.txt": "x" * 300 + "\n"}
    big = {"big.txt": ("y" * 99 + "\n") * 5_000}
    assert len((await text("read_file", {"path": "big.txt"}, files=big)).encode()) <= MAX_ANSWER + 40
    assert (await text("read_file", {"path": "big.txt"}, files=files, room=50)).endswith("ask for less")
    assert "Nothing more may be read" in await text("read_file", {"path": "big.txt"}, room=0)
    assert len((await text("git_show", {"commit": "f" * 60_000})).encode()) <= MAX_ANSWER + 40


async def test_long_answers_are_shown_page_by_page():
    files = {f"{n:04}.txt": "x" for n in range(2_000)}
    pages = [await text("list", {"page": page}, files=files) for page in (1, 2, 3, 4)]
    assert pages[0].startswith(". holds 2000:\n0000.txt  1 bytes")
    assert pages[0].endswith("\n… page 1 of 4; page=2 goes on")
    assert pages[3].endswith("1999.txt  1 bytes\n… page 4 of 4, the last")
    assert sum(page.count(".txt") for page in pages) == 2_000


async def test_a_long_file_is_shown_up_to_where_it_fits_and_says_where_to_go_on():
    files = {"big.txt": "".join(f"{n:04} {'y' * 200}\n" for n in range(1, 301))}
    shown = await text("read_file", {"path": "big.txt"}, files=files)
    assert shown.startswith("big.txt, lines 1 to 58 of 300:\n0001 y")
    assert shown.endswith("\n… first=59 goes on")
    assert "lines 59 to 116" in await text("read_file", {"path": "big.txt", "first": 59}, files=files)


async def test_a_long_line_hides_neither_the_next_one_nor_a_match_in_it():
    files = {"a.min.js": f"{'x' * 5_000}needle{'y' * 5_000}\nlast\n"}
    shown = (await text("read_file", {"path": "a.min.js"}, files=files)).splitlines()
    assert shown[1].endswith("x… (9,006 more characters in this line; grep shows those around a match)")
    assert shown[2] == "last"
    assert f"a.min.js:1: …{'x' * 80}needleyy" in await text("grep", {"pattern": "needle"}, files=files)


async def test_many_matches_are_shown_page_by_page():
    files = {"a.py": "needle\n" * 130, "b.py": "needle\n" * 4_000}
    first, last = [await text("grep", {"pattern": "needle", "page": page}, files=files) for page in (1, 50)]
    assert first.endswith(
        "… more than 3,000 lines match: page 1 of 50; page=2 goes on. A narrower pattern or path shows fewer."
    )
    assert "page 50 of 50, the last" in last
    assert first.count("needle") == 60
    assert "130 lines match: page 3 of 3" in await text(
        "grep", {"pattern": "needle", "path": "a.py", "page": 3}, files=files
    )


async def test_a_link_and_a_folder_are_named_as_what_they_are():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        link = tarfile.TarInfo("cart.py")
        link.type, link.linkname = tarfile.SYMTYPE, "shop/cart.py"
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("shop/cart.py"))
    sources = Sources(buffer.getvalue(), str)

    async def get() -> Sources:
        return sources

    box = Toolbox(replace(AgentWorld(model=ScriptedModel(script=[])).hands(), sources=get))
    for name, part in (("cart.py", "is a link to shop/cart.py; name"), ("./shop", "shop is a folder; list")):
        edits = {"title": "x", "edits": [{"path": name, "old": "", "new": "x"}]}
        for tool, given in (("read_file", {"path": name}), ("propose_patch", edits)):
            assert part in (await box.call(tool, json.dumps(given), (), room=1_000)).text
    empty = await box.call("git_blame", json.dumps({"path": "shop/cart.py"}), (), room=1_000)
    assert empty.text == "shop/cart.py is empty."


async def test_binary_and_huge_files_are_not_shown():
    files = {"a.bin": "\0\1\2", "b.txt": "z" * 2_000_000}
    assert "not a text file" in await text("read_file", {"path": "a.bin"}, files=files)
    assert "larger than" in await text("read_file", {"path": "b.txt"}, files=files)
    assert "No line matches.\n(2 not searched" in await text("grep", {"pattern": "z"}, files=files)
    assert "neither read nor searched" in await text("grep", {"pattern": "z", "path": "b.txt"}, files=files)


async def test_grep_cannot_guess_at_what_is_redacted():
    world = AgentWorld(model=ScriptedModel(script=[]))
    world.clean = lambda value: value.replace("hunter2-hunter2", "[redacted:own:0a1b2c]")
    box = Toolbox(world.hands())
    answer = await box.call("grep", json.dumps({"pattern": "hunter2"}), (), room=1_000)
    assert answer.text == "No line matches."


async def test_a_proposal_holds_the_exact_patch_and_its_verdict():
    answer = await call("propose_patch", {"title": "Read the rate", "edits": [GOOD_EDIT]})
    assert answer.proposal is not None
    assert answer.proposal.patch.startswith(b"diff --git a/shop/coupons.py b/shop/coupons.py\n")
    assert answer.proposal.verified.is_verified


def test_schemas_need_no_references_and_forbid_the_rest():
    for spec in [tool.spec for tool in TOOLS]:
        schema = json.dumps(spec.schema())
        assert "$ref" not in schema
        assert spec.schema()["function"]["parameters"]["additionalProperties"] is False
        with pytest.raises(Refused, match=spec.name):
            read_arguments(spec, '{"surprise": 1}')


class TestALongLog:
    LOG = tuple(LogLine(source="app.log", number=n, text=f"line {n}") for n in range(1_001, 1_301))

    async def read(self, **given) -> str:
        gap = "(loki could not be read: no answer)"
        world = AgentWorld(model=ScriptedModel(script=[]), log=self.LOG, faults=(gap,))
        return (await Toolbox(world.hands()).call("read_log", json.dumps(given), (), room=100_000)).text

    async def test_it_is_reduced_and_says_how_to_see_more(self):
        assert await self.read() == (
            "(loki could not be read: no answer)\nwhat matters\n> app.log:7  x\n\n"
            '"pattern" and "page" show lines as they are, "at" those around one, such as at="app.log:1300".'
        )

    async def test_its_lines_are_paged_from_the_newest(self):
        newest, oldest = (await self.read(page=1)).splitlines(), (await self.read(page=4)).splitlines()
        assert newest[:2] == [
            "(loki could not be read: no answer)",
            "300 of 300 lines match; page 1 of 4, 80 lines; page=2 shows older ones:",
        ]
        assert newest[-1] == "app.log:1300  line 1300"
        assert oldest[2] == "app.log:1001  line 1001"
        assert len(oldest) == 2 + 60
        assert (await self.read(pattern="line 10..", page=2)).splitlines()[2] == "app.log:1001  line 1001"

    async def test_long_lines_make_smaller_pages_and_none_of_them_is_lost(self):
        lines = [LogLine(source="app.log", number=n, text="é" * 400) for n in range(1, 101)]
        logs = Logs(lines, (), list)
        pages = [logs.find(None, page=page).splitlines() for page in range(1, 9)]
        assert pages[0][0] == "100 of 100 lines match; page 1 of 8, 14 lines; page=2 shows older ones:"
        assert pages[0][-1].startswith("app.log:100 ")
        told = [line.split()[0] for page in reversed(pages) for line in page[1:]]
        assert told == [line.cite for line in lines]
        around = logs.around("app.log:50")
        assert around.splitlines()[7].startswith("app.log:50 ")
        assert len(around.encode()) < MAX_ANSWER

    async def test_lines_around_one_are_shown(self):
        shown = (await self.read(at="app.log:1200")).splitlines()
        assert (shown[0], shown[-1]) == ("app.log:1170  line 1170", "app.log:1230  line 1230")
