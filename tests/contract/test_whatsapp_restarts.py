"""WhatsApp after a restart, and in several front processes: what people did goes on where it stood."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from aiohttp.test_utils import TestServer

from bot.domain.chat import Press, Said
from bot.errors import Reason, Unavailable
from bot.ports.chat import ChatPlace
from bot.ports.http import WebAnswer, WebRequest
from tests.contract.chat_suite import ACK, ESCALATE, REJECT, RecordingInbox, note
from tests.contract.test_chat_whatsapp import Notebook, Watched, settings, signed_call, signed_words
from tests.whatsapp_server import ANA, BEN, WhatsAppServer

PAGE = note("page:0", headline="Ana: checkout", rings=("ana",), buttons=(ACK, ESCALATE))
Processes = Callable[[], tuple[Watched, Callable[[WebRequest], Awaitable[WebAnswer]]]]


def signed_tap(button: str) -> WebRequest:
    """Return a call of WhatsApp in which Ana taps a button."""
    reply = {"type": "button_reply", "button_reply": {"id": button, "title": "Reject"}}
    return signed_call(f"wamid.{button}", {"type": "interactive", "interactive": reply})


def full_disk(*_: object) -> str:
    raise Unavailable("The disk is full.", Reason.OVERLOADED)


@pytest.fixture
def world() -> WhatsAppServer:
    return WhatsAppServer()


@pytest.fixture
async def served(world: WhatsAppServer) -> AsyncIterator[TestServer]:
    async with TestServer(world.app()) as server:
        yield server
    assert world.violations == []


@pytest.fixture
def inbox() -> RecordingInbox:
    return RecordingInbox()


@pytest.fixture
async def processes(world: WhatsAppServer, served: TestServer, inbox: RecordingInbox) -> AsyncIterator[Processes]:
    """One process after another, with nothing but the store between them."""
    place = ChatPlace(name="whatsapp", accounts={"ana": f"+{ANA}", "ben": BEN}, memory=Notebook())
    made: list[Watched] = []

    def make() -> tuple[Watched, Callable[[WebRequest], Awaitable[WebAnswer]]]:
        made.append(Watched(settings(served), place, world, inbox))
        return made[-1], made[-1].webhooks(inbox)[1].handle

    yield make
    for connector in made:
        await connector.close()


async def test_words_that_a_question_waits_for_are_not_lost_by_a_restart(
    processes: Processes, world: WhatsAppServer, inbox: RecordingInbox
) -> None:
    words = signed_words("Too risky for a Friday")
    assert (await processes()[1](signed_tap(f"?{REJECT.id}"))).status == 200
    assert (await processes()[1](words)).status == 200
    again = processes()[1]
    assert (await again(words)).status == 200, "as after a kill before the answer"
    await again(signed_words("and what now?"))
    first, second, third = inbox.events
    assert isinstance(first, Press)
    assert (first.button, *first.values.values()) == (REJECT.id, "Too risky for a Friday")
    assert isinstance(second, Said)
    assert second.event == first.event, "the inbox takes it once"
    assert isinstance(third, Said)


async def test_after_a_restart_a_reason_is_chosen_as_before(
    processes: Processes, world: WhatsAppServer, inbox: RecordingInbox
) -> None:
    patch = note("patch:0123456789ab", buttons=(REJECT,), rings=("ana",))
    await processes()[0].post("whatsapp", patch, "k1", None)
    await processes()[1](signed_tap(f"?{REJECT.id}"))
    asked = await world.wait(lambda got: "Why?" in got.text)
    assert [title for _, title in asked.keys] == ["Wrong cause", "Too risky", "Other"]


async def test_words_are_not_answered_before_their_question_can_be_looked_up(
    processes: Processes, inbox: RecordingInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, call = processes()
    await call(signed_tap(f"?{REJECT.id}"))
    with monkeypatch.context() as patched:
        patched.setattr(Notebook, "change", full_disk)
        assert (await call(signed_words("Too risky"))).status == 503
        assert (await call(signed_tap(f"?{REJECT.id}"))).status == 503
    assert inbox.events == []
    await call(signed_words("Too risky"))
    assert [type(event) for event in inbox.events] == [Press]


async def test_a_question_is_over_once_its_person_does_something_else(
    processes: Processes, inbox: RecordingInbox
) -> None:
    await processes()[1](signed_tap(f"?{REJECT.id}"))
    await processes()[1](signed_tap(ACK.id))
    await processes()[1](signed_words("which requests fail?"))
    await processes()[1](signed_tap(f"?{REJECT.id}"))
    await processes()[1](signed_words("cancel"))
    await processes()[1](signed_words("which requests?"))
    assert [type(event) for event in inbox.events] == [Press, Said, Said]


async def test_a_keyword_is_about_the_incident_that_another_process_told_of(
    processes: Processes, inbox: RecordingInbox
) -> None:
    first, second = processes(), processes()
    await first[0].post("whatsapp", PAGE, "k1", None)
    await second[1](signed_words("ack"))
    await first[0].post("whatsapp", replace(PAGE, incident="INC-8"), "k2", None)
    await second[1](signed_words("Resolve"))
    said = [event.text for event in inbox.events if isinstance(event, Said)]
    assert said == ["/incident ack INC-7", "/incident resolve INC-8"]
