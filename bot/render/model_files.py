"""The files that `model plan --write` makes: docker compose and systemd, for each node and for the router in front.

Addresses and the key are not in them: they are variables, filled in where the files are used. No list of processes
shows the key: sglang reads it from a file, and smg takes another title as it starts (both measured).
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from bot.domain.models.launch import DRAIN_SECONDS, PORT, SGLANG, SMG, as_words, routing
from bot.domain.models.plan import Plan
from bot.render.model_plan import PROGRAM, all_flags

_ROUTER_HEAD: Final = f"# Made by `nightshift model plan`: smg {SMG} in front of the servers, for NIGHTSHIFT_MODEL_URL."
_KEY: Final = "SGLANG_API_KEY"
_IMAGE: Final = f"lmsysorg/sglang:v{SGLANG}"
_WEIGHTS: Final = "/var/lib/sglang/huggingface"
_UNIT_KEY: Final = "/run/sglang/key.yaml"
_COMPOSE_KEY: Final = "/etc/sglang-key.yaml"
_UNIT_ENV_KEY: Final = f"$${{{_KEY}:?set it in /etc/sglang/sglang.env}}"
"""For the shell. Without a key the server would answer anyone: better none."""


def write_files(plan: Plan) -> dict[str, str]:
    """Return the files by their names: one folder per node, one for the router where there are several servers."""
    nodes = plan.servers * plan.fit.span
    files = {}
    for node in range(nodes):
        folder = f"node-{node}/" if nodes > 1 else ""
        words = _server_words(plan, node)
        files[f"{folder}compose.yaml"] = _compose(plan, words)
        files[f"{folder}sglang.service"] = _unit(plan, words)
        files[f"{folder}env.example"] = _variables(plan, node)
    if plan.servers > 1:
        words = _router_words(plan)
        files["router/compose.yaml"] = _router_compose(words)
        files["router/smg.service"] = _router_unit(words)
        files["router/env.example"] = _router_variables(plan)
    return files


def _server_words(plan: Plan, node: int) -> list[str]:
    first = node - node % plan.fit.span
    flags = all_flags(plan, host="${LISTEN}", rank=str(node - first), first=f"${{NODE_{first}}}")
    return as_words(flags)


def _router_words(plan: Plan) -> list[str]:
    workers = [f"http://${{NODE_{server * plan.fit.span}}}:{PORT}" for server in range(plan.servers)]
    return [*routing(workers, host="${LISTEN}"), "--api-key", f"${{{_KEY}}}"]


def _compose(plan: Plan, words: Sequence[str]) -> str:
    if plan.ask.gpu.vendor == "amd":
        image, devices = "${SGLANG_IMAGE:?set it to an image of sglang for ROCm}", _AMD
    else:
        image, devices = f"${{SGLANG_IMAGE:-{_IMAGE}}}", _NVIDIA.format(gpus=plan.fit.split // plan.fit.span)
    command = _yaml_list([*PROGRAM, *words, "--config", _COMPOSE_KEY])
    return f"""{_head(plan)}
services:
  sglang:
    image: {json.dumps(image)}
    network_mode: host
    ipc: host
    restart: unless-stopped
    stop_grace_period: {DRAIN_SECONDS}s
    environment:
      HF_TOKEN: ${{HF_TOKEN:-}}
    volumes:
      - {_WEIGHTS}:/root/.cache/huggingface
    configs:
      - source: key
        target: {_COMPOSE_KEY}
{devices}    command:
{command}configs:
  key:
    content: "{key_line(f"${{{_KEY}:?set it in .env}}")}"
"""


def key_line(key: str) -> str:
    """Return the key as sglang reads it from YAML: a text, also where it is all digits."""
    return f"api-key: !!str {key}"


_NVIDIA: Final = """    deploy:
      resources:
        reservations:
          devices:
            - driver: nvidia
              count: {gpus}
              capabilities: [gpu]
"""

_AMD: Final = """    devices:
      - /dev/kfd
      - /dev/dri
    group_add: [video]
    cap_add: [SYS_PTRACE]
    security_opt: ["seccomp=unconfined"]
"""


def _unit(plan: Plan, words: Sequence[str]) -> str:
    return f"""{_head(plan)}
[Unit]
Description=SGLang with {plan.profile.name}
Wants=network-online.target
After=network-online.target

