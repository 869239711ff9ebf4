"""The demo from the first commit to the closed incident: everything in it is real but the shoppers."""

import asyncio
import os
import secrets
import shutil
import signal
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

import aiohttp

from bot.demo.alarm import THRESHOLD, Alarm, Scene, choose_alarm, in_background
from bot.demo.api import BotApi
from bot.demo.browser import PageError
from bot.demo.config import BotPlace, bot_env, python_env, render_config
from bot.demo.ending import Ending, print_summary, prove
from bot.demo.folder import DemoError, free_ports, fresh_folder
from bot.demo.person import Ana
from bot.demo.processes import Children, Spawn
from bot.demo.repository import CheckoutWorld, build_checkout
from bot.demo.service import DemoService, running_release, switch_current, unpack_release
from bot.demo.traffic import Traffic

_LOG_LINES: Final = 3_000
_WINDOW: Final = 3.0
_LOOK: Final = 0.2
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """`state` is the demo's folder; `yes` approves by itself and ends; `patience` is the seconds a step may take.

    `alertmanager` lets a real Prometheus and Alertmanager send the alert, `model_url` a model look for a patch too.
    """

    state: Path = Path(".nightshift/demo")
    yes: bool = False
    alertmanager: bool = False
    model_url: str = ""
    patience: float = 120.0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """All that stands on stage: the world, the running service, the bot and the sender of alerts."""

    options: DemoOptions
    world: CheckoutWorld
    service: DemoService
    place: BotPlace
    traffic: Traffic
    api: BotApi
    alarm: Alarm
    ana: Ana
    bot: asyncio.subprocess.Process

    async def wait_for(self, what: str, look: Callable[[], Awaitable[_T | None]], *, seconds: float | None) -> _T:
        """Look until there is something. Raises `DemoError` when the time is over or the bot has ended."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            found = await look()
            if found:
                return found
            if self.bot.returncode is not None:
                raise DemoError(f"Nightshift ended with status {self.bot.returncode} while the demo waited for {what}.")
            if deadline is not None and time.monotonic() > deadline:
                raise DemoError(f"Waited {seconds:.0f} s for {what} in vain.")
            await asyncio.sleep(_LOOK)


def demo_main(options: DemoOptions) -> int:
    """Play the demo in this process and return its exit status; Ctrl-C ends it and everything it started."""
    try:
        return asyncio.run(run_demo(options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say("Stopped; nothing of the demo is running any more.")
        return 130


async def run_demo(options: DemoOptions) -> int:
    """Play the demo. Returns the exit status: 0 when the incident was closed and everything shown was true."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        with fresh_folder(options.state) as folder:
            return await _play(options, folder)
    except (DemoError, PageError, ConnectionError) as error:
        _say(f"The demo stopped: {error}")
        for log in ("bot.log", "bot/log/nightshift.log"):
            _show_tail(options.state.absolute() / log)
        return 1


async def _play(options: DemoOptions, folder: Path) -> int:
    async with AsyncExitStack() as stack:
        stage = await _set_up(options, folder, stack)
        ending = await _tell(stage, stack)
        faults = await prove(stage.world, stage.api, stage.ana, ending.incident)
        print_summary(stage.world, stage.place, ending, await stage.api.timeline(ending.incident), faults)
        if not options.yes:
            _say("Look around; Ctrl-C stops it all.")
            with suppress(asyncio.CancelledError):  # Ctrl-C is the good end here
                await stage.bot.wait()
        return 1 if faults else 0


async def _set_up(options: DemoOptions, folder: Path, stack: AsyncExitStack) -> Stage:
    """Build the world and start everything in it."""
    _say(f"Building the service's repository in {folder} …")
    world = await asyncio.to_thread(build_checkout, folder, now=datetime.now(UTC))
    service_port, bot_port = free_ports(2)
    service = DemoService(state=folder, repository=world.repository, port=service_port, run=world.run)
    place = BotPlace(port=bot_port, state=folder / "bot")
    await asyncio.to_thread(service.save)
    await asyncio.to_thread(unpack_release, service, world.head)
    switch_current(service, world.head)
    session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)))
    children = await stack.enter_async_context(Children(folder))
    scene = Scene(
        service=service,
        traffic=Traffic(session, service.url),
        receiver=f"{place.url}/v1/alerts/alertmanager",
        token=secrets.token_urlsafe(24),
        children=children,
        session=session,
        stack=stack,
    )
    alarm = choose_alarm(scene, real=options.alertmanager)
    config = render_config(place, world, service, metrics_url=alarm.metrics_url)
    place.config.write_text(config, encoding="utf-8")
    python = [sys.executable, "-m"]
    env = python_env(os.environ)
    supervisor = Spawn(
        argv=[*python, "bot.demo.supervise", str(folder)], env=env, cwd=folder, log=folder / "service.out"
    )
    await children.start(supervisor)
    nightshift = await children.start(
        Spawn(
            argv=[*python, "bot", "run", "--config", str(place.config)],
            env=bot_env(os.environ, scene.token, model_url=options.model_url),
            cwd=folder,
            log=folder / "bot.log",
            on_terminal=not options.yes and sys.stdin.isatty(),
        )
    )
    return Stage(
        options=options,
        world=world,
        service=service,
        place=place,
        traffic=scene.traffic,
        api=BotApi(session, place.url, place.state / "admin.token"),
        alarm=alarm,
        ana=Ana(session, place, env),
        bot=nightshift,
    )


