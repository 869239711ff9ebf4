"""What a Telegram channel may hold."""

import re
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from connectors.chat.addresses import MaybeWebAddress, ProxyAddress, WebAddress

_TOKEN: Final = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{20,100}")
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{16,256}")


class Settings(BaseModel):
    """`chat` is the group's id, as `/id` says it there; commands are taken from `allowed_chats` as well.
    With `summary` a message that lists what is open stays pinned in it.

    With `webhook_url` (the public address of this server) Telegram calls in, and shows `webhook_secret` each time;
    without it Nightshift asks Telegram, each question waiting up to `poll_seconds` for news.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    token: SecretStr
    chat: int
    allowed_chats: tuple[int, ...] = ()
    summary: bool = True
    topics: Literal["auto", "never"] = "auto"
    url: WebAddress = "https://api.telegram.org"
    webhook_url: MaybeWebAddress = ""
    webhook_secret: SecretStr | None = None
    poll_seconds: int = Field(default=25, ge=0, le=50)
    answer_seconds: float = Field(default=10.0, gt=0, le=25)
    proxy: ProxyAddress = ""
    ca_file: str = ""

    @field_validator("token")
    @classmethod
    def _require_token(cls, token: SecretStr) -> SecretStr:
        if not _TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError("is no token of BotFather; it looks like 123456:AbC…")
        return token

    @field_validator("webhook_secret")
    @classmethod
    def _require_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not _SECRET.fullmatch(secret.get_secret_value()):
            raise ValueError("needs 16 to 256 letters, digits, _ or -")
        return secret

    @model_validator(mode="after")
    def _require_secret_for_webhook(self) -> "Settings":
        if self.webhook_url and self.webhook_secret is None:
            raise ValueError("webhook_url needs webhook_secret: without it anybody could press buttons")
        return self
