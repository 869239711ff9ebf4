"""The sections of `nightshift.toml`: names, types, defaults and bounds. `bot.settings` reads them."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from bot.domain.ask import QUESTION_WAIT
from bot.domain.change import MergeRule
from bot.domain.ci import Trigger
from bot.domain.oncall import Role
from bot.domain.runs.transcript import Budget
from bot.domain.traces.links import ONE_TRACE, WINDOW, find_unknown
from bot.domain.watch import RAREST, SHORTEST
from bot.settings_budgets import BudgetSettings

LONGEST = 30 * 24 * 3600.0
"""The longest time, in seconds, that a setting may name: later ones are mistakes, and no calendar holds the last."""


SECRET_NAME = re.compile(r"(token|secret|password|private_key)$")
"""How the name of a setting ends that holds a secret."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ServerSettings(Section):
    """Where Nightshift listens and keeps its state."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    state_dir: Path = Path(".nightshift")
    ci_dir: Path | None = None
    allowed_hosts: tuple[str, ...] = ()


class SenderSettings(Section):
    """One kind of alert sender: a bearer token, or a user name and password."""

    token: SecretStr | None = None
    username: str = ""
    password: SecretStr | None = None


class ContactSettings(Section):
    """One way to wake a person: an address of apprise, used `after` seconds without an acknowledgement."""

    url: SecretStr | None = None
    after: float = Field(default=0, ge=0, le=LONGEST)


class PersonSettings(Section):
    name: str = Field(min_length=1)
    role: Role = Role.RESPONDER
    accounts: dict[str, str] = {}
    contacts: dict[str, ContactSettings] = {}


class LogSettings(Section):
    """One place where a service logs; see `bot/domain/service.py`."""

    kind: str = "file"
    path: str = ""
    query: str = ""
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()


class MetricSettings(Section):
    """One query of a metric server; see `bot/domain/metrics/metric.py`."""

    query: str
    title: str = ""
    unit: str = ""
    threshold: float | None = None
    below: bool = False


class ServiceSettings(Section):
    """One service; see `bot/domain/service.py` for the meaning of each value."""

    repository: str
    branch: str = "main"
    logs: tuple[LogSettings, ...] = ()
    metrics: dict[str, MetricSettings] = {}
    traces: str = ""
    trace: str = ""
    run: tuple[str, ...] = ()
    checks: dict[str, tuple[str, ...]] = {}
    setup: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    binary_paths: tuple[Annotated[str, Field(pattern=r"\S")], ...] = ()
    env: dict[str, str] = {}
    ci: str = "local"
    ci_job: str = ""
    trigger: Trigger = Trigger.PUSH
    forge: str = ""
    merge: MergeRule = MergeRule.NEVER
    deploy_job: str = ""
    rollback_job: str = ""
    release_tags: str = "v*"
    watch_minutes: float = Field(default=10.0, gt=0, le=LONGEST / 60)
    deploy: tuple[str, ...] = ()

    @field_validator("traces", "trace")
    @classmethod
    def _is_an_address(cls, address: str, info: ValidationInfo) -> str:
        known = ONE_TRACE if info.field_name == "trace" else WINDOW
        unknown = find_unknown(address, known)
        if unknown:
            raise ValueError(f"{{{unknown[0]}}} is not known here: {', '.join(sorted(known))}")
        if address and not address.startswith(("http://", "https://")):
            raise ValueError("write a whole address: https://…")
        if info.field_name == "trace" and address and "{trace_id}" not in address:
            raise ValueError("{trace_id} must stand in it")
        return address


class RouteSettings(Section):
    match: dict[str, str] = {}
    service: str
    escalation: str = "default"
    channels: tuple[str, ...] = ()


class StepSettings(Section):
    """Who is paged at this step, `after` seconds without an acknowledgement of the step before."""

    people: tuple[str, ...] = Field(min_length=1)
    after: float = Field(default=0, ge=0, le=LONGEST)


class EscalationSettings(Section):
    steps: tuple[StepSettings, ...] = Field(min_length=1)


class ChannelSettings(BaseModel):
    """A chat channel. `kind` is a file of connectors/chat or a module with dots; all other keys are its connector's."""

    model_config = ConfigDict(extra="allow", frozen=True)
    kind: str

    def secrets(self) -> tuple[str, ...]:
        """Return the values whose names say that they are secret."""
        values = self.model_extra or {}
        return tuple(str(value) for name, value in values.items() if value and SECRET_NAME.search(name))


class ConnectionSettings(BaseModel):
    """A forge or CI system. Its name is a file or folder of connectors/ci; all keys belong to that connector."""

    model_config = ConfigDict(extra="allow", frozen=True)

    def secrets(self) -> tuple[str, ...]:
        """Return the values whose names say that they are secret; connectors name theirs so (a test looks)."""
        values = self.model_extra or {}
        return tuple(str(value) for name, value in values.items() if value and SECRET_NAME.search(name))


