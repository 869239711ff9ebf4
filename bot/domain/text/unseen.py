"""What a reader does not see: colours, control and direction characters."""

import re
import unicodedata
from typing import Final

_COLOUR: Final = re.compile(r"\x1b(?:\[[0-?]{0,32}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,500}(?:\x07|\x1b\\))")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def remove_unseen(text: str) -> str:
    """Return text without them; tabs and line ends stay."""
    return _CONTROL.sub("", _COLOUR.sub("", text))


def make_harmless(text: str) -> str:
    """Return text that cannot move a cursor, colour, ring, hide or reorder: what could is written out visibly."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_show(character) for character in text)


def _show(character: str) -> str:
    if character == "\n" or character.isprintable():
        return character
    if character == "\t":
        return "    "
    if character < " ":
        return chr(0x2400 + ord(character))
    # isprintable() is false for control, format (bidi, zero width), surrogate, private, unassigned, odd spaces
    return " " if unicodedata.category(character) == "Zs" else f"<U+{ord(character):04X}>"
