"""Values of metrics with their unit, as people read them."""

from bisect import bisect_right
from typing import Final

_Scale = tuple[tuple[float, str], ...]
_SECONDS: Final[_Scale] = ((1e-6, " µs"), (1e-3, " ms"), (1.0, " s"), (60.0, " min"), (3600.0, " h"), (86_400.0, " d"))
_BYTES: Final[_Scale] = tuple((1024.0**n, f" {name}") for n, name in enumerate(("B", "KiB", "MiB", "GiB", "TiB")))
_COUNTS: Final[_Scale] = ((1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T"))
_ROOM: Final = 2.0
"""How many of the next larger unit there must be: 90 s are not 1.5 min."""


def choose_scale(top: float, unit: str) -> tuple[float, str]:
    """Return by what to divide values up to `top`, and what to write after them. A unit of its own is not written."""
    top = abs(top)
    if unit == "ratio":
        return 0.01, " %"
    if unit == "percent":
        return 1.0, " %"
    scale = {"seconds": _SECONDS, "bytes": _BYTES}.get(unit, _COUNTS)
    if not top:
        return next((factor, name) for factor, name in scale if factor == 1.0)
    room = [factor * (_ROOM if factor >= 60 and unit == "seconds" else 1.0) for factor, _ in scale]
    if unit not in {"seconds", "bytes"}:
        room = [factor * (10.0 if factor > 1 else 1.0) for factor, _ in scale]
    return scale[max(bisect_right(room, top) - 1, 0)]


def write_value(value: float, unit: str) -> str:
    """Return "13.7 %", "85 ms", "1.2 GiB" or "12.5k req/s"."""
    factor, name = choose_scale(value, unit)
    return f"{write_digits(value / factor)}{name}{write_unit(unit)}"


def write_unit(unit: str) -> str:
    """Return what is to be written after a number for a unit that is only a word."""
    return f" {unit}" if unit and unit not in {"ratio", "percent", "seconds", "bytes"} else ""


def write_digits(value: float) -> str:
    """Return a number with three digits that count, without an exponent where it can be read without."""
    size = abs(value)
    if size and (size < 1e-4 or size >= 1e15):
        return f"{value:.2e}"
    if size >= 100:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return f"{value:.0f}" if "e" in text else text
