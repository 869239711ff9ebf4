"""What a Discord channel may hold."""

import re
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from connectors.chat.addresses import ProxyAddress, SocketAddress, WebAddress

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{10,100}\.[A-Za-z0-9_-]{4,40}\.[A-Za-z0-9_-]{20,200}")
_KEY: Final = re.compile(r"(?:[0-9a-f]{64})?")


class Settings(BaseModel):
    """`chat` is the channel's id, as `/id` says it there; commands are taken from `allowed_chats` as well.
    With `summary` a message that lists what is open stays pinned in it.

    With `public_key` (of the application) Discord calls in with signed requests; without it the gateway is used.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    token: SecretStr
    chat: int = Field(ge=0, lt=2**63)
    allowed_chats: tuple[int, ...] = ()
    summary: bool = True
    public_key: str = ""
    url: WebAddress = "https://discord.com/api/v10"
    gateway_url: SocketAddress = "wss://gateway.discord.gg/"
    cdn_url: WebAddress = "https://cdn.discordapp.com"
    answer_seconds: float = Field(default=10.0, gt=0, le=25)
    proxy: ProxyAddress = ""
    ca_file: str = ""

    @field_validator("token")
    @classmethod
    def _require_token(cls, token: SecretStr) -> SecretStr:
        if not _TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError("is no bot token of Discord; it has three parts with dots between them")
        return token

    @field_validator("public_key")
    @classmethod
    def _require_key(cls, key: str) -> str:
        if not _KEY.fullmatch(key.lower()):
            raise ValueError("is no public key; it has 64 digits and letters from a to f")
        return key.lower()
