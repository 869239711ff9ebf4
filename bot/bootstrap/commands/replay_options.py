"""The options of `replay`: a run again from what is stored, or forked from one of its steps."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from bot.bootstrap.commands.fork import ForkOrder, fork_stored
from bot.bootstrap.commands.replay import ReplayReport, replay_stored
from bot.settings import load_settings


def replay_main(arguments: Sequence[str], default: Path) -> int:
    """Run `nightshift replay`; ends the program with code 2 where an option is wrong."""
    parser = _make_parser()
    chosen = parser.parse_args(arguments)
    report = _run(parser, chosen, default)
    print(report.text)  # noqa: T201 -- the command's output
    return 0 if report.ok else 1


def _run(parser: argparse.ArgumentParser, chosen: argparse.Namespace, default: Path) -> ReplayReport:
    if chosen.step is None and (chosen.model_url or chosen.prompt):
        parser.error("--model-url and --prompt need --from-step")
    if chosen.step is not None and chosen.requests:
        parser.error("--requests prints what was sent; a fork sends others")
    named = chosen.config or os.environ.get("NIGHTSHIFT_CONFIG")
    settings = load_settings(Path(named) if named else default if default.exists() else None)
    if chosen.step is None:
        return replay_stored(settings, chosen.run, as_json=chosen.json, with_requests=chosen.requests)
    order = ForkOrder(step=chosen.step, model_url=chosen.model_url, prompt=chosen.prompt)
    return fork_stored(settings, chosen.run, order, as_json=chosen.json)


def _make_parser() -> argparse.ArgumentParser:
    what = "Show again what the agent did in a run: requests, answers, tool calls. Needs no model."
    parser = argparse.ArgumentParser(prog="nightshift replay", description=what, allow_abbrev=False)
    parser.add_argument("run", metavar="RUN", help="INC-7:1, INC-7 for its newest, INC-7:1?2 for an answer in it")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--requests", action="store_true", help="print each request's body too")
    parser.add_argument(
        "--from-step",
        dest="step",
        type=int,
        metavar="N",
        help="ask a model again from answer N on, dry, and print what differs",
    )
    parser.add_argument("--model-url", default="", metavar="URL", help="with --from-step: another model's server")
    parser.add_argument("--prompt", type=Path, metavar="FILE", help="with --from-step: a file with another system text")
    parser.add_argument("-c", "--config", metavar="FILE", help="the configuration file")
    return parser
