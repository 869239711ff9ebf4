"""The parts of Discord's events that count, checked as they come in. Everything else in them is ignored."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Snowflake = Annotated[str, Field(pattern=r"^[0-9]{1,20}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class User(_Part):
    id: Snowflake
    bot: bool = False


class Member(_Part):
    user: User


class Channel(_Part):
    """Where something happened; a thread has a parent."""

    id: Snowflake
    name: str | None = None
    parent_id: Snowflake | None = None
    type: int = 0


class Option(_Part):
    name: str
    value: str | int | float | bool | None = None
    focused: bool = False


class Data(_Part):
    """What was pressed, filled in or typed."""

    custom_id: str = Field(default="", max_length=100)
    name: str = Field(default="", max_length=32)
    options: tuple[Option, ...] = Field(default=(), max_length=25)
    components: tuple[dict[str, Any], ...] = Field(default=(), max_length=40)


class Carrier(_Part):
    """The message whose button was pressed."""

    id: Snowflake
    components: tuple[dict[str, Any], ...] = Field(default=(), max_length=40)


class Interaction(_Part):
    """A press, a filled-in form, a command, or a question for suggestions."""

    id: Snowflake
    application_id: Snowflake
    type: int
    token: str = Field(min_length=1, max_length=2000)
    channel_id: Snowflake | None = None
    channel: Channel | None = None
    member: Member | None = None
    user: User | None = None
    data: Data | None = None
    message: Carrier | None = None

    @property
    def account(self) -> str:
        who = self.member.user if self.member is not None else self.user
        return who.id if who is not None else ""


class Posted(_Part):
    """A file of a message. Its address is signed, and good for a day."""

    filename: str = ""
    content_type: str | None = None
    size: int = 0
    url: str = Field(default="", max_length=1_000)


class Written(_Part):
    """A message that somebody wrote."""

    id: Snowflake
    channel_id: Snowflake
    content: str = ""
    author: User
    webhook_id: Snowflake | None = None
    mentions: tuple[User, ...] = ()
    attachments: tuple[Posted, ...] = Field(default=(), max_length=10)
    timestamp: datetime
