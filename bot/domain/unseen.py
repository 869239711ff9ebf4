"""What a reader does not see: colours, control and direction characters."""

import re
from typing import Final

_COLOUR: Final = re.compile(r"\x1b(?:\[[0-?]{0,32}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,500}(?:\x07|\x1b\\))")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def remove_unseen(text: str) -> str:
    """Return text without them; tabs and line ends stay."""
    return _CONTROL.sub("", _COLOUR.sub("", text))
