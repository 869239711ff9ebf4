"""Web addresses in the settings of chat services."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator


def _require_address(url: str, *schemes: str) -> str:
    """Return the address. Raises `ValueError` for what is none, carries a user, or hides something."""
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"write an address such as {schemes[-1]}://nightshift.example.com")
    if parts.username is not None or not url.isprintable() or " " in url:
        raise ValueError("no user and no hidden characters in the address")
    return url


def _require_web(url: str) -> str:
    return _require_address(url, "http", "https").rstrip("/")


def _require_web_or_none(url: str) -> str:
    return _require_web(url) if url else url


def _require_socket(url: str) -> str:
    return _require_address(url, "ws", "wss")


def _require_proxy(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in {"http", "https"} or not parts.hostname or not url.isprintable() or " " in url):
        raise ValueError("write an address such as http://proxy.example.com:3128")
    return url


#: Of a server, without a slash at its end.
WebAddress = Annotated[str, AfterValidator(_require_web)]
#: The same, or nothing.
MaybeWebAddress = Annotated[str, AfterValidator(_require_web_or_none)]
#: Of a server that is talked with over a websocket.
SocketAddress = Annotated[str, AfterValidator(_require_socket)]
#: Of a proxy, which may name a user; empty for that of the environment.
ProxyAddress = Annotated[str, AfterValidator(_require_proxy)]
