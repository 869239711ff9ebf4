"""Proposed changes on a forge: a pull request on GitHub, a merge request on GitLab."""

from dataclasses import dataclass
from enum import StrEnum


class MergeRule(StrEnum):
    """Who merges a change once CI is green for exactly its commit: nobody here, a person's press, or Nightshift."""

    NEVER = "never"
    ASK = "ask"
    GREEN = "green"


class ChangeState(StrEnum):
    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"


@dataclass(frozen=True, kw_only=True)
class ChangeRequest:
    """What is proposed: merge `branch`, which stands at `sha`, into `target`. One branch is one change.

    `title` and `body` are plain text from hostile sources: the connector escapes them for its forge.
    """

    repository: str
    branch: str
    target: str
    sha: str
    title: str
    body: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change as the forge reports it. `sha` is the head it has there now; `merged_sha` the commit on the target."""

    number: int
    state: ChangeState
    sha: str
    url: str = ""
    merged_sha: str = ""


@dataclass(frozen=True, kw_only=True)
class BranchRules:
    """What the forge says of a branch: nothing is ever pushed to a default or protected one."""

    exists: bool
    is_default: bool
    is_protected: bool
