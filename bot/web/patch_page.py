"""What the page of one patch says above and around its diff. Pure."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from bot.domain.approval import Approval
from bot.domain.approvals.statement import statement_digest
from bot.domain.chat import Button, Link, Message, Paragraph, Tone
from bot.domain.draft import Draft
from bot.domain.evidence import Check, CheckRun
from bot.ports.board import PatchPage
from bot.render.links import link_to
from bot.render.progress import say_change
from bot.render.words import write_clock, write_count, write_people
from bot.web.views import TONES

VIEWS: Final = {"auto": "Fit the screen", "unified": "Unified", "split": "Side by side"}
_TAIL_LINES: Final = 200
_SIGNS: Final = {Check.GREEN: "✓", Check.RED: "✗", Check.UNKNOWN: "?"}


@dataclass(frozen=True, kw_only=True)
class PatchCard:
    """The same words and buttons as the card in the chats, as they are at this moment."""

    headline: str
    sign: str
    tone: Tone
    words: tuple[str, ...]
    buttons: tuple[Button, ...]
    links: tuple[Link, ...]

    @property
    def version(self) -> str:
        return hashlib.sha256(repr(self).encode(errors="replace")).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True)
class CheckView:
    """One run of a check. `tail` is the end of what it wrote, `cut` how many lines stand before that."""

    sign: str
    name: str
    verdict: str
    about: tuple[str, ...]
    tail: str = ""
    cut: int = 0


Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class PatchScreen:
    """Everything beside the diff. `statement` is the sha256 of the approval's statement, "" where there is none yet."""

    card: PatchCard
    checks: tuple[CheckView, ...]
    risk: tuple[str, ...]
    approval: Facts
    seal: Facts
    statement: str


def describe_patch(page: PatchPage, card: Message | None, *, now: datetime, names: Mapping[str, str]) -> PatchScreen:
    """Say what a person must know of a patch before they decide. `card` is its card as it is now."""
    digest = statement_digest(page.statement) if page.statement is not None else ""
    return PatchScreen(
        card=_describe_card(page, card),
        checks=tuple(_view_checks(page.draft)),
        risk=page.approval.risk if page.approval else page.draft.risk.reasons,
        approval=tuple(_tell_approval(page.approval, now, names)) if page.approval else (),
        seal=tuple(_tell_seal(page, digest)),
        statement=digest,
    )


def _describe_card(page: PatchPage, card: Message | None) -> PatchCard:
    links = tuple(_find_links(page, card))
    if card is None:
        words = ("This draft was not put up for approval.",)
        return PatchCard(headline=page.draft.title, sign="", tone=Tone.CALM, words=words, buttons=(), links=links)
    return PatchCard(
        headline=card.headline,
        sign=TONES.get(card.tone, ("", ""))[0],
        tone=card.tone,
        words=tuple(block.text for block in card.blocks if isinstance(block, Paragraph)),
        buttons=card.buttons,
        links=links,
    )


def _find_links(page: PatchPage, card: Message | None) -> Iterator[Link]:
    """Yield CI's newest run and what the card links to, but for this page itself."""
    own = f"/incidents/{page.incident.id}/patches/{page.draft.digest[:12]}"
    run = link_to(f"CI run: {page.runs[-1].state.value}", page.runs[-1].url) if page.runs else None
    known = [run] if run else []
    shown = card.blocks if card is not None else ()
    known += [block for block in shown if isinstance(block, Link) and urlsplit(block.url).path != own]
    yield from {link.url: link for link in reversed(known)}.values()


def _view_checks(draft: Draft) -> Iterator[CheckView]:
    result = draft.verified
    if result is None:
        return
    is_proven = result.before is Check.RED and result.after is Check.GREEN
    about = (f"in the {result.rung} sandbox",) if result.rung else ()
    yield CheckView(
        sign="✓" if is_proven else "✗",
        name=say_change(result),
        verdict="proven" if is_proven else "not proven",
        about=about,
    )
    for run in result.runs:
        yield _view_check(run, was_red=run.name in result.already_red)


def _view_check(run: CheckRun, *, was_red: bool) -> CheckView:
    lines = run.output.rstrip("\n").split("\n") if run.output.strip() else []
    about = [f"{run.seconds:.1f} s", run.note, "red without the patch too" if was_red else ""]
    return CheckView(
        sign=_SIGNS[run.verdict],
        name=run.name,
        verdict=run.verdict.value,
        about=tuple(part for part in about if part),
        tail="\n".join(lines[-_TAIL_LINES:]),
        cut=max(0, len(lines) - _TAIL_LINES),
    )


def _tell_approval(approval: Approval, now: datetime, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    missing = f", {approval.missing} more to come" if approval.missing and approval.approved_by else ""
    yield "Needs", f"{write_count(approval.needs, 'approval')}{missing}"
    for vote in approval.votes:
        why = f": {vote.reason}" if vote.reason else ""
        said = f"{write_people([vote.person], names)} at {write_clock(vote.at, now)}{why}"
        yield "Approved by" if vote.approve else "Rejected by", said
    if approval.excluded:
        yield "Cannot approve", write_people(approval.excluded, names)
    asked = f" by {write_people([approval.requester], names)}" if approval.requester else ""
    yield "Asked", f"{write_clock(approval.requested_at, now)}{asked}"
    yield "Expires", write_clock(approval.expires_at, now)


def _tell_seal(page: PatchPage, statement: str) -> Iterator[tuple[str, str]]:
    draft, approval = page.draft, page.approval
    yield "Patch sha256", draft.digest
    yield "Base", f"{draft.base} on {draft.branch}"
    yield "Pushed as", draft.push_branch
    if approval is not None:
        yield "Target", approval.target
        yield "Policy", approval.policy_version
        yield "Audit head", approval.audit_head
    if statement:
        yield "Statement sha256", statement


def switches(view: str, path: str) -> Sequence[tuple[str, str, bool]]:
    """Return the ways to look at a diff: (label, address, whether it is the present one)."""
    return [(label, path if name == "auto" else f"{path}?view={name}", name == view) for name, label in VIEWS.items()]
