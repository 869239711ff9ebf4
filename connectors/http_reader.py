"""The HTTP client of log stores and metric servers: reads only, bounded, one server, an end to every wait."""

import base64
import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any, Final
from urllib.parse import urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from bot.errors import NightshiftError, Reason, Rejected, Unavailable

MAX_BYTES: Final = 32 * 1024 * 1024
MAX_SAID: Final = 200
MAX_WAIT: Final = 3600.0
_BLOCK: Final = 64 * 1024


class HttpSettings(BaseModel):
    """How a server is reached: a token, or a user and a password, or neither."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    url: str
    token: SecretStr | None = None
    username: str = ""
    password: SecretStr | None = None
    proxy: str = ""
    ca_file: str = ""
    answer_seconds: float = Field(default=15.0, gt=0, le=300)

    @field_validator("url")
    @classmethod
    def _require_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("write an address such as https://logs.example.com")
        if parts.username is not None or not url.isprintable() or " " in url:
            raise ValueError("no user and no hidden characters in the address; credentials have settings of their own")
        return url.rstrip("/")

    def credentials(self) -> Mapping[str, str]:
        if self.token is not None:
            return {"Authorization": f"Bearer {self.token.get_secret_value()}"}
        if self.username and self.password is not None:
            pair = f"{self.username}:{self.password.get_secret_value()}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        return {}


class _Stay(urllib.request.HTTPRedirectHandler):
    """Credentials go to one server alone: nobody is followed elsewhere."""

    def redirect_request(self, *_args: object, **_named: object) -> None:
        return None


class HttpReader:
    """Calls of one server. Raises `Unavailable` or `Rejected`; `name` is how people call it."""

    def __init__(
        self, name: str, settings: HttpSettings, headers: Mapping[str, str], *, max_bytes: int | None = None
    ) -> None:
        self.name = name
        self._max_bytes = max_bytes
        self._settings = settings
        self._headers = {"User-Agent": "nightshift", "Accept": "application/json", **headers}
        self._opener: urllib.request.OpenerDirector | None = None

    def call(self, path: str, query: Mapping[str, str], body: object, *, ends_at: float) -> Any:  # noqa: ANN401 -- any JSON
        """Return the JSON that a path answers until `ends_at` (`monotonic`); with a body it is asked by POST."""
        url = f"{self._settings.url}/{path.lstrip('/')}" + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        headers = {**self._headers, **self._settings.credentials()}
        if data is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310 -- http and https only, see the settings
        try:
            with self._open(request, ends_at) as answer:
                raw = self._read(answer, ends_at)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._unreached(error) from error
        try:
            return json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise Unavailable(f"{self.name} answered broken JSON", Reason.SERVER_ERROR) from error

    def _open(self, request: urllib.request.Request, ends_at: float) -> http.client.HTTPResponse:
        left = min(self._settings.answer_seconds, ends_at - time.monotonic())
        if left <= 0:
            raise TimeoutError
        if self._opener is None:
            context = ssl.create_default_context(cafile=self._settings.ca_file or None)
            proxy = self._settings.proxy
            proxies = urllib.request.ProxyHandler({"http": proxy, "https": proxy} if proxy else {})
            self._opener = urllib.request.build_opener(proxies, urllib.request.HTTPSHandler(context=context), _Stay())
        answer: http.client.HTTPResponse = self._opener.open(request, timeout=left)
        return answer

    def _read(self, answer: http.client.HTTPResponse, ends_at: float) -> bytes:
        ends_at = min(ends_at, time.monotonic() + self._settings.answer_seconds)
        body = bytearray()
        while chunk := answer.read1(_BLOCK):
            body += chunk
            if len(body) > (self._max_bytes or MAX_BYTES):
                raise Rejected(f"{self.name} answers without end", Reason.TOO_LARGE)
            if time.monotonic() > ends_at:
                raise TimeoutError
        return bytes(body)

    def _refusal(self, error: urllib.error.HTTPError) -> NightshiftError:
        status, said = error.code, _message(error)
        tail = f": {said}" if said else ""
        wait = error.headers.get("Retry-After", "").strip()[:9] if error.headers else ""
        pause = min(float(wait), MAX_WAIT) if wait.isascii() and wait.isdecimal() else None
        if status == 429:
            return Unavailable(f"{self.name} asks for fewer calls{tail}", Reason.RATE_LIMITED, pause)
        if status >= 500 or status == 408:
            return Unavailable(f"{self.name} failed ({status}){tail}", Reason.SERVER_ERROR, pause)
        if status in {401, 403, 407}:
            return Rejected(f"{self.name} refuses the credentials ({status}){tail}", Reason.NOT_ALLOWED)
        if 300 <= status < 400:
            return Rejected(f"{self.name} sends us elsewhere; set its url to where it is", Reason.NOT_ALLOWED)
        reason = Reason.NOT_FOUND if status == 404 else Reason.BAD_INPUT
        return Rejected(f"{self.name} refuses the query ({status}){tail}", reason)

    def _unreached(self, error: Exception) -> NightshiftError:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, TimeoutError):
            return Unavailable(f"{self.name} did not answer in time", Reason.TIMEOUT)
        return Unavailable(f"{self.name} cannot be reached ({type(cause).__name__})", Reason.UNREACHABLE)


def _message(body: IO[bytes]) -> str:
    """Return in a line what a server says about its refusal: the `error` of a JSON object, else all of it."""
    try:
        raw = body.read(8 * MAX_SAID).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return ""
    with suppress(ValueError, RecursionError):
        told = json.loads(raw)
        raw = told["error"] if isinstance(told, dict) and isinstance(told.get("error"), str) else raw
    return " ".join("".join(c if c.isprintable() else " " for c in raw).split())[:MAX_SAID]
