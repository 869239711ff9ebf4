"""When a freeze begins or ends, the cards that wait for a decision say so: their promises are made once a border."""

from bot.domain.approvals.freeze import find_border
from bot.ports.work import UnitOfWork
from bot.services.announce import announce
from bot.services.rulebook import Rulebook


def show_borders(work: UnitOfWork, rules: Rulebook) -> None:
    """Promise to bring each waiting card up to date whose freeze began or ended since it was asked.

    May be repeated, by several processes too: each border is promised once.
    """
    for approval in work.approvals.waiting():
        if approval.has_expired(work.now):
            continue
        service = approval.scope.service
        border = find_border(rules.policy.freezes, service=service, since=approval.requested_at, now=work.now)
        if border is not None:
            once = f"freeze-{approval.renewals}-{border:%Y%m%dT%H%M%SZ}"
            incident = work.incidents.get(approval.incident)
            announce(work, incident, "patch", arg=approval.digest[:12], once=once)
