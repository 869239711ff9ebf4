"""The demo's configuration: all that this package knows about `nightshift.toml` and the variables beside it."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import bot
from bot.demo.repository import CheckoutWorld
from bot.demo.service import DemoService

PERSON = "ana"
_SOURCES = Path(bot.__file__).resolve().parents[1]


_METRICS = """
[services.checkout.metrics.requests]
title = "Requests"
query = 'sum by (service) (rate(http_requests_total{{service="$service"}}[10s]))'
unit = "req/s"

[connections.prometheus]
url = {url}
"""


@dataclass(frozen=True, kw_only=True)
class BotPlace:
    """Where the demo's bot listens, and its folder."""

    port: int
    state: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def config(self) -> Path:
        return self.state.parent / "nightshift.toml"


def python_env(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which `python -m bot` works and no setting of another Nightshift is left."""
    kept = {name: value for name, value in env.items() if not name.startswith("NIGHTSHIFT_")}
    path = os.pathsep.join(filter(None, (str(_SOURCES), env.get("PYTHONPATH"))))
    return {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def bot_env(env: Mapping[str, str], alert_token: str, *, model_url: str = "") -> dict[str, str]:
    """Return the bot's environment; with a model, its name and key are taken from ours."""
    own = {"NIGHTSHIFT_ALERT_TOKEN": alert_token}
    if model_url:
        own["NIGHTSHIFT_MODEL_URL"] = model_url
        own |= {name: env[name] for name in ("NIGHTSHIFT_MODEL_NAME", "NIGHTSHIFT_MODEL_API_KEY") if name in env}
    return {**python_env(env), **own}


def deploy_command(service: DemoService) -> list[str]:
    """Return the deploy job's argument list; it needs nothing from the environment but the commit."""
    return ["/usr/bin/env", f"PYTHONPATH={_SOURCES}", sys.executable, "-m", "bot.demo.deploy", str(service.state)]


def render_config(place: BotPlace, world: CheckoutWorld, service: DemoService, *, metrics_url: str = "") -> str:
    """Return the demo's nightshift.toml; with the address of a Prometheus, alerts are plotted."""
    return f"""\
# Written by the demo; wiped with its folder when the demo starts again.

[server]
host = "127.0.0.1"
port = {place.port}
state_dir = {_toml(str(place.state))}

[limits]
ci_idle_seconds = 2

[people.ana]
name = "Ana"
role = "admin"
accounts = {{ console = "ana", web = "ana" }}

[people.ben]
name = "Ben"
role = "approver"
accounts = {{ web = "ben" }}

[services.checkout]
repository = {_toml(str(world.repository))}
branch = "main"
run = {_toml(world.run)}
logs = [{{ kind = "file", path = {_toml(str(service.log))} }}]
paths = ["checkout/", "tests/"]
deploy = {_toml(deploy_command(service))}

[services.checkout.checks]
tests = {_toml(world.tests)}
{_METRICS.format(url=_toml(metrics_url)) if metrics_url else ""}
[[routes]]
match = {{ service = "checkout" }}
service = "checkout"
escalation = "default"
channels = ["console", "web"]

[escalations.default]
steps = [{{ people = ["ana"] }}, {{ people = ["ben"], after = 300 }}]

[channels.console]
kind = "console"
person = "{PERSON}"

[channels.web]
kind = "web"

[approval]
approvers = ["ana", "ben"]
quorum = 1
risky_quorum = 2
expiry_minutes = 60
"""


def _toml(value: object) -> str:
    """Strings and lists of strings are written alike in JSON and in TOML."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)
