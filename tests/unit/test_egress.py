"""Where it has no way out it works all the same: nothing is reached that nobody configured."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.model_server import Say, serve_model
from tests.unit.test_mend import Repository

RECORDER = """
import os, sys

def note(event, args):
    if event in {"socket.connect", "socket.sendto"}:
        if not isinstance(args[1], (str, bytes)):  # a socket of this machine has a path
            keep(f"{args[1][0]}:{args[1][1]}")
    elif event == "socket.getaddrinfo":
        keep(f"{args[0]}:{args[1]}")

def keep(text):
    with open(os.environ["REACHED"], "a", encoding="utf-8") as file:
        print(text, file=file)

sys.addaudithook(note)
"""
"""Every Python that starts with it on its path writes down whom it looks up, connects to or sends to."""
ALL_MODULES = """
import importlib, pkgutil
import bot, connectors
for package in (bot, connectors):
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if found.name not in {"bot.__main__", "bot.store.migrations.env", "bot.worker.watcher"}:
            importlib.import_module(found.name)
print("all")
"""
"""Left out is what others execute: the program, alembic's script, and what the sandbox puts beside a check."""
ASK = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('127.0.0.1', 9))"
GOOD = "RATES = {'SE': 25, 'DE': 19}\n"
EDIT = {"path": "shop.py", "old": "RATES = {'DE': 20}", "new": "RATES = {'DE': 20, 'SE': 25}"}


def watch(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """Return where it is written whom a Python reaches, and the environment in which one does that."""
    (tmp_path / "watched").mkdir()
    (tmp_path / "watched" / "sitecustomize.py").write_text(RECORDER)
    reached = tmp_path / "reached"
    reached.touch()
    path = f"{tmp_path / 'watched'}{os.pathsep}{Path(__file__).parents[2]}"
    return reached, {**os.environ, "PYTHONPATH": path, "REACHED": str(reached)}


def test_the_recorder_sees_who_is_reached(tmp_path):
    reached, environment = watch(tmp_path)
    subprocess.run([sys.executable, "-c", ASK], check=True, env=environment)
    assert reached.read_text() == "127.0.0.1:9\n"


def test_no_import_reaches_anybody(tmp_path):
    reached, environment = watch(tmp_path)
    command = [sys.executable, "-c", ALL_MODULES]
    told = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout
    assert told.splitlines()[-1:] == ["all"]
    assert reached.read_text() == ""


async def test_a_triage_with_a_model_reaches_that_model_and_nobody_else(tmp_path):
    shop = Repository(tmp_path)
    for number, table in enumerate(("{'SE': 25, 'DE': 19}", "{'DE': 19}", "{'DE': 20}")):
        shop.commit(f"Rates {number}", shop__py=GOOD.replace("{'SE': 25, 'DE': 19}", table))
    check = "python3 -c \"import shop; shop.RATES['SE']\""
    proposal = ("propose_patch", json.dumps({"title": "Tax Sweden again", "edits": [EDIT]}))
    reached, environment = watch(tmp_path)
    async with serve_model((Say(calls=(proposal,)), Say(text="The rate of Sweden was lost."))) as server:
        options = ["--repo", str(shop.folder), "--log", str(shop.log), "--run", check, "--model-url", server.url]
        triage = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "triage", *options, "--json"), env=environment, stdout=subprocess.PIPE
        )
        told, _ = await triage.communicate()
        host = server.url.removeprefix("http://")
    assert json.loads(told)["patch"]["verified"] is True
    assert set(reached.read_text().split()) == {host}
