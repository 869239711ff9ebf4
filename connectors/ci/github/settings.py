"""What `[connections.github]` may hold."""

from typing import Final, Literal

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from connectors.ci.http_settings import HttpSettings

MAX_SECONDS: Final = 24 * 3600.0


class Settings(HttpSettings):
    """`url` is the base of the REST surface: https://api.github.com, or https://HOST/api/v3 of an Enterprise server.

    Nightshift signs in with `token`, or as a GitHub App (`app_id`, `installation_id`, `app_private_key_file`).
    `required` maps a repository ("owner/name") to the names of the checks that decide; none = every run, check and
    status of the commit. A run that does not appear within `appear_seconds` of the first look is given up. GitHub
    is asked about one commit at most every `poll_seconds`, but at once after a webhook.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    url: str = "https://api.github.com"
    token: SecretStr | None = None
    app_id: str = ""
    installation_id: int = Field(default=0, ge=0)
    app_private_key_file: str = ""
    webhook_secret: SecretStr | None = None
    required: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    merge_method: Literal["merge", "squash", "rebase"] = "merge"
    appear_seconds: float = Field(default=180.0, ge=0, le=MAX_SECONDS)
    poll_seconds: float = Field(default=5.0, ge=0, le=MAX_SECONDS)

    @field_validator("token", "webhook_secret")
    @classmethod
    def _require_plain(cls, secret: SecretStr | None) -> SecretStr | None:
        value = secret.get_secret_value() if secret else ""
        if not value.isascii() or any(not character.isprintable() for character in value) or " " in value:
            raise ValueError("a secret of letters, digits and signs is needed; this one holds something else")
        return secret if value else None

    @field_validator("required")
    @classmethod
    def _lower_names(cls, required: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {name.lower(): checks for name, checks in required.items()}

    @model_validator(mode="after")
    def _require_one_way_in(self) -> "Settings":
        parts = {
            "app_id": self.app_id,
            "installation_id": self.installation_id,
            "app_private_key_file": self.app_private_key_file,
        }
        missing = [name for name, value in parts.items() if not value]
        if self.token and len(missing) < len(parts):
            raise ValueError("set token, or the three of a GitHub App (app_id, …), not both")
        if not self.token and len(missing) == len(parts):
            raise ValueError("set token (NIGHTSHIFT_GITHUB_TOKEN), or app_id, installation_id and app_private_key_file")
        if not self.token and missing:
            raise ValueError(f"a GitHub App needs {' and '.join(missing)} too")
        return self
