"""`verify-audit`: the chain of the timeline, against itself and against the heads that were published."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass

from bot.bootstrap.state import read_store
from bot.domain.approvals.statement import statement_digest, verify_statement
from bot.domain.timeline import parse_anchor, verify_chain
from bot.errors import NightshiftError, Refused
from bot.ports.work import UnitOfWork
from bot.services.rollout import find_statement
from bot.settings import Settings
from connectors.workspaces.git import Git

TRAILERS = frozenset({"Incident", "Patch", "Approval", "Audit"})
_TRAILER = re.compile(r"^Nightshift-(\w+): (\S+)$", re.MULTILINE)
BRANCHES = "nightshift/"


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    ok: bool
    text: str


def check_audit(settings: Settings, anchors: list[str]) -> AuditReport:
    """Check the trail against the heads on approval cards, in pushed commits, and those given; and each pushed
    commit's approval against the statement that the store still proves."""
    given = [parse_anchor(text) for text in anchors]
    with read_store(settings) as store:
        commits, unread = asyncio.run(_read_commits(settings))
        with store.begin() as work:
            events, cards = work.timeline.all(), work.timeline.anchors()
            faults = [fault for commit in commits if (fault := _check_approval(work, commit))]
    pushed = [parse_anchor(commit["Audit"]) for commit in commits]
    broken = verify_chain(events, [*given, *cards, *pushed])
    if broken is not None:
        faults.insert(0, broken.what)
    notes = "".join(f"\nNot read: {text}" for text in unread)
    if faults:
        return AuditReport(ok=False, text=f"The audit trail was tampered with: {'; '.join(faults)}.{notes}")
    heads = len(given) + len(cards) + len(pushed)
    return AuditReport(
        ok=True,
        text=f"The audit trail is sound: {len(events)} rows, {heads} published heads, "
        f"{len(commits)} approved commits.{notes}",
    )


def _check_approval(work: UnitOfWork, commit: Mapping[str, str]) -> str:
    """Return what is wrong between a pushed commit's trailers and the stored approval, "" when nothing is."""
    incident, digest = commit["Incident"], commit["Patch"].removeprefix("sha256:")
    try:
        statement = find_statement(work, incident, digest)
        verify_statement(statement, patch=work.drafts.get(incident, digest).patch.text)
    except Refused as refusal:
        return f"the approval of {incident} {digest[:12]} does not hold: {refusal}"
    if commit["Approval"] != f"sha256:{statement_digest(statement)}":
        return f"the approval of {incident} {digest[:12]} is not the one its commit names"
    return ""


async def _read_commits(settings: Settings) -> tuple[list[Mapping[str, str]], list[str]]:
    """Return the trailers of the commits Nightshift pushed, and which repositories could not be asked."""
    commits: list[Mapping[str, str]] = []
    unread: list[str] = []
    git = Git()
    for service in settings.service_map().values():
        folder = settings.server.state_dir.absolute() / "audit" / service.name
        try:
            checkout = await git.open(service.repository, folder)
            for message in await checkout.messages(BRANCHES):
                trailers = dict(_TRAILER.findall(message))
                if trailers.keys() >= TRAILERS:
                    commits.append(trailers)
        except NightshiftError as error:
            unread.append(f"{service.name}: {error}")
    return commits, unread
