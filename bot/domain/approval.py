"""Approvals: a statement about exact bytes, made of votes; never just a click."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class ApprovalState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    EXECUTED = "executed"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Vote:
    """One person's decision. `event` is the chat event that carried it."""

    person: str
    approve: bool
    at: datetime
    channel: str
    event: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class ApprovalPolicy:
    """Who may approve. `version` is a digest of the policy as configured; it is part of the statement."""

    version: str
    approvers: tuple[str, ...] = ()
    quorum: int = 1
    risky_quorum: int = 2
    expiry: timedelta = timedelta(minutes=60)


@dataclass(frozen=True, kw_only=True)
class Approval:
    """The approval of one patch digest on one base for one target, with its votes.

    `needs` is how many different people must approve; `excluded` are people whose vote does not count
    (author and requester of a risky patch). `audit_head` is the timeline's head when it was asked for.
    """

    incident: str
    digest: str
    base: str
    target: str
    policy_version: str
    state: ApprovalState
    needs: int
    risk: tuple[str, ...]
    requested_at: datetime
    expires_at: datetime
    audit_head: str
    votes: tuple[Vote, ...] = ()
    excluded: tuple[str, ...] = ()
    requester: str | None = None
    renewals: int = 0
