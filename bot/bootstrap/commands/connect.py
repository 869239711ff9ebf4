"""`connect slack` and its like: a chat service set up at the terminal, or by a script."""

import getpass
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

_CONNECTORS: Final = Path(__file__).parents[3] / "connectors" / "chat"


def add_commands(app: typer.Typer, config: Path) -> None:
    """Add a command for each chat service that has a set-up. `config` is the configuration where none is named."""
    for kind in sorted(path.parent.name for path in _CONNECTORS.glob("*/setup.py")):
        app.command(kind, help=f"Connect {kind}, step by step, with a test card.")(_make_command(kind, config))


def _make_command(kind: str, default: Path) -> Callable[..., None]:
    def command(
        chat: Annotated[
            str,
            typer.Option(help="Where the test card goes: channel, group; in WhatsApp a number.", show_default=False),
        ] = "",
        name: Annotated[
            str, typer.Option(help=f"What the channel is called: for a second one of {kind}.", show_default=kind)
        ] = "",
        yes: Annotated[
            bool, typer.Option("--yes", help="Ask nothing: secrets come from NIGHTSHIFT_<NAME>_… variables.")
        ] = False,
        config: Annotated[
            Path | None,
            typer.Option(
                "--config", "-c", help="The configuration file.", envvar="NIGHTSHIFT_CONFIG", show_default=False
            ),
        ] = None,
    ) -> None:
        from bot.bootstrap.commands.connect_wizard import Order, Terminal, connect  # noqa: PLC0415 -- keeps --help fast

        given = {"chat": chat} if chat else {}
        order = Order(kind=kind, config=config or default, variables=dict(os.environ), name=name, given=given)
        is_patient = sys.stdin.isatty() and not yes
        connect(order, Terminal(say=print, ask=_say_nothing if yes else _ask, is_patient=is_patient))

    return command


def _ask(label: str, is_secret: bool) -> str:
    """Return what is typed; where nobody types, the next line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline()
    return getpass.getpass(f"{label}: ") if is_secret else input(f"{label}: ")


def _say_nothing(_label: str, _is_secret: bool) -> str:
    return ""
