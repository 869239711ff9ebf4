"""The repository as these tests read it: what git knows and does not ignore, parsed once."""

import ast
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PRODUCT: Final = ("bot", "connectors")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tracked_files() -> tuple[Path, ...]:
    """Return the files of the repository: committed, or new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    names = done.stdout.decode().split("\0")
    return tuple(sorted({ROOT / name for name in names if name and (ROOT / name).is_file()}))


def python_files(*folders: str) -> tuple[Path, ...]:
    """Return the Python files below some top folders."""
    return tuple(path for path in tracked_files() if path.suffix == ".py" and place(path).split("/")[0] in folders)


def place(path: Path) -> str:
    """Return a file's name in the repository."""
    return path.relative_to(ROOT).as_posix()


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=place(path))


@cache
def functions(path: Path) -> tuple[Function, ...]:
    return tuple(node for node in ast.walk(parse(path)) if isinstance(node, Function))


def table(document: Path, heading: str = "") -> dict[str, tuple[str, ...]]:
    """Return the rows of a Markdown file's tables (or of those below one heading) by their first cell, unquoted."""
    rows: dict[str, tuple[str, ...]] = {}
    below = not heading
    for line in document.read_text(encoding="utf-8").splitlines():
        if heading and line.startswith("## "):
            below = line.removeprefix("## ") == heading
        if below and line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
            rows[cells[0].strip("`")] = tuple(cells[1:])
    return rows
