"""Logs that mean harm: each is read at once, in bounded memory, and one template comes out for each line."""

import gzip
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.bootstrap.commands.log_reduction import write_reduction
from bot.bootstrap.commands.log_templates import write_templates
from bot.reduction.blocks import sample_layout
from bot.reduction.folding import MAX_LINE, Fold, choose_fold, fold_with_python
from bot.reduction.masks import mask
from bot.reduction.reducing import reduce_logs
from bot.reduction.tally import Span
from bot.reduction.telling import tell
from bot.reduction.templates import Texts

CHANCE = random.Random(5)
STAMP = "2026-11-20T14:00:00Z ERROR app: "


class Junk:
    """`BlockSource` over bytes."""

    name = "junk.log"
    near = datetime(2026, 11, 20, tzinfo=UTC)

    def __init__(self, data: bytes) -> None:
        self.notes: list[str] = []
        self._data = data

    def blocks(self) -> Iterator[bytes]:
        return iter([self._data] if self._data else [])


HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "empty lines": b"\n" * 5_000,
    "bytes of any kind": CHANCE.randbytes(200_000),
    "NUL": b"\0" * 100_000 + b"\n" + b"a\0b\n" * 100,
    "colours that never end": b"\x1b[" * 20_000 + b"\n" + b"\x1b]8;;" * 20_000,
    "one line of digits": b"1" * 300_000,
    "one line of opening brackets": (STAMP + "[" * 200_000).encode(),
    "brackets at every beginning": b"".join(b"[" * 200 + b"]" * 199 + b"\n" for _ in range(500)),
    "colons and digits": b"1:" * 100_000,
    "masks as text": b"<*> <*>:<*> <<*>> <*><*> <*> sec\n" * 2_000,
    "slashes": (STAMP + "/" * 50_000 + "a\n").encode() * 4,
    "dots": (STAMP + "a." * 50_000 + "\n").encode() * 4,
    "dashes of a header that never comes": b"a - " * 50_000,
    "quotes in JSON that never close": b'{"msg": "' + b"\\" * 100_000 + b"\n" + b'{"msg":"x"}\n' * 300,
    "pairs": b"a=1 " * 50_000 + b"\n" + b'a=1 b=2 c=3 msg="\n' * 200,
    "spaces": b" " * 200_000 + b"x\n" + b"\t" * 200_000,
    "impossible times": b"9999-99-99 99:99:99 x\n0000-00-00T00:00:00Z y\n1" + b"9" * 18 + b" z\n" * 300,
    "words that never repeat": "".join(
        " ".join("".join(CHANCE.choices("abcdefgh", k=7)) for _ in range(8)) + "\n" for _ in range(3_000)
    ).encode(),
    "names that never repeat": "".join(
        f"{STAMP}user {''.join(CHANCE.choices('abcdefgh', k=9))} was denied\n" for _ in range(3_000)
    ).encode(),
    "the beginning of a trace again and again": b"Traceback (most recent call last):\n" * 3_000,
    "frames without an end": b"Traceback (most recent call last):\n" + b'  File "a", line 1, in b\n' * 5_000,
    "the beginning of packed bytes": b"x^ order 1 stored\n" + b"x^ order 2 stored\n" * 50,
    "a carriage return for each word": b"\r".join(b"10%" for _ in range(50_000)),
    "separators that are no line ends": "a\u2028b\u2029c\x0bd\x0ce\x85f\n".encode() * 500,
    "directions and zero widths": "\u202etxet\u202c\u200b\ufeffx\n".encode() * 500,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("fold", [fold_with_python, choose_fold()])
