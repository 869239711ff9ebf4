"""The options of `triage` and `suspects`, and what is checked before anything is read."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bot.bootstrap.commands.triage import Case, run_suspects, run_triage
from bot.bootstrap.commands.whole_number import within

COMMITS: Final = (2, 10_000)
SECONDS: Final = (10, 3_600)


def triage_main(arguments: Sequence[str]) -> int:
    """Run `nightshift triage`; ends the program with code 2 where an option is wrong."""
    parser = _make_parser("triage", "Say what broke, which commit did it and what mends it.")
    parser.add_argument("--alert", type=_file, metavar="FILE", help="a delivery in Alertmanager's webhook form")
    parser.add_argument("--run", default="", metavar="CMD", help="the check that is red, as typed in the repository")
    parser.add_argument("--suite", default="", metavar="CMD", help="what a patch must not break (pytest: found out)")
    parser.add_argument(
        "--setup", default="", metavar="CMD", help="trusted, with network: fills the folder $NIGHTSHIFT_TOOLCHAIN"
    )
    parser.add_argument(
        "--prometheus",
        default="",
        metavar="URL",
        help="ask it what the bot would: the alert's rule and the queries that are named for the service",
    )
    parser.add_argument(
        "--config",
        type=_file,
        metavar="FILE",
        help="the bot's: names the model, the Prometheus and the service's queries (else only variables do), "
        "playbooks, profiles, servers of tools (MCP), and budgets of a day, which hold here too",
    )
    parser.add_argument("--model-url", default="", metavar="URL", help="a model's server, asked where no patch holds")
    parser.add_argument(
        "--profile", default="", metavar="NAME|FILE", help="how the model works: an agent's profile, or a TOML file"
    )
    parser.add_argument("--seconds", type=within(*SECONDS), default=300, metavar="N", help="time for all of it")
    parser.add_argument(
        "--no-model",
        dest="use_model",
        action="store_false",
        help="ask no model, also where one is named",
    )
    return run_triage(_read_case(parser, arguments))


def suspects_main(arguments: Sequence[str]) -> int:
    """Run `nightshift suspects`; ends the program with code 2 where an option is wrong."""
    parser = _make_parser("suspects", "Rank the commits that may have caused what a log shows.")
    return run_suspects(_read_case(parser, arguments))


def _read_case(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> Case:
    """Return the case: each option is a field of it."""
    chosen = vars(parser.parse_args(arguments))
    return Case(**{**chosen, "logs": tuple(chosen["logs"])})


def _make_parser(name: str, what: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"nightshift {name}", description=what, allow_abbrev=False)
    parser.add_argument(
        "--repo", dest="repository", type=_folder, required=True, metavar="DIR", help="the repository; its HEAD fails"
    )
    parser.add_argument(
        "--log",
        dest="logs",
        type=_file,
        action="append",
        required=True,
        metavar="FILE",
        help="shows the failure; may be repeated",
    )
    parser.add_argument("--good", default="", metavar="REV", help="a commit, branch or tag that was well")
    parser.add_argument(
        "--commits", type=within(*COMMITS), default=250, metavar="N", help="how many commits are looked at"
    )
    parser.add_argument("--json", dest="as_json", action="store_true", help="print JSON")
    return parser


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        why = f"{text} is no file" if path.exists() else f"there is no file {text}"
        raise argparse.ArgumentTypeError(why)
    return path.resolve()


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text}")
    return path.resolve()
