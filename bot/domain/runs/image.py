"""Images that people post: what is taken, and what their first bytes say. Nothing here decodes one."""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from bot.errors import Reason, Refused

MAX_BYTES: Final = 5 * 1024 * 1024
TOO_LARGE: Final = f"it is larger than {MAX_BYTES // 1024 // 1024} MiB"
MAX_IMAGES: Final = 4
"""Of one run."""
MAX_SIDE: Final = 8_192
MAX_STORED: Final = 512 * 1024 * 1024
"""Bytes of all images that are kept; the oldest go first."""
TYPES: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
_NO_SIZE: Final = frozenset({0xC4, 0xC8, 0xCC})

Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """What somebody posted with words, as the platform tells of it. `ref` is how its connector fetches it."""

    name: str
    media_type: str
    size: int = 0
    ref: str

    @property
    def fault(self) -> str:
        """Say why it is not taken, "" where it may be: its bytes decide."""
        if self.media_type not in TYPES:
            return "only PNG, JPEG, WebP and GIF are taken"
        return TOO_LARGE if self.size > MAX_BYTES else ""


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image by its digest, with what its header says."""

    sha256: str
    media_type: str
    width: int
    height: int
    name: str

    @property
    def label(self) -> str:
        return f"image {self.name}, sha256 {self.sha256[:12]}…, {self.width}x{self.height}"


def read_image(data: bytes, name: str) -> Image:
    """Return what an image's header says. Raises `Refused` where it is too large, or no image that is taken."""
    if len(data) > MAX_BYTES:
        raise Refused(TOO_LARGE, Reason.TOO_LARGE)
    media_type, (width, height) = _read_header(data)
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise Refused(f"its sides must be 1 to {MAX_SIDE:,} pixels long", Reason.TOO_LARGE)
    return Image(sha256=sha256(data).hexdigest(), media_type=media_type, width=width, height=height, name=name)


def _read_header(data: bytes) -> tuple[str, Size]:
    for magic, (media_type, read_size) in _READERS.items():
        if data.startswith(magic):
            try:
                return media_type, read_size(data)
            except (struct.error, IndexError, ValueError):
                raise Refused("its header is broken", Reason.BAD_INPUT) from None
    raise Refused("it is no PNG, JPEG, WebP or GIF", Reason.BAD_INPUT)


def _read_png(data: bytes) -> Size:
    width, height = struct.unpack_from(">II", data, 16)
    if data[12:16] != b"IHDR":
        raise ValueError
    return width, height


def _read_gif(data: bytes) -> Size:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _read_webp(data: bytes) -> Size:
    kind = data[8:16]
    if kind == b"WEBPVP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"WEBPVP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"WEBPVP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError


def _read_jpeg(data: bytes) -> Size:
    for marker, at in _list_segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in _NO_SIZE:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
    raise ValueError


def _list_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield each segment before the pixels, as (kind, where it begins)."""
    at = 2
    while data[at] == 0xFF and data[at + 1] != 0xDA:
        if data[at + 1] == 0xFF:  # filling
            at += 1
            continue
        yield data[at + 1], at
        (length,) = struct.unpack_from(">H", data, at + 2)
        at += 2 + max(length, 2)


_READERS: Final[Mapping[bytes, tuple[str, Callable[[bytes], Size]]]] = {
    b"\x89PNG\r\n\x1a\n": ("image/png", _read_png),
    b"\xff\xd8\xff": ("image/jpeg", _read_jpeg),
    b"GIF87a": ("image/gif", _read_gif),
    b"GIF89a": ("image/gif", _read_gif),
    b"RIFF": ("image/webp", _read_webp),
}
