"""The client on what real SGLang and real smg were recorded to say. `make test-sglang` brings the same about again."""

import asyncio
import json

import pytest

from bot.errors import Unavailable
from bot.ports.model import Errand, ModelPlace
from connectors.models.fleet import Fleet
from connectors.models.openai import Client, Settings
from tests.model_server import RECORDED, recorded, serve_model
from tests.sglang.shapes import GATEWAY_SHAPES, SHAPES, settle

ALL = [("sglang", name, shape) for name, shape in SHAPES.items()]
ALL += [("smg", name, shape) for name, shape in GATEWAY_SHAPES.items()]


@pytest.mark.parametrize(("source", "name", "shape"), ALL, ids=[f"{source}: {name}" for source, name, _ in ALL])
async def test_each_recorded_shape_becomes_what_it_means(source, name, shape):
    async with serve_model([recorded(name, source)]) as server, Client(Settings(url=server.url)) as client:
        deadline = asyncio.get_running_loop().time() + 10
        assert await settle(client.complete(b"{}", deadline=deadline)) == shape.ends


@pytest.mark.parametrize("name", ["queue full", "queue full, streamed"])
async def test_what_people_read_of_a_refusal_is_its_message_alone(name):
    async with serve_model([recorded(name)]) as server, Client(Settings(url=server.url)) as client:
        with pytest.raises(Unavailable) as caught:
            await client.complete(b"{}", deadline=asyncio.get_running_loop().time() + 10)
    assert str(caught.value) == "The model server is busy: The request queue is full."


def test_every_recording_is_of_a_shape_that_is_looked_at():
    assert set(RECORDED["sglang"]["shapes"]) == set(SHAPES)
    assert set(RECORDED["smg"]["shapes"]) == set(GATEWAY_SHAPES)


async def test_what_the_recorded_server_takes_is_sent_to_it():
    async with serve_model([], is_sglang=True) as server:
        place = ModelPlace(url=server.url, name="tiny")
        async with Fleet().open(place, Errand(), lambda _tried: None) as model:
            await model.complete(b'{"messages":[]}', deadline=asyncio.get_running_loop().time() + 10)
        assert {"rid", "priority"} < json.loads(server.seen[0]).keys()
