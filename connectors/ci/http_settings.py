"""How a server is reached, and what counts as that server."""

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator


class HttpSettings(BaseModel):
    """How a server is reached."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    url: str
    proxy: str = ""
    ca_file: str = ""
    connect_seconds: float = Field(default=10.0, gt=0, le=300)
    answer_seconds: float = Field(default=30.0, gt=0, le=300)

    @field_validator("url")
    @classmethod
    def _require_address(cls, url: str) -> str:
        require_address(url)
        return url.rstrip("/")


def require_address(url: str) -> None:
    """Raises `ValueError` for what is no plain web address."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError("write an address such as https://ci.example.com")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("no user, query or fragment in the address; credentials have settings of their own")
    if not url.isprintable() or " " in url:
        raise ValueError("the address has characters that cannot be seen")


def read_origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return "", "", None
