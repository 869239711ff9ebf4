"""The front process: everything that holds a credential, put together, started, and stopped in order."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import structlog

from bot.agent.cleaning import redact_value
from bot.agent.redaction import Redactor
from bot.bootstrap.chat import WEB, make_channels, make_fetch
from bot.bootstrap.contacts import make_contacts
from bot.bootstrap.log_sources import make_opener
from bot.bootstrap.logs import configure_logs, redact_logs
from bot.bootstrap.memory import settle, share_one_heap
from bot.bootstrap.metric_source import open_metrics
from bot.bootstrap.model import make_model_phases
from bot.bootstrap.platforms import LOCAL, Platforms, make_platforms
from bot.bootstrap.repositories import open_git
from bot.bootstrap.rules import load_rules, make_redactor, read_secret_file
from bot.bootstrap.state import State, open_state
from bot.bootstrap.stopping import ignore_signals, listen_for_stop
from bot.bootstrap.tool_servers import make_shelf
from bot.engine.accounts import AccountBook
from bot.engine.chat_inbox import StoreInbox
from bot.engine.compose import Composer
from bot.engine.contacts import ContactDispatcher
from bot.engine.dispatcher import Channel, Dispatcher
from bot.engine.drainer import Drainer
from bot.engine.freezes import FreezeWatch
from bot.engine.gauges import Gauges
from bot.engine.handlers import Handlers
from bot.engine.hooks import Hooks
from bot.engine.pausing import Pausing
from bot.engine.revert_phase import RevertPhase
from bot.engine.ticker import Ticker
from bot.engine.tools import Tools
from bot.errors import NightshiftError, Unavailable
from bot.ports.alerts import AlertSource
from bot.ports.clock import Clock, SystemClock
from bot.ports.drafter import Drafter
from bot.ports.http import Webhook
from bot.ports.investigator import CIReader, Investigator, Plotter
from bot.render.links import Links
from bot.services.dead_channel import note_trouble
from bot.services.rulebook import Rulebook
from bot.settings import Settings
from bot.store.database import SqlStore, lock_state
from bot.store.inbox import Inbox
from bot.store.sessions import SqlSessions
from bot.web.admin import AdminApi
from bot.web.changes import ChangeIntake
from bot.web.intake import AlertIntake
from bot.web.page_tests import PageTests
from bot.web.pages import Pages
from bot.web.server import Surface, build_app, listen
from bot.web.sessions import Sessions
from bot.worker.client import WorkerClient
from bot.worker.messages import Answer, StepTaken
from connectors.alerts import alertmanager
from connectors.hooks import signed

log = structlog.get_logger(__name__)
STOP_SECONDS = 5
RESTART_SECONDS = 5.0
SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter from another. A delivery changes threads twice before its 2xx; at Python's
5 ms each change waits that long while a batch is taken in (measured)."""
ALONE = 10
"""How many times longer the sweeps wait where no other process writes: this one wakes itself after each commit."""
TOKEN_FILE = "admin.token"  # noqa: S105 -- a file name


@dataclass(frozen=True, kw_only=True)
class Outside:
    """What a test may put in the place of the real thing. None = the real thing."""

    clock: Clock | None = None
    investigator: Investigator | None = None


@dataclass(frozen=True, kw_only=True)
class Front:
    """The running front process, for whoever started it."""

    settings: Settings
    rules: Rulebook
    store: SqlStore
    inbox: Inbox
    drainer: Drainer
    sessions: Sessions
    worker: Investigator
    chat: StoreInbox
    url: str


def _hosts(settings: Settings, port: int) -> frozenset[str]:
    """Names under which the pages may be asked for: our own addresses, the public one, and those configured."""
    names = {"localhost", "127.0.0.1", "[::1]", settings.server.host, *settings.server.allowed_hosts}
    if settings.public_url:
        names.add(settings.public_url.split("://", 1)[1].split("/", 1)[0])
    return frozenset(names | {f"{name}:{port}" for name in names})


def _sources(settings: Settings) -> dict[str, AlertSource]:
    sender = settings.sender("alertmanager")
    own = alertmanager.Settings(token=sender.token, username=sender.username, password=sender.password)
    return {"alertmanager": alertmanager.Source(own)}


def _worker(settings: Settings, redactor: Redactor, stack: contextlib.AsyncExitStack) -> WorkerClient:
    def redact(answer: Answer) -> Answer:
        if isinstance(answer, StepTaken):
            return answer  # redacted where it is stored, text by text: it is JSON
        return redact_value(answer, redactor.redact)

    argv = [sys.executable, "-m", "bot", "worker", "--descriptor"]
    worker = WorkerClient(argv, memory_bytes=settings.limits.worker_bytes, redact=redact)
    stack.push_async_callback(worker.close)
    return worker


def log_file(settings: Settings) -> Path:
    return settings.server.state_dir / "log" / "nightshift.log"


@contextlib.asynccontextmanager
async def open_front(settings: Settings, outside: Outside | None = None) -> AsyncIterator[Front]:
    """Start everything, yield when Nightshift is ready, and stop it in order afterwards."""
    outside = outside or Outside()
    async with contextlib.AsyncExitStack() as stack:
        core = _open_core(settings, outside, stack)
        front = await _start(core, outside, stack)
        log.info("ready", url=front.url)
        yield front
        log.info("stopping")


