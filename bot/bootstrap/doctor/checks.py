"""What one look of the doctor yields."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Found:
    """One line: what was looked at, what was seen, and where something is wrong how to mend it."""

    name: str
    is_ok: bool
    text: str
    how: str = ""


def ok(name: str, text: str) -> Found:
    return Found(name=name, is_ok=True, text=text)


def mend(name: str, text: str, how: str) -> Found:
    return Found(name=name, is_ok=False, text=text, how=how)
