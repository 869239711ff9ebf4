"""What a WhatsApp channel may hold."""

import re
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from connectors.chat.addresses import ProxyAddress, WebAddress

_TOKEN: Final = re.compile(r"[!-~]{20,1000}")
_SECRET: Final = re.compile(r"[!-~]{16,256}")


class Settings(BaseModel):
    """`phone_number_id` is the number that writes, as Meta names it. `app_secret` proves that a call is Meta's, and
    `verify_token` is the word that both sides know when the webhook is set up.

    Without `tell = "all"` only what rings is sent; everything else is shown to who asks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    token: SecretStr
    app_secret: SecretStr
    verify_token: SecretStr
    phone_number_id: str = Field(pattern=r"^[0-9]{1,32}$")
    tell: Literal["rings", "all"] = "rings"
    page_template: str = Field(default="nightshift_page", pattern=r"^[a-z0-9_]{1,512}$")
    news_template: str = Field(default="nightshift_news", pattern=r"^[a-z0-9_]{1,512}$")
    template_language: str = Field(default="en", pattern=r"^[a-z]{2,3}(_[A-Za-z]{2,4})?$")
    url: WebAddress = "https://graph.facebook.com/v23.0"
    media_url: WebAddress = "https://lookaside.fbsbx.com"
    answer_seconds: float = Field(default=10.0, gt=0, le=25)
    proxy: ProxyAddress = ""
    ca_file: str = ""

    @field_validator("token")
    @classmethod
    def _require_token(cls, token: SecretStr) -> SecretStr:
        if not _TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError("is no access token; make one for a system user in Meta's business settings")
        return token

    @field_validator("app_secret", "verify_token")
    @classmethod
    def _require_secret(cls, secret: SecretStr) -> SecretStr:
        if not _SECRET.fullmatch(secret.get_secret_value()):
            raise ValueError("needs 16 to 256 letters, digits or signs, without spaces")
        return secret
