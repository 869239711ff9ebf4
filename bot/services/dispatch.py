"""The journal of orders to CI: each is noted before it is sent, and sent once; without an answer a person decides."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from bot.domain.approvals.order import Order, Ordered
from bot.domain.ci import CIRun
from bot.domain.timeline import TimelineEvent
from bot.errors import Reason, Refused
from bot.ports.work import Effect, EffectState, UnitOfWork
from bot.services.announce import BOT, announce
from bot.services.rulebook import Rulebook

SENT, ANSWERED, UNANSWERED = "order_sent", "order_answered", "order_unanswered"
AGAIN, LOOK = "order_again", "order_look"
VERBS: Final = {Ordered.CI: "check", Ordered.DEPLOY: "deploy", Ordered.ROLLBACK: "roll back to"}
PHASES: Final = {Ordered.CI: "follow", Ordered.DEPLOY: "deploy", Ordered.ROLLBACK: "rollback"}


class Standing(StrEnum):
    """How an order stands. NEW is said once, to the one who may send it."""

    NEW = "new"
    OPEN = "open"
    DONE = "done"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, kw_only=True)
class Noted:
    standing: Standing
    at: datetime


_STANDINGS: Final = {
    EffectState.INTENDED: Standing.OPEN,
    EffectState.DONE: Standing.DONE,
    EffectState.FAILED: Standing.GIVEN_UP,
}


def note_order(work: UnitOfWork, order: Order, sha: str) -> Noted:
    """Write down that an order is about to be sent. Only who hears NEW may send it, after this was committed."""
    known = _find(work, order)
    if known is not None:
        return Noted(standing=_STANDINGS[known.state], at=datetime.fromisoformat(known.payload["at"]))
    work.effects.intend(_name(order), f"dispatch:{order.incident}", {"sha": sha, "at": work.now.isoformat()})
    text = f"Ordered CI to {_deed(order, sha)}, under the key {order.key}"
    work.timeline.append(order.incident, SENT, BOT, text, _data(order, sha))
    return Noted(standing=Standing.NEW, at=work.now)


def is_noted(work: UnitOfWork, order: Order) -> bool:
    """Say whether an order may have been sent."""
    return _find(work, order) is not None


def answered_at(work: UnitOfWork, order: Order) -> datetime:
    """Return when CI took an order, now where it has not yet."""
    return next((event.at for event in _events(work, order, ANSWERED)), work.now)


def record_answer(work: UnitOfWork, order: Order, run: CIRun) -> None:
    """Note that an order has arrived; it may be found after a person was asked."""
    work.effects.settle(_name(order), EffectState.DONE)
    if was_told(work, order, {ANSWERED}):
        return
    text = f"CI has the order to {_deed(order, run.sha)}, under the key {order.key}"
    work.timeline.append(order.incident, ANSWERED, BOT, text, {**_data(order, run.sha), "url": run.url})
    if was_told(work, order, {UNANSWERED}):
        show_question(work, order)


def ask_about_order(work: UnitOfWork, order: Order, sha: str, *, url: str = "") -> None:
    """Nobody knows whether the order arrived: it is not sent again, and the people who approved are asked."""
    work.effects.settle(_name(order), EffectState.FAILED, "no answer")
    if _is_asked(work, order):
        return
    times = len(_events(work, order, UNANSWERED))
    text = f"CI gave no answer to our order to {_deed(order, sha)}; it is not sent again"
    work.timeline.append(order.incident, UNANSWERED, BOT, text, {**_data(order, sha), "url": url})
    show_question(work, order, once=f"{order.key}:{times}")


def refuse_order(work: UnitOfWork, order: Order, why: str) -> None:
    """CI said no for good: the order is over, and sending it again is no use."""
    work.effects.settle(_name(order), EffectState.FAILED, why)


def show_question(work: UnitOfWork, order: Order, *, once: str = "") -> None:
    """Promise to bring the question about an order up to date."""
    current = work.incidents.get(order.incident)
    announce(work, current, "notice", arg=f"{order.arg}.{order.digest[:12]}", once=once)


def order_again(work: UnitOfWork, order: Order, person: str, rules: Rulebook) -> str:
    """A person decides to send one more order. Raises `Refused`; two presses are one order."""
    sha = _require_question(work, order, rules)
    following = Order(incident=order.incident, digest=order.digest, what=order.what, attempt=order.attempt + 1)
    name = rules.name_of(person)
    text = f"{name} ordered CI once more to {_deed(order, sha)}"
    work.timeline.append(order.incident, AGAIN, person, text, _data(order, sha))
    start_order(work, following, sha)
    show_question(work, order)
    return f"Ordered once more, under the key {following.key}."


def look_again(work: UnitOfWork, order: Order, person: str, rules: Rulebook) -> str:
    """A person says that it runs: look for it anew, and send nothing. Raises `Refused`."""
    sha = _require_question(work, order, rules)
    if not _is_asked(work, order):
        raise Refused("It is being looked for already.", Reason.ALREADY_DONE)
    text = f"{rules.name_of(person)} says that CI has the order to {_deed(order, sha)}"
    event = work.timeline.append(order.incident, LOOK, person, text, _data(order, sha))
    start_order(work, order, sha, since=work.now, times=event.seq)
    show_question(work, order)
    return "Taken as it is: nothing is sent."


def start_order(
    work: UnitOfWork, order: Order, sha: str, *, since: datetime | None = None, times: int | None = None
) -> None:
    """Start the phase that sends an order, or (`since`) that looks for it from now on."""
    args = {"incident": order.incident, "digest": order.digest, "sha": sha, "order": order.arg}
    if since is not None:
        args["since"] = since.isoformat()
    key = f"{order.incident}:{order.digest[:12]}:{order.arg}"
    work.phases.enqueue(PHASES[order.what], key if times is None else f"{key}:{times}", args)


def _require_question(work: UnitOfWork, order: Order, rules: Rulebook) -> str:
    """Return the commit that an open question is about. Raises `Refused` where nothing is asked any more."""
    asked = _events(work, order, UNANSWERED)
    if not asked:
        raise Refused("Nothing is asked about this order.", Reason.STALE)
    if was_told(work, order, {ANSWERED}):
        raise Refused("It was found meanwhile; there is nothing to decide.", Reason.ALREADY_DONE)
    again = _events(work, order, AGAIN)
    if again:
        raise Refused(f"{rules.name_of(again[0].actor)} has ordered it once more already.", Reason.ALREADY_DONE)
    return asked[-1].data["sha"]


def _deed(order: Order, sha: str) -> str:
    return f"{VERBS[order.what]} {sha[:12]}"


def _is_asked(work: UnitOfWork, order: Order) -> bool:
    """Say whether the newest question about an order is open: nobody has asked to look again since."""
    last = [event.kind for event in work.timeline.of(order.incident) if event.data.get("key") == order.key]
    return bool(last) and last[-1] == UNANSWERED


def _name(order: Order) -> str:
    return f"dispatch:{order.key}"


def _find(work: UnitOfWork, order: Order) -> Effect | None:
    return work.effects.get(_name(order))


def _data(order: Order, sha: str) -> dict[str, str]:
    return {"key": order.key, "sha": sha, "digest": order.digest}


def _events(work: UnitOfWork, order: Order, kind: str) -> list[TimelineEvent]:
    told = work.timeline.of(order.incident)
    return [event for event in told if event.kind == kind and event.data.get("key") == order.key]


def was_told(work: UnitOfWork, order: Order, kinds: Collection[str]) -> bool:
    """Say whether the timeline tells something of these kinds of an order."""
    told = work.timeline.of(order.incident)
    return any(event.kind in kinds and event.data.get("key") == order.key for event in told)