async def _tell(stage: Stage, stack: AsyncExitStack) -> Ending:
    """Let it fail, alert, be repaired, and resolve; return how it went."""
    patience = stage.options.patience
    ratio = await _let_it_fail(stage, stack)
    await stage.wait_for("Nightshift to be ready", lambda: _truth(stage.api.is_ready()), seconds=patience)
    link = await stage.ana.make_link()
    _say(f"Nightshift is ready. The web page, signed in as Ana: {link}")
    _say(stage.alarm.announcement)
    alerted_at = await stage.alarm.fire(ratio)
    _say("The alert fires. The card, the page and the investigation follow.")
    incident = await stage.wait_for("the incident", stage.api.newest_incident, seconds=patience)
    if stage.options.yes:
        await _press_like_ana(stage, incident, link)
    else:
        _say("Acknowledge it, read the diff, and press Approve: on the web page, or by the key in this terminal.")
    await stage.wait_for(
        "the service to be healthy again",
        lambda: _is_healthy(stage),
        seconds=patience if stage.options.yes else None,
    )
    await stage.wait_for("CI's verdict", lambda: _verdict(stage, incident), seconds=patience)
    healthy_at = datetime.now(UTC)
    await stage.alarm.clear(healthy_at)
    _say("The order that failed goes through again, so the alert is resolved.")
    await stage.wait_for("the incident to be closed", lambda: _is_closed(stage, incident), seconds=patience)
    return Ending(incident=incident, alerted_at=alerted_at, healthy_at=healthy_at)


async def _let_it_fail(stage: Stage, stack: AsyncExitStack) -> float:
    """Send shoppers until the measured share of 5xx is over the threshold, and return it."""
    await stage.wait_for("the service to answer", lambda: _serves(stage, stage.world.head), seconds=20)
    await stage.alarm.watch()
    lines = await stage.traffic.fill_log(stage.service.log, lines=_LOG_LINES, seconds=30)
    in_background(stack, stage.traffic.run())
    ratio = stage.traffic.error_ratio(60) or 0.0
    if ratio <= THRESHOLD:
        raise DemoError(f"The service should fail and does not: {ratio:.1%} of the requests, {lines} log lines.")
    _say(f"The service runs at {stage.service.url}; {ratio:.1%} of its requests fail, {lines:,} lines are in its log.")
    return ratio


async def _press_like_ana(stage: Stage, incident: str, link: str) -> None:
    """Acknowledge, wait for the patch, read it, approve, and wait for CI's verdict."""
    patience = stage.options.patience
    await stage.ana.sign_in(link)
    _say(f"Ana acknowledges: {await stage.wait_for('Acknowledge', _presses(stage, incident, 'Ack'), seconds=patience)}")
    approve = stage.wait_for(
        "a verified patch with an Approve button", _presses(stage, incident, "Approve"), seconds=patience
    )
    _say(f"Ana approves: {await approve}")
    verdict = await stage.wait_for("CI's verdict", lambda: _verdict(stage, incident), seconds=patience)
    if verdict != "passed":
        raise DemoError(f"CI said {verdict}; see its log in {stage.place.state}.")
    _say("CI is green and the deploy job has run.")


def _presses(stage: Stage, incident: str, label: str) -> Callable[[], Awaitable[str | None]]:
    async def look() -> str | None:
        status = await stage.api.incident(incident)
        if status and status.run_state in {"failed", "cancelled", "done"} and not status.patches and label == "Approve":
            raise DemoError(f"The investigation ended ({status.run_state}) without a patch; the page says why.")
        return await stage.ana.press(f"/incidents/{incident}", label)

    return look


async def _verdict(stage: Stage, incident: str) -> str | None:
    status = await stage.api.incident(incident)
    last = status.ci[-1].state if status and status.ci else ""
    return last if last in {"passed", "failed", "cancelled"} else None


async def _is_healthy(stage: Stage) -> bool:
    """The alert's own condition and the order that failed: both must be good, measured now."""
    ratio = stage.traffic.error_ratio(_WINDOW)
    return ratio is not None and ratio < THRESHOLD and await stage.traffic.probe() < 400


async def _is_closed(stage: Stage, incident: str) -> bool:
    status = await stage.api.incident(incident)
    return status is not None and status.state == "resolved"


async def _serves(stage: Stage, sha: str) -> bool:
    return await asyncio.to_thread(running_release, stage.service) == sha


async def _truth(answer: Awaitable[bool]) -> bool:
    return await answer


def _say(text: str) -> None:
    over_prompt = "\r\x1b[K" if sys.stdout.isatty() else ""
    width = max(shutil.get_terminal_size().columns - 1, 40)
    lines = textwrap.wrap(text, width, initial_indent="demo │ ", subsequent_indent="     │ ", break_long_words=False)
    sys.stdout.write(over_prompt + "\n".join(lines) + "\n")
    sys.stdout.flush()


def _show_tail(log: Path, lines: int = 15) -> None:
    with suppress(OSError):
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
        if tail:
            _say(f"The end of {log}:")
            sys.stdout.write("\n".join(tail) + "\n")
