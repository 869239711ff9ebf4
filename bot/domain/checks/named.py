"""The checks of a repository, as its `.nightshift.toml` names them. The file is the repository's: hostile input.

It is read at the base commit, never from a patch, and its commands run in the sandbox alone.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

FILE: Final = ".nightshift.toml"
MAX_FILE: Final = 32 * 1024
MAX_CHECKS: Final = 12
MAX_WORDS: Final = 64
MAX_WORD: Final = 1_000
MAX_REPEAT: Final = 5
MAX_SECONDS: Final = 3_600
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_KEYS: Final = frozenset({"command", "kind", "repeat", "timeout_seconds", "required"})


class CheckKind(StrEnum):
    TEST = "test"
    LINT = "lint"
    TYPES = "types"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class CheckSpec:
    """One check. A red one is run `repeat` times to tell a flaky one; `seconds` 0 = the playbook's limit.

    One that is not `required` is shown and does not count.
    """

    name: str
    command: tuple[str, ...]
    kind: CheckKind = CheckKind.OTHER
    repeat: int = 1
    seconds: float = 0.0
    required: bool = True


def guess_kind(name: str) -> CheckKind:
    """Return the kind of a check that only has a name, as in the operator's configuration."""
    words = {CheckKind.TEST: "test", CheckKind.LINT: "lint", CheckKind.TYPES: "type"}
    return next((kind for kind, word in words.items() if word in name.lower()), CheckKind.OTHER)


def plan_checks(operator: Mapping[str, tuple[str, ...]], theirs: Sequence[CheckSpec]) -> dict[str, CheckSpec]:
    """Return every check by name: the operator's commands win, the repository's say how they are run, and add more."""
    known = {spec.name: spec for spec in theirs}
    plan: dict[str, CheckSpec] = {}
    for name, command in operator.items():
        named = known.pop(name, CheckSpec(name=name, command=command, kind=guess_kind(name)))
        plan[name] = replace(named, command=command, required=True)
    return plan | known


def parse_checks(raw: bytes) -> tuple[CheckSpec, ...]:
    """Read the file. Raises `ValueError` with what is wrong; nothing of a bad file counts."""
    if len(raw) > MAX_FILE:
        raise ValueError(f"it is larger than {MAX_FILE:,} bytes")
    try:
        table = tomllib.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as error:
        raise ValueError("it is not TOML") from error
    if set(table) - {"checks"}:
        raise ValueError("it holds something other than [checks.<name>]")
    checks = table.get("checks", {})
    if not isinstance(checks, dict) or len(checks) > MAX_CHECKS:
        raise ValueError(f"checks must be a table of at most {MAX_CHECKS}")
    return tuple(_read_check(name, body) for name, body in checks.items())


def _read_check(name: str, body: object) -> CheckSpec:
    where = f"checks.{ascii(name[:40])[1:-1]}"
    if _NAME.fullmatch(name) is None or name == "reproduction":
        raise ValueError(f"{where} is not a name for a check")
    if not isinstance(body, dict) or set(body) - _KEYS:
        raise ValueError(f"{where} may hold {', '.join(sorted(_KEYS))} and nothing else")
    kind, required = body.get("kind", "other"), body.get("required", True)
    if kind not in list(CheckKind):
        raise ValueError(f"{where}.kind must be one of {', '.join(CheckKind)}")
    if type(required) is not bool:
        raise ValueError(f"{where}.required must be true or false")
    return CheckSpec(
        name=name,
        command=_read_command(where, body.get("command")),
        kind=CheckKind(kind),
        repeat=_read_number(f"{where}.repeat", body.get("repeat", 1), MAX_REPEAT),
        seconds=float(_read_number(f"{where}.timeout_seconds", body.get("timeout_seconds", MAX_SECONDS), MAX_SECONDS)),
        required=required,
    )


def _read_command(where: str, words: object) -> tuple[str, ...]:
    if not isinstance(words, list) or not 1 <= len(words) <= MAX_WORDS:
        raise ValueError(f"{where}.command must be a list of 1 to {MAX_WORDS} words")
    if not all(isinstance(word, str) and len(word) <= MAX_WORD and "\0" not in word for word in words) or not words[0]:
        raise ValueError(f"{where}.command holds a word that is no text of at most {MAX_WORD:,} characters")
    return tuple(words)


def _read_number(where: str, value: object, most: int) -> int:
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"{where} must be a whole number from 1 to {most:,}")
    return value
