"""A message as Block Kit. Text goes into rich text, which Slack takes literally: it is never read as markup."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bot.domain.chat import (
    Block,
    Bullets,
    Button,
    Code,
    Fields,
    Form,
    FormField,
    Link,
    Message,
    Paragraph,
    Reply,
    Tone,
)
from bot.domain.text.split import split_text
from bot.domain.text.unseen import make_harmless
from bot.errors import Reason, Rejected

MAX_TEXT: Final = 10_000
"""Characters of one message; Slack refuses blocks that hold much more. The rest goes into a file."""

MAX_BLOCKS: Final = 45
_PIECE: Final = 3_000
_ROW: Final = 25
_VALUE: Final = 2_000
_STYLES: Final = {"primary": "primary", "danger": "danger"}
_MARKS: Final = {Tone.CALM: "", Tone.BAD: "🔴 ", Tone.WARN: "🟠 ", Tone.GOOD: "🟢 "}

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """`rest` is the whole text where the blocks could not hold it, else empty."""

    text: str
    blocks: Sequence[Json]
    rest: str = ""


def render(message: Message, accounts: Mapping[str, str]) -> Rendered:
    """Return the message's blocks, and the plain line that notifications show."""
    people = [accounts[name] for name in message.rings if name in accounts]
    blocks = [*_paint_head(message, people), *(item for block in message.blocks for item in _paint(block))]
    rest = ""
    if len(blocks) > MAX_BLOCKS or _measure(message) > MAX_TEXT or len(message.headline) > _PIECE:
        rest = write_plain(message)
        blocks = _shorten(blocks)
        blocks.append(_rich(_section([_text("… the whole text is in the file in the thread.")])))
    text = _MARKS[message.tone] + escape(make_harmless(message.headline)[:500])
    return Rendered(text=text, blocks=[*blocks, *_actions(message)], rest=rest)


