"""What Nightshift writes in a Telegram group: messages, their edits, documents, questions and answers."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import structlog
from telegram import (
    Bot,
    ForceReply,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputFile,
    InputMedia,
    InputMediaDocument,
    InputMediaPhoto,
    LinkPreviewOptions,
    MessageEntity,
    ReplyParameters,
    User,
)
from telegram import Message as Sent

from bot.domain.chat import File, Message, Picture
from bot.domain.text.unseen import make_harmless
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.chat import ChatPlace
from connectors.chat.pace import Pace, insist
from connectors.chat.telegram.api import MovedError, UnchangedError, call
from connectors.chat.telegram.keyboard import Key, Question, build_keys
from connectors.chat.telegram.markup import Piece, render, render_parts, render_text, units
from connectors.chat.telegram.reference import Reference, digest_of, read_reference

T = TypeVar("T")
log = structlog.get_logger(__name__)
_REMEMBERED: Final = 2000
_TOPIC_NAME: Final = 128
_CAPTION: Final = 200
_LONG_CAPTION: Final = 300
_PER_ROW: Final = 2
_LONG: Final = 12_000
"""Characters from which an answer is a file: a group takes about twenty messages a minute."""
_CHAT: Final = (20, 21.0)
_GROUP: Final = (20, 61.0)
"""Messages in so many seconds: one a second in a chat, with short bursts; twenty a minute in a group."""
_SPARE: Final = 3
"""How many of them are left to what rings and to answers."""
_NO_TOPIC: Final = ("thread not found", "topic_deleted", "topic deleted")
_NO_PREVIEW: Final = LinkPreviewOptions(is_disabled=True)


class Writer:
    """Writes to one group. What was sent under a key is remembered, so that a second try goes on where it stopped."""

    def __init__(self, bot: Bot, chat: int, *, topics: bool, place: ChatPlace) -> None:
        self._bot = bot
        self.chat = chat
        self._may_use_topics = topics
        self._is_forum: bool | None = None
        self._place = place
        self._begun: dict[str, Reference] = {}
        self._grown: dict[str, Reference] = {}
        self._pace = Pace(_GROUP if chat < 0 else _CHAT)

    async def post(self, message: Message, key: str, thread: str | None) -> str:
        """Return the reference of the posted message."""
        ref = _remember(self._begun, key, self._begun.get(key) or Reference())
        card = read_reference(thread) if thread else None
        if card is not None:
            ref.topic = card.topic
        elif not ref.topic and not message.in_thread and await self._has_topics():
            ref.topic = await self._open_topic(message)
        await self._bring(ref, message, card.head if card else None)
        if message.is_pinned and ref.head is not None:
            await self._pin(ref.head)
        return ref.write()

    async def edit(self, message: Message, ref: str) -> None:
        known = self._grown.get(ref) or read_reference(ref)
        if known.head is None:
            raise Rejected("There is no such message in Telegram.", Reason.NOT_FOUND)
        _remember(self._grown, ref, known)
        await self._bring(known, message, None)

    async def ask(self, question: Question, note: str, *, topic: int, under: int) -> None:
        """Ask what a press needs before it counts, under the message whose button was pressed; `note` is its seal."""
        parts = [(question.title, "bold"), (f"\n{question.label}", "")]
        if not question.keys:
            parts += [("\nReply to this message.\n", ""), (note, "code")]
        keys = _keyboard([*question.keys]) if question.keys else ForceReply(selective=True)
        piece = render_parts(parts)
        send = partial(self._send, piece, topic=topic, under=under, silent=True, keys=keys)
        await insist(partial(self._say, send))

    async def answer(self, text: str, *, chat: int, topic: int, under: int) -> None:
        """Answer a command, whole: in as many messages as it takes, a very long answer as a file."""
        sends: list[Callable[..., Awaitable[Sent]]]
        if len(text) > _LONG:
            file = File(name="answer.txt", media_type="text/plain", text=text)
            sends = [partial(self._send_file, under, file, render_parts([("The answer is long.", "")]))]
        else:
            sends = [partial(self._send, piece, under=under, silent=True) for piece in render_text(text)]
        for send in sends:
            here = partial(send, topic=topic)
            await insist(partial(self._say, here) if chat == self.chat else partial(_call_there, here, chat))

    async def remove(self, message: int) -> None:
        """Take a message away; one that is gone or too old stays as it is."""
        try:
            await self._call(partial(self._bot.delete_message, message_id=message))
        except Rejected as error:
            log.info("telegram_not_removed", error=str(error))

    async def _bring(self, ref: Reference, message: Message, under: int | None) -> None:
        """Make the messages of `ref` show this one: edit those there are, send what is missing, take away the rest."""
        pieces = render(message, self._place)
        keys = _keyboard(build_keys(message.buttons))
        silent = not message.rings
        for number, piece in enumerate(pieces):
            own = keys if number == 0 else None
            if number < len(ref.parts) and await self._replace(ref.parts[number], piece, own):
                continue
            if number < len(ref.parts) and message.is_pinned:
                raise Rejected("The pinned message is gone from Telegram.", Reason.NOT_FOUND)
            place = under if number == 0 else ref.head
            send = partial(self._send, piece, under=place, silent=silent or number > 0, keys=own)
            sent = await self._put(ref, send, spare=_SPARE if silent else 0)
            ref.parts[number : number + 1] = [sent.message_id]
        while len(ref.parts) > len(pieces):
            await self.remove(ref.parts[-1])
            ref.parts.pop()
        await self._attach(ref, message)

    async def _pin(self, number: int) -> None:
        """Pin a message, in silence; where the bot may not, it stands there all the same."""
        try:
            await self._call(partial(self._bot.pin_chat_message, message_id=number, disable_notification=True))
        except Rejected as error:
            log.warning("telegram_not_pinned", error=str(error))

    async def _replace(self, number: int, piece: Piece, keys: InlineKeyboardMarkup | None) -> bool:
        """Edit a message; say False where somebody deleted it."""
        edit = partial(
            self._bot.edit_message_text,
            piece.text,
            message_id=number,
            entities=_entities(piece),
            reply_markup=keys,
            link_preview_options=_NO_PREVIEW,
        )
        return await self._change(edit)

    async def _change(self, edit: Callable[..., Awaitable[object]]) -> bool:
        try:
            await self._call(edit)
        except UnchangedError:
            return True
        except Rejected as error:
            if error.reason is Reason.NOT_FOUND:
                return False
            raise
        return True

    async def _say(self, send: Callable[..., Awaitable[Sent]]) -> Sent:
        async with self._pace.turn():
            return await self._call(send)

    async def _put(self, ref: Reference, send: Callable[..., Awaitable[Sent]], *, spare: int) -> Sent:
        """Send into the topic of the incident; where somebody deleted that, into the group."""
        try:
            async with self._pace.turn(spare=spare):
                return await self._call(partial(send, topic=ref.topic))
        except Rejected as error:
            if not ref.topic or not any(word in str(error).lower() for word in _NO_TOPIC):
                raise
            ref.topic = 0
            return await self._call(partial(send, topic=0))

    async def _attach(self, ref: Reference, message: Message) -> None:
        attached: Sequence[File | Picture] = (*message.files, *message.pictures)
        for number, file in enumerate(attached):
            digest, caption = digest_of(file), _caption(message.incident, file)
            if number < len(ref.files):
                there, before = ref.files[number]
                if before == digest or await self._exchange(there, file, caption):
                    ref.files[number] = (there, digest)
                    continue
            sent = await self._put(ref, self._sending(ref.head, file, caption), spare=_SPARE)
            ref.files[number : number + 1] = [(sent.message_id, digest)]

    def _sending(self, head: int | None, file: File | Picture, caption: Piece) -> Callable[..., Awaitable[Sent]]:
        if isinstance(file, Picture):
            return partial(self._send_picture, head, file, caption)
        return partial(self._send_file, head, file, caption)

    async def _exchange(self, number: int, file: File | Picture, caption: Piece) -> bool:
        told: dict[str, Any] = {"caption": caption.text, "caption_entities": _entities(caption)}
        if isinstance(file, Picture):
            media: InputMedia = InputMediaPhoto(file.data, filename=_name(file), **told)
        else:
            media = InputMediaDocument(_document(file), **told)
        return await self._change(partial(self._bot.edit_message_media, media, message_id=number))

    async def _send_file(self, head: int | None, file: File, caption: Piece, *, topic: int, chat_id: int) -> Sent:
        return await self._bot.send_document(
            chat_id,
            _document(file),
            caption=caption.text,
            caption_entities=_entities(caption),
            message_thread_id=topic or None,
            reply_parameters=_reply_to(head),
            disable_notification=True,
            disable_content_type_detection=True,
        )

    async def _send_picture(self, head: int | None, file: Picture, caption: Piece, *, topic: int, chat_id: int) -> Sent:
        return await self._bot.send_photo(
            chat_id,
            InputFile(file.data, filename=_name(file), attach=True),
            caption=caption.text,
            caption_entities=_entities(caption),
            message_thread_id=topic or None,
            reply_parameters=_reply_to(head),
            disable_notification=True,
        )

    async def _send(
        self,
        piece: Piece,
        *,
        topic: int,
        under: int | None,
        silent: bool,
        chat_id: int,
        keys: InlineKeyboardMarkup | ForceReply | None = None,
    ) -> Sent:
        return await self._bot.send_message(
            chat_id,
            piece.text,
            entities=_entities(piece),
            message_thread_id=topic or None,
            reply_parameters=_reply_to(under),
            reply_markup=keys,
            disable_notification=silent,
            link_preview_options=_NO_PREVIEW,
        )

    async def _has_topics(self) -> bool:
        if self._is_forum is None:
            chat = await self._call(self._bot.get_chat) if self._may_use_topics else None
            self._is_forum = bool(chat and chat.is_forum)
        return self._is_forum

    async def _open_topic(self, message: Message) -> int:
        """Return the incident's topic, 0 where the bot may not open one: then replies have to do."""
        name = " ".join(make_harmless(message.headline).split())
        name = name if name.startswith(message.incident) else f"{message.incident} · {name}"
        while units(name) > _TOPIC_NAME:
            name = name[:-2] + "…"
        try:
            topic = await self._call(partial(self._bot.create_forum_topic, name=name))
        except Rejected as error:
            log.warning("telegram_no_topic", error=str(error))
            return 0
        return topic.message_thread_id

    async def _call(self, act: Callable[..., Awaitable[T]]) -> T:
        """Call for our group once, or twice where the group has got another id meanwhile."""
        try:
            return await call(act(chat_id=self.chat))
        except MovedError as moved:
            log.warning("telegram_chat_moved", old=self.chat, new=moved.chat)
            self.chat = moved.chat
        try:
            return await call(act(chat_id=self.chat))
        except MovedError as moved:
            raise Unavailable("The group has changed its id twice.", Reason.UNREACHABLE) from moved


