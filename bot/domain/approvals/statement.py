"""The approval as a document: an in-toto Statement v1 in canonical bytes, and the commit message that names it.

The statement says who approved exactly which bytes, on which base, for which target, under which policy and until
when. Its digest stands in the commit's trailer, so a commit, its approval and the audit trail prove each other.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from bot.domain.approval import LONGEST_GLASS, Approval, ApprovalState, BreakGlass, Vote
from bot.domain.approvals.rollback import is_rollback
from bot.domain.approvals.subject import Subject
from bot.errors import Reason, Refused

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:nightshift:approval:v1"
MAX_BYTES: Final = 256 * 1024
TITLE_LENGTH: Final = 72
BODY_LENGTH: Final = 2000
_APPROVED: Final = frozenset({ApprovalState.APPROVED, ApprovalState.EXECUTED, ApprovalState.FAILED})


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A statement as read back. `votes` are the approvals it rests on, in the order they were cast."""

    incident: str
    digest: str
    base: str
    target: str
    policy_version: str
    needs: int
    risk: tuple[str, ...]
    excluded: tuple[str, ...]
    requester: str | None
    requested_at: datetime
    expires_at: datetime
    renewals: int
    audit_head: str
    votes: tuple[Vote, ...]
    glass: BreakGlass | None = None
    subject: Subject = Subject.PATCH


def build_statement(approval: Approval) -> bytes:
    """Return the canonical bytes; the same approval gives the same bytes before and after it is carried out.

    Raises `Refused` for an approval that is not approved: there is nothing to state.
    """
    if approval.state not in _APPROVED:
        text = f"This {approval.subject.value} is {approval.state}, not approved; there is no statement."
        raise Refused(text, Reason.NOT_ALLOWED)
    predicate: dict[str, object] = {
        "auditHead": approval.audit_head,
        "base": {"gitCommit": approval.base},
        "excluded": list(approval.excluded),
        "expiresAt": _write_time(approval.expires_at),
        "incident": approval.incident,
        "needs": approval.needs,
        "policyVersion": approval.policy_version,
        "renewals": approval.renewals,
        "requestedAt": _write_time(approval.requested_at),
        "requester": approval.requester,
        "risk": list(approval.risk),
        "target": approval.target,
        "votes": [_write_vote(vote) for vote in approval.votes],
    }
    if approval.glass is not None:
        predicate["breakGlass"] = {
            "at": _write_time(approval.glass.at),
            "person": approval.glass.person,
            "reason": approval.glass.reason,
            "until": _write_time(approval.glass.until),
        }
    return _canonical(
        {
            "_type": STATEMENT_TYPE,
            "predicate": predicate,
            "predicateType": PREDICATE_TYPE,
            "subject": [{"digest": {"sha256": approval.digest}, "name": _subject(approval)}],
        }
    )


def statement_digest(statement: bytes) -> str:
    """Return the sha256 of the statement's bytes, in hex."""
    return hashlib.sha256(statement).hexdigest()


