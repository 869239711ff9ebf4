"""What a button asks, where the process that posted it is gone and took the words along."""

import asyncio
from collections.abc import Mapping
from typing import Final

from bot.domain.chat import Form, Reply
from bot.errors import Unavailable
from bot.ports.chat import ChatInbox

PATIENCE: Final = 1.0
"""Seconds that may be spent on it: who pressed waits, and Discord for three at most."""


async def find_form(
    known: Mapping[str, Form], button: str, inbox: ChatInbox, *, channel: str, account: str, incident: str | None
) -> Form | None:
    """Return a button's form: the known one, else as the store tells of the incident now. None where it says nothing
    in time: then the button's label has to do, and the answer is typed."""
    if button in known or not incident:
        return known.get(button)
    try:
        async with asyncio.timeout(PATIENCE):
            found = await inbox.show(channel, account, incident)
    except (TimeoutError, Unavailable):
        return None
    shown = () if isinstance(found, Reply) else found
    return next((one.form for message in shown for one in message.buttons if one.id == button), None)
