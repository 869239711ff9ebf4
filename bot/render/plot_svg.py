"""A drawing as SVG, light or dark as whoever looks has it. It holds no script, no link and nothing from elsewhere;
every text in it is escaped."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from bot.domain.chat import SVG, File
from bot.domain.metrics.metric import Metric
from bot.domain.suspects.happened import Happened
from bot.domain.text.unseen import remove_unseen
from bot.render.drawing import GROUND, STROKES, TYPES, WIDTH, Anchor, Drawing, Path, Stroke, Text, Type, fit_columns
from bot.render.plot import draw_plot


def _style_stroke(name: str, stroke: Stroke) -> str:
    dash = f";stroke-dasharray:{stroke.dash[0]:g} {stroke.dash[1]:g}" if stroke.dash else ""
    return f".{name}{{stroke:{stroke.colour.light};stroke-width:{stroke.width:g}{dash}}}"


def _style_type(name: str, look: Type) -> str:
    weight = ";font-weight:600" if look.is_bold else ""
    ground = f";stroke:{GROUND.light};stroke-width:4px;paint-order:stroke" if look.has_ground else ""
    return f".{name}{{fill:{look.colour.light};font-size:{look.size}px{weight}{ground}}}"


def _style_dark(name: str, look: Type) -> str:
    ground = f";stroke:{GROUND.dark}" if look.has_ground else ""
    return f".{name}{{fill:{look.colour.dark}{ground}}}"


def _list_dark() -> Iterator[str]:
    yield f"svg{{background:{GROUND.dark}}}"
    yield from (_style_dark(name, look) for name, look in TYPES.items())
    yield from (f".{name}{{stroke:{stroke.colour.dark}}}" for name, stroke in STROKES.items())


#: Known whole to the pages, which allow this style by its digest and no other.
STYLE: Final = "".join(
    (
        f"svg{{background:{GROUND.light}}}",
        "text{font-family:system-ui,sans-serif;unicode-bidi:plaintext}polyline{fill:none;stroke-linejoin:round}",
        f".{Anchor.END}{{text-anchor:end}}.{Anchor.MIDDLE}{{text-anchor:middle}}",
        *(_style_type(name, look) for name, look in TYPES.items()),
        *(_style_stroke(name, stroke) for name, stroke in STROKES.items()),
        f"@media (prefers-color-scheme:dark){{{''.join(_list_dark())}}}",
    )
)


def write_plots(metrics: Sequence[Metric], changed: Sequence[Happened]) -> tuple[File, ...]:
    """Return a file for each metric; where two have one name, the second gets its number."""
    files: list[File] = []
    for number, metric in enumerate(metrics, 1):
        name = f"{name_file(metric)}.svg"
        name = name if all(file.name != name for file in files) else f"{number}-{name}"
        files.append(File(name=name, media_type=SVG, text=write_svg(draw_plot(metric, changed))))
    return tuple(files)


def name_file(metric: Metric) -> str:
    """Return a file's name for a metric, of letters, digits, "-" and "_"."""
    word = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in metric.query.name)
    return word.strip("-") or "metric"


def write_svg(drawing: Drawing) -> str:
    size = f'viewBox="0 0 {WIDTH} {drawing.height}" width="{WIDTH}" height="{drawing.height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        f"<title>{_escape(drawing.title)}</title>",
        f"<desc>{_escape(drawing.claim)}</desc>",
        f"<style>{STYLE}</style>",
        *(_write_path(part) if isinstance(part, Path) else _write_text(part) for part in drawing.parts),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _write_path(path: Path) -> str:
    points = " ".join(f"{x:g},{y:g}" for x, y in path.points)
    return f'<polyline class="{path.stroke}" points="{points}"/>'


def _write_text(text: Text) -> str:
    style = text.type if text.anchor is Anchor.START else f"{text.type} {text.anchor}"
    shown = _escape(fit_columns(text.text, text.columns))
    return f'<text class="{style}" x="{text.x:g}" y="{text.y:g}">{shown}</text>'


def _escape(text: str) -> str:
    """Return a text that XML can hold and that stays a text."""
    return escape("".join(c if _is_xml(ord(c)) else "\N{REPLACEMENT CHARACTER}" for c in remove_unseen(text)))


def _is_xml(code: int) -> bool:
    return code in {0x9, 0xA} or 0x20 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or code > 0xFFFF
