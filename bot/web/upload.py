"""A form with one picture, as browsers send it in parts: bounded, read whole, and nothing of it trusted.

aiohttp's reader of parts is for well-meant ones: on others it fails by assertions, and it has no bound for them all.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web

from bot.domain.runs.image import MAX_BYTES, TOO_LARGE, Image, read_image
from bot.domain.text.unseen import make_harmless
from bot.errors import Reason, Refused, Unavailable
from bot.web.guard import MAX_FIELDS, MAX_FORM_BYTES, check_form_token, read_own_form

PICTURE: Final = "picture"
MAX_AT_ONCE: Final = 8
_TYPE: Final = "multipart/form-data"
_SECONDS: Final = 60.0
_KEPT: Final = MAX_BYTES + MAX_FORM_BYTES
_DROPPED: Final = 64 * 1024 * 1024
"""A browser shows an answer only once it has sent all, so what is too much is read on, and not kept."""
_MAX_HEAD: Final = 4 * 1024
_BOUNDARY: Final = re.compile(r""";\s*boundary=("?)([0-9A-Za-z'()+_,./:=?-]{1,70})\1\s*(?:;|$)""", re.IGNORECASE)
_QUOTED: Final = rb'"((?:[^"\\\r\n]|\\[^\r\n]){0,1024})"'
_DISPOSITION: Final = re.compile(
    rb"^content-disposition: ?form-data; ?name=" + _QUOTED + rb"(?:; ?filename=" + _QUOTED + rb")? ?\r?$",
    re.IGNORECASE | re.MULTILINE,
)
_UNREADABLE: Final = "Nightshift could not read this form."
_TOO_LONG: Final = "That was too long. Shorten it and send it again."


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The file that came with a form. `image` is None where it is not taken, and `fault` says why."""

    name: str
    data: bytes = b""
    image: Image | None = None
    fault: str = ""

    @property
    def digest(self) -> str:
        return self.image.sha256 if self.image is not None else ""


POSTED: Final = web.RequestKey("posted", Picture)
"""Where a request keeps the picture that came with its form."""


class Uploads:
    """Reads forms that may hold a picture, a few at a time."""

    def __init__(self) -> None:
        self._open = 0

    async def read(self, request: web.Request, expected: str) -> Mapping[str, str]:
        """Return a form of our own pages; a picture in it is kept at `POSTED`."""
        if request.content_type != _TYPE:
            return await read_own_form(request, expected)
        if self._open >= MAX_AT_ONCE:
            raise Unavailable("Others send pictures at this moment. Send yours again.", Reason.OVERLOADED)
        self._open += 1
        try:
            async with asyncio.timeout(_SECONDS):
                body, is_cut = await _read_body(request)
        except TimeoutError:
            raise web.HTTPRequestTimeout(text="The picture did not come in time. Send it again.") from None
        finally:
            self._open -= 1
        try:
            form, files = read_parts(body, request.headers[hdrs.CONTENT_TYPE], is_cut=is_cut)
        except ValueError:
            raise web.HTTPBadRequest(text=_UNREADABLE) from None
        check_form_token(form, expected)
        picture = await asyncio.to_thread(_look_at, files)
        if picture is not None:
            request[POSTED] = picture
        return form


async def _read_body(request: web.Request) -> tuple[bytes, bool]:
    """Return what is kept of the body, and whether it is only the beginning."""
    body, dropped = bytearray(), 0
    async for chunk in request.content.iter_any():
        body += chunk[: _KEPT + 1 - len(body)]
        dropped += len(chunk)
        if dropped > _DROPPED:
            raise web.HTTPRequestEntityTooLarge(max_size=_KEPT, actual_size=dropped, text=_TOO_LONG)
    return bytes(body), len(body) > _KEPT


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One part of a form. `filename` is None for a field; `is_cut`: its end was not kept."""

    name: str
    filename: str | None
    data: bytes
    is_cut: bool


def read_parts(
    body: bytes, content_type: str, *, is_cut: bool = False
) -> tuple[dict[str, str], list[tuple[str, bytes | None]]]:
    """Return fields, and files as (name, bytes); None for the bytes of one that goes on after the body's end.

    The first of fields that repeat counts. Raises `ValueError` for what no browser sends.
    """
    form: dict[str, str] = {}
    files: list[tuple[str, bytes | None]] = []
    length = 0
    for part in _split(body, content_type, is_cut=is_cut):
        if part.filename is not None:
            if part.name != PICTURE:
                raise ValueError(_UNREADABLE)
            if part.filename or part.data:  # a browser sends an empty part where no file was chosen
                files.append((_name(part.filename), None if part.is_cut else part.data))
            continue
        length += len(part.data)
        if part.is_cut or length > MAX_FORM_BYTES:
            raise web.HTTPRequestEntityTooLarge(max_size=MAX_FORM_BYTES, actual_size=length, text=_TOO_LONG)
        form.setdefault(part.name, part.data.decode(errors="replace").replace("\x00", ""))
    return form, files


def _split(body: bytes, content_type: str, *, is_cut: bool) -> Iterator[_Part]:
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise ValueError(_UNREADABLE)
    _, *pieces = (b"\r\n" + body).split(b"\r\n--" + boundary[2].encode(), MAX_FIELDS + 1)
    for number, piece in enumerate(pieces):
        if piece.startswith(b"--"):
            return
        head, blank, data = piece.partition(b"\r\n\r\n")
        found = list(_DISPOSITION.finditer(head[:_MAX_HEAD]))
        if not piece.startswith(b"\r\n") or not blank or len(head) > _MAX_HEAD or len(found) != 1:
            raise ValueError(_UNREADABLE)
        name, filename = found[0].groups()
        yield _Part(
            name=name.decode(errors="replace"),
            filename=filename.decode(errors="replace") if filename is not None else None,
            data=data,
            is_cut=is_cut and number == len(pieces) - 1,
        )
    if not is_cut:
        raise ValueError(_UNREADABLE)


def _name(filename: str) -> str:
    """Return a file's name to show: no folder, one line, nothing unseen."""
    bare = filename.replace("\\", "/").rpartition("/")[2]
    return make_harmless(bare).replace("\n", " ").strip()[:80] or "picture"


def _look_at(files: list[tuple[str, bytes | None]]) -> Picture | None:
    if not files:
        return None
    name, data = files[0]
    if len(files) > 1:
        return Picture(name=name, fault=f"Send one picture at a time; these were {len(files)}.")
    if data == b"":
        return Picture(name=name, fault=f"{name} was not sent: it is empty.")
    if data is None:
        return Picture(name=name, fault=f"{name} was not sent: {TOO_LARGE}.")
    try:
        return Picture(name=name, data=data, image=read_image(data, name))
    except Refused as refusal:
        return Picture(name=name, fault=f"{name} was not sent: {refusal}.")
