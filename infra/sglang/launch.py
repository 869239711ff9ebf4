"""Starts sglang on this host with the options that it is given, once it knows all of them; with "smg" as the first
word, smg in front of several such servers.

A program of its own, with nothing but Python's library and sglang or smg: these often live in an environment of their
own, and no other part of Nightshift imports them. The key comes from SGLANG_API_KEY: no list of processes shows it.
"""

import argparse
import errno
import os
import socket
import sys
from collections.abc import Sequence
from typing import NoReturn

MISSING = 3
UNKNOWN = 4
NO_KEY = 5
PORT_TAKEN = 6

_LOCAL = ("127.0.0.1", "localhost", "::1")


def main(words: Sequence[str]) -> None:
    """Start the server and stay until it ends; say why where it cannot be started."""
    check_port(words)
    if words[:1] == ["smg"]:
        route(words[1:])
        return
    try:
        from sglang.launch_server import run_server  # noqa: PLC0415 -- sglang may be missing: that is what is found out
        from sglang.srt.plugins import load_plugins  # noqa: PLC0415 -- see above
        from sglang.srt.server_args import ServerArgs, prepare_server_args  # noqa: PLC0415 -- see above
        from sglang.srt.utils import kill_process_tree  # noqa: PLC0415 -- see above
    except ImportError as error:
        _stop(f"sglang cannot be imported by {sys.executable} ({error}). {_HELP}", MISSING)
    parser = argparse.ArgumentParser(add_help=False)
    ServerArgs.add_cli_args(parser)
    unknown = find_unknown(words, known=[name for action in parser._actions for name in action.option_strings])  # noqa: SLF001 -- argparse has no other list
    if unknown:
        _stop(f"this sglang does not know {', '.join(unknown)}: the options are those of 0.5.23", UNKNOWN)
    load_plugins()
    try:
        run_server(prepare_server_args([*words, *find_key(words)]))
    finally:
        kill_process_tree(os.getpid(), include_parent=False)


def route(words: Sequence[str]) -> None:
    """Start smg and stay until it ends; its own parser refuses what it does not know."""
    try:
        from smg.launch_router import launch_router, parse_router_args  # noqa: PLC0415 -- smg may be missing, as above
    except ImportError as error:
        _stop(f"smg cannot be imported by {sys.executable} ({error}). {_HELP_SMG}", MISSING)
    launch_router(parse_router_args([*words, *find_key(words)]))


def find_unknown(words: Sequence[str], *, known: Sequence[str]) -> list[str]:
    """Return the options among the words that are none of the known ones."""
    return [word for word in words if word.startswith("--") and word not in known]


def check_port(words: Sequence[str]) -> None:
    """Stop where somebody else listens there: sglang 0.5.23 would find out once it has loaded the weights, and hang."""
    host, port = read_option(words, "--host", _LOCAL[0]), read_option(words, "--port", "")
    if not port.isdecimal():
        return
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, int(port)))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                _stop(f"something listens at {host}:{port} already: name another --port", PORT_TAKEN)


def read_option(words: Sequence[str], name: str, otherwise: str) -> str:
    return words[words.index(name) + 1] if name in words[:-1] else otherwise


def find_key(words: Sequence[str]) -> list[str]:
    """Return the option with the key; stop where others can reach the server and there is none."""
    key = os.environ.get("SGLANG_API_KEY", "").strip()
    host = read_option(words, "--host", _LOCAL[0])
    if not key and host not in _LOCAL:
        _stop(f"it would answer anyone who reaches {host}: set SGLANG_API_KEY", NO_KEY)
    return ["--api-key", key] if key else []


_HELP = (
    "It is the extra `sglang`: pip install 'nightshift[sglang]', or name the Python of an environment that has it: "
    "nightshift model launch --python /opt/sglang/bin/python"
)
_HELP_SMG = (
    "Make an environment for it (pip install smg==1.13.0), and name its Python: "
    "nightshift model launch --workers http://gpu1:30000 http://gpu2:30000 --python /opt/smg/bin/python"
)


def _stop(text: str, code: int) -> NoReturn:
    sys.stderr.write(f"nightshift: {text}\n")
    sys.exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
