import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from bot.demo.alarm import Scene, choose_alarm, make_rule
from bot.demo.folder import DemoError
from bot.demo.monitoring import Monitoring, find_programs, find_prometheus
from bot.demo.processes import Children
from bot.demo.service import DemoService
from bot.demo.traffic import Traffic

SERVICE = DemoService(state=Path("/s"), repository=Path("/r"), port=8001, run=("python",))


async def make_scene(stack: AsyncExitStack) -> Scene:
    session = await stack.enter_async_context(aiohttp.ClientSession())
    return Scene(
        service=SERVICE, traffic=Traffic(session, "http://127.0.0.1:9"), receiver="http://127.0.0.1:9/x", token="t",
        children=Children(Path("/s")), session=session, stack=stack,
    )  # fmt: skip


def put_program(folder: Path, name: str) -> None:
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)


def test_both_programs_are_needed_under_either_name(tmp_path: Path) -> None:
    put_program(tmp_path, "prometheus")
    assert find_programs(str(tmp_path)) is None
    put_program(tmp_path, "alertmanager")
    found = find_programs(str(tmp_path))
    assert found is not None
    assert found.alertmanager == str(tmp_path / "alertmanager")


async def test_without_the_programs_the_demo_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    async with AsyncExitStack() as stack:
        scene = await make_scene(stack)
        with pytest.raises(DemoError, match="apt-get install prometheus prometheus-alertmanager"):
            choose_alarm(scene, real=True)


async def test_the_shoppers_counts_are_what_the_rule_reads() -> None:
    async with AsyncExitStack() as stack:
        traffic = (await make_scene(stack)).traffic
        async with asyncio.timeout(5):
            await traffic.burst(3)  # nothing listens there: each call counts as a failure
        assert traffic.exposition("checkout") == (
            '# TYPE http_requests_total counter\nhttp_requests_total{service="checkout",code="599"} 3\n'
        )
    assert 'http_requests_total{service="checkout", code=~"5.."}' in make_rule().expr


async def test_a_prometheus_alone_is_watched_and_fires_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    async with AsyncExitStack() as stack:
        assert choose_alarm(await make_scene(stack), real=False).metrics_url == ""
        put_program(tmp_path, "prometheus")
        assert choose_alarm(await make_scene(stack), real=False).metrics_url.startswith("http://127.0.0.1:")
    programs = find_prometheus()
    assert programs is not None
    monitoring = Monitoring(
        folder=tmp_path / "monitoring", programs=programs, ports=(1, 2), job="j", target="t", rule=make_rule(),
        receiver="r", token="t",
    )  # fmt: skip
    monitoring.write()
    assert [command[0] for command in monitoring.commands()] == [str(tmp_path / "prometheus")]
    assert set(json.loads((tmp_path / "monitoring" / "prometheus.yml").read_text())) == {"global", "scrape_configs"}
