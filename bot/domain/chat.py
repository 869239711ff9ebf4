"""Chat as the core sees it: messages without any platform's markup, and what people do to them.

All text is plain. A connector escapes it for its platform, so that hostile text never becomes a
mention, a link or markup, and shortens or splits it by its declared `ChatLimits` without losing a character.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from bot.domain.runs.image import Attachment

NOBODY: Final = "anonymous"
"""The account of whoever hides behind a group or a channel: it is never a person's."""
SVG: Final = "image/svg+xml"
"""The media type of a picture that scales, and is a text."""
PNG: Final = "image/png"


class Tone(StrEnum):
    """How a message looks at first glance."""

    CALM = "calm"
    BAD = "bad"
    WARN = "warn"
    GOOD = "good"


class Style(StrEnum):
    PLAIN = "plain"
    PRIMARY = "primary"
    DANGER = "danger"


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    text: str


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Short label/value pairs, in reading order."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Bullets:
    items: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Code:
    """Verbatim text. `language` is "diff", "text", "python", …"""

    text: str
    language: str = "text"


@dataclass(frozen=True, kw_only=True)
class Link:
    label: str
    url: str


Block = Paragraph | Fields | Bullets | Code | Link


@dataclass(frozen=True, kw_only=True)
class FormField:
    """One question of a form. `choices` empty = free text."""

    name: str
    label: str
    choices: tuple[str, ...] = ()
    required: bool = True


@dataclass(frozen=True, kw_only=True)
class Form:
    """What a button asks before it counts: a modal, or the platform's fallback."""

    title: str
    fields: tuple[FormField, ...]


@dataclass(frozen=True, kw_only=True)
class Button:
    """`id` is opaque to the connector, at most 64 bytes of ASCII (Telegram's limit);
    `key` is the single key that presses it in a terminal."""

    id: str
    label: str
    key: str
    style: Style = Style.PLAIN
    form: Form | None = None


@dataclass(frozen=True, kw_only=True)
class File:
    name: str
    media_type: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture in pixels, in one of the types of `bot.domain.runs.image`. `caption` says what it shows to whoever does
    not see it."""

    name: str
    caption: str
    sha256: str
    data: bytes = field(repr=False)
    media_type: str = PNG


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message. The headline is the most important line and stands alone in a notification.

    `slot` names the place it holds in its incident: posting to a slot that has a message edits it.
    `rings` names the people whose phone may ring: empty for everything but a page, a ready patch,
    a question and a verdict. `tells` names people whom it concerns though it rings nobody: where messages go to
    single people, it goes to them. `incident` is "" for what is about none. `is_pinned` keeps it at hand in its
    channel where the platform can; there is one in each slot, made anew where somebody deleted it. `is_broadcast` shows
    it in the channel too though it stands in a thread, where the platform can.
    """

    incident: str
    slot: str
    headline: str
    tone: Tone = Tone.CALM
    blocks: tuple[Block, ...] = ()
    buttons: tuple[Button, ...] = ()
    files: tuple[File, ...] = ()
    pictures: tuple[Picture, ...] = ()
    rings: tuple[str, ...] = ()
    tells: tuple[str, ...] = ()
    in_thread: bool = True
    is_pinned: bool = False
    is_broadcast: bool = False


@dataclass(frozen=True, kw_only=True)
class ChatLimits:
    """What a platform can do; the core degrades by these values and never by a platform's name.

    `shows_svg` says that an attached SVG is seen as a picture, `shows_pictures` that pictures in pixels are; elsewhere
    they are left out, and the text has to do.
    `pins` says that the channel keeps a summary of what is open pinned.
    """

    text: int
    buttons: int
    can_edit: bool
    can_thread: bool
    can_answer_privately: bool
    has_forms: bool
    files: bool
    file_bytes: int = 0
    shows_svg: bool = False
    shows_pictures: bool = False
    pins: bool = False

    def fit(self, message: Message) -> Message | None:
        """Return the message without pictures that nobody would see, None where nothing but them would be news."""
        if message.pictures and not self.shows_pictures:
            if not (message.blocks or message.files or message.buttons):
                return None
            message = replace(message, pictures=())
        if self.shows_svg or not any(file.media_type == SVG for file in message.files):
            return message
        return replace(message, files=tuple(file for file in message.files if file.media_type != SVG))


@dataclass(frozen=True, kw_only=True)
class Press:
    """A person pressed a button. `event` is the platform's id of the event: the same event twice is one press.

    `account` is the platform's name of the person; the core maps it to a person of the configuration.
    """

    event: str
    channel: str
    account: str
    button: str
    values: Mapping[str, str] = field(default_factory=dict)
    pressed_at: datetime


@dataclass(frozen=True, kw_only=True)
class Said:
    """A person typed a command or a sentence, perhaps in an incident's thread.

    What is not `is_addressed` may be meant for colleagues: only a command in it is for us. `attachments` are files that
    were posted with it, which nobody has fetched yet.
    """

    event: str
    channel: str
    account: str
    text: str
    incident: str | None = None
    said_at: datetime
    is_addressed: bool = True
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Undelivered:
    """A platform took a message for a person, and reports later that it did not arrive."""

    event: str
    channel: str
    account: str
    incident: str
    slot: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The private answer to a press or a command: shown to that person only where the platform can.

    A secret one is for nobody else's eyes: where that cannot be had, it is not shown at all, and is never stored.
    """

    text: str
    ok: bool = True
    is_secret: bool = False
