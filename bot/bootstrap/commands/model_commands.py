"""`nightshift model plan|launch|status|bench`: the model's side of Nightshift, from the terminal."""

import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bot.bootstrap.commands.model_server import look, measure
from bot.bootstrap.model_profiles import PLACE, find_profile, load_gpus, read_gpus
from bot.domain.models.bench import Load
from bot.domain.models.launch import PORT, ROUTER_PORT, as_words, build_flags, listening, routing
from bot.domain.models.plan import Ask, Plan, find_remedies, make_plan
from bot.domain.text.wellformed import fault_of_web_address
from bot.errors import Reason, Refused
from bot.ports.model import ModelPlace
from bot.render.model_files import write_files
from bot.render.model_plan import plan_as_json, show_plan
from bot.render.model_status import bench_as_json, show_bench, show_status, status_as_json
from bot.settings import load_settings

_CONFIG = Path("nightshift.toml")
_KEY = "SGLANG_API_KEY"
_SERVER = re.compile(r"https?://[^\s/?#@]+/?")
_CACHE_BYTES = {"bf16": 2, "fp8": 1}


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Which model on which GPUs, as typed."""

    gpus: str
    model: str
    nodes: int = 1
    context: int
    concurrency: int
    cache: str
    draft: bool = True


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Where the server listens (no `port` = its usual one), and the Python that runs it; none = this one."""

    host: str
    port: int | None
    python: str


@dataclass(frozen=True, kw_only=True)
class Look:
    """Which running server; no `url` = the configured one."""

    url: str
    as_json: bool


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What is asked of it; no `model` = the configured one, or the server's first."""

    model: str
    load: Load


def run_plan(wish: Wish, *, write: Path | None, as_json: bool) -> int:
    """Print the plan, and write its files; 1 where it does not suffice."""
    plan = _plan(wish)
    remedies = () if plan.suffices else find_remedies(plan, load_gpus())
    written = _write(plan, write) if write is not None and plan.fits else []
    if as_json:
        table = {**plan_as_json(plan, remedies), "written": written}
        sys.stdout.write(json.dumps(table, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(show_plan(plan, remedies))
        sys.stdout.writelines(f"wrote {name}\n" for name in written)
    return 0 if plan.suffices else 1


def run_launch(wish: Wish, launch: Launch) -> int:
    """Become the server; 1 where the plan says that it does not fit."""
    plan = _plan(wish)
    if not plan.fits:
        sys.stdout.write(show_plan(plan, find_remedies(plan, load_gpus())))
        return 1
    _become(launch, as_words((*build_flags(plan), *listening(launch.host, launch.port or PORT))))
    return 0


def run_router(workers: Sequence[str], launch: Launch) -> int:
    """Become the router in front of servers. Raises `Refused` where one of them is no address."""
    wrong = next((worker for worker in workers if not _SERVER.fullmatch(worker)), None)
    if wrong is not None:
        raise Refused(f"{wrong!r} is no server: write http://HOST:PORT.", Reason.BAD_INPUT)
    _become(launch, ["smg", *routing(workers, host=launch.host, port=launch.port or ROUTER_PORT)])
    return 0


def _become(launch: Launch, words: Sequence[str]) -> None:
    python = launch.python or sys.executable
    environment = {**os.environ, _KEY: os.environ.get(_KEY) or os.environ.get("NIGHTSHIFT_MODEL_API_KEY", "")}
    sys.stdout.flush()
    try:
        os.execve(python, [python, str(PLACE / "launch.py"), *words], environment)  # noqa: S606 -- a list, no shell
    except OSError as error:
        raise Refused(f"{python} cannot be run: {error.strerror}.", Reason.NOT_FOUND) from None


def run_status(asked: Look) -> int:
    """Print how a running server is doing."""
    place = _place(asked.url)
    status = look(place)
    if asked.as_json:
        sys.stdout.write(json.dumps(status_as_json(status, place.url), indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(show_status(status, place.url))
    return 0


def run_bench(asked: Look, bench: Bench) -> int:
    """Measure a running server; 1 where calls failed."""
    place = _place(asked.url)
    result = measure(replace(place, name=bench.model or place.name), bench.load)
    if asked.as_json:
        sys.stdout.write(json.dumps(bench_as_json(result, bench.load), indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(show_bench(result, bench.load))
    return 1 if result.failed or not result.tokens else 0


def _plan(wish: Wish) -> Plan:
    count, gpu = read_gpus(wish.gpus)
    ask = Ask(
        gpu=gpu,
        gpus=count,
        nodes=wish.nodes,
        context=wish.context,
        concurrency=wish.concurrency,
        cache_bytes=_CACHE_BYTES[wish.cache],
    )
    profile = find_profile(wish.model)
    return make_plan(profile if wish.draft else replace(profile, draft=None), ask)


def _write(plan: Plan, folder: Path) -> list[str]:
    """Write the files into a folder; none that is there already is touched."""
    files = {folder / name: text for name, text in write_files(plan).items()}
    there = [str(path) for path in files if path.exists()]
    if there:
        raise Refused(f"{there[0]} is there already; name another folder.", Reason.CONFLICT)
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refused(f"{folder} cannot be written: {error.strerror}.", Reason.NOT_ALLOWED) from None
    return [str(path) for path in files]


def _place(url: str) -> ModelPlace:
    """Return where the server is: an address of its own is asked with the configured key, its models by their names."""
    if url:
        fault = fault_of_web_address(url)
        if fault:
            raise Refused(f"--url {fault}: {url}", Reason.BAD_INPUT)
        key = load_settings(None).model_api_key
        return ModelPlace(url=url, name="", api_key=key.get_secret_value() if key else "")
    place = load_settings(_CONFIG if _CONFIG.exists() else None).model_place()
    if place is None:
        text = "No model is configured: give --url, or set NIGHTSHIFT_MODEL_URL."
        raise Refused(text, Reason.NOT_FOUND)
    return place