async def _call_there(act: Callable[..., Awaitable[Sent]], chat: int) -> Sent:
    return await call(act(chat_id=chat))


def _remember(known: dict[str, Reference], key: str, ref: Reference) -> Reference:
    known.pop(key, None)
    known[key] = ref
    if len(known) > _REMEMBERED:
        known.pop(next(iter(known)))
    return ref


def _entities(piece: Piece) -> list[MessageEntity]:
    found = []
    for span in piece.spans:
        begin, length = units(piece.text[: span.begin]), units(piece.text[span.begin : span.end])
        found.append(
            MessageEntity(
                span.kind,
                begin,
                length,
                url=span.detail if span.kind == "text_link" else None,
                language=span.detail or None if span.kind == "pre" else None,
                user=User(int(span.detail), "", is_bot=False) if span.kind == "text_mention" else None,
            )
        )
    return found


def _keyboard(keys: Sequence[Key]) -> InlineKeyboardMarkup | None:
    if not keys:
        return None
    made = [InlineKeyboardButton(key.label, callback_data=key.data) for key in keys]
    return InlineKeyboardMarkup([made[at : at + _PER_ROW] for at in range(0, len(made), _PER_ROW)])


def _reply_to(message: int | None) -> ReplyParameters | None:
    return ReplyParameters(message_id=message, allow_sending_without_reply=True) if message else None


def _document(file: File) -> InputFile:
    return InputFile(file.text.encode(errors="replace") or b"\n", filename=_name(file), attach=True)


def _name(file: File | Picture) -> str:
    return make_harmless(file.name).replace("/", "_").replace("\n", " ")[:_CAPTION]


def _caption(incident: str, file: File | Picture) -> Piece:
    if isinstance(file, Picture):
        return render_parts([(f"{incident} · ", ""), (make_harmless(file.caption)[:_LONG_CAPTION], "")])
    return render_parts([(f"{incident} · ", ""), (make_harmless(file.name)[:_CAPTION], "code")])
