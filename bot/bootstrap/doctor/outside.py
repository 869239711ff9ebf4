"""The doctor's look at what Nightshift works with: sandbox, git, repositories, logs, CI, chat, model, proxies, time."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from bot.bootstrap.chat import make_channels
from bot.bootstrap.ci import spool_folder
from bot.bootstrap.doctor.checks import Found, mend, ok
from bot.bootstrap.log_sources import make_opener
from bot.bootstrap.metric_source import open_metrics
from bot.bootstrap.platforms import LOCAL, make_platforms
from bot.bootstrap.state import STORE_FILE, open_for_reading
from bot.domain.service import LogPlace, Service
from bot.errors import ConfigError, NightshiftError, Reason, Refused
from bot.ports.board import Board
from bot.ports.ci import CIProvider
from bot.ports.clock import SystemClock
from bot.ports.forge import Forge
from bot.ports.logs import LogQuery, LogSource
from bot.settings import GitSettings as GitWay
from bot.settings import ModelSettings, Settings
from bot.store.board import SqlBoard
from bot.store.database import SqlStore
from connectors.sandboxes.ladder import choose_sandbox
from connectors.workspaces.git import Git
from connectors.workspaces.git import Settings as GitSettings

REMOTE_SECONDS: Final = 20.0
MODEL_SECONDS: Final = 5.0
MAX_ANSWER: Final = 256 * 1024
MAX_SKEW: Final = 30.0
OLDEST_GIT: Final = (2, 39)
RECENT: Final = timedelta(hours=1)


async def check_sandbox(_settings: Settings) -> Sequence[Found]:
    sandbox = await choose_sandbox()
    if sandbox.rung == "none":
        how = "install bubblewrap (or podman, or docker); until then no patch is verified"
        return [mend("sandbox", "no rung of the ladder runs here", how)]
    probes = await sandbox.probe()
    escaped = [probe.name for probe in probes if not probe.held]
    if escaped or not probes:
        text = f"{sandbox.rung}: {', '.join(escaped) or 'nothing was tried'} got out"
        return [mend("sandbox", text, "run `nightshift sandbox-run --probe` and see docs/sandbox.md")]
    return [ok("sandbox", f"{sandbox.rung}, {len(probes)} attempts to get out were stopped")]


async def check_git(_settings: Settings) -> Sequence[Found]:
    try:
        process = await asyncio.create_subprocess_exec("git", "--version", stdout=asyncio.subprocess.PIPE)
    except FileNotFoundError:
        return [mend("git", "git is not installed", "install git")]
    said = (await process.communicate())[0].decode(errors="replace").strip()
    match = re.search(r"(\d+)\.(\d+)(?:\.\d+)?", said)
    if match is None or (int(match[1]), int(match[2])) < OLDEST_GIT:
        oldest = ".".join(map(str, OLDEST_GIT))
        return [mend("git", f"{said or 'no answer'}: too old to be safe on foreign repositories", f"install {oldest}+")]
    return [ok("git", f"{said}, without hooks, configuration, submodules or foreign transports")]


async def check_services(settings: Settings) -> Sequence[Found]:
    services = list(settings.service_map().values())
    if not services:
        return [mend("service", "none is configured, so nothing is investigated", "add [services.NAME]")]
    tokens = {host: token.get_secret_value() for host, token in settings.git.tokens.items()}
    git = Git(
        GitSettings(
            tokens=tokens,
            proxy=settings.git.proxy,
            ca_file=settings.git.ca_file,
            remote_seconds=REMOTE_SECONDS,
        )
    )
    return await asyncio.gather(*(_check_service(git, service) for service in services))


async def _check_service(git: Git, service: Service) -> Found:
    name = f"service {service.name}"
    try:
        sha = await git.remote_sha(service.repository, service.branch)
    except NightshiftError as error:
        return mend(name, str(error), f"mend services.{service.name}.repository, or [git] tokens, proxy and ca_file")
    if sha is None:
        return mend(name, f'its repository has no branch "{service.branch}"', f"mend services.{service.name}.branch")
    if not service.run and not service.checks:
        how = f"set services.{service.name}.run or .checks; without them no patch is verified"
        return mend(name, f"{service.branch} is at {sha[:12]}, but nothing can be tested", how)
    return ok(name, f"{service.branch} is at {sha[:12]}")


async def check_logs(settings: Settings) -> Sequence[Found]:
    places = [(service, place) for service in settings.service_map().values() for place in service.logs]
    opener = make_opener(settings)
    return await asyncio.gather(*(asyncio.to_thread(_read_log, service, place, opener) for service, place in places))


def _read_log(service: Service, place: LogPlace, opener: Callable[[LogPlace], LogSource]) -> Found:
    name, now = f"logs {service.name}", datetime.now(UTC)
    query = LogQuery(service=service.name, since=now - RECENT, until=now, max_bytes=MAX_ANSWER)
    try:
        count = sum(1 for _ in opener(place).read(query))
    except NightshiftError as error:
        return mend(name, str(error), f"give this user the right to read it, or mend services.{service.name}.logs")
    return ok(name, f"{place.label}: {count if count else 'no'} lines in the last hour")


async def check_metrics(settings: Settings) -> Sequence[Found]:
    source = open_metrics(settings)
    if source is None:
        return [ok("metrics", "no server is configured; alerts are not plotted")]
    try:
        return [ok("metrics", await asyncio.to_thread(source.check))]
    except NightshiftError as error:
        return [mend("metrics", str(error), "mend [connections.prometheus], see docs/metrics.md")]


async def check_ci(settings: Settings) -> Sequence[Found]:
    found = []
    platforms = make_platforms(settings)
    places: dict[str, CIProvider | Forge] = {f"ci {name}": ci for name, ci in platforms.ci.items()}
    places |= {f"forge {name}": forge for name, forge in platforms.forges.items()}
    for name, place in places.items():
        if name == f"ci {LOCAL}" and not spool_folder(settings).exists():
            found.append(ok(name, "it makes its folder with the first run"))  # asked now, it would make it already
            continue
        health = await place.check()
        found.append(ok(name, health.text) if health.ok else mend(name, health.text, "see docs/configuration.md"))
    await platforms.close()
    return found


async def check_chat(settings: Settings) -> Sequence[Found]:
    """Ask every chat service; the web page is one only where there is a store."""
    if settings.database_url is None and not (settings.server.state_dir / STORE_FILE).exists():
        return await _ask_channels(settings, None)
    database = open_for_reading(settings)
    try:
        return await _ask_channels(settings, SqlBoard(SqlStore(database, SystemClock(), _no_phases), SystemClock()))
    finally:
        database.dispose()


async def _ask_channels(settings: Settings, board: Board | None) -> Sequence[Found]:
    try:
        channels = make_channels(settings, board)
    except ConfigError as error:
        return [mend("chat", str(one), "mend the configuration") for one in error.problems]
    found = []
    for channel in channels:
        health = await channel.connector.check()
        name = f"chat {channel.name}"
        found.append(ok(name, health.text) if health.ok else mend(name, health.text, f"mend [channels.{channel.name}]"))
    return found


def _no_phases(_session: object) -> "_NoPhases":
    return _NoPhases()


class _NoPhases:
    """Looking starts nothing."""

    def enqueue(self, *_args: object, **_options: object) -> None:
        raise Refused("The doctor only looks.", Reason.NOT_ALLOWED)


async def check_networks(settings: Settings) -> Sequence[Found]:
    """Proxies, CA files, and what remotes say that time it is."""
    found = [_check_ca(name, value.ca_file) for name, value in _ways(settings) if value.ca_file]
    for name, value in _ways(settings):
        if value.proxy:
            found.append(await _check_proxy(name, value.proxy))
    if not found:
        found.append(ok("network", "no proxy and no CA file are set"))
    times = await asyncio.gather(*(_compare_time(*way) for way in _remotes(settings)))
    return [*found, *(one for one in times if one)]


def _ways(settings: Settings) -> Sequence[tuple[str, GitWay | ModelSettings]]:
    return (("git", settings.git), ("model", settings.model))


def _check_ca(name: str, path: str) -> Found:
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        return mend("network", f"{name}.ca_file {path} cannot be used: {error}", "give a file of PEM certificates")
    return ok("network", f"{name}.ca_file {path} can be read")


async def _check_proxy(name: str, proxy: str) -> Found:
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    where = f"{parts.hostname}:{parts.port or 3128}"
    try:
        async with asyncio.timeout(3):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 3128)
        writer.close()
    except (OSError, TimeoutError) as error:
        return mend("network", f"{name}.proxy {where} does not answer ({type(error).__name__})", f"mend {name}.proxy")
    return ok("network", f"{name}.proxy {where} answers")


def _remotes(settings: Settings) -> Sequence[tuple[str, str, str]]:
    """Return (address, proxy, CA file) of each HTTP server that is configured, once."""
    places = [(service.repository, settings.git.proxy, settings.git.ca_file) for service in settings.services.values()]
    for model in filter(None, (place := settings.model_place(), place and place.second)):
        places += [(url, model.proxy, model.ca_file) for url in model.urls]
    found: dict[str, tuple[str, str, str]] = {}
    for url, proxy, ca_file in places:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and parts.hostname:
            port = f":{parts.port}" if parts.port else ""
            found.setdefault(parts.hostname, (f"{parts.scheme}://{parts.hostname}{port}/", proxy, ca_file))
    return tuple(found.values())


async def _compare_time(url: str, proxy: str, ca_file: str) -> Found | None:
    """Compare our clock with the Date of a server's answer; None where it says none."""
    try:
        async with _get(url, headers={}, proxy=proxy, ca_file=ca_file) as answer:
            said = parsedate_to_datetime(answer.headers["Date"])
    except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError):
        return None
    skew = (datetime.now(UTC) - said.astimezone(UTC)).total_seconds()
    host = urlsplit(url).hostname
    if abs(skew) > MAX_SKEW:
        return mend("clock", f"it differs by {skew:+.0f} s from {host}", "set the clock; let chrony keep it")
    return ok("clock", f"agrees with {host}")


@asynccontextmanager
async def _get(url: str, *, headers: dict[str, str], proxy: str, ca_file: str) -> AsyncIterator[aiohttp.ClientResponse]:
    context = ssl.create_default_context(cafile=ca_file) if ca_file else True
    timeout = aiohttp.ClientTimeout(total=MODEL_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(url, headers=headers, proxy=proxy or None, ssl=context, allow_redirects=False) as answer,
    ):
        yield answer
