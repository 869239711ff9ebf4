"""The text of a proposed change: what a reviewer must know, with what it rests on. Plain text, escaped by the forge."""

from collections.abc import Mapping, Sequence
from typing import Final

from bot.domain.approval import Approval
from bot.domain.conclusion import conclude
from bot.domain.draft import Draft
from bot.domain.incident import Incident
from bot.domain.investigation import StageResult
from bot.render.patch import say_tested
from bot.render.words import write_line, write_list, write_people

TRAILER: Final = "Nightshift-Approval"
_FINDINGS: Final = 5
_CITED: Final = 10


def render_proposal(
    incident: Incident,
    draft: Draft,
    approval: Approval,
    *,
    results: Sequence[StageResult],
    names: Mapping[str, str],
    seals: Sequence[str],
) -> str:
    """Return the body: the incident, what was found, what was tested, why it is risky, who approved, the seals."""
    findings, evidence = conclude(results)
    cites = {piece.id: piece.cite for piece in evidence}
    parts = [[f"{incident.id}: {write_line(incident.title)}"]]
    if findings:
        parts.append(["What was found:", *(f"- {_say(f.claim, f.evidence, cites)}" for f in findings[:_FINDINGS])])
    parts.append([say_tested(draft)])
    if draft.risk.is_risky:
        parts.append([f"Risky: {write_list(draft.risk.reasons)}."])
    parts.append([f"Approved by {write_people(approval.approved_by, names)}, for exactly this commit."])
    parts.append([f"Patch: sha256:{draft.digest}", *seals])
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _say(claim: str, pieces: Sequence[str], cites: Mapping[str, str]) -> str:
    cited = [write_line(cites[piece], 80) for piece in pieces[:_CITED] if piece in cites]
    return f"{write_line(claim, 200)} ({', '.join(cited)})" if cited else write_line(claim, 200)
