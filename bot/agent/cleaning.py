"""Redaction of whole values: every text in a frozen dataclass, however deep."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def redact_value(value: T, redact: Callable[[str], str]) -> T:
    """Return the value with every text redacted. Bytes stay: a patch is judged as the exact bytes that it is."""
    return _clean(value, redact)  # type: ignore[return-value] # the same type comes back


def _clean(value: object, redact: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return value if type(value) is not str else redact(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return dataclasses.replace(value, **{name: _clean(getattr(value, name), redact) for name in names})
    if isinstance(value, tuple):
        return tuple(_clean(item, redact) for item in value)
    if isinstance(value, Mapping):
        return {key: _clean(item, redact) for key, item in value.items()}
    return value
