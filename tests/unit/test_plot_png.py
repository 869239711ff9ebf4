"""The picture of a metric as PNG: small, whole, readable, and drawn of any text and value."""

import zlib
from dataclasses import replace
from io import BytesIO

import pytest
from PIL import Image

from bot.domain.runs.image import read_image
from bot.errors import Reason, Refused
from bot.render import plot_png
from bot.render.drawing import STROKES, WIDTH
from bot.render.plot import draw_plot
from bot.render.plot_png import MAX_BYTES, SCALE, spell, write_png
from tests.unit.test_plot import HOSTILE, change, metric, series


def colours(data: bytes) -> set[str]:
    picture = Image.open(BytesIO(data)).convert("RGB")
    return {"#{:02x}{:02x}{:02x}".format(*colour) for _, colour in picture.getcolors(picture.width * picture.height)}


def near(colour: str, found: set[str]) -> bool:
    """Say whether a colour is there, as near as a palette holds it."""
    parts = bytes.fromhex(colour[1:])
    return any(sum(abs(a - b) for a, b in zip(parts, bytes.fromhex(each[1:]), strict=True)) < 30 for each in found)


def test_it_is_a_small_png_of_a_phone_s_width_with_series_threshold_and_marks_in_their_colours():
    picture = draw_plot(metric(series(*[0.001] * 100, *[0.137] * 40, h="a"), series(0.01, 0.09, h="b")), [change(5)])
    data = write_png(picture)
    image = read_image(data, "errors.png")
    assert (image.media_type, image.width, image.height) == ("image/png", WIDTH * SCALE, picture.height * SCALE)
    assert len(data) < 64 * 1024
    found = colours(data)
    assert all(near(STROKES[name].colour.light, found) for name in ("c0", "c1", "limit", "alert", "grid", "mark"))


def test_the_same_metric_is_the_same_bytes():
    picture = draw_plot(metric(), [change(5)])
    assert write_png(picture) == write_png(picture)


def test_any_text_is_drawn_and_none_leaves_the_picture():
    text = "".join(each for each in HOSTILE if len(each) < 100) * 3 + "W" * 200
    query = replace(metric().query, name=text, title=text, expr=text, unit=text[:16])
    hostile = replace(metric(series(1, 2, a=text)), query=query, claim=text)
    data = write_png(draw_plot(hostile, [change(5, text)]))
    picture = Image.open(BytesIO(data)).convert("L")
    edge = picture.crop((picture.width - 6, 0, picture.width, picture.height))
    assert edge.getextrema() == (255, 255)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("café – 5 µs → ≥ 2", "cafe - 5 us -> >= 2"),
        ("日本", "\ufffd\ufffd"),
        ("a\ud800b", "a\ufffdb"),
        ("20 °C… ±1", "20 °C... ±1"),
    ],
)
def test_what_the_font_lacks_is_spelled_or_a_box(text, spelled):
    assert spell(text) == spelled


@pytest.mark.parametrize("values", [(-3.0, -3.0), (1e-12, 2e-12), (1e299, -1e299)])
def test_any_values_are_drawn(values):
    data = write_png(draw_plot(metric(series(*values), threshold=None), ()))
    assert read_image(data, "x").width == WIDTH * SCALE


def test_one_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(plot_png, "MAX_BYTES", 1_000)
    with pytest.raises(Refused) as refusal:
        write_png(draw_plot(metric(), ()))
    assert refusal.value.reason is Reason.TOO_LARGE


def test_the_fullest_picture_stays_far_below_the_limit():
    noise = [zlib.crc32(bytes([n % 256, n // 256])) / 2**32 for n in range(6 * 140)]
    lines = [series(*noise[140 * n : 140 * (n + 1)], handler=f"/api/v1/{n}", pod="x" * 40) for n in range(6)]
    data = write_png(draw_plot(replace(metric(*lines), left_out=9), [change(n) for n in range(1, 9)]))
    assert len(data) < 0.75 * MAX_BYTES
