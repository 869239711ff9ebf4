"""Sending an order to CI that was noted just now: once, and again only while it surely did not leave."""

import structlog

from bot.domain.approvals.order import Order
from bot.domain.ci import CIRequest, CIRun
from bot.engine.tools import Tools, has_stood_still
from bot.errors import NotSent, Unavailable
from bot.ports.faults import reach

log = structlog.get_logger(__name__)


async def send_order(tools: Tools, ci: str, request: CIRequest, *, order: Order, noted: float) -> CIRun | None:
    """Return what CI answers; None where nobody knows whether the order arrived, or it is too late to send it.

    `noted` is when it was written down (`monotonic`): much later another process may have asked people about it.
    """
    provider, pauses = tools.find_ci(ci), tools.pauses(ci)
    with tools.news.follow(request.sha) as news:
        while not has_stood_still(noted, tools.dispatch_patience):
            reach(f"{order.what.value}.dispatch.before")
            try:
                run = await provider.start(request)
            except NotSent as error:
                log.info("dispatch_not_sent", key=order.key, error=str(error))
                await news.wait(max(next(pauses), error.retry_after or 0.0))
            except Unavailable as error:
                log.warning("dispatch_unanswered", key=order.key, error=str(error))
                return None
            else:
                reach(f"{order.what.value}.dispatch.after")
                return run
    return None
