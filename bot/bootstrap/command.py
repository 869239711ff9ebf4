"""A check as somebody would type it in the repository, made ready for the sandbox: same program, same packages."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bot.domain.checks.testing import is_pytest
from bot.errors import Reason, Refused

_SHELL: Final = re.compile(r"[&|;<>$`(){}*?\n~]|^\w+=")
_ASK: Final = (
    "import importlib.util as u, json, sys; "
    "print(json.dumps([sys.executable, sys.prefix, sys.base_prefix, u.find_spec('pytest') is not None]))"
)
_SYSTEM_PATH: Final = "/opt/nightshift/bin:/usr/local/bin:/usr/bin:/bin"
_TOOLCHAIN: Final = "/toolchain/lib"
_SECONDS: Final = 20.0
_MAX_FILE: Final = 8 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Command:
    """`readable` are the folders that its program and packages are in, `files` what it names outside the repository."""

    argv: tuple[str, ...]
    readable: tuple[Path, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Python:
    executable: str
    prefix: Path
    base: Path
    has_pytest: bool

    @property
    def folders(self) -> tuple[Path, ...]:
        found = dict.fromkeys((self.prefix, self.base))
        return tuple(folder for folder in found if not folder.is_relative_to("/usr"))


def read_command(text: str, repository: Path, *, has_toolchain: bool = False) -> Command:
    """Return the command. Raises `Refused` where it is empty or cannot be read.

    With a toolchain of its own it gets nothing of this machine's packages: its programs come from there.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Refused(f"the command {text[:80]!r} cannot be read: {error}", Reason.BAD_INPUT) from error
    if not words:
        raise Refused("the command is empty", Reason.BAD_INPUT)
    python = None if has_toolchain else _find_python(words, repository)
    folders = [".", *(["src"] if (repository / "src").is_dir() else []), *([_TOOLCHAIN] if has_toolchain else [])]
    env = {"PYTHONPATH": ":".join(folders), "PYTHONDONTWRITEBYTECODE": "1"}
    if python is not None:
        env["PATH"] = f"{Path(python.executable).parent}:{_SYSTEM_PATH}"
    if _SHELL.search(text):
        return Command(argv=("sh", "-c", text), readable=python.folders if python else (), env=env)
    files: dict[str, bytes] = {}
    rest = [_place(word, repository, files) for word in words[1:]]
    return Command(
        argv=(_program(words[0], python, repository), *rest),
        readable=python.folders if python else (),
        files=files,
        env=env,
    )


def read_setup(text: str) -> tuple[str, ...]:
    """Return the words of a setup command; a shell reads what only a shell understands."""
    return ("sh", "-c", text) if _SHELL.search(text) else tuple(shlex.split(text))


def _place(word: str, repository: Path, files: dict[str, bytes]) -> str:
    """Return a word with a path of the repository made relative, and one outside of it put beside the tree."""
    path, mark, rest = word.partition("::")
    place = Path(path)
    if not place.is_absolute() or not place.exists():
        return word
    if place.resolve().is_relative_to(repository.resolve()):
        return f"{place.resolve().relative_to(repository.resolve())}{mark}{rest}"
    if not place.is_file() or place.stat().st_size > _MAX_FILE:
        return word
    files[place.name] = place.read_bytes()
    return f"/nightshift/{place.name}{mark}{rest}"


def _program(word: str, python: _Python | None, repository: Path) -> str:
    """Return what the sandbox shall start: the same program, by the name that it has in there."""
    if python is None:
        return word
    if _is_python(word):
        return python.executable
    beside = Path(python.executable).parent / Path(word).name
    if beside.exists():
        return str(beside)
    place = Path(word)
    inside = place.is_absolute() and place.resolve().is_relative_to(repository.resolve())
    return str(place.resolve().relative_to(repository.resolve())) if inside else word


def _is_python(word: str) -> bool:
    return re.fullmatch(r"python[\d.]*", Path(word).name) is not None


def _find_program(word: str, repository: Path) -> str | None:
    if "/" in word:
        place = (repository / word).absolute()
        return str(place) if place.exists() else None
    return shutil.which(word)


def _find_python(words: Sequence[str], repository: Path) -> _Python | None:
    """Return the Python that the command would run with here: named, active, of the repository, or our own."""
    wants_pytest = is_pytest(words)
    found: list[_Python] = []
    for candidate in _list_pythons(words[0], repository):
        python = _ask(candidate)
        if python is not None and (python.has_pytest or not wants_pytest):
            return python
        found += [python] if python is not None else []
    return found[0] if found else None


def _list_pythons(word: str, repository: Path) -> list[str]:
    program = _find_program(word, repository)
    own = [program] if program and _is_python(word) else [_read_interpreter(program)] if program else []
    active = os.environ.get("VIRTUAL_ENV", "")
    folders = [Path(active)] if active else []
    folders += [repository / ".venv", repository / "venv"]
    near = [str(folder / "bin" / "python") for folder in folders if (folder / "bin" / "python").exists()]
    named = own if "/" in word else [*near[: bool(active)], *own, *near]
    return [path for path in dict.fromkeys([*named, *near, sys.executable]) if path]


def _read_interpreter(program: str) -> str:
    """Return the Python that a script's first line names, else ""."""
    try:
        with Path(program).open("rb") as file:
            first = file.readline(500).decode("utf-8", "replace")
    except OSError:
        return ""
    words = first.removeprefix("#!").split() if first.startswith("#!") else []
    named = words[-1] if words and words[0].endswith("/env") else words[0] if words else ""
    return (shutil.which(named) or "") if _is_python(named) else ""


def _ask(python: str) -> _Python | None:
    try:
        answer = subprocess.run(
            [python, "-I", "-c", _ASK], cwd="/", capture_output=True, timeout=_SECONDS, check=True, text=True
        )
        executable, prefix, base, has_pytest = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return _Python(executable=executable, prefix=Path(prefix), base=Path(base), has_pytest=has_pytest is True)
