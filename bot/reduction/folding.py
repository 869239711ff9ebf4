"""Folds a block of lines: each line becomes the number of its text without header and digits, the few texts stay.

All digits are made zeros first, so that most lines are equal to another one before any pattern is tried. Two engines
do the same: polars, on all cores, where it is installed, and Python's `re` elsewhere.
"""

import re
import secrets
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Final, cast

from bot.domain.text.unseen import remove_unseen
from bot.reduction.layout import Layout
from bot.reduction.masks import MASK, MAX_TEXT, WORD

if TYPE_CHECKING:
    import polars as pl

MAX_LINE: Final = 2 * MAX_TEXT
_UNSEEN: Final = bytes(number for number in (*range(9), *range(11, 32), 127))
_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_UNSEEN_BEYOND_ASCII: Final = re.compile("[\x80-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_PACKED: Final = (b"x", b"\x1f", b"(", b"B", b"P")  # polars takes some texts ("x^") for packed bytes, by how they begin
_COLOURED: Final = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Folded:
    """A block of lines; `codes` says for each line which of `texts` it has."""

    block: bytes
    texts: Sequence[str]
    codes: "array[int]"

    def read_lines(self) -> list[str]:
        """Return the lines as they were written, without what nobody sees."""
        return _split(self.block)


Fold = Callable[[bytes, Layout], Folded]


def split_block(block: bytes) -> list[str]:
    """Return the lines of a block of whole lines, without what nobody sees; as many as there are line ends."""
    return _split(block)


def _split(block: bytes, digits: bytes | None = None) -> list[str]:
    if b"\x1b" in block:
        block = b"\n".join(_decolour(line) for line in block.split(b"\n"))
    text = block.translate(digits, _UNSEEN).decode("utf-8", "backslashreplace")
    if not text.isascii():
        text = _UNSEEN_BEYOND_ASCII.sub("", text)
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line[:MAX_LINE] for line in lines] if max(map(len, lines), default=0) > MAX_LINE else lines


def _decolour(line: bytes) -> bytes:
    if b"\x1b" not in line:
        return line
    return remove_unseen(line[:_COLOURED].decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


@cache
def choose_fold() -> Fold:
    """Return the quickest way to fold that this installation has."""
    try:
        import polars as pl  # noqa: PLC0415 -- an extra, heavy, and never needed by the front process
    except ImportError:
        return fold_with_python
    return _with_polars(pl)


# Python ---------------------------------------------------------------------------------------------------------------
def fold_with_python(block: bytes, layout: Layout) -> Folded:
    """Fold with nothing but Python."""
    distinct, codes = _encode(_split(block, _ZEROS))
    texts, numbers = _encode(_messages(distinct, layout))
    return Folded(block=block, texts=texts, codes=array("I", map(numbers.__getitem__, codes)))


def _messages(lines: Iterable[str], layout: Layout) -> Iterator[str]:
    word, header = re.compile(WORD), re.compile(layout.header)
    patterns = [re.compile(pattern) for pattern in layout.messages]
    for line in lines:
        found = next((match.group(1) for pattern in patterns if (match := pattern.search(line))), line)
        yield word.sub(MASK, header.sub("", found, count=1))


def _encode(texts: Iterable[str]) -> tuple[list[str], "array[int]"]:
    numbers: dict[str, int] = {}
    codes = array("I", (numbers.setdefault(text, len(numbers)) for text in texts))
    return list(numbers), codes


# polars ---------------------------------------------------------------------------------------------------------------
def _with_polars(engine: ModuleType) -> Fold:
    seed = secrets.randbits(64)  # nobody can write two lines that are one to us

    def encode(column: "pl.Series") -> "tuple[pl.Series, pl.Series]":
        """Return the distinct texts in the order of their first lines, and for each text its place among them."""
        frame = column.to_frame("text").with_columns(hash=column.hash(seed))
        distinct = frame.unique(subset="hash", keep="first", maintain_order=True).with_row_index("code")
        codes = frame.select("hash").join(distinct.drop("text"), on="hash", how="left", maintain_order="left")
        return distinct["text"], codes["code"]

    def fold(block: bytes, layout: Layout) -> Folded:
        distinct, codes = encode(_read(engine, block))
        line = engine.col("text")
        message = engine.coalesce(*(line.str.extract(pattern) for pattern in layout.messages), line)
        if layout.header:
            message = message.str.replace(layout.header, "")
        texts, numbers = encode(distinct.to_frame("text").select(message.str.replace_all(WORD, MASK)).to_series())
        return Folded(block=block, texts=texts.to_list(), codes=array("I", numbers.gather(codes).to_list()))

    return fold


def _read(engine: ModuleType, block: bytes) -> "pl.Series":
    """Return the lines with their digits as zeros. Plain ASCII is split without making Python texts of it."""
    if not block.isascii() or b"\x1b" in block or not block:
        lines: pl.Series = engine.Series("text", _split(block, _ZEROS), dtype=engine.String)
        return lines
    plain = block.translate(_ZEROS, _UNSEEN)
    if plain.startswith(_PACKED):
        lines = engine.read_lines(b"\n" + plain, name="text")["text"].slice(1)
    else:
        lines = engine.read_lines(plain, name="text")["text"]
    return lines if cast("int", lines.str.len_bytes().max() or 0) <= MAX_LINE else lines.str.head(MAX_LINE)
