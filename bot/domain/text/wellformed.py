"""What names, addresses and texts of a configuration must look like: functions that say what is wrong, or ""."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
_HELPER: Final = re.compile(r"[A-Za-z0-9+.-]*::")
_NO_REF: Final = re.compile(r"[\s~^:?*\[\\\x00-\x20\x7f]|\.\.|@\{|//|^[-/.]|[/.]$|\.lock(/|$)|/\.|^@$")
_BIDI: Final = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def fault_of_name(text: str) -> str:
    """A name that becomes a folder: no path, no option, nothing hidden."""
    if _NAME.fullmatch(text):
        return ""
    return 'may hold letters, digits, ".", "_" and "-", must begin with a letter or digit, 64 characters at most'


def fault_of_branch(text: str) -> str:
    """A branch by the rules of git's references."""
    if text.startswith("-"):
        return 'may not begin with "-"'
    return "is not a branch name git may have" if not text or _NO_REF.search(text) else ""


def fault_of_repository(text: str) -> str:
    """An address that git may be given: no option, and no helper program (ext::, fd::)."""
    bare = text.strip()
    is_odd = not bare or bare != text or not bare.isprintable()
    is_unsafe = is_odd or bare.startswith("-") or _HELPER.match(bare) or "://-" in bare
    return "is not a repository address git may use" if is_unsafe else ""


def fault_of_web_address(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        return "must begin with http:// or https://"
    try:
        parts = urlsplit(text)
        is_right = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_right = False
    return "" if is_right and text.isprintable() and " " not in text else "is not an address: no host, or a wrong port"


def fault_of_host(text: str) -> str:
    """A host as a browser names it: a name or an address, with a port or without."""
    return "" if _HOST.fullmatch(text) else "is not a host, or host:port; patterns and paths do not work here"


def fault_of_account(text: str) -> str:
    """An account by which a chat service knows a person."""
    if not text or text != text.strip() or not text.isprintable():
        return "is no account: empty, with spaces around it, or with characters that cannot be seen"
    return ""


def fault_of_text(text: str) -> str:
    """Any text at all: nothing that no command line holds, and nothing that reorders what people read."""
    if any((character < " " and character not in "\t\n") or character == "\x7f" for character in text):
        return "holds a control character; remove it"
    return "holds a character that reorders text; remove it" if _BIDI & set(text) else ""


def walk_texts(value: object, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text in plain values with the place where it stands, keys too."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            place = f"{where}.{key}" if where else str(key)
            yield place, str(key)
            yield from walk_texts(item, place)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from walk_texts(item, f"{where}.{number}")
    elif isinstance(value, str | Path):
        yield where, str(value)