@dataclass(frozen=True, kw_only=True)
class _Core:
    """What everything else is built on."""

    settings: Settings
    clock: Clock
    rules: Rulebook
    redactor: Redactor
    admin_token: str
    state: State


def _open_core(settings: Settings, outside: Outside, stack: contextlib.AsyncExitStack) -> _Core:
    state = settings.server.state_dir
    clock = outside.clock or SystemClock()
    stack.enter_context(lock_state(state))
    token = settings.admin_token.get_secret_value() if settings.admin_token else read_secret_file(state / TOKEN_FILE)
    redactor = make_redactor(settings, token)
    redact_logs(redactor.redact)
    rules = load_rules(settings)
    return _Core(
        settings=settings,
        clock=clock,
        rules=rules,
        redactor=redactor,
        admin_token=token,
        state=open_state(settings, clock, stack),
    )


async def _start(core: _Core, outside: Outside, stack: contextlib.AsyncExitStack) -> Front:
    """Start the parts in the order in which they need each other; they stop in reverse."""
    settings, rules = core.settings, core.rules
    engine, store, inbox, board = core.state.engine, core.state.store, core.state.inbox, core.state.board
    accounts = AccountBook(store, rules)
    channels = make_channels(settings, board, accounts=accounts.open, store=store)
    contacts = make_contacts(settings)
    await accounts.begin()
    links = Links(base=settings.public_url or "")
    chat = StoreInbox(store, rules, links)
    platforms = make_platforms(settings)
    stack.push_async_callback(platforms.close)
    sources = {**_sources(settings), **platforms.hooks}
    sessions = Sessions(store=SqlSessions(store), clock=core.clock)

    worker = outside.investigator or _worker(settings, core.redactor, stack)
    tools = replace(_tools(core, worker, platforms), fetch_image=make_fetch(channels))
    handlers = Handlers(store, rules, tools)
    model = make_model_phases(
        settings, store=store, rules=rules, redactor=core.redactor, drafter=worker, handlers=handlers
    )
    if core.state.keeper is not None:
        await asyncio.to_thread(core.state.keeper.begin)
        core.state.keeper.start()
        stack.push_async_callback(core.state.keeper.close)
    revert = RevertPhase(store, rules, tools=tools, handlers=handlers).phase()
    await engine.launch(*map(Pausing(store).guard, (*handlers.phases(), *model, revert)))
    stack.push_async_callback(engine.close, STOP_SECONDS)

    composer = Composer(store, rules, links)
    sweep = settings.limits.sweep_seconds * (ALONE if core.state.keeper is None else 1)
    trouble = partial(note_trouble, rules=rules)
    dispatcher = Dispatcher(store, core.clock, channels, composer.compose, sweep_seconds=sweep, on_trouble=trouble)
    store.on_commit(dispatcher.wake)
    pager = ContactDispatcher(store, rules, contacts, links=tools.links, sweep=sweep)
    store.on_commit(pager.wake)
    drainer = Drainer(inbox, store, sources, rules, sweep=sweep, on_commits=tools.news.tell)
    inbox.on_delivery(drainer.wake)

    port = settings.server.port or free_port(settings.server.host)
    pages = _pages(core, port, chat=chat, sessions=sessions, composer=composer)
    webhooks = [hook for channel in channels for hook in channel.connector.webhooks(chat)]
    surface = _surface(core, pages, port, webhooks=webhooks, pager=pager, sources=sources)
    runner, port = await listen(build_app(surface), settings.server.host, port)
    stack.push_async_callback(runner.cleanup)
    outward = [*_hooks(core, sweep, stack), *(_listen_to(channel, chat) for channel in channels)]
    await stack.enter_async_context(_background([dispatcher.run(), pager.run(), drainer.run(), *outward]))
    stack.callback(_tick(core, accounts).stop)
    _examine_model(settings, stack)
    return Front(
        settings=settings,
        rules=rules,
        store=store,
        inbox=inbox,
        drainer=drainer,
        sessions=sessions,
        worker=worker,
        chat=chat,
        url=f"http://{settings.server.host}:{port}",
    )


def _examine_model(settings: Settings, stack: contextlib.AsyncExitStack) -> None:
    """Find out beside everything else what the model's servers can do; nothing waits for it."""
    place = settings.model_place()
    if place is not None:
        from bot.bootstrap.doctor.model import tell_contract  # noqa: PLC0415 -- not needed where there is no model

        stack.callback(asyncio.create_task(tell_contract(place), name="model contract").cancel)


def _hooks(core: _Core, sweep: float, stack: contextlib.AsyncExitStack) -> Sequence[Coroutine[None, None, None]]:
    """Return what tells the configured hooks; nothing where there are none."""
    if not core.settings.hooks:
        return ()
    told = {
        name: signed.Connector(
            signed.Settings(url=hook.url, secret=hook.secret, proxy=hook.proxy, ca_file=hook.ca_file), core.clock
        )
        for name, hook in core.settings.hooks.items()
    }
    for one in told.values():
        stack.push_async_callback(one.close)
    hooks = Hooks(core.state.store, core.clock, told, sweep_seconds=sweep)
    core.state.store.on_commit(hooks.wake)
    return (hooks.run(),)


