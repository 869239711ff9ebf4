"""Any CI system that can take a signed HTTP request and tell how a commit's run stands.

The state always comes from `status_path`. A callback says nothing but "look now", so a lost one costs only time.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import SandboxedEnvironment
from pydantic import Field, SecretStr, field_validator

from bot.domain.alert import AlertGroup
from bot.domain.ci import CIRequest, CIRun, CIState, Trigger
from bot.errors import Reason, Refused, Rejected, Unavailable
from bot.ports.chat import Health
from bot.ports.clock import Clock, SystemClock
from bot.ports.http import WebRequest
from connectors.ci.http_client import HttpClient
from connectors.ci.http_settings import HttpSettings
from connectors.ci.http_transport import Sent, Transport
from connectors.ci.http_values import (
    SHA,
    as_count,
    as_link,
    as_sha,
    as_text,
    as_time,
    clean_lines,
    load_json,
    take_tail,
)
from connectors.ci.one_per_sha import OnePerSha, must, order_once, require_sha

WINDOW: Final = 300.0
MAX_COMMITS: Final = 100
STAMP: Final = "X-Nightshift-Timestamp"
SIGNATURE: Final = "X-Nightshift-Signature"
SAMPLE: Final = dict.fromkeys(("repository", "sha", "branch", "incident", "job", "key", "tag"), "sample")
BODY: Final = (
    "{"
    + ", ".join(f'"{name}": {{{{ {name} }}}}' for name in ("repository", "sha", "branch", "job", "key", "tag"))
    + " }"
)
_BODIES: Final = SandboxedEnvironment(undefined=StrictUndefined, finalize=json.dumps)
_PATHS: Final = SandboxedEnvironment(undefined=StrictUndefined, finalize=lambda value: quote(value, safe=""))


def _compile(environment: SandboxedEnvironment, source: str, sample: Mapping[str, str]) -> tuple[Template, str]:
    """Return a template and what it makes of a sample. Raises `ValueError`."""
    try:
        template = environment.from_string(source)
        return template, template.render(sample)
    except (TemplateError, TypeError) as error:
        raise ValueError(f"this is no template of {', '.join(sample)}: {error}") from None


class Settings(HttpSettings):
    """Paths and body are templates (Jinja2): values in a path are percent-encoded, in the body they are JSON.

    `signing_secret` signs what we send, `webhook_secret` what is sent to us. Pointers (RFC 6901) say where a status
    answer has its values, `states` what its words for the state mean. A path left empty is something it cannot do.
    """

    signing_secret: SecretStr = Field(min_length=16)
    webhook_secret: SecretStr | None = Field(default=None, min_length=16)
    start_path: str = "/runs"
    start_body: str = BODY
    status_path: str = "/runs/{{ sha }}"
    order_path: str = ""
    log_path: str = ""
    cancel_path: str = ""
    rerun_path: str = ""
    state_at: str = "/state"
    attempt_at: str = "/attempt"
    started_at: str = "/started_at"
    finished_at: str = "/finished_at"
    step_at: str = "/failed_step"
    url_at: str = "/url"
    states: Mapping[str, CIState] = Field(default_factory=lambda: {state.value: state for state in CIState})

    @field_validator("start_path")
    @classmethod
    def _require_start(cls, source: str) -> str:
        return _require_path(source, SAMPLE)

    @field_validator("status_path", "log_path", "cancel_path", "rerun_path")
    @classmethod
    def _require_sha_path(cls, source: str) -> str:
        return _require_path(source, {"sha": SAMPLE["sha"]}) if source else source

    @field_validator("order_path")
    @classmethod
    def _require_key_path(cls, source: str) -> str:
        return _require_path(source, {"key": SAMPLE["key"]}) if source else source

    @field_validator("start_body")
    @classmethod
    def _require_json(cls, source: str) -> str:
        _, made = _compile(_BODIES, source, SAMPLE)
        json.loads(made)
        return source

    @field_validator("state_at", "attempt_at", "started_at", "finished_at", "step_at", "url_at")
    @classmethod
    def _require_pointer(cls, pointer: str) -> str:
        if not pointer.startswith("/"):
            raise ValueError("a JSON pointer begins with /")
        return pointer


def _require_path(source: str, sample: Mapping[str, str]) -> str:
    _, made = _compile(_PATHS, source, sample)
    if not made.startswith("/") or not made.isprintable() or " " in made:
        raise ValueError("write a path that begins with /")
    return source


class WebhookCI:
    """`CIProvider` over templates."""

    def __init__(self, client: HttpClient, settings: Settings, clock: Clock | None = None) -> None:
        self._client = client
        self._settings = settings
        self._key = settings.signing_secret.get_secret_value().encode()
        self._clock = clock or SystemClock()
        self._one = OnePerSha()

    async def start(self, request: CIRequest) -> CIRun:
        sha = require_sha(request.sha)
        given = {name: getattr(request, name) for name in SAMPLE}
        body = _BODIES.from_string(self._settings.start_body).render(given).encode()
        path = _PATHS.from_string(self._settings.start_path).render(given)
        if not request.is_check:
            await self._order(path, body, request.key)
            return CIRun(id=request.key, sha=sha, state=CIState.QUEUED)
        async with self._one(sha):
            look = partial(self.status, sha)
            is_order = request.trigger is Trigger.DISPATCH
            run = await (order_once(look, partial(self._order, path, body, request.key)) if is_order else look())
        return run or CIRun(id=sha, sha=sha, state=CIState.QUEUED)

    async def status(self, sha: str) -> CIRun | None:
        if not SHA.fullmatch(sha):
            return None
        answer = await self._client.find(self._path(self._settings.status_path, sha))
        return await self._read(sha, answer.value) if answer else None

    async def find_order(self, request: CIRequest) -> CIRun | None:
        """It says so at `order_path`; without one, None."""
        if not self._settings.order_path:
            return None
        answer = await self._client.find(_PATHS.from_string(self._settings.order_path).render(key=request.key))
        return await self._read(request.sha, answer.value) if answer else None

    async def log(self, sha: str) -> str:
        must(await self.status(sha), "The CI", sha)
        return await self._log(sha)

    async def cancel(self, sha: str) -> CIRun:
        run = must(await self.status(sha), "The CI", sha)
        if not run.state.is_final:
            await self._order(self._must_path("cancel_path", sha), b"{}", sha)
            run = must(await self.status(sha), "The CI", sha)
        return run

    async def rerun(self, sha: str) -> CIRun:
        async with self._one(sha):
            before = must(await self.status(sha), "The CI", sha)
            if not before.state.is_final:
                return before
            await self._order(self._must_path("rerun_path", sha), b"{}", f"{sha}-{before.attempt + 1}")
            after = must(await self.status(sha), "The CI", sha)
        if after.attempt > before.attempt:
            return after
        return replace(after, state=CIState.QUEUED, attempt=before.attempt + 1, finished_at=None, failed_step="")

    async def check(self) -> Health:
        try:
            await self._client.find(self._path(self._settings.status_path, "0" * 40))
        except (Unavailable, Rejected) as error:
            return Health(ok=False, text=str(error))
        return Health(ok=True, text="webhook CI: its status can be read")

    async def _read(self, sha: str, told: object) -> CIRun:
        at = self._settings
        word = as_text(point(told, at.state_at))
        state = at.states.get(word)
        if state is None:
            raise Unavailable(f"The CI says {word!r} at {at.state_at}; name it in states.", Reason.SERVER_ERROR)
        is_red = state is CIState.FAILED
        return CIRun(
            id=sha,
            sha=sha,
            state=state,
            attempt=max(1, as_count(point(told, at.attempt_at))),
            started_at=as_time(point(told, at.started_at)),
            finished_at=as_time(point(told, at.finished_at)) if state.is_final else None,
            failed_step=as_text(point(told, at.step_at)) if is_red else "",
            log_tail=take_tail(await self._log(sha)) if is_red else "",
            url=as_link(point(told, at.url_at)),
        )

    async def _log(self, sha: str) -> str:
        if not self._settings.log_path:
            return ""
        raw = await self._client.tail(self._path(self._settings.log_path, sha), 256 * 1024)
        return clean_lines(raw.decode("utf-8", "replace"))

    async def _order(self, path: str, body: bytes, key: str) -> None:
        stamp = str(int(self._clock.now().timestamp()))
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": quote(key, safe="/:-"),
            STAMP: stamp,
            SIGNATURE: sign(self._key, stamp, body),
        }
        await self._client.order("POST", path, Sent(body=body, headers=headers))

    def _must_path(self, name: str, sha: str) -> str:
        source = getattr(self._settings, name)
        if not source:
            raise Rejected(f"This CI has no {name}, so it cannot do that.", Reason.NOT_FOUND)
        return self._path(source, sha)

    def _path(self, source: str, sha: str) -> str:
        return _PATHS.from_string(source).render(sha=sha)


class WebhookHooks:
    """`AlertSource` for callbacks: a signed {"sha": "…"} or {"commits": ["…"]}, which is no alert but news."""

    def __init__(self, secret: str, clock: Clock | None = None) -> None:
        self._key = secret.encode()
        self._clock = clock or SystemClock()

    def verify(self, request: WebRequest) -> None:
        stamp = request.headers.get(STAMP.lower(), "")
        if not (stamp.isascii() and stamp.isdecimal() and len(stamp) < 12):
            raise Refused(f"The {STAMP} header is missing or wrong.", Reason.BAD_SIGNATURE)
        if abs(self._clock.now().timestamp() - int(stamp)) > WINDOW:
            raise Refused("The delivery is too old or from the future.", Reason.STALE)
        shown = request.headers.get(SIGNATURE.lower(), "").encode(errors="replace")
        if not hmac.compare_digest(shown, sign(self._key, stamp, request.body).encode()):
            raise Refused(f"The {SIGNATURE} header is missing or wrong.", Reason.BAD_SIGNATURE)

    def parse(self, body: bytes) -> AlertGroup:
        try:
            told = load_json(body)
        except ValueError:
            raise Refused("the body is not JSON", Reason.BAD_INPUT) from None
        named = point(told, "/commits")
        named = named[:MAX_COMMITS] if isinstance(named, list) else [point(told, "/sha")]
        commits = tuple(dict.fromkeys(sha for value in named if (sha := as_sha(value))))
        if not commits:
            raise Refused("sha: name a whole commit id", Reason.BAD_INPUT)
        return AlertGroup(source="webhook", group_key="webhook", alerts=(), commits=commits)


def sign(key: bytes, stamp: str, body: bytes) -> str:
    return "v1=" + hmac.new(key, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def point(value: Any, pointer: str) -> Any:  # noqa: ANN401 -- JSON that was not checked yet
    """Return what is at a JSON pointer, None where there is nothing."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and name.isascii() and name.isdecimal() and int(name[:9]) < len(value):
            value = value[int(name[:9])]
        elif isinstance(value, dict):
            value = value.get(name)
        else:
            return None
    return value


class Connector:
    """`bot.ports.ci.Platform` for a CI system of your own."""

    def __init__(self, settings: Settings, repositories: Sequence[str]) -> None:  # noqa: ARG002 -- told with each order
        self._client = HttpClient(Transport("The CI", settings, {}))
        self.ci = WebhookCI(self._client, settings)
        self.forge = None
        self.hooks = WebhookHooks(settings.webhook_secret.get_secret_value()) if settings.webhook_secret else None

    async def close(self) -> None:
        await self._client.close()
