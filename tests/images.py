"""Images made of nothing but what their headers say, for tests that never decode one."""

import struct

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII5s", 13, b"IHDR", 640, 480, b"\x08\x02\x00\x00\x00") + b"pixels"
GIF = b"GIF89a" + struct.pack("<HH", 32, 16) + b"pixels"
JPEG = (
    b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc0\x00\x0b\x08" + struct.pack(">HH", 300, 400) + b"\x01\x01\x11\x00\xff\xda"
)
WEBP_SIMPLE = b"RIFF\x00\x00\x00\x00WEBPVP8 \x00\x00\x00\x00abc\x9d\x01\x2a" + struct.pack("<HH", 20, 10)
WEBP_LOSSLESS = b"RIFF\x00\x00\x00\x00WEBPVP8L\x00\x00\x00\x00\x2f" + struct.pack("<I", 19 | 9 << 14)
WEBP_LONG = b"RIFF\x00\x00\x00\x00WEBPVP8X\x00\x00\x00\x00abcd" + b"\x13\x00\x00" + b"\x09\x00\x00"
