"""Which parts of a message are variable: first by its letters and digits alone, then by what stands around them.

`WORD` is applied to every line, by a vectorised engine; `mask` only to the distinct texts that are left. What varies is
written `<*>`.
"""

import re
from typing import Final

MASK: Final = "<*>"
MAX_TEXT: Final = 4_000
#: A word with a digit in it, in a text whose digits are all zeros: one literal character is found quickly.
WORD: Final = r"""[^ \t=:,;()\[\]{}"'|<>0]*0[^ \t=:,;()\[\]{}"'|<>]*"""
#: Where a text is taken apart: every second piece is a word or a mask.
PIECES: Final = re.compile(r"""(<\*>|[^ \t=:,;()\[\]{}"'|<>]+)""")

_UNITS: Final = (
    "[KMGTPkmgtp]?i?[Bb]|bytes?|[munµ]s|m?secs?|mins?|seconds?|minutes?|hours?|hrs?|days?|milliseconds?|microseconds?"
    "|MILLISECONDS|SECONDS"
)
_DAYS: Final = "Mon|Tue|Wed|Thu|Fri|Sat|Sun"
_MONTHS: Final = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_RULES: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern), instead)
    for pattern, instead in (
        (r"[ \t]+", " "),
        (r"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://(?:<\*>|[^ \"'\]);>,<])*", MASK),
        (rf"\b(?:(?:{_DAYS}),? )?(?:{_MONTHS}) <\*>,?(?: <\*>(?::<\*>)*)*", MASK),
        (r"(?<![\w:])(?:<\*>|[0-9A-Fa-f]{2})(?::(?:<\*>|[0-9A-Fa-f]{2})){3,}(?![\w:])", MASK),
        (r"\b[A-Fa-f]{8,}\b", MASK),
        (r"(?<![\w>.])(?:[A-Za-z]:)?(?:\.{0,2}/|~/|\\)[^ =:,;()\[\]{}\"'|<>]*[A-Za-z][^ =:,;()\[\]{}\"'|<>]*", MASK),
        (r"(?<![\w.-])[A-Za-z]:<\*>", MASK),
        (rf"<?<\*> ?(?:{_UNITS})(?![\w<])", MASK),
        (r"(?<![\w.-])[A-Za-z][\w-]*(?:\.[\w-]+)+:<\*>", MASK),
        (r"(^| )\(\)(?= |$)", r"\1(<*>)"),
        (r"\b([Uu]ser(?:name)?) (?!unknown\b)[A-Za-z_][\w.$-]*(?= by\b| from\b| on\b| at\b|$)", r"\1 <*>"),
        (r"=(?:null|None|nil)\b|=[\w.$]*\{<\*>\}", "=" + MASK),
        (
            r"\b(name|tag|host|file|path|class|package)=(\"?)(?!true\b|false\b)[A-Za-z*_][^ \"=,;<>{}()\[\]]*",
            r"\1=\2" + MASK,
        ),
        (r"-?<\*>(?:(?:[:/,.@+-]+|, )-?<\*>)*", MASK),
        (r"(?:<\*>)+(?: <\*>){2,}", MASK),
    )
)


def mask(text: str) -> str:
    """Return the text with its variable parts masked, by their shape; `WORD` was applied to it before."""
    text = text.strip()[:MAX_TEXT]
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text
