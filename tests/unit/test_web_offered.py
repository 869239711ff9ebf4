"""What the pages offer to whom: buttons are for those who may press them."""

from collections.abc import AsyncIterator

import pytest

from bot.domain.chat import Press
from tests.web_html import Element, read_html
from tests.web_world import ACK, APPROVE, DIGEST, REJECT, World, fill, served

INCIDENT = "/incidents/INC-12"
PATCH = f"{INCIDENT}/patches/{DIGEST[:12]}"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with served() as running:
        fill(running.board)
        yield running


async def read(world: World, person: str, path: str = INCIDENT) -> Element:
    client = await world.signed_in(person)
    async with client.get(path) as answer:
        return read_html(await answer.text())


def pressable(page: Element) -> set[str]:
    buttons = {button.attributes.get("value", "") for button in page.all("button", name="button")}
    return buttons | {form.fields().get("button", "") for form in page.all("form")} - {""}


@pytest.mark.parametrize("path", [INCIDENT, PATCH, f"{INCIDENT}/fragment", f"{PATCH}/fragment"])
async def test_a_viewer_is_offered_nothing_and_told_who_may(world: World, path: str) -> None:
    page = await read(world, "vic", path)
    assert not {button for button in pressable(page) if button}
    assert "Approve · Reject: for approvers. Your role is viewer." in page.text
    assert not page.all("details", **{"class": "ask"}), "no form that could only be refused"


async def test_a_responder_is_offered_what_responders_do_and_no_decision(world: World) -> None:
    page = await read(world, "cleo")
    assert ACK.id in pressable(page)
    assert not {APPROVE.id, REJECT.id} & pressable(page)
    assert "Approve · Reject: for approvers. Your role is responder." in page.text


async def test_an_approver_is_offered_everything_and_told_nothing_of_roles(world: World) -> None:
    page = await read(world, "ada")
    assert {ACK.id, APPROVE.id, REJECT.id} <= pressable(page)
    assert "Your role" not in page.text


async def test_a_viewer_who_presses_all_the_same_reaches_the_inbox_which_refuses(world: World) -> None:
    client = await world.signed_in("vic")
    async with client.get(INCIDENT) as answer:
        fields = read_html(await answer.text()).one("form", id="say").fields()
    form = {**fields, "button": ACK.id}
    async with client.post(f"{INCIDENT}/press", data=form, headers={"Origin": world.url}) as answer:
        assert answer.status == 200
    (press,) = world.inbox.events
    assert isinstance(press, Press)
    assert (press.account, press.button) == ("vic@web", ACK.id)
