"""A drawing as PNG, for chats and models, which show or see no SVG. It is light everywhere: a PNG has no theme.

Pillow is needed here alone, and loaded by the process that draws when it draws.
"""

import unicodedata
import zlib
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from math import hypot
from typing import TYPE_CHECKING, Final

from bot.domain.text.unseen import remove_unseen
from bot.errors import Reason, Refused
from bot.render.drawing import GROUND, STROKES, TYPES, WIDTH, Anchor, Drawing, Path, Text, fit_columns

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

MAX_BYTES: Final = 256 * 1024
SCALE: Final = 3
"""Pixels for each of the drawing's units: 1,260 across, on which a phone's 390 points show text as high as its own."""
_SMOOTH: Final = 2
"""It is drawn so many times as large, and scaled down."""
_COLOURS: Final = 64
_ANCHORS: Final = {Anchor.START: "ls", Anchor.MIDDLE: "ms", Anchor.END: "rs"}
_SPELLED: Final = str.maketrans(
    {
        "µ": "u",
        "μ": "u",
        "–": "-",
        "—": "-",
        "‑": "-",
        "→": "->",
        "≥": ">=",
        "≤": "<=",
        "×": "x",
        "ß": "ss",
        "\xa0": " ",
    }
)
"""What Pillow's own font lacks, and can be written without it."""
_LACK: Final = "\N{REPLACEMENT CHARACTER}"
"""The font has none either, and draws a crossed box for what it lacks."""
Point = tuple[float, float]


def write_png(drawing: Drawing) -> bytes:
    """Return the picture as PNG. Raises `Refused` where it is larger than `MAX_BYTES`."""
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 -- 15 MB, which only who draws shall have

    scale = SCALE * _SMOOTH
    image = Image.new("RGB", (WIDTH * scale, drawing.height * scale), GROUND.light)
    fonts = {name: ImageFont.load_default(look.size * scale) for name, look in TYPES.items()}
    canvas = _Canvas(ImageDraw.Draw(image), fonts)
    for part in drawing.parts:
        if isinstance(part, Path):
            canvas.draw_path(part)
        else:
            canvas.draw_text(part)
    body = BytesIO()
    few = image.reduce(_SMOOTH).quantize(_COLOURS, dither=Image.Dither.NONE)  # compresses to a fraction
    # WhatsApp takes RGB alone. As small as with `optimize`, in a fifth of its time.
    few.convert("RGB").save(body, "PNG", compress_level=6, compress_type=zlib.Z_DEFAULT_STRATEGY)
    if body.tell() > MAX_BYTES:
        raise Refused(f"the picture is larger than {MAX_BYTES // 1024} KiB", Reason.TOO_LARGE)
    return body.getvalue()


class _Canvas:
    """Draws in the drawing's units."""

    def __init__(self, draw: "ImageDraw", fonts: "dict[str, Font]") -> None:
        self._draw = draw
        self._fonts = fonts
        self._scale = SCALE * _SMOOTH

    def draw_path(self, path: Path) -> None:
        stroke = STROKES[path.stroke]
        width = round(stroke.width * self._scale)
        runs = _dash(path.points, *stroke.dash) if stroke.dash else (path.points,)
        for run in runs:
            places = [(x * self._scale, y * self._scale) for x, y in run]
            self._draw.line(places, fill=stroke.colour.light, width=width, joint="curve")

    def draw_text(self, text: Text) -> None:
        look, font = TYPES[text.type], self._fonts[text.type]
        self._draw.text(
            (text.x * self._scale, text.y * self._scale),
            self._fit(text, font),
            fill=look.colour.light,
            font=font,
            anchor=_ANCHORS[text.anchor],
            stroke_width=1 if look.is_bold else 2 * self._scale if look.has_ground else 0,
            stroke_fill=GROUND.light if look.has_ground else None,
        )

    def _fit(self, text: Text, font: "Font") -> str:
        """Return what is written: what the font has of it, cut before the edge."""
        line = spell(fit_columns(remove_unseen(text.text), text.columns))
        room = (text.ends - text.x if text.anchor is Anchor.START else text.x) * self._scale
        if font.getlength(line) <= room:
            return line
        while line and font.getlength(f"{line}…") > room:
            line = line[:-1]
        return f"{line}…"


def spell(text: str) -> str:
    """Return a text in the letters that the font has: without accents, and a box for each that it lacks."""
    plain = unicodedata.normalize("NFKD", text.translate(_SPELLED))
    return "".join(c if c.isascii() or c in "…·°±" else _LACK for c in plain if not unicodedata.combining(c))


def _dash(points: tuple[Point, ...], drawn: float, gap: float) -> Iterator[tuple[Point, Point]]:
    """Yield the pieces of a straight line that are drawn."""
    for begin, end in pairwise(points):
        length = hypot(end[0] - begin[0], end[1] - begin[1])
        at = 0.0
        while at < length:
            until = min(at + drawn, length)
            yield _between(begin, end, at / length), _between(begin, end, until / length)
            at += drawn + gap


def _between(begin: Point, end: Point, share: float) -> Point:
    return begin[0] + (end[0] - begin[0]) * share, begin[1] + (end[1] - begin[1]) * share