def _tools(core: _Core, worker: Investigator, platforms: Platforms) -> Tools:
    limits = core.settings.limits
    return Tools(
        investigator=worker,
        open_log=make_opener(core.settings),
        metrics=open_metrics(core.settings),
        far_tools=make_shelf(core.settings, core.redactor.redact),
        ci_reader=worker if isinstance(worker, CIReader) else None,
        plotter=worker if isinstance(worker, Plotter) else None,
        workspaces=open_git(core.settings),
        ci=platforms.ci,
        forges=platforms.forges,
        folder=core.settings.server.state_dir.absolute(),
        redact=core.redactor.redact,
        longest_poll={
            name: limits.ci_poll_hooked_seconds if name in platforms.hooks else limits.ci_poll_seconds
            for name in platforms.ci
            if name != LOCAL
        },
        dispatch_patience=timedelta(seconds=limits.dispatch_seconds),
        links=Links(base=core.settings.public_url or ""),
        has_model=core.settings.model_place() is not None and isinstance(worker, Drafter),
    )


def _pages(core: _Core, port: int, *, chat: StoreInbox, sessions: Sessions, composer: Composer) -> Pages:
    settings = core.settings
    return Pages(
        board=core.state.board,
        shelf=core.state.board,
        inbox=chat,
        sessions=sessions,
        roster=core.rules.roster,
        clock=core.clock,
        allowed_hosts=_hosts(settings, port),
        public_url=settings.public_url,
        show_patch=composer.show_patch,
        show_run=composer.show_run,
        channel=next((name for name, value in settings.channels.items() if value.kind == WEB), WEB),
    )


def _surface(
    core: _Core,
    pages: Pages,
    port: int,
    *,
    webhooks: Sequence[Webhook],
    pager: ContactDispatcher,
    sources: Mapping[str, AlertSource],
) -> Surface:
    settings = core.settings
    return Surface(
        intake=AlertIntake(core.state.inbox, sources, limit=settings.limits.alert_bytes),
        changes=ChangeIntake(core.state.store, sources["alertmanager"].verify),
        admin=AdminApi(
            core.state.store,
            core.state.inbox,
            pages.sessions,
            core.rules.roster,
            token=core.admin_token,
            base_url=settings.public_url or f"http://{settings.server.host}:{port}",
        ),
        pages=pages,
        page_tests=PageTests(core.rules.roster, pager.test, token=core.admin_token),
        webhooks=webhooks,
        is_ready=lambda: _is_ready(core),
    )


async def _is_ready(core: _Core) -> str:
    def read() -> None:
        with core.state.store.begin() as work:
            work.timeline.head()

    try:
        await asyncio.to_thread(read)
        await core.state.inbox.depth()
    except Unavailable as error:
        return str(error)
    return ""


@contextlib.asynccontextmanager
async def _background(jobs: Sequence[Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """Run jobs beside the caller. One that ends by itself is a mistake: the process stops instead of limping on."""
    tasks = [asyncio.create_task(job) for job in jobs]

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            log.critical("background_job_ended", job=repr(task.get_coro()), exc_info=task.exception())
            os.kill(os.getpid(), signal.SIGTERM)

    for task in tasks:
        task.add_done_callback(ended)
    try:
        yield
    finally:
        for task in tasks:
            task.remove_done_callback(ended)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _listen_to(channel: Channel, chat: StoreInbox) -> None:
    """Keep a connector listening; one that falls over is started again."""
    while True:
        try:
            await channel.connector.run(chat)
            await asyncio.Event().wait()
        except (NightshiftError, OSError) as error:
            log.warning("connector_restarts", channel=channel.name, error=str(error))
            await asyncio.sleep(RESTART_SECONDS)


def _tick(core: _Core, accounts: AccountBook) -> Ticker:
    ticker = Ticker()
    gauges = Gauges(core.state.store, core.state.inbox)
    ticker.every(15, "gauges", gauges.refresh)
    ticker.every(15, "freezes", FreezeWatch(core.state.store, core.rules).look)
    ticker.every(15, "accounts", accounts.refresh)
    ticker.every(3600, "prune", core.state.inbox.prune)
    ticker.start()
    return ticker


def free_port(host: str) -> int:
    """Return a port that is free now, for `server.port = 0`: the pages must know it before they are served."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


async def _serve(settings: Settings) -> None:
    stop = listen_for_stop()
    async with open_front(settings) as front:
        settle()
        print(f"Nightshift is ready: {settings.public_url or front.url}", flush=True)  # noqa: T201 -- the command's output
        await stop.wait()


def run_front(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    share_one_heap()
    sys.setswitchinterval(SWITCH_SECONDS)
    owns_terminal = any(channel.kind == "console" for channel in settings.channels.values())
    configure_logs(log_file(settings) if owns_terminal else None)
    try:
        asyncio.run(_serve(settings))
    finally:
        ignore_signals()
