"""Chat services: translate and decide nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from bot.domain.chat import ChatLimits, Message, Press, Reply, Said, Undelivered
from bot.ports.http import Webhook


class ChatInbox(Protocol):
    """Where a connector hands in what people did."""

    async def receive(self, event: Press | Said) -> Reply:
        """Store the event, act on it once, and return the private answer.

        May be repeated: an event id that was seen before returns an answer and has no effect.
        Never raises for bad input; a refused person gets a `Reply` that says how to get access.
        """
        ...

    async def look(self, channel: str, account: str) -> Message | Reply:
        """Return the summary of what is open, a `Reply` that says how to get access to whom nobody knows.

        Raises `Unavailable` where it could not be read.
        """
        ...

    async def show(self, channel: str, account: str, incident: str) -> Sequence[Message] | Reply:
        """Return as it is now all that was ever to be told of an incident in a channel, at least its card: for services
        where people see a message only when they ask. A `Reply` where there is no such incident, or says how to get
        access.

        Raises `Unavailable` where it could not be read.
        """
        ...

    async def report(self, missed: Undelivered) -> None:
        """Store that a message did not arrive. May be repeated. Raises `Unavailable` where it could not be stored."""
        ...


@dataclass(frozen=True, kw_only=True)
class Health:
    """Whether something works, and if not, how to mend it."""

    ok: bool
    text: str


class ChatMemory(Protocol):
    """A short text that a connector keeps over restarts, the same for every process."""

    def change(self, change: Callable[[str], str]) -> str:
        """Put what `change` makes of the text, "" at first, in its place, and return that. Raises `Unavailable`."""
        ...


@dataclass(frozen=True, kw_only=True)
class ChatPlace:
    """What a connector is told besides its settings: its channel's name, who has which account there, and what people
    are called. They may link accounts while it runs: the accounts are looked at each time.

    Without a `memory` it forgets with its process what it could not ask its service for.
    """

    name: str
    accounts: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    memory: ChatMemory | None = None


@runtime_checkable
class ImageSource(Protocol):
    """What a `ChatConnector` may also be: one that fetches what people posted."""

    async def fetch_image(self, ref: str) -> bytes:
        """Return the bytes of an `Attachment`, `MAX_BYTES` and one at most. Its address is the service's own, whatever
        `ref` says. Raises `Unavailable` or `Rejected`. May be repeated.
        """
        ...


class ChatConnector(Protocol):
    """One chat service. Raises `Unavailable` (retry may help) or `Rejected` (final), nothing else.

    A connector tries once; the dispatcher retries. `key` is the same at each try of one message.
    """

    @property
    def limits(self) -> ChatLimits: ...

    async def post(self, channel: str, message: Message, key: str, thread: str | None) -> str:
        """Post and return a reference to the posted message. `thread` is the reference of the incident's card.

        Repeated under the same key: at most one extra copy, none where the platform can tell.
        """
        ...

    async def edit(self, channel: str, message: Message, ref: str) -> None:
        """Replace the message that `ref` names. May be repeated."""
        ...

    async def run(self, inbox: ChatInbox) -> None:
        """Listen until cancelled, handing each event to `inbox`. Returns at once where only webhooks are used."""
        ...

    def webhooks(self, inbox: ChatInbox) -> Sequence[Webhook]:
        """Return the routes this service calls; none for services that are polled."""
        ...

    async def check(self) -> Health:
        """Say whether the service can be used now."""
        ...