def test_hostile_logs_are_read_at_once_and_every_line_counts(name: str, fold: Fold) -> None:
    data = HOSTILE[name]
    began = time.process_time()
    layout, blocks = sample_layout(Junk(data).blocks())
    texts, lines = Texts(), 0
    for block in blocks:
        folded = fold(block, layout)
        lines += len(texts.add(folded.texts, folded.codes))
    templates, places = texts.find_templates()
    assert lines == data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
    assert sum(template.count for template in templates) == lines
    assert len(places) == len(texts.texts)
    assert all(len(text) <= 3 * MAX_LINE for text in texts.texts)
    assert time.process_time() - began < 6


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_logs_are_told_in_few_lines(name: str) -> None:
    began = time.process_time()
    told = tell(reduce_logs([Junk(HOSTILE[name])], [], span=Span(), redact=list))
    assert len(told) <= 60
    assert all(len(line) <= 400 for line in told)
    assert time.process_time() - began < 10


def test_masking_one_hostile_text_costs_little() -> None:
    began = time.process_time()
    for text in ("<*>" * 5_000, "-<*>, " * 3_000, "a.b" * 4_000, "/" * 9_000, "<*> " * 4_000, "user " * 3_000):
        assert len(mask(text)) <= 10_000
    assert time.process_time() - began < 2


def test_a_line_of_fifty_megabytes_is_one_line_of_which_the_beginning_counts(tmp_path: Path) -> None:
    path = tmp_path / "long.log"
    with path.open("wb") as file:
        file.write(b"2026-11-20T14:00:00Z INFO app: ready\n")
        for _ in range(50):
            file.write(b"x" * 1024 * 1024)
        file.write(b"\n2026-11-20T14:00:01Z INFO app: done\n")
    told = "".join(write_templates(path, as_json=True))
    assert '"lines": [1, 2, 3]' in told
    assert len(told) < 20_000


def test_a_log_that_grows_while_it_is_read_is_read_as_far_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("2026-11-20T14:00:00Z INFO app: ready\n" * 100)
    pieces = write_reduction([path], [], span=Span(), as_json=False)
    with path.open("a") as file:
        file.write("2026-11-20T14:00:01Z ERROR app: failed\n2026-11-20T14:00:02Z ERR")
    assert "app.log: 102 lines" in "".join(pieces)


def test_a_bomb_and_a_broken_archive_are_read_as_far_as_is_safe_and_said(tmp_path: Path) -> None:
    bomb, broken = tmp_path / "bomb.log.gz", tmp_path / "broken.log.gz"
    bomb.write_bytes(gzip.compress((b"a" * 9_999 + b"\n") * 8_000))
    broken.write_bytes(gzip.compress(b"".join(b"line %d\n" % number for number in range(9_000)))[:-900])
    assert "unpacks to more than 200 times its size" in "".join(write_templates(bomb, as_json=False))
    told = "".join(write_templates(broken, as_json=False))
    assert "broken.log.gz: not read to its end" in told
    assert "line <*>" in told


ORDERS = "".join(f"order {number} stored\n" for number in range(50))


def test_wide_characters_are_read(tmp_path: Path) -> None:
    path = tmp_path / "wide.log"
    path.write_bytes(ORDERS.encode("utf-16"))
    assert "".join(write_templates(path, as_json=False)) == "        50  order <*> stored\n"


@pytest.mark.skipif(not shutil.which("zstd"), reason="zstd is not installed")
def test_what_zstd_packed_is_read_and_what_it_cannot_unpack_is_said(tmp_path: Path) -> None:
    path = tmp_path / "app.log.zst"
    packed = subprocess.run(["zstd", "--stdout"], input=ORDERS.encode(), capture_output=True, check=True).stdout
    path.write_bytes(packed)
    assert "".join(write_templates(path, as_json=False)) == "        50  order <*> stored\n"
    path.write_bytes(packed[:-20])
    assert "app.log.zst: not read to its end (zstd cannot unpack it)" in "".join(write_templates(path, as_json=False))


def test_nothing_that_a_terminal_obeys_is_printed(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(
        b"2026-11-20T14:00:00Z ERROR app: \x1b[31mred\x1b]0;title\x07 \x9b31m \xe2\x80\xaeevil failed\n" * 3
    )
    for pieces in (write_templates(path, as_json=False), write_reduction([path], [], span=Span(), as_json=False)):
        assert all(character == "\n" or character.isprintable() for character in "".join(pieces))