def parse_statement(data: bytes) -> Statement:
    """Read a statement back. Raises `Refused` for anything but the exact bytes that `build_statement` writes."""
    if len(data) > MAX_BYTES:
        raise Refused(f"The statement is longer than {MAX_BYTES} bytes.", Reason.TOO_LARGE)
    try:
        statement = _read(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Refused(f"This is not an approval statement: {error}.", Reason.BAD_INPUT) from error
    if build_statement(_as_approval(statement)) != data:
        raise Refused("The statement is not in canonical form; it was changed or re-encoded.", Reason.BAD_INPUT)
    return statement


def verify_statement(data: bytes, *, patch: bytes) -> Statement:
    """Check that a statement is whole, covers exactly these bytes, and rests on enough votes. Raises `Refused`."""
    statement = parse_statement(data)
    if hashlib.sha256(patch).hexdigest() != statement.digest:
        raise Refused("The statement is about another patch.", Reason.CONFLICT)
    if is_rollback(patch) != (statement.subject is Subject.ROLLBACK):
        raise Refused(f"The statement is about a {statement.subject.value}, and this is none.", Reason.CONFLICT)
    people = {vote.person for vote in statement.votes if vote.approve}
    if not all(vote.approve for vote in statement.votes):
        raise Refused("The statement holds a rejection.", Reason.CONFLICT)
    if people & set(statement.excluded):
        raise Refused("The statement counts a person who is excluded from this patch.", Reason.CONFLICT)
    if statement.glass is not None:
        _check_glass(statement, statement.glass, people)
    elif statement.needs < 1 or len(people) < statement.needs:
        raise Refused(f"The statement has {len(people)} of {statement.needs} approvals.", Reason.CONFLICT)
    if any(vote.at >= statement.expires_at for vote in statement.votes):
        raise Refused("The statement counts a vote cast after it had expired.", Reason.EXPIRED)
    return statement


def _check_glass(statement: Statement, glass: BreakGlass, people: set[str]) -> None:
    """Break-glass stands for missing votes: by somebody who voted, with a reason, and for an hour at most."""
    if glass.person not in people or not glass.reason.strip():
        raise Refused("The statement's break-glass has no vote or no reason.", Reason.CONFLICT)
    if glass.until - glass.at > LONGEST_GLASS or statement.expires_at > glass.until:
        raise Refused("The statement's break-glass is longer than an hour.", Reason.CONFLICT)


def verify_message(message: str, *, statement: bytes, patch_digest: str) -> None:
    """Check that a commit message names exactly this statement and patch, each once. Raises `Refused`."""
    found = _OWN_TRAILER.findall(message)
    named = {key: [value for name, value in found if name == key] for key in ("Approval", "Patch")}
    if named["Approval"] != [f"sha256:{statement_digest(statement)}"]:
        raise Refused("The commit message names another approval.", Reason.CONFLICT)
    if named["Patch"] != [f"sha256:{patch_digest}"]:
        raise Refused("The commit message names another patch.", Reason.CONFLICT)


def commit_message(title: str, approval: Approval, *, approvers: Sequence[str], audit_head: str, body: str = "") -> str:
    """Return the message of the approved commit: one title line, the reason, and the trailers that prove it.

    Title and body come from a model or a repository: nothing in them can add a trailer, mention anybody,
    close an issue or make a CI system skip the commit. `approvers` are people's names as they are shown.
    """
    statement = build_statement(approval)
    trailers = [
        f"Nightshift-Incident: {_one_line(approval.incident, 64)}",
        f"Nightshift-Patch: sha256:{approval.digest}",
        f"Nightshift-Approval: sha256:{statement_digest(statement)}",
        f"Nightshift-Audit: {_one_line(audit_head, 128)}",
        *_write_glass(approval.glass),
        *(f"Approved-by: {_one_line(name, 100)}" for name in approvers),
    ]
    heading = _one_line(title, TITLE_LENGTH) or f"Change for {_one_line(approval.incident, 40)}"
    text = _one_line(body, BODY_LENGTH)
    return "\n\n".join(part for part in (heading, _wrap(text), "\n".join(trailers)) if part) + "\n"


def _write_glass(glass: BreakGlass | None) -> tuple[str, ...]:
    return (f"Nightshift-Break-Glass: {_one_line(f'{glass.person}: {glass.reason}', 200)}",) if glass else ()


_OWN_TRAILER: Final = re.compile(r"^Nightshift-(\w+): (\S+)$", re.MULTILINE)
_TRAILER: Final = re.compile(
    r"\b(nightshift-[a-z-]+|[a-z]+(?:-[a-z]+)*-by|skip-checks?|change-id|cc|fixes|closes|resolves)\s*:", re.IGNORECASE
)
_SKIP_CI: Final = re.compile(r"\[([^\[\]]*\b(?:skip|ci|actions|no)\b[^\[\]]*)\]|\*{2,}", re.IGNORECASE)
_ISSUE: Final = re.compile(r"#(?=\d)|\bGH-(?=\d)|!(?=\d)", re.IGNORECASE)


def _one_line(text: str, limit: int) -> str:
    """Return text as one line without control, format or private characters and without live markup."""
    kept = "".join(" " if char.isspace() else char for char in text[: limit * 8] if _is_plain(char))
    kept = kept.replace("@", "＠").replace("://", ":/ /")
    kept = _SKIP_CI.sub(lambda found: f"({found.group(1)})" if found.group(1) else " ", kept)
    kept = _ISSUE.sub("no. ", _TRAILER.sub(r"\1 -", kept))
    line = " ".join(kept.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _is_plain(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn"}


def _wrap(text: str, width: int = 72) -> str:
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def _subject(approval: Approval) -> str:
    return f"{approval.incident}-{approval.digest[:12]}.{approval.subject.suffix}"


def _read_subject(name: str) -> Subject:
    """Return what a subject's name is about; the whole name is held against the rest when it is built again."""
    ends = name.rpartition(".")[2]
    return next((subject for subject in Subject if subject.suffix == ends), Subject.PATCH)


def _write_vote(vote: Vote) -> dict[str, object]:
    return {
        "approve": vote.approve,
        "at": _write_time(vote.at),
        "channel": vote.channel,
        "event": vote.event,
        "person": vote.person,
        "reason": vote.reason,
    }


def _write_time(at: datetime) -> str:
    if at.utcoffset() is None:
        raise ValueError(f"{at.isoformat()} has no time zone")
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _canonical(document: Mapping[str, object]) -> bytes:
    """Sorted keys, no spaces, ASCII only: one document has one form."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def _read(document: object) -> Statement:
    """Read the parsed JSON. Every value's type is checked; any error means "not a statement"."""
    top = _object(document)
    body = _object(top["predicate"])
    if top["_type"] != STATEMENT_TYPE or top["predicateType"] != PREDICATE_TYPE:
        raise ValueError("another type of document")
    (subject,) = _list(top["subject"])
    requester = body["requester"]
    return Statement(
        incident=_text(body["incident"]),
        digest=_hex(_object(_object(subject)["digest"])["sha256"]),
        base=_text(_object(body["base"])["gitCommit"]),
        target=_text(body["target"]),
        policy_version=_text(body["policyVersion"]),
        needs=_count(body["needs"]),
        risk=tuple(_text(item) for item in _list(body["risk"])),
        excluded=tuple(_text(item) for item in _list(body["excluded"])),
        requester=None if requester is None else _text(requester),
        requested_at=_time(body["requestedAt"]),
        expires_at=_time(body["expiresAt"]),
        renewals=_count(body["renewals"]),
        audit_head=_text(body["auditHead"]),
        votes=tuple(_read_vote(_object(item)) for item in _list(body["votes"])),
        glass=_read_glass(_object(body["breakGlass"])) if "breakGlass" in body else None,
        subject=_read_subject(_text(_object(subject)["name"])),
    )


def _read_glass(item: Mapping[str, object]) -> BreakGlass:
    return BreakGlass(
        person=_text(item["person"]), reason=_text(item["reason"]), at=_time(item["at"]), until=_time(item["until"])
    )


def _read_vote(item: Mapping[str, object]) -> Vote:
    if not isinstance(item["approve"], bool):
        raise TypeError("a vote is yes or no")
    return Vote(
        person=_text(item["person"]),
        approve=item["approve"],
        at=_time(item["at"]),
        channel=_text(item["channel"]),
        event=_text(item["event"]),
        reason=_text(item["reason"]),
    )


def _as_approval(statement: Statement) -> Approval:
    return Approval(
        incident=statement.incident,
        digest=statement.digest,
        base=statement.base,
        target=statement.target,
        policy_version=statement.policy_version,
        state=ApprovalState.APPROVED,
        needs=statement.needs,
        risk=statement.risk,
        requested_at=statement.requested_at,
        expires_at=statement.expires_at,
        audit_head=statement.audit_head,
        votes=statement.votes,
        excluded=statement.excluded,
        requester=statement.requester,
        renewals=statement.renewals,
        glass=statement.glass,
        subject=statement.subject,
    )


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError("an object is missing")
    return value


def _list(value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise TypeError("a list is missing")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is missing")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError("a count is missing")
    return value


def _hex(value: object) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", _text(value)):
        raise ValueError("the subject's digest is no sha256")
    return _text(value)


def _time(value: object) -> datetime:
    at = datetime.fromisoformat(_text(value))
    if at.utcoffset() != timedelta(0):
        raise ValueError("a time is not in UTC")
    return at
