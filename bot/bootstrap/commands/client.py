"""What the command line says to the running Nightshift, over its own HTTP API."""

import json
import urllib.error
import urllib.request
from typing import Any

from bot.bootstrap.front import TOKEN_FILE
from bot.errors import NightshiftError, Reason, Refused, Rejected, Unavailable
from bot.settings import Settings


class AdminClient:
    """Synchronous: one request per command."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        host = settings.server.host if settings.server.host not in {"0.0.0.0", "::"} else "127.0.0.1"  # noqa: S104 -- compared
        self._base = f"http://{host}:{settings.server.port}"

    def get(self, path: str) -> Any:  # noqa: ANN401 -- JSON
        return self._call(path, None, self._admin())

    def get_bytes(self, path: str) -> bytes:
        """Return what is answered as it came."""
        return self._fetch(path, None, self._admin())

    def post(self, path: str, body: dict[str, Any]) -> Any:  # noqa: ANN401 -- JSON
        return self._call(path, json.dumps(body).encode(), self._admin())

    def put(self, path: str, body: dict[str, Any]) -> Any:  # noqa: ANN401 -- JSON
        return self._call(path, json.dumps(body).encode(), self._admin(), method="PUT")

    def send_alert(self, sender: str, body: bytes) -> Any:  # noqa: ANN401 -- JSON
        token = self._settings.sender(sender).token
        if token is None:
            raise Refused(f"There is no token for {sender}; set NIGHTSHIFT_ALERT_TOKEN.", Reason.NOT_FOUND)
        return self._call(f"/v1/alerts/{sender}", body, token.get_secret_value())

    def _admin(self) -> str:
        if self._settings.admin_token:
            return self._settings.admin_token.get_secret_value()
        path = self._settings.server.state_dir / TOKEN_FILE
        try:
            return path.read_text(encoding="ascii").strip()
        except OSError:
            text = f"{path} cannot be read. Is this the machine and the user that Nightshift runs as?"
            raise Refused(text, Reason.NOT_ALLOWED) from None

    def _call(self, path: str, body: bytes | None, token: str, *, method: str | None = None) -> Any:  # noqa: ANN401 -- JSON
        return json.loads(self._fetch(path, body, token, method=method))

    def _fetch(self, path: str, body: bytes | None, token: str, *, method: str | None = None) -> bytes:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self._base + path, data=body, headers=headers, method=method)  # noqa: S310 -- always our own http address
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                data: bytes = answer.read()
                return data
        except urllib.error.HTTPError as error:
            raise _explain(error) from None
        except (urllib.error.URLError, TimeoutError):
            text = f"Nightshift does not answer at {self._base}. Start it with `nightshift run`."
            raise Unavailable(text, Reason.UNREACHABLE) from None


def _explain(error: urllib.error.HTTPError) -> NightshiftError:
    text = error.read(4000).decode(errors="replace").strip()
    try:
        text = json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):
        text = text or str(error)
    if error.code >= 500:
        return Unavailable(text, Reason.SERVER_ERROR)
    return Rejected(text, Reason.NOT_ALLOWED if error.code == 401 else Reason.BAD_INPUT)
