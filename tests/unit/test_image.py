"""What an image's first bytes say: kind and size, and nothing for bytes that lie."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.runs.image import MAX_BYTES, MAX_SIDE, TYPES, Attachment, read_image
from bot.errors import Refused
from tests.images import GIF, JPEG, PNG, WEBP_LONG, WEBP_LOSSLESS, WEBP_SIMPLE

KNOWN = [
    (PNG, "image/png", (640, 480)),
    (GIF, "image/gif", (32, 16)),
    (JPEG, "image/jpeg", (400, 300)),
    (WEBP_SIMPLE, "image/webp", (20, 10)),
    (WEBP_LOSSLESS, "image/webp", (20, 10)),
    (WEBP_LONG, "image/webp", (20, 10)),
]


@pytest.mark.parametrize(("data", "kind", "size"), KNOWN, ids=range(len(KNOWN)))
def test_kind_and_size_are_read_from_the_header(data, kind, size):
    image = read_image(data, "a.png")
    assert (image.media_type, (image.width, image.height)) == (kind, size)
    assert image.sha256 == sha256(data).hexdigest()
    assert image.label == f"image a.png, sha256 {image.sha256[:12]}…, {size[0]}x{size[1]}"


@pytest.mark.parametrize("data", [b"", b"<svg/>", b"%PDF-1.7", b"MZ", b"\xff\xd8", b"RIFF....AVI "])
def test_what_is_no_image_is_refused(data):
    with pytest.raises(Refused):
        read_image(data, "a.png")


@given(st.sampled_from([data for data, _, _ in KNOWN]), st.integers(0, 60), st.binary(max_size=60))
def test_cut_and_broken_headers_are_refused_and_break_nothing(data, cut, rest):
    try:
        image = read_image(data[:cut] + rest, "a.png")
    except Refused:
        return
    assert image.media_type in TYPES
    assert 0 < image.width <= MAX_SIDE
    assert 0 < image.height <= MAX_SIDE


def test_what_is_too_large_is_refused():
    with pytest.raises(Refused, match="5 MiB"):
        read_image(PNG + b"x" * MAX_BYTES, "a.png")
    with pytest.raises(Refused, match="8,192 pixels"):
        read_image(PNG[:16] + b"\x00\x00\xff\xff" * 2 + PNG[24:], "a.png")
    with pytest.raises(Refused, match="8,192 pixels"):
        read_image(PNG[:16] + bytes(8) + PNG[24:], "a.png")


def test_a_long_header_is_read_in_one_go():
    filler = b"\xff\xe1\x00\x02" * 100_000
    assert read_image(JPEG[:2] + filler + JPEG[2:], "a.jpg").width == 400


def test_what_a_platform_says_of_a_file_is_enough_to_leave_it_alone():
    def fault(kind="image/png", size=0):
        return Attachment(name="a", media_type=kind, size=size, ref="r").fault

    assert fault() == ""
    assert "only PNG" in fault("image/svg+xml")
    assert "larger than 5 MiB" in fault(size=MAX_BYTES + 1)