class HookSettings(Section):
    """An address that is told when a run changes its state, and the key that signs what it is told."""

    url: str
    secret: SecretStr = Field(min_length=16)
    proxy: str = ""
    ca_file: str = ""


class MCPSettings(Section):
    """A server of tools: a program (`command`), or an address (`url`). Nothing of it is used but `tools` that say that
    they only read, and `unmarked` ones that say nothing. `env` names variables that the program gets."""

    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    url: str = ""
    token: SecretStr | None = None
    proxy: str = ""
    ca_file: str = ""
    tools: tuple[str, ...] = ()
    unmarked: tuple[str, ...] = ()
    seconds: float = Field(default=20.0, gt=0, le=25)


class GitSettings(Section):
    """How remotes are reached. `tokens` maps a host to "token" or "user:token"; they never leave the front process."""

    tokens: dict[str, SecretStr] = {}
    proxy: str = ""
    ca_file: str = ""


def _check_extra(extra: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(extra, allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError("holds something that JSON does not: a date, or a number without end") from None
    return extra


Extra = Annotated[dict[str, Any], AfterValidator(_check_extra)]


class SecondModelSettings(Section):
    """Another model, asked while the first one is out; no `url` = none. `profile` is as in `ModelSettings`."""

    url: str = ""
    urls: tuple[str, ...] = ()
    name: str = "default"
    profile: str = ""
    api_key: SecretStr | None = None
    proxy: str = ""
    ca_file: str = ""
    extra: Extra = {}


class ModelSettings(Section):
    """The model that drafts patches, on any OpenAI-compatible server; no `url` = none.

    `urls` are further addresses of the same model; `profile` names its file in infra/sglang/models, or a path, where
    the name does not say it. `extra` are further fields of each request. The rest bounds one run: see `Budget` in
    bot/domain/runs/transcript.py. `patience` is how long, in seconds, a server that does not answer is asked again, and
    `question_seconds` how long the model waits for people that it asked something. Between two looks of a watch there
    are `watch_seconds` at least; `titles` lets the model suggest a title and a severity.
    """

    url: str = ""
    urls: tuple[str, ...] = ()
    name: str = "default"
    profile: str = ""
    api_key: SecretStr | None = None
    proxy: str = ""
    ca_file: str = ""
    extra: Extra = {}
    second: SecondModelSettings = SecondModelSettings()
    steps: int = Field(default=Budget.steps, ge=1, le=1000)
    prompt_tokens: int = Field(default=Budget.prompt_tokens, ge=1)
    cached_tokens: int = Field(default=Budget.cached_tokens, ge=1)
    completion_tokens: int = Field(default=Budget.completion_tokens, ge=1)
    reasoning_tokens: int = Field(default=Budget.reasoning_tokens, ge=1)
    gpu_seconds: float = Field(default=Budget.gpu_seconds, gt=0)
    gpus: int = Field(default=Budget.gpus, ge=1, le=10_000)
    seconds: float = Field(default=Budget.seconds, gt=0, le=LONGEST)
    tool_bytes: int = Field(default=Budget.tool_bytes, ge=0)
    answer_tokens: int = Field(default=Budget.answer_tokens, ge=1)
    answer_seconds: float = Field(default=Budget.answer_seconds, gt=0, le=LONGEST)
    context_tokens: int = Field(default=Budget.context_tokens, ge=1_000)
    patience: float = Field(default=3600, ge=0, le=LONGEST)
    question_seconds: float = Field(default=QUESTION_WAIT.total_seconds(), ge=1, le=LONGEST)
    watch_seconds: float = Field(default=SHORTEST.total_seconds(), ge=1, le=RAREST.total_seconds())
    together: int = Field(default=2, ge=1, le=64)
    titles: bool = True
    budgets: BudgetSettings = BudgetSettings()


class LimitSettings(Section):
    """Seconds, bytes and counts."""

    alert_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    inbox_pending: int = Field(default=50_000, ge=1)
    sweep_seconds: float = Field(default=1.0, gt=0, le=3600)
    poll_seconds: float = Field(default=1.0, ge=0.05, le=3600)
    worker_bytes: int = Field(default=4 * 1024 * 1024 * 1024, ge=128 * 1024 * 1024)
    dispatch_seconds: float = Field(default=90.0, gt=0, le=3600)
    ci_poll_seconds: float = Field(default=10.0, ge=0.05, le=3600)
    ci_poll_hooked_seconds: float = Field(default=60.0, ge=0.05, le=3600)
    patch_bytes: int = Field(default=512 * 1024, ge=1_000, le=512 * 1024)
    patch_files: int = Field(default=100, ge=1, le=100)
    patch_lines: int = Field(default=10_000, ge=1, le=10_000)
    ci_idle_seconds: float = Field(default=30.0, ge=0, le=LONGEST)
    lease_seconds: float = Field(default=15.0, gt=0, le=3600)
    beat_seconds: float = Field(default=5.0, gt=0, le=3600)
    stuck_seconds: float = Field(default=30.0, gt=0, le=3600)
    link_seconds: float = Field(default=600.0, ge=1, le=3600)
