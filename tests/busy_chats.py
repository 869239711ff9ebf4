"""Many chats at once: the real store, dispatcher and connectors in one loop, the services with their limits and the
people who press buttons in another.
"""

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from bot.bootstrap.chat import make_channels
from bot.bootstrap.front import _listen_to
from bot.domain.oncall import EscalationPolicy, EscalationStep, Person, Role, Roster
from bot.domain.routing import Matcher, Route
from bot.engine.chat_inbox import StoreInbox
from bot.engine.compose import Composer
from bot.engine.dispatcher import Dispatcher
from bot.ports.clock import SystemClock
from bot.render.links import Links
from bot.services.intake import receive_alerts
from bot.services.rulebook import Rulebook
from bot.settings import Settings
from bot.store.database import SqlStore, migrate, open_engine
from bot.web.server import _mount
from tests import rate_limits
from tests.e2e.chats import DiscordChat, SlackChat, TelegramChat, WhatsAppChat
from tests.slack_server import text_of
from tests.worldkit import PhaseLog, alert, group, make_rules

T = TypeVar("T")
KINDS: Mapping[str, Any] = {
    "slack": SlackChat,
    "discord": DiscordChat,
    "telegram": TelegramChat,
    "whatsapp": WhatsAppChat,
}
_PROBLEM = re.compile(r"problem (\d{4})")
_PATIENCE = 30.0


@dataclass(kw_only=True)
class Busy:
    """One chat with its service. `answered` are the seconds that each press waited for its answer."""

    kind: str
    number: int
    chat: Any
    limits: rate_limits.Limits
    answered: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.kind}{self.number}"

    def posts(self) -> list[int]:
        """Return the number of the problem that each message posted there is about, in order."""
        found = (_PROBLEM.search(text) for text in _TEXTS[self.kind](self.chat.world))
        return [int(match[1]) for match in found if match]

    async def press(self) -> bool:
        """Acknowledge something, and wait until that is answered; False where there is nothing to acknowledge."""
        found = self.chat.offer("ack", "ana")
        if found is None:
            return False
        began = time.perf_counter()
        is_answered = await _PRESSES[self.kind](self.chat.world, found)
        async with asyncio.timeout(_PATIENCE):
            while not is_answered():
                await asyncio.sleep(0.002)
        self.answered.append(time.perf_counter() - began)
        return True


def make_chat(kind: str, number: int) -> Busy:
    chat = KINDS[kind]()
    chat.name = f"{kind}{number}"
    limits: rate_limits.Limits = getattr(rate_limits, kind)()
    chat.world.limits = limits
    return Busy(kind=kind, number=number, chat=chat, limits=limits)


async def _press_slack(world: Any, press: Any) -> Callable[[], bool]:
    envelope = await press()
    return lambda: envelope in world.acknowledged


async def _press_discord(world: Any, press: Any) -> Callable[[], bool]:
    stored, key, _ = press.args
    await world.press(stored, key)
    return world.answered_last  # type: ignore[no-any-return]  # the server's own method


async def _press_telegram(world: Any, press: Any) -> Callable[[], bool]:
    query = f"q{len(world.updates)}"
    await press()
    return lambda: any(answer["callback_query_id"] == query for answer in world.answers)


async def _press_whatsapp(world: Any, press: Any) -> Callable[[], bool]:
    await press()
    return lambda: world.answered[-1] == 200


_PRESSES: Mapping[str, Callable[[Any, Any], Coroutine[None, None, Callable[[], bool]]]] = {
    "slack": _press_slack,
    "discord": _press_discord,
    "telegram": _press_telegram,
    "whatsapp": _press_whatsapp,
}
_TEXTS: Mapping[str, Callable[[Any], list[str]]] = {
    "slack": lambda world: ["".join(text_of(world.messages[ts]["blocks"])) for ts in sorted(world.messages)],
    "discord": lambda world: [stored.text for stored in world.messages.values()],
    "telegram": lambda world: [stored.text for stored in world.messages.values()],
    "whatsapp": lambda world: [got.text for got in world.sent if got.keys],  # what has no button was no new message
}


