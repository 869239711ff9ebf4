"""The look at what a server can do: a recorded SGLang, a plain server, and what is no model server at all."""

import pytest

from bot.bootstrap.doctor.model import check_model, tell_contract
from bot.domain.models.contract import LOST, Ability, Contract
from bot.metrics import MODEL_ABILITY
from bot.ports.model import ModelPlace, name_server
from bot.settings import Settings
from connectors.models.openai_contract import examine
from tests.model_server import serve_model


async def test_sglang_can_do_all_of_it_and_no_script_hears_of_the_look():
    async with serve_model([], is_sglang=True) as server:
        contract = await examine(ModelPlace(url=server.url, name="tiny"))
        assert contract.able == frozenset(Ability)
        assert (contract.version, contract.context, contract.is_usable) == ("0.5.23", 32768, True)
        assert server.seen == []


async def test_another_server_works_with_less_and_what_is_lost_is_said():
    async with serve_model([]) as server:
        contract = await examine(ModelPlace(url=server.url, name="m"))
        assert contract.missing == (Ability.PRIORITY, Ability.REQUEST_ID, Ability.TOKENIZER, Ability.CONTEXT_LENGTH)
        assert contract.is_usable
        (found,) = await check_model(Settings(model={"url": server.url}))
        assert found.is_ok
        assert LOST[Ability.PRIORITY] in found.text


async def test_a_server_without_the_model_or_nobody_is_a_fault():
    async with serve_model([], is_sglang=True) as server:
        assert (await examine(ModelPlace(url=server.url, name="big"))).fault == 'it has no model "big"'
    assert "No model server answers" in (await examine(ModelPlace(url="http://127.0.0.1:9", name="m"))).fault


async def test_the_start_tells_it_as_metrics():
    async with serve_model([]) as server:
        await tell_contract(ModelPlace(url=server.url, name="m", second=ModelPlace(url="http://127.0.0.1:9", name="s")))
        label = name_server(server.url)
    assert MODEL_ABILITY.labels(server=label, ability="tool_calls")._value.get() == 1
    assert MODEL_ABILITY.labels(server=label, ability="priority")._value.get() == 0


@pytest.mark.parametrize(("context", "is_usable"), [(0, True), (8192, False), (32768, True)])
def test_a_small_context_cannot_be_used(context, is_usable):
    contract = Contract(server="gpu", context=context, able=frozenset(Ability))
    assert contract.is_usable is is_usable
    assert bool(list(contract.losses())) is not is_usable
