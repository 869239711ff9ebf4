"""A message as Telegram text with explicit entities, cut into pieces that Telegram takes. Pure.

Text is never parsed as HTML or Markdown, so nothing in it can become or break markup. What Telegram would make live by
itself (mentions, addresses, hashtags, commands) is set as code: shown letter by letter, copied exactly, and dead.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from urllib.parse import urlsplit

from bot.domain.chat import Block, Bullets, Code, Fields, Link, Message, Paragraph, Tone
from bot.domain.text.split import split_text
from bot.domain.text.unseen import make_harmless
from bot.ports.chat import ChatPlace

LIMIT: Final = 4096
"""UTF-16 units in one message."""
MAX_ENTITIES: Final = 100
"""Further ones are dropped by Telegram, and what they kept dead would come alive."""
_HEAD: Final = 64
_MARKS: Final = {Tone.CALM: "", Tone.BAD: "🔴 ", Tone.WARN: "🟠 ", Tone.GOOD: "🟢 "}
_WORD: Final = re.compile(r"\S+")
_LIVE: Final = re.compile(r"@|://|[^\W_]\.[^\W\d_]|\d\.\d+\.\d+\.\d|(?<!\w)[/#$]\w+(?![\w/])")
_INCIDENT: Final = re.compile(r"(?:[🔴🟠🟢] )?(?P<incident>[A-Za-z][A-Za-z0-9]{0,15}-[0-9]{1,10})(?![\w-])")
_OWN_BULLETS: Final = ("✓ ", "→ ", "– ", "• ", "· ")
_MAX_URL: Final = 2000


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of text, in characters, with its kind: bold, code, pre, text_link or text_mention."""

    begin: int
    end: int
    kind: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What one Telegram message holds; spans count from its own beginning."""

    text: str
    spans: tuple[Span, ...] = ()


class _Sheet:
    def __init__(self) -> None:
        self.text = ""
        self.spans: list[Span] = []

    def add(self, text: str, kind: str = "", detail: str = "") -> None:
        begin = len(self.text)
        self.text += text
        if kind in {"pre", "text_link", "text_mention", "code"}:
            if text.strip():
                self.spans.append(Span(begin=begin, end=len(self.text), kind=kind, detail=detail))
            return
        at = begin
        for match in _WORD.finditer(text):
            if _LIVE.search(match.group()) is None:
                continue
            self._style(at, begin + match.start(), kind)
            self.spans.append(Span(begin=begin + match.start(), end=begin + match.end(), kind="code"))
            at = begin + match.end()
        self._style(at, len(self.text), kind)

    def _style(self, begin: int, end: int, kind: str) -> None:
        if kind and self.text[begin:end].strip():
            self.spans.append(Span(begin=begin, end=end, kind=kind))


def render(message: Message, place: ChatPlace) -> list[Piece]:
    """Return the pieces of a message, the first of which begins with its incident. Who has an account may be rung."""
    sheet = _Sheet()
    headline = make_harmless(message.headline)
    mark, lead = _MARKS[message.tone], make_harmless(message.incident)
    sheet.add(mark)
    sheet.add(headline if not lead or headline.startswith(f"{lead} ") else f"{lead} · {headline}", "bold")
    for block in message.blocks:
        sheet.add("\n\n" if not isinstance(block, Link) else "\n")
        _add_block(sheet, block)
    rung = [person for person in message.rings if place.accounts.get(person, "").isdecimal()]
    for number, person in enumerate(rung):
        sheet.add("\n\n🔔 " if number == 0 else ", ")
        sheet.add(make_harmless(place.names.get(person, person)), "text_mention", place.accounts[person])
    return cut(sheet.text, sheet.spans, lead)


def render_text(text: str) -> list[Piece]:
    """Return plain words, as an answer to a command."""
    sheet = _Sheet()
    sheet.add(make_harmless(text) or "–")
    return cut(sheet.text, sheet.spans, "")


def render_parts(parts: Iterable[tuple[str, str]]) -> Piece:
    """Return one short message of (text, kind)."""
    sheet = _Sheet()
    for text, kind in parts:
        sheet.add(make_harmless(text), kind)
    return Piece(text=sheet.text, spans=tuple(sheet.spans))


def read_incident(text: str) -> str | None:
    """Return the incident of a message that `render` made."""
    match = _INCIDENT.match(text)
    return match["incident"] if match else None


def cut(text: str, spans: Iterable[Span], lead: str) -> list[Piece]:
    """Return pieces within Telegram's limits; each after the first begins with `lead` and its number."""
    limit = LIMIT - _HEAD
    pieces = [part for piece in split_text(text, limit) for part in _cut_wide(piece, limit)]
    ends = [0]
    for piece in pieces:
        ends.append(ends[-1] + len(piece))
    spans = list(spans)
    found = []
    for number, (begin, end) in enumerate(pairwise(ends), 1):
        head = f"{lead} · {number}/{len(pieces)}\n" if lead and number > 1 else ""
        shift = len(head) - begin
        own = tuple(
            Span(
                begin=max(span.begin, begin) + shift, end=min(span.end, end) + shift, kind=span.kind, detail=span.detail
            )
            for span in spans
            if span.begin < end and begin < span.end
        )
        body = head + text[begin:end]
        if not body.strip():
            continue
        if len(own) > MAX_ENTITIES:
            own = (Span(begin=len(head), end=len(body), kind="pre"),)
        found.append(Piece(text=body, spans=own))
    return found


def units(text: str) -> int:
    """Return the length as Telegram counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _cut_wide(piece: str, limit: int) -> list[str]:
    return [piece] if units(piece) <= limit else split_text(piece, limit // 2)


def _add_block(sheet: _Sheet, block: Block) -> None:
    if isinstance(block, Paragraph):
        sheet.add(make_harmless(block.text))
    elif isinstance(block, Code):
        sheet.add(make_harmless(block.text), "pre", block.language if block.language.isalnum() else "")
    elif isinstance(block, Link):
        _add_link(sheet, block)
    elif isinstance(block, Bullets):
        sheet.add("\n".join(_bullet(make_harmless(item)) for item in block.items))
    elif isinstance(block, Fields):
        for text, kind in _fields(block):
            sheet.add(text, kind)


def _bullet(text: str) -> str:
    return text if text.startswith(_OWN_BULLETS) else f"• {text}"


def _fields(block: Fields) -> Iterator[tuple[str, str]]:
    for number, (label, value) in enumerate(block.items):
        yield ("\n" if number else "") + make_harmless(label), "bold"
        yield f": {make_harmless(value)}", ""


def _add_link(sheet: _Sheet, link: Link) -> None:
    label = make_harmless(link.label)
    if _is_web_address(link.url):
        sheet.add(label or "link", "text_link", link.url)
    else:
        sheet.add(f"{label}: {make_harmless(link.url)}")


def _is_web_address(url: str) -> bool:
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > _MAX_URL:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False
