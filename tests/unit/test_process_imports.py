"""What a process loads decides what it weighs while nothing happens."""

import subprocess
import sys

LOADED = """
import sys
from bot.bootstrap.memory import load_without_colours
load_without_colours()
import bot.bootstrap.front
print(*sorted({"alembic", "bot.agent.tools.every", "polars", "rich"} & sys.modules.keys()))
import structlog, rich.console
"""


def test_the_front_process_loads_neither_tools_nor_what_logs_do_not_need():
    told = subprocess.run([sys.executable, "-c", LOADED], check=True, capture_output=True, text=True)
    assert told.stdout.split() == []