[Service]
User=sglang
Group=sglang
StateDirectory=sglang
Environment=HF_HOME={_WEIGHTS}
EnvironmentFile=/etc/sglang/sglang.env
RuntimeDirectory=sglang
RuntimeDirectoryMode=0700
ExecStartPre=/bin/sh -c 'umask 077; echo "{key_line(_UNIT_ENV_KEY)}" > {_UNIT_KEY}'
ExecStart=/opt/sglang/bin/python {_unit_line([*PROGRAM[1:], *words, "--config", _UNIT_KEY])}
Restart=always
RestartSec=5
# Stopping lets answers that are under way end first.
TimeoutStopSec={DRAIN_SECONDS}
KillMode=mixed
LimitMEMLOCK=infinity
NoNewPrivileges=yes

[Install]
WantedBy=multi-user.target
"""


def _router_compose(words: Sequence[str]) -> str:
    return f"""{_ROUTER_HEAD}
services:
  smg:
    build:
      dockerfile_inline: |
        FROM python:3.12-slim
        RUN pip install --no-cache-dir smg=={SMG}
    network_mode: host
    restart: unless-stopped
    stop_grace_period: {DRAIN_SECONDS}s
    command:
{_yaml_list(["smg", "launch", *words])}"""


def _router_unit(words: Sequence[str]) -> str:
    return f"""{_ROUTER_HEAD}
[Unit]
Description=smg in front of SGLang
Wants=network-online.target
After=network-online.target

[Service]
DynamicUser=yes
EnvironmentFile=/etc/sglang/sglang.env
ExecStartPre=/bin/sh -c ': "{_UNIT_ENV_KEY}"'
ExecStart=/opt/smg/bin/smg launch {_unit_line(words)}
Restart=always
RestartSec=2
TimeoutStopSec={DRAIN_SECONDS}
NoNewPrivileges=yes

[Install]
WantedBy=multi-user.target
"""


def _variables(plan: Plan, node: int) -> str:
    several = plan.servers * plan.fit.span > 1
    own = {"LISTEN": "" if several else "127.0.0.1", _KEY: "", "HF_TOKEN": ""}
    first = node - node % plan.fit.span
    if plan.fit.span > 1:
        own[f"NODE_{first}"] = ""
    return _env(own)


def _router_variables(plan: Plan) -> str:
    nodes = {f"NODE_{server * plan.fit.span}": "" for server in range(plan.servers)}
    return _env({"LISTEN": "127.0.0.1", _KEY: "", **nodes})


_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")

_ENV_HEAD: Final = """# With docker: copy to .env beside compose.yaml.
# With systemd: copy to /etc/sglang/sglang.env, readable by root only."""

_MEANINGS: Final[Mapping[str, str]] = {
    "LISTEN": "The address of this machine that others reach it under; 127.0.0.1 where nobody else asks it.",
    _KEY: "The same on every node; for Nightshift it is NIGHTSHIFT_MODEL_API_KEY.",
    "HF_TOKEN": "Only for weights that need an account at Hugging Face.",
}


def _env(values: Mapping[str, str]) -> str:
    lines = [_ENV_HEAD]
    for name, value in values.items():
        meaning = _MEANINGS.get(name) or f"The address of node {name.removeprefix('NODE_')}."
        lines += [f"# {meaning}", f"{name}={value}"]
    return "\n".join(lines) + "\n"


def _head(plan: Plan) -> str:
    what = f"{plan.profile.title} on {plan.fit.split} × {plan.ask.gpu.name}"
    return f"# Made by `nightshift model plan`: {what}, {plan.fit.runs} runs of {plan.ask.context:,} tokens."


def _yaml_list(words: Sequence[str]) -> str:
    """Return words as a list in YAML (JSON's strings are YAML's too); compose stops where a variable is empty."""
    strict = [_VARIABLE.sub(r"${\1:?set it in .env}", word) for word in words]
    return "".join(f"      - {json.dumps(word)}\n" for word in strict)


def _unit_line(words: Sequence[str]) -> str:
    """Return words as systemd reads them; none holds spaces, quotes or percent signs (profiles are checked)."""
    lines: list[str] = []
    for word in words:
        if word.startswith("--") or not lines:
            lines.append(word)
        else:
            lines[-1] += f" {word}"
    return " \\\n    ".join(lines)
