"""Pictures of metrics as they are served: each under a policy of its own, by which nothing in it can run or load."""

import base64
import hashlib
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from bot.domain.chat import SVG
from bot.ports.board import BoardMessage
from bot.render.plot_svg import STYLE
from bot.web.views import digest_of

_STYLE_DIGEST: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY: Final = f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; frame-ancestors 'none'; sandbox"


def find_plot(thread: Sequence[BoardMessage], digest: str) -> str | None:
    """Return the picture of a thread whose text has this digest."""
    files = (file for item in thread for file in item.message.files if file.media_type == SVG)
    return next((file.text for file in files if digest_of(file.text) == digest), None)


def serve_plot(text: str) -> web.Response:
    return web.Response(body=text.encode(), content_type=SVG, headers={"Content-Security-Policy": POLICY})
