"""A message as terminal lines: a coloured rule on the left, an indent for threads, nothing wider than the terminal."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.domain.chat import Block, Bullets, Button, Code, Fields, Link, Message, Paragraph, Tone
from bot.domain.text.unseen import make_harmless
from connectors.chat.console.plain import break_verbatim, fit, measure, wrap_words

SMALLEST: Final = 24
_LABEL: Final = 16
_SIGNS: Final[Mapping[Tone, str]] = {Tone.CALM: "•", Tone.BAD: "▲", Tone.WARN: "△", Tone.GOOD: "✓"}
_COLOURS: Final[Mapping[Tone, str]] = {Tone.CALM: "36", Tone.BAD: "31", Tone.WARN: "33", Tone.GOOD: "32"}
_OWN_BULLETS: Final = ("✓ ", "→ ", "– ", "• ", "· ")


@dataclass(frozen=True, kw_only=True)
class Ink:
    """Writes styles where the terminal shows them. `text` must be harmless by now."""

    colour: bool

    def style(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text

    def bold(self, text: str) -> str:
        return self.style(text, "1")

    def dim(self, text: str) -> str:
        return self.style(text, "2")


def paint_message(message: Message, width: int, ink: Ink) -> list[str]:
    """Return the message's lines, each at most `width` columns."""
    indent = "  " if message.in_thread else ""
    rule = indent + ink.style("┃", _COLOURS[message.tone]) + " "
    room = max(SMALLEST, width) - len(indent) - 2
    return [rule + line for line in (*_headline(message, room, ink), *_body(message, room, ink))]


def read_pieces(message: Message) -> list[str]:
    """Return what the message says, piece by piece and without layout, to see what an edit changed."""
    pieces = [message.headline]
    for block in message.blocks:
        if isinstance(block, Paragraph):
            pieces.append(block.text)
        elif isinstance(block, Fields):
            pieces.extend(f"{label}: {value}" for label, value in block.items)
        elif isinstance(block, Link):
            pieces.append(f"{block.label}: {block.url}")
        elif isinstance(block, Bullets):
            pieces.extend(block.items)
        else:
            pieces.extend(block.text.split("\n"))
    pieces.extend(f"File {file.name}" for file in message.files)
    return [make_harmless(piece).strip() for piece in pieces]


def paint_answer(text: str, width: int, ink: Ink, *, ok: bool = True) -> list[str]:
    """Return a private answer: dim, or marked where it is a refusal."""
    sign = "→" if ok else "✗"
    lines = wrap_words(make_harmless(text), max(SMALLEST, width) - 2)
    return [ink.dim(f"{sign if number == 0 else ' '} {line}") for number, line in enumerate(lines)]


def paint_legend(parts: Sequence[tuple[str, str]], lead: str, width: int, ink: Ink) -> list[str]:
    """Return `lead [a] Acknowledge  [e] Escalate`, wrapped between the parts."""
    lines: list[str] = []
    line, used = ink.bold(lead), measure(lead)
    for key, label in parts:
        name = fit(make_harmless(label), max(SMALLEST, width) - 6)
        columns = measure(name) + len(key) + 3
        if used and used + 2 + columns > width:
            lines.append(line)
            line, used = "", 0
        gap = "  " if used else ""
        line += f"{gap}{ink.style(f'[{key}]', '1;36')} {name}"
        used += len(gap) + columns
    return [*lines, line]


def _headline(message: Message, room: int, ink: Ink) -> Iterator[str]:
    text = make_harmless(message.headline)
    if message.incident and message.incident not in text:
        text = f"{make_harmless(message.incident)} · {text}"
    for number, line in enumerate(wrap_words(text, room - 2)):
        sign = ink.style(_SIGNS[message.tone], _COLOURS[message.tone]) if number == 0 else " "
        yield f"{sign} {ink.bold(line)}"


def _body(message: Message, room: int, ink: Ink) -> Iterator[str]:
    table: list[tuple[str, str]] = []
    for block in message.blocks:
        if isinstance(block, Fields):
            table.extend(block.items)
            continue
        if isinstance(block, Link):
            table.append((block.label, block.url))
            continue
        yield from _table(table, room, ink)
        table = []
        yield from _block(block, room, ink)
    yield from _table(table, room, ink)
    for file in message.files:
        lines = file.text.count("\n") + (not file.text.endswith("\n"))
        size = f"{lines:,} line" if lines == 1 else f"{lines:,} lines"
        yield from wrap_words(make_harmless(f"File {file.name}, {size}: [v] shows it"), room)


def _block(block: Block, room: int, ink: Ink) -> Iterator[str]:
    if isinstance(block, Paragraph):
        yield from wrap_words(make_harmless(block.text), room)
    elif isinstance(block, Bullets):
        for item in block.items:
            text = make_harmless(item)
            text = text if text.startswith(_OWN_BULLETS) else f"• {text}"
            first, *rest = wrap_words(text[2:], room - 2, most=room)
            yield from [text[:2] + first] if measure(first) <= room - 2 else [text[:1], first]
            yield from _set_in(rest, room)
    elif isinstance(block, Code):
        yield from paint_code(block.text, block.language, room, ink)


def paint_code(text: str, language: str, room: int, ink: Ink) -> Iterator[str]:
    """Yield verbatim lines, set in by two; a line too long goes on after "↳"."""
    for line in make_harmless(text).split("\n"):
        first, *rest = break_verbatim(line, room - 4)
        code = _colour_of(line) if language == "diff" else ""
        yield "  " + (ink.style(first, code) if code else first)
        yield from ("  " + ink.dim("↳ ") + (ink.style(piece, code) if code else piece) for piece in rest)


def _colour_of(line: str) -> str:
    if line.startswith(("+++", "---", "diff ")):
        return "1"
    return {"+": "32", "-": "31", "@": "36"}.get(line[:1], "")


def _table(items: Sequence[tuple[str, str]], room: int, ink: Ink) -> Iterator[str]:
    """Yield label and value side by side; a long label, or a value cut in the middle of a word, gets its own line."""
    if not items:
        return
    shown = [(make_harmless(label), make_harmless(value)) for label, value in items]
    most = min(_LABEL, room // 3)
    column = max((measure(label) for label, _ in shown if measure(label) <= most), default=most)
    for label, value in shown:
        lines = wrap_words(value, room - column - 2)
        if measure(label) > column or any(measure(word) > room - column - 2 for word in value.split()):
            yield from (ink.dim(line) for line in wrap_words(label, room))
            yield from _set_in(wrap_words(value, room - 2, most=room), room)
            continue
        yield f"{ink.dim(label)}{' ' * (column - measure(label))}  {lines[0]}"
        yield from (f"{' ' * column}  {line}" for line in lines[1:])


def _set_in(lines: Sequence[str], room: int) -> Iterator[str]:
    """Set lines in by two; an address that fills the whole line stays where it is."""
    return (f"  {line}" if measure(line) <= room - 2 else line for line in lines)


def name_buttons(buttons: Mapping[str, Button]) -> list[tuple[str, str]]:
    """Return (key, label) of each button."""
    return [(key, button.label) for key, button in buttons.items()]
