"""What `nightshift connect` reads and writes: the channel's table in the configuration, and `.env` beside it."""

import json
import os
import re
import secrets
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bot.errors import ConfigError, Problem, Reason, Refused
from bot.settings import ENV_FILE
from bot.settings_connections import PREFIX, variables_of

_LINE: Final = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")
_PLAIN: Final = re.compile(r"[A-Za-z0-9!%&()*+,./:;<=>?@\[\]^_{|}~-]+")
"""What stands in `.env` as it is; quotes, "$", "#", "\\" and spaces would be read as something else."""


class Files:
    """One channel's part of the configuration. Nothing is written before `write`."""

    def __init__(self, config: Path, name: str, kind: str) -> None:
        self.config = config.absolute()
        self.env = self.config.with_name(ENV_FILE)
        self._name = name
        self._kind = kind
        self._text = _read(self.config)
        self._env_text = _read(self.env)
        self._all = _parse(config, self._text)
        channels = self._all.get("channels")
        self._table: dict[str, Any] | None = channels.get(name) if isinstance(channels, dict) else None
        if self._table is not None and self._table.get("kind", kind) != kind:
            raise Refused(f'The channel "{name}" is {self._table["kind"]}: choose another name.', Reason.CONFLICT)

    def known(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return the settings that are known: variables win over `.env`, `.env` over the configuration."""
        table = self._table or {}
        found = {key: str(value) for key, value in table.items() if isinstance(value, str | int | float)}
        found.pop("kind", None)
        return found | self._in_env() | self.in_variables(variables)

    def in_variables(self, variables: Mapping[str, str]) -> dict[str, str]:
        return {key: value for _, key, value in variables_of(self._name, variables) if value}

    def public_url(self, variables: Mapping[str, str]) -> str:
        """Return the address under which people and services reach Nightshift, "" where it is not known."""
        in_env = _read_lines(self._env_text).get(f"{PREFIX}PUBLIC_URL", "")
        return str(variables.get(f"{PREFIX}PUBLIC_URL") or in_env or self._all.get("public_url") or "").rstrip("/")

    def unnamed_routes(self) -> int:
        """Return how many routes name their channels, but not this one."""
        routes = self._all.get("routes")
        tables = [route for route in routes if isinstance(route, dict)] if isinstance(routes, list) else []
        return sum(1 for route in tables if route.get("channels") and self._name not in route["channels"])

    def write(self, plain: Mapping[str, str | int], hidden: Mapping[str, str]) -> str:
        """Write `plain` into the configuration and `hidden` into `.env`; return a table that has to be pasted, or "".

        Where the channel has its table already, what differs goes into `.env`: that wins. Raises `Refused`.
        """
        has_table = self._table is not None
        table = self._table or {}
        env = {key: str(value) for key, value in plain.items() if key in self._in_env()}
        env |= {key: str(value) for key, value in plain.items() if has_table and str(table.get(key)) != str(value)}
        env |= hidden
        text = self._set(env)
        if text != self._env_text:
            _replace(self.env, text, mode=0o600)
        elif self.env.exists():
            self.env.chmod(0o600)
        return "" if has_table else self._add_table(plain)

    def _add_table(self, plain: Mapping[str, str | int]) -> str:
        lines = [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
        table = "\n".join([f"[channels.{self._name}]", f'kind = "{self._kind}"', *lines]) + "\n"
        text = f"{self._text.rstrip()}\n\n{table}" if self._text.strip() else table
        try:
            tomllib.loads(text)
        except tomllib.TOMLDecodeError:  # the channels are written in a way that nothing can be added to below
            return table
        _replace(self.config, text, mode=self.config.stat().st_mode & 0o777 if self.config.exists() else 0o644)
        return ""

    def _in_env(self) -> dict[str, str]:
        return {key: value for _, key, value in variables_of(self._name, _read_lines(self._env_text)) if value}

    def _set(self, values: Mapping[str, str]) -> str:
        """Return `.env` with these settings; all other lines stay as they are."""
        left = {f"{PREFIX}{self._name.upper()}_{key.upper()}": value for key, value in values.items()}
        for name, value in left.items():
            if not _PLAIN.fullmatch(value):
                raise Refused(f'{name} holds a space, a quote, "$", "#" or "\\": take another.', Reason.BAD_INPUT)
        lines, done = [], set()
        for line in self._env_text.splitlines():
            match = _LINE.fullmatch(line.strip())
            name = match[1].upper() if match else ""
            lines.append(f"{name}={left[name]}" if name in left else line)
            done.add(name)
        lines += [f"{name}={value}" for name, value in left.items() if name not in done]
        return "".join(f"{line}\n" for line in lines)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(where=str(path), what=f"cannot be read: {error}")]) from None


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError([Problem(where=str(path), what=f"is not valid TOML: {error}")]) from None


def _read_lines(text: str) -> dict[str, str]:
    """Return the variables of `.env`, quotes around a value taken off."""
    found = (_LINE.fullmatch(line.strip()) for line in text.splitlines())
    return {match[1].upper(): match[2].strip("'\"") for match in found if match}


def _replace(path: Path, text: str, *, mode: int) -> None:
    """Write a file whole or not at all; its owner stays the same."""
    path = path.resolve()  # a link stays one
    place = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists() and os.geteuid() == 0:
            os.chown(place, path.stat().st_uid, path.stat().st_gid)
        place.chmod(mode)
        place.replace(path)
    except OSError as error:
        place.unlink(missing_ok=True)
        raise Refused(f"{path} cannot be written: {error.strerror}", Reason.NOT_ALLOWED) from error
