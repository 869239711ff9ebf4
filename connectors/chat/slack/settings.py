"""What a Slack channel may hold."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator, model_validator

from connectors.chat.addresses import ProxyAddress, WebAddress

ChannelId = Annotated[str, StringConstraints(pattern=r"^[CG][A-Z0-9]{2,20}$")]


class Settings(BaseModel):
    """`chat` is Slack's id of the channel; presses and commands are taken from `allowed_chats` as well.

    With `app_token` Nightshift connects to Slack (Socket Mode); with `signing_secret` Slack calls in. One of the two.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    bot_token: SecretStr
    chat: ChannelId
    app_token: SecretStr | None = None
    signing_secret: SecretStr | None = None
    allowed_chats: tuple[ChannelId, ...] = ()
    url: WebAddress = "https://slack.com/api"
    answer_seconds: int = Field(default=10, ge=1, le=25)
    proxy: ProxyAddress = ""
    ca_file: str = ""

    @field_validator("bot_token")
    @classmethod
    def _require_bot_token(cls, token: SecretStr) -> SecretStr:
        return _require_start(token, "xoxb-", "the bot token")

    @field_validator("app_token")
    @classmethod
    def _require_app_token(cls, token: SecretStr | None) -> SecretStr | None:
        return None if token is None else _require_start(token, "xapp-", "the app-level token")

    @field_validator("signing_secret")
    @classmethod
    def _require_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value()) < 16:
            raise ValueError("needs at least 16 characters; Slack shows it under Basic Information")
        return secret

    @model_validator(mode="after")
    def _require_one_way(self) -> "Settings":
        if (self.app_token is None) == (self.signing_secret is None):
            raise ValueError("give app_token (Socket Mode) or signing_secret (HTTP), one of the two")
        return self


def _require_start(token: SecretStr, start: str, name: str) -> SecretStr:
    value = token.get_secret_value()
    if not value.startswith(start) or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"is not {name}, which begins with {start}")
    return token
