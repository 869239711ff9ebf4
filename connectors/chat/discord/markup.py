"""A message as Discord embeds, cut into pieces that Discord takes. Pure.

Every sign that Discord's markup knows is escaped, so text stays text: no mention, link, heading or spoiler comes alive.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from bot.domain.chat import Block, Bullets, Code, Link, Message, Paragraph, Tone
from bot.domain.text.split import split_text
from bot.domain.text.unseen import make_harmless

LIMIT: Final = 4096
"""Characters in an embed's description, as Discord counts them."""
TITLE: Final = 256
_SPARE: Final = 96
_COLOURS: Final = {Tone.CALM: 0x5B6770, Tone.BAD: 0xD83C3E, Tone.WARN: 0xE8912D, Tone.GOOD: 0x2E9E5B}
_SIGN: Final = re.compile(r"[\\*_~`|\[\]<@]|:(?=//)")
_AT_START: Final = re.compile(r"^(\s*\d*)([#\-+>.])", re.MULTILINE)
"""Headings, lists, quotes: signs that count where a line begins."""
_OWN_BULLETS: Final = ("✓ ", "→ ", "– ", "• ", "· ")
_LANGUAGES: Final = frozenset({"diff", "python", "json", "yaml", "toml", "sql", "go", "java", "bash"})
_INCIDENT: Final = re.compile(r"(?P<incident>[A-Za-z][A-Za-z0-9]{0,15}-[0-9]{1,10})(?![\w-])")
_MAX_URL: Final = 2000


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What one Discord message holds."""

    title: str
    text: str
    colour: int


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A stretch of text with what stands around it, also where it is cut."""

    body: str
    before: str = ""
    after: str = ""


def render(message: Message) -> list[Piece]:
    """Return the pieces of a message, each of which begins with its incident."""
    lead = make_harmless(message.incident)
    headline = head_of(message)
    title, rest = _clip(headline)
    parts = [*([_Part(body=escape(rest))] if rest else [])]
    for block in message.blocks:
        if parts:
            parts.append(_Part(body="\n" if isinstance(block, Link) else "\n\n"))
        parts += _parts_of(block)
    texts = pack(parts)
    colour = _COLOURS[message.tone]
    titles = [title, *(escape(f"{lead} · {number}/{len(texts)}") for number in range(2, len(texts) + 1))]
    return [Piece(title=title, text=text, colour=colour) for title, text in zip(titles, texts, strict=True)]


def render_text(text: str) -> list[str]:
    """Return plain words, as an answer to a command."""
    return pack([_Part(body=escape(make_harmless(text) or "–"))])


def render_ring(message: Message, accounts: Mapping[str, str]) -> str:
    """Return the words that ring, "" where nobody is named who has an account."""
    named = [f"<@{accounts[person]}>" for person in message.rings if accounts.get(person, "").isdecimal()]
    return f"{' '.join(named)} {_clip(head_of(message))[0]}" if named else ""


def head_of(message: Message) -> str:
    headline, lead = make_harmless(message.headline), make_harmless(message.incident)
    line = headline if not lead or headline.startswith(f"{lead} ") else f"{lead} · {headline}"
    return " ".join(line.split())


def read_incident(text: str) -> str | None:
    """Return the incident of a title or a thread's name that was made here."""
    match = _INCIDENT.match(text.replace("\\", ""))
    return match["incident"] if match else None


def escape(text: str) -> str:
    return _AT_START.sub(r"\1\\\2", _SIGN.sub(r"\\\g<0>", text))


def units(text: str) -> int:
    """Return the length in UTF-16 units: never less than Discord counts."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def pack(parts: list[_Part]) -> list[str]:
    """Return the parts in as few texts as they need, each within the limit; nothing is lost but space at cuts."""
    texts, text = [], ""
    for part in parts:
        for piece in _cut(part):
            if units(text) + units(piece) > LIMIT:
                texts.append(text)
                text = ""
            begin = _AT_START.match(piece) if not text else None
            text += f"{begin[1]}\\{piece[begin.end(1) :]}" if begin else piece
    texts.append(text)
    filled = [text for text in texts if text.strip()]
    return filled or [""]


def _cut(part: _Part) -> Iterator[str]:
    """Yield a part in pieces of a quarter of the limit at most, so that texts fill up well; no escape is torn."""
    whole = part.before + part.body + part.after
    if units(whole) <= LIMIT // 2:
        yield whole
        return
    held = ""
    for piece in split_text(part.body, LIMIT // 4 - _SPARE):
        body = held + piece
        is_torn = (len(body) - len(body.rstrip("\\"))) % 2 == 1 and not part.before.startswith("`")
        held = "\\" if is_torn else ""
        yield part.before + (body[:-1] if held else body) + part.after
    if held:
        yield held


def _clip(line: str) -> tuple[str, str]:
    """Return a line's escaped beginning that fits a title, and the rest."""
    if units(escape(line)) <= TITLE:
        return escape(line), ""
    end = min(len(line), TITLE)
    while units(escape(line[:end])) >= TITLE:
        end -= 1
    return f"{escape(line[:end])}…", line[end:]


def _parts_of(block: Block) -> list[_Part]:
    if isinstance(block, Paragraph):
        return [_Part(body=escape(make_harmless(block.text)))]
    if isinstance(block, Code):
        return [_code(block)]
    if isinstance(block, Link):
        return [_Part(body=_link(block))]
    if isinstance(block, Bullets):
        return [_Part(body="\n".join(escape(_bullet(make_harmless(item))) for item in block.items))]
    return [part for number, item in enumerate(block.items) for part in _field(item, is_first=number == 0)]


def _field(item: tuple[str, str], *, is_first: bool) -> Iterator[_Part]:
    label, value = (make_harmless(text) for text in item)
    if not is_first:
        yield _Part(body="\n")
    if label.strip():
        yield _Part(body=escape(label), before="**", after="**")
    yield _Part(body=escape(f": {value}"))


def _code(block: Code) -> _Part:
    """Return a block of code; a run of backticks would end it, so those are shown as another sign."""
    language = block.language if block.language in _LANGUAGES else ""
    body = re.sub("`{2,}", lambda run: "ˋ" * len(run.group()), make_harmless(block.text))
    return _Part(body=body, before=f"```{language}\n", after="\n```\n")


def _bullet(text: str) -> str:
    return text if text.startswith(_OWN_BULLETS) else f"• {text}"


def _link(link: Link) -> str:
    label = make_harmless(link.label)
    if not _is_web_address(link.url):
        return escape(f"{label}: {make_harmless(link.url)}")
    address = quote(link.url, safe="%/:?&=#@!$,;+~*'-._")
    return f"[{escape(label or 'link')}](<{address}>)"


def _is_web_address(url: str) -> bool:
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > _MAX_URL // 2:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False
