"""What a picture is made of: lines and texts at places, with looks from one table. SVG and PNG draw the same of it."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bot.render.words import write_line


class Anchor(StrEnum):
    """Which end of a text stands at its place."""

    START = "start"
    MIDDLE = "middle"
    END = "end"


@dataclass(frozen=True, kw_only=True)
class Colour:
    """On a light ground, and on a dark one."""

    light: str
    dark: str


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """How a line looks: `dash` is the length of what is drawn and of the gap after it."""

    colour: Colour
    width: float = 1.0
    dash: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Type:
    """How a text looks: `size` is its height in the drawing's units; with `has_ground` it reads across lines."""

    colour: Colour
    size: int = 11
    is_bold: bool = False
    has_ground: bool = False


WIDTH: Final = 420
"""Of every picture, in its units: about that many points has a phone."""
GROUND: Final = Colour(light="#ffffff", dark="#161c24")
_INK: Final = Colour(light="#141a22", dark="#e9edf3")
_GREY: Final = Colour(light="#4b5563", dark="#aab4c2")
_BAD: Final = Colour(light="#a61b12", dark="#ff9a91")
_SERIES: Final = (
    Colour(light="#0a4fb5", dark="#8ab8ff"),
    Colour(light="#b34700", dark="#ffb070"),
    Colour(light="#12704a", dark="#86dda0"),
    Colour(light="#8a1c7c", dark="#ff9ad5"),
    Colour(light="#7a6200", dark="#e5d06a"),
    _GREY,
)
STROKES: Final[Mapping[str, Stroke]] = {
    "grid": Stroke(colour=Colour(light="#d7dce3", dark="#2c3541")),
    "axis": Stroke(colour=_GREY),
    "limit": Stroke(colour=_BAD, dash=(5, 3)),
    "alert": Stroke(colour=_INK, width=1.5),
    "mark": Stroke(colour=_GREY, dash=(1.5, 2.5)),
    **{f"c{n}": Stroke(colour=colour, width=1.4 if n else 2.2) for n, colour in enumerate(_SERIES)},
}
"""By name. The first series is the one that tells most."""
TYPES: Final[Mapping[str, Type]] = {
    "title": Type(colour=_INK, size=13, is_bold=True),
    "small": Type(colour=_GREY),
    "bad": Type(colour=_BAD, has_ground=True),
}


@dataclass(frozen=True, kw_only=True)
class Path:
    """A line from point to point, in one of `STROKES`."""

    points: tuple[tuple[float, float], ...]
    stroke: str


@dataclass(frozen=True, kw_only=True)
class Text:
    """A text on one line, at most `columns` wide, in one of `TYPES`; where letters are measured, it ends at `ends`."""

    x: float
    y: float
    text: str
    type: str
    columns: int
    anchor: Anchor = Anchor.START
    ends: float = WIDTH - 4.0


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A whole picture, `WIDTH` wide; `parts` are drawn in their order. `title` and `claim` say the same in words."""

    height: int
    title: str
    claim: str
    parts: tuple[Path | Text, ...]


def fit_columns(text: str, columns: int) -> str:
    """Return a text as one line, cut to the columns it may take; wide characters take two."""
    line, room = write_line(text, columns), columns
    for place, character in enumerate(line):
        room -= 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
        if room < 0:
            return line[:place] + "…"
    return line
