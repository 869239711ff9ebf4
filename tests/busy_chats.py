"""Many chats at once: the real store, dispatcher and connectors here, the services with their limits and the people who
press buttons in a process of their own.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from bot.bootstrap.chat import make_channels
from bot.bootstrap.front import _listen_to
from bot.domain.alert import AlertGroup
from bot.domain.oncall import EscalationPolicy, EscalationStep, Person, Role, Roster
from bot.domain.routing import Matcher, Route
from bot.engine.chat_inbox import StoreInbox
from bot.engine.compose import Composer
from bot.engine.dispatcher import Dispatcher
from bot.engine.drainer import TOGETHER
from bot.ports.clock import SystemClock
from bot.render.links import Links
from bot.services.intake import receive_alerts
from bot.services.rulebook import Rulebook
from bot.settings import Settings
from bot.store.database import SqlStore, migrate, open_engine
from bot.web.server import _mount
from tests.worldkit import PhaseLog, alert, group, make_rules

ROOT = Path(__file__).resolve().parents[1]


@dataclass(kw_only=True)
class Far:
    """The process of the services and the people."""

    process: asyncio.subprocess.Process

    async def ask(self, **order: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        return await self.hear()

    async def hear(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(await self.process.stdout.readline())


@asynccontextmanager
async def open_far(names: Sequence[tuple[str, int]]) -> AsyncIterator[Far]:
    pipe = asyncio.subprocess.PIPE
    argv = [sys.executable, "-m", "tests.busy_far", json.dumps(names)]
    process = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, stdin=pipe, stdout=pipe, limit=2**24)
    try:
        yield Far(process=process)
    finally:
        process.kill()
        await process.wait()


def write_rules(accounts: Mapping[str, str]) -> Rulebook:
    """Each chat gets the alerts that name it; Ana is paged, and has an account in all of them."""
    return make_rules(
        roster=Roster(people={"ana": Person(id="ana", name="Ana", role=Role.APPROVER, accounts=accounts)}),
        routes=tuple(
            Route(matchers=(Matcher(label="chat", pattern=name),), service=name, channels=(name,), escalation="ana")
            for name in accounts
        ),
        escalations={"ana": EscalationPolicy(name="ana", steps=(EscalationStep(people=("ana",)),))},
        channels=tuple(accounts),
    )


@dataclass(kw_only=True)
class Scene:
    """The bot over its store, and the chats that it serves."""

    names: Sequence[tuple[str, int]]
    store: SqlStore
    rules: Rulebook
    far: Far

    async def receive(self, told: Mapping[str, Sequence[int]]) -> None:
        """Let problems of these numbers be told to these chats."""
        now = datetime.now(UTC)
        said = [
            group(
                alert(
                    "Load", starts_at=now, annotations={"summary": f"problem {number:04d}"}, chat=name, n=str(number)
                ),
                key=f"{name} {number}",
            )
            for name, numbers in told.items()
            for number in numbers
        ]

        def take(some: Sequence[AlertGroup]) -> None:
            with self.store.begin() as work:
                receive_alerts(work, some, self.rules)

        for at in range(0, len(said), TOGETHER):  # as the drainer does
            await asyncio.to_thread(take, said[at : at + TOGETHER])

    async def count_waiting(self) -> Mapping[str, int]:
        """Return how many promises wait in each kind of chat where any do."""

        def count() -> Mapping[str, int]:
            with self.store.begin() as work:
                targets = work.effects.targets("chat:")
                kinds = [target.removeprefix("chat:").rstrip("0123456789") for target in targets]
            return {kind: kinds.count(kind) for kind in kinds}

        return await asyncio.to_thread(count)


@asynccontextmanager
async def open_scene(folder: Path, names: Sequence[tuple[str, int]]) -> AsyncIterator[Scene]:
    """Start the services, then the bot: dispatcher, connectors and their webhooks, over an empty store."""
    async with AsyncExitStack() as stack:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(32))  # as the engine does in the running bot
        far = await stack.enter_async_context(open_far(names))
        told = await far.hear()
        rules, store = write_rules(told["accounts"]), _open_store(folder, stack)
        people = {"ana": {"name": "Ana", "role": "approver", "accounts": told["accounts"]}}
        channels = make_channels(Settings.model_validate({"channels": told["tables"], "people": people}), None)
        inbox = StoreInbox(store, rules)
        app = web.Application()
        for hook in (hook for channel in channels for hook in channel.connector.webhooks(inbox)):
            app.router.add_route(hook.method, hook.path, _mount(hook))
        await far.ask(bot=await _serve(app, stack))
        compose = Composer(store, rules, Links()).compose
        dispatcher = Dispatcher(store, SystemClock(), channels, compose, sweep_seconds=10)
        store.on_commit(dispatcher.wake)
        jobs = [asyncio.ensure_future(_listen_to(channel, inbox)) for channel in channels]
        jobs.append(asyncio.ensure_future(dispatcher.run()))
        stack.push_async_callback(_stop, jobs)
        yield Scene(names=names, store=store, rules=rules, far=far)


def _open_store(folder: Path, stack: AsyncExitStack) -> SqlStore:
    engine = open_engine(f"sqlite:///{folder / 'nightshift.db'}")
    migrate(engine)
    stack.callback(engine.dispose)
    phases = PhaseLog(SystemClock())  # type: ignore[arg-type]  # any clock will do
    return SqlStore(engine, SystemClock(), phases.of_session)


async def _serve(app: web.Application, stack: AsyncExitStack) -> str:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


async def _stop(jobs: Sequence["asyncio.Future[None]"]) -> None:
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)
