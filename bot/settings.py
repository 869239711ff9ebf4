"""The configuration: `nightshift.toml`, with `NIGHTSHIFT_…` variables and `.env` on top; read once, checked as a whole.

A nested value is reached by two underscores: `NIGHTSHIFT_SERVER__PORT=9090` sets `[server] port`.
"""

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from bot.domain.approvals.policy import ApprovalPolicy
from bot.domain.oncall import EscalationPolicy, EscalationStep, Person, Role, Roster
from bot.domain.routing import Matcher, Route
from bot.domain.runs.transcript import Budget
from bot.domain.service import LogPlace, Service
from bot.domain.text.wellformed import (
    fault_of_account,
    fault_of_branch,
    fault_of_host,
    fault_of_name,
    fault_of_repository,
    fault_of_text,
    fault_of_web_address,
    walk_texts,
)
from bot.errors import ConfigError, Problem
from bot.ports.model import ModelPlace
from bot.settings_approval import ApprovalSettings, build_policy, check_approval
from bot.settings_budgets import check_budgets
from bot.settings_connections import add_variables
from bot.settings_contacts import build_contacts, check_contacts, list_secrets
from bot.settings_logs import check_logs
from bot.settings_mcp import check_mcp, list_mcp_secrets
from bot.settings_metrics import build_metrics, check_metrics
from bot.settings_model import build_place, check_model, list_addresses
from bot.settings_rollout import check_rollout
from bot.settings_sections import (
    ChannelSettings,
    ConnectionSettings,
    EscalationSettings,
    GitSettings,
    HookSettings,
    LimitSettings,
    MCPSettings,
    ModelSettings,
    PersonSettings,
    RouteSettings,
    SenderSettings,
    ServerSettings,
    ServiceSettings,
)

__all__ = ["ChannelSettings", "GitSettings", "ModelSettings", "Settings", "load_settings"]

ENV_PREFIX = "NIGHTSHIFT_"
ENV_FILE = ".env"
OWN_NAME = "nightshift"
MAX_FILE_BYTES = 1024 * 1024
NOT_SETTINGS = frozenset(
    {"FAULT_POINT", "ALLOW_FAULTS", "TOOLCHAIN", "SHA", "REPOSITORY", "BRANCH", "INCIDENT", "CONFIG"}
)


