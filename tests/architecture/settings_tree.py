"""Every setting of `bot.settings.Settings` with its default, by the name that documents use for it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from bot.settings import ENV_PREFIX, Settings


@dataclass(frozen=True, kw_only=True)
class Setting:
    """`name` is "server.port", "people.<name>.role" or "services.<name>.logs[].path"; `default` as in TOML."""

    name: str
    default: str
    is_secret: bool = False

    @property
    def is_variable(self) -> bool:
        """Whether one environment variable sets it: one value at a fixed place."""
        return "<" not in self.name and "[" not in self.name and self.default not in {"{}", "[]"}

    @property
    def variable(self) -> str:
        return ENV_PREFIX + self.name.replace(".", "__").upper()


def read_settings(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        annotation = _without_none(field.annotation)
        inner = next((a for a in (annotation, *get_args(annotation)) if _is_model(a)), None)
        if inner is None:
            is_secret = annotation is SecretStr or SecretStr in get_args(annotation)
            yield Setting(name=prefix + name, default=_default(field), is_secret=is_secret)
        else:
            origin = get_origin(annotation)
            place = ".<name>" if origin is dict else "[]" if origin is tuple else ""
            yield from read_settings(inner, f"{prefix}{name}{place}.")


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _without_none(annotation: Any) -> Any:
    parts = [part for part in get_args(annotation) if part is not NoneType]
    return parts[0] if len(parts) == 1 and NoneType in get_args(annotation) else annotation


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if isinstance(value, Path | Enum):
        value = value.value if isinstance(value, Enum) else str(value)
    return json.dumps(value)
