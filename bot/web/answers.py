"""Answers of the pages: a page, bytes to keep, another address, a static file."""

from typing import Final

from aiohttp import hdrs, web

from bot.web.templating import static_files

_KEPT: Final = "public, max-age=31536000, immutable"


def show_html(text: str, status: int = 200) -> web.Response:
    # Half a surrogate pair, which no encoding carries, must not cost a person the page.
    body = text.encode(errors="replace")
    return web.Response(status=status, body=body, content_type="text/html", charset="utf-8")


def attach(body: bytes, name: str, media_type: str) -> web.Response:
    """Answer with bytes to keep, which no browser shows as a page."""
    disposition = f'attachment; filename="{name}"'
    return web.Response(body=body, content_type=media_type, headers={hdrs.CONTENT_DISPOSITION: disposition})


def see_other(path: str) -> web.Response:
    return web.Response(status=303, headers={hdrs.LOCATION: path})


async def serve_static(request: web.Request) -> web.Response:
    file = static_files().get(request.match_info["name"])
    if file is None:
        raise web.HTTPNotFound
    return web.Response(
        body=file.body, content_type=file.media_type, charset="utf-8", headers={hdrs.CACHE_CONTROL: _KEPT}
    )
