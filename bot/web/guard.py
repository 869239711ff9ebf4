"""What protects every request: known hosts, page headers, bounded forms from our own pages, calm errors."""

import hmac
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from bot.errors import LimitReached, NightshiftError, Refused, Rejected, Unavailable
from bot.web.templating import render

MAX_FORM_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 64
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": browsers would then send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_log = structlog.get_logger(__name__)


def guard_middleware(allowed_hosts: frozenset[str]) -> Middleware:
    """Return the outermost middleware: refuses unknown hosts on every route and turns errors into calm answers.

    An entry of `allowed_hosts` is a host name ("127.0.0.1", "[::1]") for any port, or host and port.
    Routes under /v1/ keep the answers their handlers give.
    """
    known = frozenset(host.lower() for host in allowed_hosts)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = _refuse_host(request, known)
        if refusal is not None:
            return refusal
        try:
            return await handler(request)
        except web.HTTPException as error:
            if request.path.startswith("/v1/") or error.status < 400:
                raise
            return _answer_error(request, error.status, error.text or error.reason, error.headers)
        except NightshiftError as error:
            return _answer_error(request, _status_of(error), str(error))
        except Exception:  # noqa: BLE001 - the web handler's border: a person gets a sentence, the log the trace
            _log.exception("request_crashed", method=request.method, path=request.path)
            return _answer_error(
                request, 500, "Nightshift could not do this. Its log says why. Nothing was changed here."
            )

    return guard


async def add_security_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Signal handler for `on_response_prepare`: every answer gets the headers, streams included."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers[hdrs.SERVER] = "nightshift"


def check_origin(request: web.Request, public_url: str | None) -> None:
    """Refuse a form that did not come from one of our own pages."""
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = _split_origin(request.headers.get(hdrs.ORIGIN, ""))
    ours = {_split_origin(f"http://{request.host}"), _split_origin(f"https://{request.host}")}
    if public_url is not None:
        ours.add(_split_origin(public_url))
    if site not in {"same-origin", "none"} or origin is None or origin not in ours:
        raise web.HTTPForbidden(text="This form did not come from a Nightshift page. Nothing was done.")


def check_form_token(form: Mapping[str, str], expected: str) -> None:
    """Refuse a form without the session's own token."""
    if not hmac.compare_digest(form.get("csrf", "").encode(), expected.encode()):
        raise web.HTTPForbidden(text="This page is out of date. Reload it and press again. Nothing was done.")


async def read_own_form(request: web.Request, expected: str) -> Mapping[str, str]:
    """Read a form that carries the session's own token."""
    form = await read_form(request)
    check_form_token(form, expected)
    return form


async def read_form(request: web.Request) -> Mapping[str, str]:
    """Read a small form; the first of fields that repeat counts. NUL, which no store takes, is dropped."""
    if request.content_type != _FORM_TYPE:
        raise web.HTTPUnsupportedMediaType(text="Nightshift reads only forms here.")
    body = b""
    while chunk := await request.content.read(MAX_FORM_BYTES + 1 - len(body)):
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise web.HTTPRequestEntityTooLarge(
                max_size=MAX_FORM_BYTES, actual_size=len(body), text="That was too long. Shorten it and send it again."
            )
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="replace", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise web.HTTPBadRequest(text="Nightshift could not read this form.") from error
    form: dict[str, str] = {}
    for name, value in pairs:
        form.setdefault(name, value.replace("\x00", ""))
    return form


def wants_json(request: web.Request) -> bool:
    """Return whether our script asks, and not a browser on its own."""
    return request.headers.get(hdrs.ACCEPT, "").startswith("application/json")


def _refuse_host(request: web.Request, known: frozenset[str]) -> web.Response | None:
    hosts = request.headers.getall(hdrs.HOST, [])
    match = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
    if match is None:
        return web.Response(status=400, text="This request names no host that Nightshift can read.\n")
    if match[0] in known or match[1] in known:
        return None
    return web.Response(
        status=421, text="Nightshift does not answer under this name. Add it to server.allowed_hosts.\n"
    )


def _split_origin(url: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(url.lower())
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname and parts.scheme in _DEFAULT_PORTS else None


def _status_of(error: NightshiftError) -> int:
    statuses = ((Unavailable, 503), (Refused, 403), (LimitReached, 413), (Rejected, 502))
    return next((status for kind, status in statuses if isinstance(error, kind)), 500)


def _answer_error(
    request: web.Request, status: int, text: str, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    text = _FRIENDLY.get(status, text) if text == f"{status}: {HTTPStatus(status).phrase}" else text
    kept = {name: value for name, value in (headers or {}).items() if name in {hdrs.ALLOW, hdrs.RETRY_AFTER}}
    if request.path.startswith("/v1/"):
        return web.Response(status=status, text=f"{text}\n", headers=kept)
    if wants_json(request):
        return web.json_response({"ok": False, "text": text}, status=status, headers=kept)
    if "text/html" not in request.headers.get(hdrs.ACCEPT, ""):
        return web.Response(status=status, text=f"{text}\n", headers=kept)
    page = render("calm.html", title=_TITLES.get(status, "That did not work"), lines=(text,), back=_find_back(request))
    return web.Response(status=status, text=page, content_type="text/html", headers=kept)


def _find_back(request: web.Request) -> str:
    """Return where the page of a form is that did not work: its own address leads there. "" for everything else."""
    is_known = request.match_info.http_exception is None
    return request.rel_url.raw_path if request.method == hdrs.METH_POST and is_known else ""


_FRIENDLY: Final = {
    404: "Nothing is here. The address may be mistyped, or what it named is gone.",
    405: "This address does not take that kind of request.",
}
_TITLES: Final = {
    403: "Nightshift did not do that",
    404: "There is no such page",
    405: "That is not how this page works",
    408: "That took too long",
    413: "That was too long",
    503: "Nightshift is busy",
}
