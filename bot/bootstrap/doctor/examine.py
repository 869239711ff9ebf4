"""`doctor`: everything Nightshift needs, each line `ok` or `mend` with how to mend it.

It changes nothing and never takes the lock: it works beside a running Nightshift and without one.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bot import __version__
from bot.agent.redaction import load_redactor
from bot.bootstrap.doctor.checks import Found, mend, ok
from bot.bootstrap.doctor.contacts import check_contacts
from bot.bootstrap.doctor.model import check_model
from bot.bootstrap.doctor.outside import (
    check_chat,
    check_ci,
    check_git,
    check_logs,
    check_metrics,
    check_networks,
    check_sandbox,
    check_services,
)
from bot.bootstrap.doctor.state import (
    check_clock,
    check_disk,
    check_engine,
    check_inbox,
    check_permissions,
    check_running,
    check_store,
)
from bot.bootstrap.doctor.tools import check_tool_servers
from bot.bootstrap.rules import load_rules
from bot.errors import ConfigError, NightshiftError
from bot.services.approval import MIN_CHANNELS
from bot.settings import Settings, load_settings

SECONDS: Final = 60.0
Check = Callable[[Settings], Awaitable[Sequence[Found]]]
CHECKS: Final[Sequence[tuple[str, Check]]] = (
    ("running", check_running),
    ("store", check_store),
    ("engine", check_engine),
    ("inbox", check_inbox),
    ("permissions", check_permissions),
    ("disk", check_disk),
    ("clock", check_clock),
    ("sandbox", check_sandbox),
    ("git", check_git),
    ("service", check_services),
    ("logs", check_logs),
    ("metrics", check_metrics),
    ("ci", check_ci),
    ("chat", check_chat),
    ("contacts", check_contacts),
    ("mcp", check_tool_servers),
    ("model", check_model),
    ("network", check_networks),
)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was looked at, in order."""

    found: tuple[Found, ...]

    @property
    def is_well(self) -> bool:
        return all(one.is_ok for one in self.found)

    def as_text(self) -> str:
        width = max(len(one.name) for one in self.found)
        lines = []
        for one in self.found:
            lines.append(f"{'ok  ' if one.is_ok else 'mend'}  {one.name:{width}}  {one.text}")
            if one.how:
                lines.append(f"{' ' * (width + 8)}→ {one.how}")
        broken = sum(not one.is_ok for one in self.found)
        lines.append("Everything is well." if not broken else f"{broken} to mend.")
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        lines = [{"name": one.name, "ok": one.is_ok, "text": one.text, "mend": one.how} for one in self.found]
        return {"version": __version__, "ok": self.is_well, "lines": lines}


def examine(config: Path | None) -> Report:
    """Look at everything. A configuration that cannot be used is reported whole, and nothing else."""
    try:
        settings = load_settings(config)
        rules = load_rules(settings)
    except ConfigError as error:
        return Report(found=tuple(_clean(mend("configuration", p.where, p.what)) for p in error.problems))
    source = str(config) if config else "no file, variables only"
    found = [ok("configuration", source), *_check_people(settings, len(rules.playbooks))]
    redact = load_redactor(settings.secrets(), os.urandom(32)).redact
    found += asyncio.run(_examine(settings))
    return Report(found=tuple(_clean(one, redact) for one in found))


def _clean(found: Found, redact: Callable[[str], str] = str) -> Found:
    """Keep each text one line of plain text without secrets: some of it was said by others."""

    def clean(text: str) -> str:
        line = " ".join(redact(text).split())
        return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)

    return replace(found, text=clean(found.text), how=clean(found.how))


async def _examine(settings: Settings) -> list[Found]:
    results = await asyncio.gather(*(_guarded(name, check, settings) for name, check in CHECKS))
    return [one for result in results for one in result]


async def _guarded(name: str, check: Check, settings: Settings) -> Sequence[Found]:
    """One check that breaks is one line; the others go on."""
    try:
        async with asyncio.timeout(SECONDS):
            return await check(settings)
    except ConfigError as error:
        return [mend(name, problem.where, problem.what) for problem in error.problems]
    except TimeoutError:
        return [mend(name, f"no answer within {SECONDS:.0f} s", "find out what makes it wait")]
    except (NightshiftError, OSError) as error:
        return [mend(name, str(error) or type(error).__name__, "see docs/operations.md")]


def _check_people(settings: Settings, playbooks: int) -> list[Found]:
    """What is no mistake in the configuration, and yet leaves Nightshift without a use."""
    found = []
    sender = settings.sender("alertmanager")
    if sender.token or sender.password:
        found.append(ok("alerts", "alertmanager may deliver"))
    else:
        found.append(mend("alerts", "every delivery is refused: no token", "set NIGHTSHIFT_ALERT_TOKEN"))
    if settings.routes and settings.escalations and settings.channels:
        text = (
            f"{len(settings.routes)} routes, {len(settings.escalations)} escalations, {len(settings.channels)} channels"
        )
        found.append(ok("paging", f"{text}, {playbooks} playbooks"))
    else:
        found.append(mend("paging", "nobody would be paged", "add [[routes]], [escalations.…] and [channels.…]"))
    if settings.approval.break_glass and len(settings.channels) < MIN_CHANNELS:
        what = "break-glass would be refused: it is told in two channels"
        found.append(mend("approval", what, "add another channel in [channels.…]"))
    elif settings.approval.approvers:
        found.append(ok("approval", f"{len(settings.approval.approvers)} people may approve"))
    else:
        found.append(mend("approval", "nobody may approve a patch", "name people in [approval] approvers"))
    return found + _check_address(settings)


def _check_address(settings: Settings) -> list[Found]:
    listens = f"listens on {settings.server.host}:{settings.server.port}"
    if settings.public_url:
        is_local = any(name in settings.public_url for name in ("localhost", "127.0.0.1", "[::1]"))
        if settings.public_url.startswith("http://") and not is_local:
            return [mend("address", f"{settings.public_url} is not encrypted", "serve it over https")]
        return [ok("address", f"{listens}, links lead to {settings.public_url}")]
    if settings.server.host in {"0.0.0.0", "::"} and not settings.server.allowed_hosts:  # noqa: S104 -- compared
        how = "set NIGHTSHIFT_PUBLIC_URL, or server.allowed_hosts"
        return [mend("address", f"{listens}, but pages are refused under every outside name", how)]
    return [ok("address", f"{listens}; NIGHTSHIFT_PUBLIC_URL is not set, so messages carry no links")]
