"""The options of `model plan`, `launch`, `status` and `bench`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bot.bootstrap.commands.model_commands import (
    Bench,
    Launch,
    Look,
    Wish,
    run_bench,
    run_launch,
    run_plan,
    run_router,
    run_status,
)
from bot.bootstrap.commands.whole_number import within
from bot.domain.models.bench import MOST_PROMPT, MOST_RUNS, MOST_TOKENS, MOST_TURNS, Load
from bot.domain.models.launch import PORT, ROUTER_PORT
from bot.domain.models.plan import MOST_NODES, MOST_RUNS_WANTED, MOST_TOKENS_OF_A_RUN, RUN_TOKENS
from bot.render.model_plan import LOCAL

WHAT: Final = "Models on GPUs of your own, with SGLang: docs/sglang.md."


def model_main(arguments: Sequence[str]) -> int:
    """Run `nightshift model`; ends the program with code 2 where an option is wrong."""
    parser = argparse.ArgumentParser(prog="nightshift model", description=WHAT, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    _add_plan(commands.add_parser("plan", help="whether a model fits, how it starts, and why", allow_abbrev=False))
    _add_launch(commands.add_parser("launch", help="start it on this host", allow_abbrev=False))
    _add_status(commands.add_parser("status", help="how a running server is doing", allow_abbrev=False))
    _add_bench(commands.add_parser("bench", help="measure a running server with a small load", allow_abbrev=False))
    chosen = vars(parser.parse_args(arguments))
    match chosen.pop("command"):
        case "plan":
            return run_plan(_read_wish(chosen), write=chosen["write"], as_json=chosen["as_json"])
        case "launch":
            return _launch(parser, chosen)
        case "status":
            return run_status(Look(**chosen))
        case _:
            look = Look(url=chosen.pop("url"), as_json=chosen.pop("as_json"))
            return run_bench(look, Bench(model=chosen.pop("model"), load=Load(**chosen)))


def _launch(parser: argparse.ArgumentParser, chosen: dict[str, Any]) -> int:
    launch = Launch(**{name: chosen[name] for name in ("host", "port", "python")})
    workers, has_model = chosen["workers"], bool(chosen["gpus"] and chosen["model"])
    if workers and not (chosen["gpus"] or chosen["model"]):
        return run_router(workers, launch)
    if workers or not has_model:
        parser.error("launch: --gpus and --model are needed for a server, or --workers alone for a router")
    return run_launch(_read_wish(chosen), launch)


def _read_wish(chosen: dict[str, object]) -> Wish:
    return Wish(**{name: chosen[name] for name in Wish.__dataclass_fields__})  # type: ignore[arg-type] # checked by argparse


def _add_wish(parser: argparse.ArgumentParser, *, needed: bool) -> None:
    parser.add_argument("--gpus", required=needed, metavar="NxKIND", help="the GPUs of a node, as 4xH100")
    parser.add_argument("--model", required=needed, metavar="NAME", help="a profile's name, or the path of one (.toml)")
    parser.add_argument(
        "--context",
        type=within(1, MOST_TOKENS_OF_A_RUN),
        default=RUN_TOKENS,
        metavar="N",
        help=f"tokens that a run may hold ({RUN_TOKENS:,})",
    )
    parser.add_argument(
        "--concurrency", type=within(1, MOST_RUNS_WANTED), default=1, metavar="N", help="runs at a time that are wanted"
    )
    parser.add_argument(
        "--cache", choices=("bf16", "fp8"), default="bf16", help="the cache's numbers; fp8 holds twice as many tokens"
    )
    parser.add_argument(
        "--no-draft", dest="draft", action="store_false", help="guess no tokens ahead: slower, and more room"
    )


def _add_plan(parser: argparse.ArgumentParser) -> None:
    _add_wish(parser, needed=True)
    parser.add_argument("--nodes", type=within(1, MOST_NODES), default=1, metavar="N", help="how many such nodes")
    parser.add_argument("--write", type=Path, metavar="DIR", help="write compose files and systemd units there")
    parser.add_argument("--json", dest="as_json", action="store_true", help="print JSON")


def _add_launch(parser: argparse.ArgumentParser) -> None:
    _add_wish(parser, needed=False)
    parser.set_defaults(nodes=1)
    parser.add_argument("--workers", nargs="+", metavar="URL", help="instead of a model: smg in front of these servers")
    parser.add_argument("--host", default=LOCAL, metavar="ADDRESS", help=f"where it listens ({LOCAL})")
    ports = f"its port ({PORT}, of smg {ROUTER_PORT})"
    parser.add_argument("--port", type=within(1, 65_535), default=None, metavar="N", help=ports)
    parser.add_argument(
        "--python", default="", metavar="PATH", help="the Python of an environment that has sglang or smg"
    )


def _add_status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", default="", metavar="URL", help="the server; else what the configuration says")
    parser.add_argument("--json", dest="as_json", action="store_true", help="print JSON")


def _add_bench(parser: argparse.ArgumentParser) -> None:
    _add_status(parser)
    parser.add_argument("--model", default="", metavar="NAME", help="the model's name there; else its first one")
    numbers = (
        ("--runs", "runs", MOST_RUNS, "runs at a time"),
        ("--turns", "turns", MOST_TURNS, "turns of each run"),
        ("--tokens", "answer_tokens", MOST_TOKENS, "tokens of an answer"),
        ("--words", "prompt_words", MOST_PROMPT, "words that all runs begin with"),
        ("--seconds", "seconds", 3_600, "time for all of it"),
    )
    for option, field, most, what in numbers:
        default = int(getattr(Load, field))
        parser.add_argument(
            option, dest=field, type=within(1, most), default=default, metavar="N", help=f"{what} ({default:,})"
        )
