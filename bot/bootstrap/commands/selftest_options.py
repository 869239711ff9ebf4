"""The options of `selftest`, and what its exit code says."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bot.bootstrap.commands.selftest import Order, run_selftest
from bot.bootstrap.commands.whole_number import within
from bot.bootstrap.logs import configure_logs
from bot.domain.models.selftest import SelfTest
from bot.domain.text.unseen import make_harmless
from bot.errors import ConfigError, NightshiftError
from bot.render.selftest import selftest_as_json, show_selftest
from bot.settings import load_settings

WELL, FAILED, CANNOT, NO_MODEL = range(4)
MOST_CALLS: Final = 10_000


def selftest_main(arguments: Sequence[str], default: Path) -> int:
    """Run `nightshift selftest`; ends the program with code 2 where an option is wrong."""
    chosen = _make_parser().parse_args(arguments)
    named = chosen.config or os.environ.get("NIGHTSHIFT_CONFIG")
    order = Order(calls=chosen.calls, service=chosen.service, use_model=chosen.use_model)
    _quiet_logs()
    try:
        test = run_selftest(load_settings(Path(named) if named else default if default.exists() else None), order)
    except ConfigError:
        raise
    except NightshiftError as error:
        sys.stderr.write(f"nightshift: {make_harmless(str(error))}\n")
        return CANNOT
    text = json.dumps(selftest_as_json(test), indent=2) + "\n" if chosen.as_json else show_selftest(test)
    sys.stdout.write(text)
    return tell_code(test, uses_model=order.use_model)


def _quiet_logs() -> None:
    """Keep standard output for the report, and standard error for what is worth a warning."""
    configure_logs(None)
    logging.getLogger().setLevel(logging.WARNING)


def tell_code(test: SelfTest, *, uses_model: bool) -> int:
    """Return the exit code: what failed counts before a model that is not there."""
    if not test.is_well:
        return FAILED
    return NO_MODEL if uses_model and not test.has_model else WELL


def _make_parser() -> argparse.ArgumentParser:
    what = "Call every tool of the agent and the model as a run would, and say what fails without a word."
    parser = argparse.ArgumentParser(prog="nightshift selftest", description=what, allow_abbrev=False)
    parser.add_argument(
        "--calls", type=within(1, MOST_CALLS), default=Order.calls, metavar="N", help="how many calls of tools (100)"
    )
    parser.add_argument("--service", default="", metavar="NAME", help="of this service alone; else of all")
    parser.add_argument("--no-model", dest="use_model", action="store_false", help="ask no model")
    parser.add_argument("--json", dest="as_json", action="store_true", help="print JSON")
    parser.add_argument("-c", "--config", metavar="FILE", help="the configuration file")
    return parser
