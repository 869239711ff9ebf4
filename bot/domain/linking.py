"""Linking: an account that nobody knows yet becomes a known person's, by a code that is good once and soon too old."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

LIFETIME: Final = timedelta(minutes=10)
MAX_WRONG: Final = 5
"""Wrong codes of one account within `WRONG_WINDOW`; then not even a right one is looked at."""
WRONG_WINDOW: Final = timedelta(hours=1)
_SIGNS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""32 signs, none of which is taken for another: I and L are read as 1, O as 0."""
_LENGTH: Final = 12
"""60 bits: what is stored is a digest, and nobody finds its code in ten minutes."""
_GROUP: Final = 4
_READ_AS: Final = str.maketrans("ILO", "110", "- ")
_CODE: Final = re.compile(f"[{_SIGNS}]{{{_LENGTH}}}")


@dataclass(frozen=True, kw_only=True)
class LinkedAccount:
    """An account that a person linked. What the configuration says of it, or of the person there, wins over it."""

    channel: str
    account: str
    person: str
    linked_at: datetime


@dataclass(frozen=True, kw_only=True)
class CodeOffer:
    """A code that waits to be typed: who asked for it, and in which channel. `digest` stands for the code itself."""

    person: str
    channel: str
    digest: str
    expires_at: datetime


def write_code(choose: Callable[[str], str]) -> str:
    """Return a new code such as "7Q2M-X0VD-9KHT"; `choose` takes one of some signs at random."""
    signs = "".join(choose(_SIGNS) for _ in range(_LENGTH))
    return "-".join(signs[at : at + _GROUP] for at in range(0, _LENGTH, _GROUP))


def read_code(text: str) -> str | None:
    """Return the signs of a code however it was typed, None for what is none."""
    signs = text.upper().translate(_READ_AS)
    return signs if text.isascii() and _CODE.fullmatch(signs) else None


def digest_code(signs: str) -> str:
    """Return what is stored of a code, read by `read_code`."""
    return hashlib.sha256(f"nightshift link {signs}".encode()).hexdigest()