def escape(text: str) -> str:
    """Return text that Slack reads as text: no mention, no link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def write_plain(message: Message) -> str:
    """Return everything that the message says, as plain text."""
    return "\n\n".join(make_harmless(part) for part in (message.headline, *map(_as_text, message.blocks)))


def _measure(message: Message) -> int:
    return len(message.headline) + sum(len(_as_text(block)) for block in message.blocks)


def _as_text(block: Block) -> str:
    match block:
        case Paragraph(text=text) | Code(text=text):
            return text
        case Fields(items=items):
            return "\n".join(f"{label}: {value}" for label, value in items)
        case Bullets(items=lines):
            return "\n".join(f"• {line}" for line in lines)
        case Link(label=label, url=url):
            return f"{label}: {url}"


def _shorten(blocks: Sequence[Json]) -> list[Json]:
    kept: list[Json] = []
    used = 0
    for block in blocks[: MAX_BLOCKS - 1]:
        used += len(json.dumps(block, ensure_ascii=False))
        if used > MAX_TEXT:
            break
        kept.append(block)
    return kept


def _paint_head(message: Message, people: Sequence[str]) -> list[Json]:
    head = [_text(f"{_MARKS[message.tone]}{message.headline[:_PIECE]}" or " ", bold=True)]
    for person in people:
        head += [_text(" "), {"type": "user", "user_id": person}]
    return [_rich(_section(head))]


def _paint(block: Block) -> Iterator[Json]:
    match block:
        case Paragraph(text=text):
            yield from (_rich(_section([_text(piece)])) for piece in split_text(text, _PIECE) if piece)
        case Fields(items=items):
            parts = [part for label, value in items for part in (_text(f"{label}: ", bold=True), _text(f"{value}\n"))]
            yield _rich(_section(parts))
        case Bullets(items=items) if items:
            yield _rich(
                {"type": "rich_text_list", "style": "bullet", "elements": [_section([_text(i)]) for i in items]}
            )
        case Code(text=text):
            for piece in split_text(text, _PIECE):
                yield _rich({"type": "rich_text_preformatted", "elements": [_text(piece)]})
        case Link(label=label, url=url):
            yield _rich(_section([_link(label, url)]))
        case _:
            return


def _rich(element: Json) -> Json:
    return {"type": "rich_text", "elements": [element]}


def _section(elements: Sequence[Json]) -> Json:
    return {"type": "rich_text_section", "elements": elements}


def _text(text: str, *, bold: bool = False) -> Json:
    shown = {"type": "text", "text": make_harmless(text) or " "}
    return {**shown, "style": {"bold": True}} if bold else shown


def _link(label: str, url: str) -> Json:
    safe = (
        url.startswith(("https://", "http://")) and url.isascii() and url.isprintable() and not set(url) & set(" <>|")
    )
    if not safe:
        return _text(f"{label}: {url}")
    return {"type": "link", "url": url, "text": make_harmless(label) or url}


def _actions(message: Message) -> Iterator[Json]:
    buttons = [_button(number, button) for number, button in enumerate(message.buttons)]
    for start in range(0, len(buttons), _ROW):
        yield {"type": "actions", "elements": buttons[start : start + _ROW]}


def _button(number: int, button: Button) -> Json:
    label = {"type": "plain_text", "text": make_harmless(button.label)[:75], "emoji": False}
    shown = {"type": "button", "action_id": f"press:{number}", "text": label, "value": write_value(button)}
    style = _STYLES.get(button.style.value)
    return {**shown, "style": style} if style else shown


def write_value(button: Button) -> str:
    """Return what the button carries: its id, and the form that it asks, so that it works after a restart."""
    if button.form is None:
        return button.id
    fields = [[field.name, field.label, list(field.choices), field.required] for field in button.form.fields]
    value = json.dumps({"id": button.id, "title": button.form.title, "fields": fields})
    if len(value) <= _VALUE:
        return value
    short = [[field.name, field.label[:40], [], field.required] for field in button.form.fields]
    return json.dumps({"id": button.id, "title": button.form.title[:24], "fields": short})


def read_value(value: str) -> tuple[str, Form | None]:
    """Return the button's id, and its form where it has one. Raises `Rejected` for what we did not write."""
    if not value.startswith("{"):
        return value, None
    try:
        found = json.loads(value)
        rows = [
            (str(name), str(label), tuple(map(str, choices)), bool(must))
            for name, label, choices, must in found["fields"]
        ]
        fields = tuple(FormField(name=n, label=label, choices=c, required=must) for n, label, c, must in rows)
        return str(found["id"]), Form(title=str(found["title"]), fields=fields)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Rejected("Nightshift did not make this button.", Reason.BAD_INPUT) from error


def render_answer(text: str) -> list[Json]:
    """Return an answer as blocks, read letter by letter."""
    return [_rich(_section([_text(piece)])) for piece in split_text(text or " ", _PIECE) if piece]


def render_home(told: Message | Reply) -> Json:
    """Return the app's home: what is open now, or why that is not shown."""
    shown = render_answer(told.text[:MAX_TEXT]) if isinstance(told, Reply) else render(told, {}).blocks
    return {"type": "home", "blocks": [*shown]}


def render_form(form: Form, carried: str) -> Json:
    """Return the modal. `carried` comes back with its answers."""
    return {
        "type": "modal",
        "callback_id": "form",
        "private_metadata": carried,
        "title": _plain(form.title, 24),
        "submit": _plain("Send", 24),
        "close": _plain("Cancel", 24),
        "blocks": [_input(field) for field in form.fields],
    }


def _plain(text: str, limit: int) -> Json:
    shown = make_harmless(text)
    return {"type": "plain_text", "text": shown if len(shown) <= limit else f"{shown[: limit - 1]}…", "emoji": False}


def _input(field: FormField) -> Json:
    element: Json = {"type": "plain_text_input", "action_id": "value", "multiline": True, "max_length": 3000}
    if field.choices:
        options = [{"text": _plain(choice, 75), "value": choice[:150]} for choice in field.choices]
        element = {"type": "static_select", "action_id": "value", "options": options}
    label = _plain(field.label, 200)
    return {"type": "input", "block_id": field.name, "label": label, "element": element, "optional": not field.required}
