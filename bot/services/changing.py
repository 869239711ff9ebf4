"""Ask for changes: a person's words about a patch start a new draft, which takes its place when it is ready."""

from bot.domain.approval import ApprovalState
from bot.domain.approvals.feedback import read_wish
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services.announce import announce
from bot.services.modelling import has_ended, start_wished
from bot.services.rulebook import Rulebook
from bot.services.wishes import ASKED, base_run, list_wishes

NO_MODEL = (
    "No model is configured, so nobody can draft another patch. "
    "Reject this one, or ask for the revert instead: /patch revert {incident}."
)


def ask_changes(work: UnitOfWork, incident: str, digest: str, person: str, text: str, rules: Rulebook) -> str:
    """Let the model draft a patch as the person wants it. The old one can be decided until then. Raises `Refused`."""
    wish = read_wish(text)
    current, draft = work.incidents.get(incident), work.drafts.get(incident, digest)
    approval = work.approvals.get(incident, digest)
    if not rules.has_model:
        raise Refused(NO_MODEL.format(incident=incident), Reason.NOT_FOUND)
    if not current.is_open:
        raise Refused(f"{incident} is resolved; its patches are not changed any more.", Reason.STALE)
    if approval.state is not ApprovalState.PENDING or approval.has_expired(work.now):
        what = "expired" if approval.state is ApprovalState.PENDING else approval.state.value
        raise Refused(f"Changes can be asked for while a patch waits for a decision; this one is {what}.", Reason.STALE)
    mine = [event for event in list_wishes(work, incident) if base_run(event.data["run"]) == current.run]
    if mine and not has_ended(work, incident, mine[-1].data["run"]):
        who = rules.name_of(mine[-1].actor)
        raise Refused(f"A new draft is being made already: {who} asked for it. Wait for it.", Reason.CONFLICT)
    run = f"{current.run}+{len(mine) + 1}"
    name = rules.name_of(person)
    told = f"{name} asked for changes to patch {draft.digest[:12]}: {wish}"
    work.timeline.append(incident, ASKED, person, told, {"digest": draft.digest, "run": run, "wish": wish})
    start_wished(work, current, run)
    announce(work, current, "patch", arg=draft.digest[:12])
    return "A new draft is being made with what you said. Until it is ready this patch can still be decided."
