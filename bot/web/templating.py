"""Templates and static files of the pages: read once, from the package."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import jinja2

from bot.web import diff_view, offered, views

_FOLDER: Final = Path(__file__).parent
_MEDIA_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, kw_only=True)
class StaticFile:
    """A file as it is served. Its URL holds its digest, so browsers may keep it for ever."""

    name: str
    media_type: str
    body: bytes

    @property
    def url(self) -> str:
        return f"/static/{self.name}?v={hashlib.sha256(self.body).hexdigest()[:12]}"


@cache
def static_files() -> dict[str, StaticFile]:
    """Return every file that may be served, by name; there are no others."""
    files = sorted(path for path in (_FOLDER / "static").iterdir() if path.suffix in _MEDIA_TYPES)
    return {
        path.name: StaticFile(name=path.name, media_type=_MEDIA_TYPES[path.suffix], body=path.read_bytes())
        for path in files
    }


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        seen=views.reveal_html, plain=views.reveal, kind=views.kind_of, age=views.age, line=diff_view.show_line
    )
    environment.globals.update(
        read_diff=views.read_diff,
        digest_of=views.digest_of,
        is_diff=views.is_diff,
        offer=offered.offer,
        safe_url=views.safe_url,
        host_of=views.host_of,
        static={name: file.url for name, file in static_files().items()},
    )
    return environment


def render(template: str, **context: object) -> str:
    """Return a page or a part of one. Lone surrogates cannot be sent; they were made visible before."""
    return _environment().get_template(template).render(context)
