"""`logs ci`: what a failed CI log shows, against a green one of the same job or without. Needs no server."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bot.bootstrap.commands.named_files import read_named
from bot.domain.text.letters import decode_text

MAX_BYTES: Final = 256 * 1024 * 1024
JSON_VERSION: Final = 1


def add_command(app: typer.Typer) -> None:
    """Add the command to the group of commands that read logs."""
    app.command("ci")(print_ci)


def print_ci(
    failed: Annotated[Path, typer.Argument(help="The log of a job that failed, as the CI gives it.", readable=False)],
    green: Annotated[
        Path | None, typer.Option(help="The log of the same job when it was last green.", readable=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the lines of a failed CI log that tell why it failed."""
    report = read_ci(failed, green)
    sys.stdout.write(json.dumps(report, indent=2, ensure_ascii=False) + "\n" if as_json else _write(report))


def read_ci(failed: Path, green: Path | None) -> dict[str, Any]:
    """Return what `logs ci --json` prints. Raises `Refused` where a file cannot be read."""
    from bot.agent.redaction import load_redactor  # noqa: PLC0415 -- keeps --help fast
    from bot.domain.ci_logs.excerpt import choose_excerpt  # noqa: PLC0415 -- keeps --help fast
    from bot.domain.ci_logs.text import read_lines  # noqa: PLC0415 -- keeps --help fast

    lines = read_lines(_read(failed))
    excerpt = choose_excerpt(lines, read_lines(_read(green)) if green is not None else ())
    clean = load_redactor([], os.urandom(32)).redact_lines([lines[place].text for place in excerpt.shown])
    return {
        "version": JSON_VERSION,
        "lines": len(lines),
        "compared": excerpt.is_compared,
        "failed_command": {
            "first": excerpt.span.begin + 1,
            "last": excerpt.span.end,
            "marked": excerpt.span.is_marked,
        },
        "relevant": [lines[place].number for place in excerpt.relevant],
        "shown": [
            {"line": lines[place].number, "text": text} for place, text in zip(excerpt.shown, clean, strict=True)
        ],
    }


def _read(path: Path) -> str:
    return decode_text(read_named(path, most=MAX_BYTES))


def _write(report: dict[str, Any]) -> str:
    """Return the lines with their numbers, and a mark where lines are left out."""
    texts, before = [], 0
    for line in report["shown"]:
        if line["line"] > before + 1 and before:
            texts.append("      …")
        texts.append(f"{line['line']:>6}  {line['text']}")
        before = line["line"]
    left = len(report["relevant"]) - len(report["shown"])
    if left > 0:
        texts.append(f"{left:,} more lines are new; --json lists their numbers.")
    return "\n".join(texts or ["The log is empty."]) + "\n"
