"""A message as WhatsApp text, cut into pieces that WhatsApp takes. Pure.

WhatsApp reads markup and makes addresses live wherever they stand, and nothing escapes them. So signs that could are
written as others that look alike; the file beside a diff and the web page hold the exact text.
"""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from bot.domain.chat import Block, Bullets, Code, Fields, Link, Message, Paragraph, Tone
from bot.domain.text.split import split_text
from bot.domain.text.unseen import make_harmless

TEXT: Final = 4096
BODY: Final = 1024
"""Characters under which buttons can stand."""
_HEAD: Final = 64
_CODE: Final = 3000
_BOLD: Final = 600
_MARKS: Final = {Tone.CALM: "", Tone.BAD: "🔴 ", Tone.WARN: "🟠 ", Tone.GOOD: "🟢 "}
_LIVE: Final = re.compile(r"@|://|[^\W_]\.[^\W\d_]|\d\.\d+\.\d+\.\d")
_WORD: Final = re.compile(r"\S+")
_DEAD: Final = str.maketrans({".": "․", "@": "＠"})
_PAIRED: Final = re.compile(r"(?<!\w)[*_~](?=\S)|(?<=\S)[*_~](?!\w)")
_LOOKALIKE: Final = {"*": "∗", "_": "ˍ", "~": "∼"}
_QUOTE: Final = re.compile(r"^(\s*)>(?=\s)", re.MULTILINE)
_ITEM: Final = re.compile(r"^(\s*)[*-](?=\s)", re.MULTILINE)
_OWN_BULLETS: Final = ("✓ ", "→ ", "– ", "• ", "· ")
_MAX_URL: Final = 1500


def deaden(text: str) -> str:
    """Return text in which nothing is markup, an address or a mention, or is hidden."""
    shown = _WORD.sub(lambda match: _deaden_word(match.group()), make_harmless(text).replace("`", "ˋ"))
    shown = _PAIRED.sub(lambda match: _LOOKALIKE[match.group()], shown)
    return _ITEM.sub(r"\1–", _QUOTE.sub(r"\1›", shown))


def render(message: Message) -> list[str]:
    """Return the pieces of a message, each of which begins with its incident."""
    lead, headline = deaden(message.incident), deaden(message.headline)
    title = headline if not lead or headline.startswith(lead) else f"{lead} · {headline}"
    bold = f"*{title}*" if "\n" not in title and len(title) < _BOLD else title
    text = _MARKS[message.tone] + bold
    for block in message.blocks:
        text += ("\n" if isinstance(block, Link) else "\n\n") + _render_block(block)
    return _cut(text, lead)


def render_short(message: Message) -> list[str]:
    """Return what changed, for those who saw the message before: the headline and the first words under it."""
    words = next((block for block in message.blocks if isinstance(block, Paragraph)), None)
    return render(
        Message(
            incident=message.incident,
            slot=message.slot,
            headline=message.headline,
            tone=message.tone,
            blocks=(words,) if words else (),
        )
    )


def render_text(text: str) -> list[str]:
    """Return plain words, as an answer to a command."""
    return _cut(deaden(text) or "–", "")


def fit(text: str, limit: int) -> str:
    """Return one line of at most `limit` characters, never empty."""
    line = " ".join(deaden(text).split()) or "–"
    while units(line) > limit:
        line = line[:-2] + "…"
    return line


def units(text: str) -> int:
    """Return the length in UTF-16, the longest way in which it may be counted."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _cut(text: str, lead: str) -> list[str]:
    pieces = [part for piece in split_text(text, TEXT - _HEAD) for part in _cut_wide(piece)]
    pieces = [piece for piece in pieces if piece.strip()]
    if not lead:
        return pieces
    rest = [f"{lead} · {number}/{len(pieces)}\n{piece}" for number, piece in enumerate(pieces[1:], 2)]
    return [*pieces[:1], *rest]


def _cut_wide(piece: str) -> list[str]:
    limit = TEXT - _HEAD
    return [piece] if units(piece) <= limit else split_text(piece, limit // 2)


def _deaden_word(word: str) -> str:
    return word.translate(_DEAD).replace("://", ":⁄⁄") if _LIVE.search(word) else word


def _render_block(block: Block) -> str:
    if isinstance(block, Paragraph):
        return deaden(block.text)
    if isinstance(block, Code):
        return "\n".join(_fence(block.text))
    if isinstance(block, Link):
        return _render_link(block)
    if isinstance(block, Bullets):
        return "\n".join(_bullet(deaden(item)) for item in block.items)
    return "\n".join(_render_fields(block))


def _fence(text: str) -> Iterator[str]:
    """Yield blocks that each fit into one piece; in them only what ends a block or comes alive is another sign."""
    shown = _WORD.sub(lambda match: _deaden_word(match.group()), make_harmless(text).replace("`", "ˋ"))
    for part in split_text(shown, _CODE):
        yield f"```\n{part.rstrip(chr(10))}\n```"


def _bullet(text: str) -> str:
    return text if text.startswith(_OWN_BULLETS) else f"• {text}"


def _render_fields(block: Fields) -> Iterator[str]:
    for label, value in block.items:
        yield f"{deaden(label)}: {deaden(value)}"


def _render_link(link: Link) -> str:
    return f"{deaden(link.label)}: {link.url if _is_web_address(link.url) else deaden(link.url)}"


def _is_web_address(url: str) -> bool:
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > _MAX_URL:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False
