"""An HTTP request and answer, free of any web framework, so that parsers stay pure."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class WebRequest:
    """Header names are lower-case; `body` is the raw bytes that a signature covers.

    `is_whole` is False while the body was not read yet: who signs it can only be looked at, not known. `query` holds
    what stands behind the "?" of the address.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    remote: str = ""
    is_whole: bool = True
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class WebAnswer:
    status: int
    body: str = ""
    media_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """A route that a connector wants mounted."""

    method: str
    path: str
    handle: Callable[[WebRequest], Awaitable[WebAnswer]]