@dataclass(kw_only=True)
class Far:
    """The loop of services and people, in a thread: what it costs is not the bot's."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something there."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    async def cpu(self) -> float:
        async def read() -> float:
            return time.thread_time()

        return await self.run(read())


@asynccontextmanager
async def open_far() -> AsyncIterator[Far]:
    far = Far()
    thread = threading.Thread(target=far.loop.run_forever)
    thread.start()
    try:
        yield far
    finally:
        far.loop.call_soon_threadsafe(far.loop.stop)
        await asyncio.to_thread(thread.join)
        far.loop.close()


async def listen(app: web.Application) -> tuple[web.AppRunner, str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


def write_rules(chats: Sequence[Busy]) -> Rulebook:
    """Each chat gets the alerts that name it; Ana is paged, and has an account in all of them."""
    accounts = {one.name: one.chat.accounts["ana"] for one in chats}
    return make_rules(
        roster=Roster(people={"ana": Person(id="ana", name="Ana", role=Role.APPROVER, accounts=accounts)}),
        routes=tuple(
            Route(
                matchers=(Matcher(label="chat", pattern=one.name),),
                service=one.name,
                channels=(one.name,),
                escalation="e",
            )
            for one in chats
        ),
        escalations={"e": EscalationPolicy(name="e", steps=(EscalationStep(people=("ana",)),))},
        channels=tuple(accounts),
    )


@dataclass(kw_only=True)
class Scene:
    """The bot over its store, and the chats that it serves."""

    chats: Sequence[Busy]
    store: SqlStore
    rules: Rulebook
    far: Far

    async def receive(self, alerts: Mapping[str, Sequence[int]]) -> None:
        """Let problems of these numbers be told to these chats, in one delivery."""
        now = datetime.now(UTC)
        said = [
            group(
                alert(
                    "Load", starts_at=now, annotations={"summary": f"problem {number:04d}"}, chat=name, id=str(number)
                ),
                key=f"{name} {number}",
            )
            for name, numbers in alerts.items()
            for number in numbers
        ]

        def take() -> None:
            with self.store.begin() as work:
                receive_alerts(work, said, self.rules)

        await asyncio.to_thread(take)

    async def count_open(self) -> int:
        def count() -> int:
            with self.store.begin() as work:
                return work.effects.backlog()[0]

        return await asyncio.to_thread(count)


@asynccontextmanager
async def open_scene(folder: Path, chats: Sequence[Busy]) -> AsyncIterator[Scene]:
    """Start the services, then the bot: dispatcher, connectors and their webhooks. Incidents need an alert."""
    async with AsyncExitStack() as stack:
        far = await stack.enter_async_context(open_far())
        tables: dict[str, Any] = {}
        for one in chats:
            runner, url = await far.run(listen(one.chat.app()))
            stack.push_async_callback(far.run, runner.cleanup())
            tables[one.name] = {"kind": one.kind, **one.chat.table(url)}
        rules = write_rules(chats)
        people = {"ana": {"name": "Ana", "role": "approver", "accounts": dict(rules.roster.people["ana"].accounts)}}
        channels = make_channels(Settings.model_validate({"channels": tables, "people": people}), None)
        engine = open_engine(f"sqlite:///{folder / 'nightshift.db'}")
        migrate(engine)
        stack.callback(engine.dispose)
        store = SqlStore(engine, SystemClock(), PhaseLog(SystemClock()).of_session)  # type: ignore[arg-type]  # any clock
        inbox = StoreInbox(store, rules)
        app = web.Application()
        for hook in (hook for channel in channels for hook in channel.connector.webhooks(inbox)):
            app.router.add_route(hook.method, hook.path, _mount(hook))
        runner, url = await listen(app)
        stack.push_async_callback(runner.cleanup)
        for one in chats:
            one.chat.will_call(url)
        dispatcher = Dispatcher(
            store, SystemClock(), channels, Composer(store, rules, Links()).compose, sweep_seconds=10
        )
        store.on_commit(dispatcher.wake)
        jobs = [asyncio.ensure_future(_listen_to(channel, inbox)) for channel in channels]
        jobs.append(asyncio.ensure_future(dispatcher.run()))
        stack.push_async_callback(_stop, jobs)
        yield Scene(chats=chats, store=store, rules=rules, far=far)


async def _stop(jobs: Sequence["asyncio.Future[None]"]) -> None:
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)