class Settings(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        env_file=ENV_FILE,
        dotenv_filtering="only_existing",  # its other lines are other programs' business; ours are checked below
        env_file_encoding="utf-8",
        extra="forbid",
        frozen=True,
    )

    server: ServerSettings = ServerSettings()
    public_url: str | None = None
    database_url: SecretStr | None = None
    alert_token: SecretStr | None = None
    admin_token: SecretStr | None = None
    senders: dict[str, SenderSettings] = {}
    people: dict[str, PersonSettings] = {}
    services: dict[str, ServiceSettings] = {}
    routes: tuple[RouteSettings, ...] = ()
    escalations: dict[str, EscalationSettings] = {}
    channels: dict[str, ChannelSettings] = {}
    connections: dict[str, ConnectionSettings] = {}
    hooks: dict[str, HookSettings] = {}
    mcp: dict[str, MCPSettings] = {}
    approval: ApprovalSettings = ApprovalSettings()
    git: GitSettings = GitSettings()
    model: ModelSettings = ModelSettings()
    model_url: str | None = None
    model_urls: str | None = None
    model_name: str | None = None
    model_api_key: SecretStr | None = None
    limits: LimitSettings = LimitSettings()
    playbook_dirs: tuple[Path, ...] = ()
    general_playbook: bool = True

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 -- the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- the signature is pydantic's; no secret files
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables win over `.env`, `.env` over the file."""
        return env_settings, dotenv_settings, init_settings

    def roster(self) -> Roster:
        return Roster(
            people={
                key: Person(
                    id=key,
                    name=person.name,
                    role=person.role,
                    accounts=person.accounts,
                    contacts=build_contacts(person.contacts),
                )
                for key, person in self.people.items()
            }
        )

    def service_map(self) -> Mapping[str, Service]:
        return {name: _service(name, value) for name, value in self.services.items()}

    def route_list(self) -> tuple[Route, ...]:
        return tuple(
            Route(
                matchers=tuple(Matcher(label=label, pattern=pattern) for label, pattern in route.match.items()),
                service=route.service,
                escalation=route.escalation,
                channels=route.channels or tuple(self.channels),
            )
            for route in self.routes
        )

    def escalation_map(self) -> Mapping[str, EscalationPolicy]:
        return {
            name: EscalationPolicy(
                name=name,
                steps=tuple(EscalationStep(people=s.people, after=timedelta(seconds=s.after)) for s in value.steps),
            )
            for name, value in self.escalations.items()
        }

    def approval_policy(self) -> ApprovalPolicy:
        follows = {name: [s.merge.value, s.deploy_job] for name, s in self.services.items() if s.merge != "never"}
        binaries = {name: service.binary_paths for name, service in self.services.items() if service.binary_paths}
        return build_policy(self.approval, self.people, follows, binaries=binaries)

    def sender(self, name: str) -> SenderSettings:
        """Return how a sender identifies itself; `NIGHTSHIFT_ALERT_TOKEN` serves every sender without its own."""
        own = self.senders.get(name, SenderSettings())
        if own.token or own.password or not self.alert_token:
            return own
        return SenderSettings(token=self.alert_token)

    def model_place(self) -> ModelPlace | None:
        """Return where the model answers, None where none is configured; NIGHTSHIFT_MODEL_… wins over [model]."""
        others = "" if self.model_urls is None and self.model_url is not None else self.model_urls
        named = {
            "url": self.model_url,
            "urls": None if others is None else tuple(others.split(",")),
            "name": self.model_name or None,
            "api_key": self.model_api_key,
        }
        return build_place(self.model, {key: value for key, value in named.items() if value is not None})

    def model_budget(self) -> Budget:
        return Budget(**{field.name: getattr(self.model, field.name) for field in fields(Budget)})

    def secrets(self) -> tuple[str, ...]:
        """Return every secret value, for the redactor."""
        found = [self.alert_token, self.admin_token, self.model_api_key, self.model.api_key, self.model.second.api_key]
        found += [secret for sender in self.senders.values() for secret in (sender.token, sender.password)]
        found += [*self.git.tokens.values(), *(hook.secret for hook in self.hooks.values())]
        outside = [secret for connection in self.connections.values() for secret in connection.secrets()]
        outside += [secret for channel in self.channels.values() for secret in channel.secrets()]
        outside += list_mcp_secrets(self.mcp)
        outside += [secret for person in self.people.values() for secret in list_secrets(person.contacts)]
        addresses = [service.repository for service in self.services.values()]
        addresses += [address for hook in self.hooks.values() for address in (hook.url, hook.proxy)]
        addresses += [*list_addresses(self.model), *(self.model_url or "", self.model_urls or ""), self.git.proxy]
        addresses += [address for server in self.mcp.values() for address in (server.url, server.proxy)]
        addresses += [self.database_url.get_secret_value()] if self.database_url else []
        passwords = [text for address in addresses for text in _passwords_in(address)]
        return (*(secret.get_secret_value() for secret in found if secret), *outside, *dict.fromkeys(passwords))


def _passwords_in(address: str) -> tuple[str, ...]:
    """Return an address's password as it is written there, and as it is."""
    try:
        written = urlsplit(address).password or ""
    except ValueError:
        return ()
    return tuple(dict.fromkeys(text for text in (written, unquote(written)) if text))


def _service(name: str, value: ServiceSettings) -> Service:
    return Service(
        name=name,
        repository=value.repository,
        branch=value.branch,
        logs=tuple(LogPlace(**log.model_dump()) for log in value.logs),
        metrics=build_metrics(value.metrics),
        traces=value.traces,
        trace=value.trace,
        run=value.run,
        checks=value.checks,
        setup=value.setup,
        paths=value.paths,
        binary_paths=value.binary_paths,
        env=value.env,
        ci=value.ci,
        ci_job=value.ci_job,
        trigger=value.trigger,
        forge=value.forge,
        merge=value.merge,
        deploy_job=value.deploy_job,
        rollback_job=value.rollback_job,
        release_tags=value.release_tags,
        watch=timedelta(minutes=value.watch_minutes),
        deploy=value.deploy,
    )


