"""The tables. Rows never leave bot/store; repositories turn them into domain values."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel


class UTCTime(TypeDecorator[datetime]):
    """An aware UTC time. SQLite drops zones, so they are put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 -- SQLAlchemy's signature
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone was about to be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 -- SQLAlchemy's signature
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


BigKey = BigInteger().with_variant(Integer, "sqlite")


def _time(*, nullable: bool = False) -> Any:  # noqa: ANN401 -- SQLModel's Field returns Any
    return Field(default=None, sa_type=UTCTime, nullable=nullable)


def _json() -> Any:  # noqa: ANN401 -- SQLModel's Field returns Any
    return Field(default_factory=dict, sa_column=Column(JSON, nullable=False))


def _count() -> Any:  # noqa: ANN401 -- SQLModel's Field returns Any
    return Field(default=0, sa_type=BigInteger)


class IncidentRow(SQLModel, table=True):
    __tablename__ = "incident"
    number: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True, autoincrement=True))
    key: str = Field(index=True)
    state: str = Field(index=True)
    opened_at: datetime = _time()
    changed_at: datetime = _time()
    body: dict[str, Any] = _json()


class AlertRow(SQLModel, table=True):
    __tablename__ = "alert"
    incident: str = Field(primary_key=True)
    fingerprint: str = Field(primary_key=True)
    status: str
    starts_at: datetime = _time()
    ends_at: datetime | None = _time(nullable=True)
    seen_at: datetime = _time()


class StageRow(SQLModel, table=True):
    """A finished stage of an investigation: the run's write-ahead log."""

    __tablename__ = "stage"
    run: str = Field(primary_key=True)
    stage: str = Field(primary_key=True)
    at: datetime = _time()
    body: dict[str, Any] = _json()


class StepRow(SQLModel, table=True):
    """A row of a model's run; `body` is text, not JSON, because its very bytes are sent again."""

    __tablename__ = "step"
    __table_args__ = (UniqueConstraint("run", "key"),)
    run: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    kind: str
    key: str
    at: datetime = _time()
    body: str = Field(sa_column=Column(Text, nullable=False))


class SpendRow(SQLModel, table=True):
    """What a run of the model used in one day (UTC, "2026-11-20"); `held` counts too, until its time."""

    __tablename__ = "model_spend"
    __table_args__ = (Index("model_spend_of", "day", "service"),)
    run: str = Field(primary_key=True)
    day: str = Field(primary_key=True)
    service: str
    steps: int = _count()
    prompt: int = _count()
    cached: int = _count()
    completion: int = _count()
    reasoning: int = _count()
    gpu_seconds: float = 0.0
    seconds: float = 0.0
    tool_bytes: int = _count()
    held: dict[str, Any] = _json()
    held_until: datetime | None = _time(nullable=True)


class DraftRow(SQLModel, table=True):
    __tablename__ = "draft"
    incident: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    state: str
    created_at: datetime = _time()
    patch: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    body: dict[str, Any] = _json()


class ApprovalRow(SQLModel, table=True):
    __tablename__ = "approval"
    incident: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    state: str = Field(index=True)
    revision: int = 0
    requested_at: datetime = _time()
    expires_at: datetime = _time()
    body: dict[str, Any] = _json()


class CIRunRow(SQLModel, table=True):
    __tablename__ = "ci_run"
    sha: str = Field(primary_key=True)
    incident: str = Field(index=True)
    digest: str
    state: str
    created_at: datetime = _time()
    body: dict[str, Any] = _json()


class GreenLogRow(SQLModel, table=True):
    __tablename__ = "green_log"
    repository: str = Field(primary_key=True)
    job: str = Field(primary_key=True)
    sha: str
    at: datetime = _time()
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class ImageRow(SQLModel, table=True):
    """An image that people posted about an incident."""

    __tablename__ = "image"
    incident: str = Field(primary_key=True)
    sha256: str = Field(primary_key=True)
    at: datetime = Field(sa_type=UTCTime, index=True)
    size: int = _count()
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class EffectRow(SQLModel, table=True):
    __tablename__ = "effect"
    __table_args__ = (Index("effect_open", "state", "target", "seq"),)
    seq: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True, autoincrement=True))
    key: str = Field(unique=True)
    target: str
    state: str
    payload: dict[str, Any] = _json()
    not_before: datetime | None = _time(nullable=True)
    attempts: int = 0
    error: str = ""
    created_at: datetime = _time()
    settled_at: datetime | None = _time(nullable=True)


class PostingRow(SQLModel, table=True):
    __tablename__ = "posting"
    incident: str = Field(primary_key=True)
    channel: str = Field(primary_key=True)
    slot: str = Field(primary_key=True)
    ref: str


class TimelineRow(SQLModel, table=True):
    __tablename__ = "timeline"
    seq: int = Field(sa_column=Column(BigKey, primary_key=True, autoincrement=False))
    at: datetime = _time()
    incident: str = Field(index=True)
    kind: str
    actor: str
    text: str
    data: dict[str, Any] = _json()
    previous: str
    hash: str


class ChatEventRow(SQLModel, table=True):
    __tablename__ = "chat_event"
    channel: str = Field(primary_key=True)
    event: str = Field(primary_key=True)
    at: datetime = _time()
    text: str = ""
    ok: bool = True


class SwitchRow(SQLModel, table=True):
    __tablename__ = "switch"
    name: str = Field(primary_key=True)
    value: str


class BoardRow(SQLModel, table=True):
    __tablename__ = "board_message"
    __table_args__ = (UniqueConstraint("ref"),)
    seq: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True, autoincrement=True))
    ref: str
    incident: str = Field(index=True)
    posted_at: datetime = _time()
    edited_at: datetime | None = _time(nullable=True)
    body: dict[str, Any] = _json()


class SigninLinkRow(SQLModel, table=True):
    __tablename__ = "signin_link"
    token_hash: str = Field(primary_key=True)
    person: str
    expires_at: datetime = _time()


class WebSessionRow(SQLModel, table=True):
    __tablename__ = "web_session"
    token_hash: str = Field(primary_key=True)
    person: str
    expires_at: datetime = _time()


class AccountLinkRow(SQLModel, table=True):
    __tablename__ = "account_link"
    __table_args__ = (UniqueConstraint("person", "channel"),)
    channel: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    person: str
    linked_at: datetime = _time()


class LinkCodeRow(SQLModel, table=True):
    """One code that waits for each person; only its digest is kept."""

    __tablename__ = "link_code"
    person: str = Field(primary_key=True)
    channel: str
    digest: str = Field(unique=True)
    expires_at: datetime = _time()


class WrongCodeRow(SQLModel, table=True):
    __tablename__ = "wrong_code"
    __table_args__ = (Index("wrong_code_of", "channel", "account", "at"),)
    number: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True, autoincrement=True))
    channel: str
    account: str
    at: datetime = _time()


class ToldRow(SQLModel, table=True):
    __tablename__ = "told_change"
    key: str = Field(primary_key=True)
    service: str
    kind: str
    what: str
    who: str
    source: str
    at: datetime = Field(default=None, sa_type=UTCTime, nullable=False, index=True)


class PastRow(SQLModel, table=True):
    """`words` is also in the text index `past_text`, a table of its own on SQLite."""

    __tablename__ = "past_incident"
    incident: str = Field(primary_key=True)
    service: str = ""
    title: str = ""
    fix: str = ""
    words: str = Field(default="", sa_type=Text)
    at: datetime = _time()
