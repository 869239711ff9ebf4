"""Any service that apprise reaches: SMS, phone calls, push, e-mail, ntfy and a hundred others, by one address each."""

import asyncio
import contextlib
import logging
import os
import re
import threading
from typing import Final

from apprise import Apprise, AppriseAsset, NotifyBase, NotifyFormat, NotifyType
from apprise.logger import logger
from pydantic import BaseModel, ConfigDict, SecretStr

from bot.errors import NightshiftError, Reason, Rejected, Unavailable
from bot.ports.pager import PageText

_STATUS: Final = re.compile(r"\berror=([1-5][0-9]{2})\b")
_SCHEME: Final = re.compile(r"[a-zA-Z0-9+-]{2,20}(?=://)")
_FINAL: Final = frozenset({400, 401, 403, 404, 405, 410, 413, 422})
_REVOKED: Final = frozenset({401, 403})
_ASSET: Final = AppriseAsset(app_id="Nightshift", app_desc="Nightshift", storage_mode="memory", service_timeout=0)

_CA: Final = "SSL_CERT_FILE"
"""The variable that names authorities to all else. requests, on which apprise stands, knows only its own."""
_OWN_CA: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

logger.propagate = False  # its lines name addresses and numbers of telephones: they are read here, and never kept
logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings hold whole addresses


class Settings(BaseModel):
    """`url` is an address of apprise."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    url: SecretStr


class Connector:
    """One address. Raises `Rejected` where apprise cannot use it."""

    def __init__(self, settings: Settings) -> None:
        url = settings.url.get_secret_value().strip()
        scheme = _SCHEME.match(url)
        self._name = f"{scheme[0]}://…" if scheme else "the address"
        with _Heard() as heard:
            plugin = Apprise.instantiate(url, asset=_ASSET)
        if not isinstance(plugin, NotifyBase):
            raise Rejected(f"{self._name} {_explain(heard.lines)}", Reason.BAD_INPUT)
        if plugin.verify_certificate and not any(os.environ.get(name) for name in _OWN_CA):
            plugin.verify_certificate = os.environ.get(_CA) or True  # type: ignore[assignment]  # requests takes a file
        self._plugin = plugin

    async def send(self, page: PageText) -> None:
        """In a thread of its own, not one of a pool: one that hangs holds up nothing else, and no stop either."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def run() -> None:
            fault = self._send(page)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to hear it
                loop.call_soon_threadsafe(_settle, done, fault)

        threading.Thread(target=run, name="page", daemon=True).start()
        await done

    def _send(self, page: PageText) -> NightshiftError | None:
        """Return what went wrong. The plugin itself is asked: what stands around it retries, and lets failures pass."""
        with _Heard() as heard:
            try:
                is_sent = self._plugin.notify(
                    body=page.body, title=page.title, notify_type=NotifyType.FAILURE, body_format=NotifyFormat.TEXT
                )
            except Exception as error:  # noqa: BLE001 -- a plugin may raise anything; its text may hold the address
                return Unavailable(f"{self._name} failed ({type(error).__name__})", Reason.UNREACHABLE)
        return None if is_sent else self._fault(heard.lines)

    def _fault(self, lines: list[str]) -> NightshiftError:
        found = [int(match[1]) for line in lines if (match := _STATUS.search(line))]
        if not found:
            return Unavailable(f"{self._name} could not be reached, or did not take it", Reason.UNREACHABLE)
        text = f"{self._name} answered {found[-1]}"
        if found[-1] in _FINAL:
            return Rejected(text, Reason.REVOKED if found[-1] in _REVOKED else Reason.BAD_INPUT)
        return Unavailable(text, Reason.RATE_LIMITED if found[-1] == 429 else Reason.SERVER_ERROR)


class _Heard(logging.Handler):
    """What apprise logs in this thread while the block lasts."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.lines.append(record.getMessage())

    def __enter__(self) -> "_Heard":
        logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logger.removeHandler(self)


def _explain(lines: list[str]) -> str:
    """Say why there is no plugin, in our words: apprise's hold parts of the address."""
    if any("disabled on this system" in line for line in lines):
        return "needs a package of its own beside apprise; apprise's page about it says which"
    if any("Unparseable URL" in line or "Unsupported URL" in line for line in lines):
        return "is no service that apprise knows"
    return "is not whole, or a part of it is not what its service expects; see apprise's page about it"


def _settle(done: asyncio.Future[None], fault: NightshiftError | None) -> None:
    if done.done():
        return  # nobody waits any more
    if fault is None:
        done.set_result(None)
    else:
        done.set_exception(fault)