def load_settings(path: Path | None) -> Settings:
    """Read and check everything. Raises `ConfigError` with every problem found."""
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    if path is not None:
        values = _read_file(path)
    try:
        in_file = {name.upper(): value or "" for name, value in DotEnvSettingsSource(Settings).env_vars.items()}
        variables = in_file | dict(os.environ)
        used = add_variables(values, variables)
        problems += _unknown_variables(name for name in variables if name not in used)
        settings = Settings(**values)
    except ValidationError as error:
        raise ConfigError([*problems, *(explain(item) for item in error.errors())]) from None
    except SettingsError as error:
        what = f"a variable or {ENV_FILE} holds no valid JSON: {error}"
        raise ConfigError([*problems, Problem(where="environment", what=what)]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([*problems, Problem(where=ENV_FILE, what=f"cannot be read: {error}")]) from None
    problems += _cross_check(settings)
    if problems:
        raise ConfigError(problems)
    return settings


def _read_file(path: Path) -> dict[str, Any]:
    """Return what the file holds. Raises `ConfigError`."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            what = f"is larger than {MAX_FILE_BYTES:,} bytes: that is no configuration"
            raise ConfigError([Problem(where=str(path), what=what)])
        return tomllib.loads(raw.decode("utf-8"))
    except FileNotFoundError:
        what = "no such file; copy the example from README.md and edit it"
    except (OSError, UnicodeDecodeError) as error:
        what = f"cannot be read: {error}"
    except tomllib.TOMLDecodeError as error:
        what = f"is not valid TOML: {error}"
    except (ValueError, RecursionError):
        what = "is nested too deeply, or holds a number without end"
    raise ConfigError([Problem(where=str(path), what=what)])


def explain(item: Mapping[str, Any], *under: str) -> Problem:
    """Return what pydantic found in a table (`under` names it) in a reader's words, never with the value: it may be a
    secret."""
    where = ".".join(str(part) for part in (*under, *item["loc"])) or "configuration"
    if item["type"] == "extra_forbidden":
        return Problem(where=where, what="is not a setting; check the spelling, or remove it")
    if item["type"] == "missing":
        return Problem(where=where, what="is missing; add it")
    if item["type"] == "string_pattern_mismatch":
        return Problem(where=where, what="does not look right; its page in docs/ says what stands here")
    return Problem(where=where, what=str(item["msg"]).removeprefix("Value error, "))


def _unknown_variables(names: Iterable[str]) -> Iterator[Problem]:
    for name in names:
        if not name.startswith(ENV_PREFIX):
            continue
        rest = name.removeprefix(ENV_PREFIX)
        if rest in NOT_SETTINGS:
            continue
        if rest.partition("__")[0].lower() not in Settings.model_fields:
            yield Problem(where=name, what="is not a setting; see .env.example, or unset it")


def _cross_check(settings: Settings) -> Iterator[Problem]:
    for where, text in walk_texts(settings.model_dump()):
        yield from _problem(where, fault_of_text(text))
    yield from _check_routes(settings)
    yield from _check_people(settings)
    for name, service in settings.services.items():
        yield from _problem(f"services.{name}", fault_of_name(name))
        yield from _problem(f"services.{name}.repository", fault_of_repository(service.repository))
        yield from _problem(f"services.{name}.branch", fault_of_branch(service.branch))
        yield from check_rollout(f"services.{name}", service)
        if service.run and not any("{port}" in word for word in service.run):
            yield Problem(where=f"services.{name}.run", what='needs "{port}" where the port belongs')
        yield from check_logs(f"services.{name}.logs", service.logs)
        yield from check_metrics(f"services.{name}.metrics", service.metrics)
    for name, hook in settings.hooks.items():
        yield from _problem(f"hooks.{name}", fault_of_name(name))
        yield from _problem(f"hooks.{name}.url", fault_of_web_address(hook.url))
    yield from check_mcp(settings.mcp)
    yield from _check_database(settings)
    yield from check_model(settings.model, settings.model_place())
    yield from check_budgets(settings.model.budgets, settings.services)
    if settings.public_url:
        yield from _problem("public_url", fault_of_web_address(settings.public_url))
    for host in settings.server.allowed_hosts:
        yield from _problem("server.allowed_hosts", fault_of_host(host))
    if not settings.server.host.isprintable() or " " in settings.server.host:
        yield Problem(where="server.host", what="is no address to listen on")


def _problem(where: str, fault: str) -> Iterator[Problem]:
    if fault:
        yield Problem(where=where, what=fault)


def _check_database(settings: Settings) -> Iterator[Problem]:
    limits = settings.limits
    if settings.database_url is not None:
        fault = _database_fault(settings.database_url.get_secret_value())
        if fault:
            yield Problem(where="database_url", what=fault)
    if limits.beat_seconds * 2 > limits.lease_seconds:
        what = "must be half of limits.lease_seconds or less, or one late beat ends the lease"
        yield Problem(where="limits.beat_seconds", what=what)


def _database_fault(url: str) -> str:
    """Return what is wrong with the address, without a word of it: what is misread as a host may be the password."""
    misread = 'cannot be read; in the password write "/" as %2F, "@" as %40, ":" as %3A, "?" as %3F, "#" as %23'
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return misread
    if parts.scheme not in {"postgresql", "postgresql+psycopg"}:
        return "must begin with postgresql+psycopg://; without it Nightshift keeps its state in SQLite"
    if any("@" in part for part in (parts.path, parts.query, parts.fragment)):
        return misread
    return "" if parts.path.strip("/") else "names no database; end it with /name"


def _check_routes(settings: Settings) -> Iterator[Problem]:
    for number, route in enumerate(settings.routes):
        where = f"routes.{number}"
        if route.service not in settings.services:
            yield Problem(
                where=f"{where}.service", what=f'no service "{route.service}"; add [services.{route.service}]'
            )
        if route.escalation not in settings.escalations:
            yield Problem(
                where=f"{where}.escalation",
                what=f'no escalation "{route.escalation}"; add [escalations.{route.escalation}]',
            )
        for channel in route.channels:
            if channel not in settings.channels:
                yield Problem(where=f"{where}.channels", what=f'no channel "{channel}"; add [channels.{channel}]')
        for label, pattern in route.match.items():
            fault = Matcher(label=label, pattern=pattern).fault()
            if fault:
                yield Problem(where=f"{where}.match.{label}", what=fault)


def _check_people(settings: Settings) -> Iterator[Problem]:
    for name, policy in settings.escalations.items():
        for number, step in enumerate(policy.steps):
            for person in step.people:
                if person not in settings.people:
                    where = f"escalations.{name}.steps.{number}.people"
                    yield Problem(where=where, what=f'no person "{person}"; add [people.{person}]')
                elif settings.people[person].role is Role.VIEWER:
                    where = f"escalations.{name}.steps.{number}.people"
                    yield Problem(where=where, what=f'"{person}" has the role viewer and cannot acknowledge')
    yield from check_approval(settings.approval, settings.people, settings.services)
    yield from check_contacts(settings.people)
    taken: dict[tuple[str, str], str] = {}
    for key, person_settings in settings.people.items():
        if key == OWN_NAME:
            yield Problem(where=f"people.{key}", what="is the name Nightshift itself acts under; take another")
        for channel, account in person_settings.accounts.items():
            yield from _problem(f"people.{key}.accounts.{channel}", fault_of_account(account))
            other = taken.setdefault((channel, account), key)
            if other != key:
                where = f"people.{key}.accounts.{channel}"
                yield Problem(where=where, what=f'"{account}" already belongs to {other}')
