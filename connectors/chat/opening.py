"""What the set-ups of the services share: how a channel is opened for its test card, and what its health means."""

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel

from bot.domain.text.unseen import make_harmless
from bot.errors import Reason, Rejected
from bot.ports.chat import ChatPlace, Health
from bot.ports.chat_setup import Given, Opened, Registering

S = TypeVar("S", bound=BaseModel)


def open_registered(
    settings: type[S], connector: Callable[[S, ChatPlace], Registering]
) -> Callable[[Given, ChatPlace], Opened]:
    """Return what opens a channel of a kind with the settings that were given."""

    def opening(given: Given, place: ChatPlace) -> Opened:
        made = connector(settings.model_validate(given), place)
        return Opened(connector=made, register=made.set_up, close=made.close)

    return opening


def tell_health(health: Health) -> str:
    """Return what there is to say of a channel that works. Raises `Rejected` for one that does not."""
    if not health.ok:
        raise Rejected(health.text, Reason.NOT_FOUND)
    return make_harmless(health.text)
