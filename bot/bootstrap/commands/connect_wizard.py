"""`nightshift connect slack` and its like: ask, look at each answer at once, send a test card, keep what works."""

import asyncio
import importlib
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from bot.bootstrap.chat import say_missing
from bot.bootstrap.commands.connect_files import Files
from bot.domain.chat import Message, Paragraph, Tone
from bot.domain.text.unseen import make_harmless
from bot.errors import NightshiftError, Reason, Refused
from bot.ports.chat import ChatPlace
from bot.ports.chat_setup import ChatSetup, Question
from bot.settings_connections import PREFIX

_YOU: Final = "you"
_NAME: Final = re.compile(r"[a-z][a-z0-9]{0,31}")
"""Of a channel: it stands in addresses, and in variables, where "_" parts it from the setting."""
_NO_ADDRESS: Final = "https://<your address>"


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """Where the person sits. `is_patient`: a wrong answer is asked for again."""

    say: Callable[[str], None]
    ask: Callable[[str, bool], str]
    is_patient: bool


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the command line says: whose channel, in which configuration, with which values given already.

    `name` is the channel's where it is not called like its kind: a second one of the same.
    """

    kind: str
    config: Path
    name: str = ""
    variables: Mapping[str, str]
    given: Mapping[str, str] = field(default_factory=dict)


def connect(order: Order, terminal: Terminal) -> None:
    """Set a channel up. Raises `Refused` where something is of no use; then nothing was written."""
    setup, name = _load(order.kind), order.name or order.kind
    if not _NAME.fullmatch(name):
        raise Refused("--name may hold up to 32 small letters and digits, such as slack2.", Reason.BAD_INPUT)
    files = Files(order.config, name, order.kind)
    for line in setup.begin:
        terminal.say(line)
    known = {**files.known(order.variables), **order.given}
    given = _ask_all(setup, known, name, terminal)
    passing = {question.setting for question in setup.questions if not question.kept}
    kept = {key: value for key, value in (known | given).items() if key not in passing}
    account = next((given[key] for key in passing if key in given), "")
    waits = asyncio.run(_finish(setup, kept, ChatPlace(name=name, accounts={_YOU: account} if account else {})))
    terminal.say(f"! The test card did not go out yet: {waits}" if waits else "✓ The test card is there.")
    _tell(files, files.write(*_sort(setup, given, kept, files.in_variables(order.variables))), terminal)
    for line in setup.end:
        terminal.say(_fill_in(line, files.public_url(order.variables) or _NO_ADDRESS, name))
    terminal.say(f'Accounts stand with their people, in [people.<name>]: accounts = {{ {name} = "…" }}')
    terminal.say("Then: nightshift doctor, nightshift run")


def _fill_in(line: str, address: str, name: str) -> str:
    return line.replace("{address}", address).replace("{name}", name).replace("{NAME}", name.upper())


def _load(kind: str) -> ChatSetup:
    try:
        setup: ChatSetup = importlib.import_module(f"connectors.chat.{kind}.setup").SETUP
    except ModuleNotFoundError as error:
        raise Refused(f"{kind} {say_missing(kind, error)}", Reason.NOT_FOUND) from None
    return setup


def _ask_all(setup: ChatSetup, known: Mapping[str, str], name: str, terminal: Terminal) -> dict[str, str]:
    """Return the value of each question; what is known already is looked at, not asked for."""
    asked = {question.setting for question in setup.questions}
    base = {key: value for key, value in known.items() if key not in asked}
    given: dict[str, str] = {}
    for question in setup.questions:
        if question.unless and question.unless in known:
            continue
        value = known.get(question.setting, "")
        while True:
            value, said, is_right = _look(question, base | given, value or _hear(question, terminal))
            if is_right:
                break
            if not terminal.is_patient:
                way = "--chat" if question.setting == "chat" else f"{PREFIX}{name}_{question.setting}".upper()
                raise Refused(f"{question.label}: {said} Nothing was written. Give it by {way}.", Reason.BAD_INPUT)
            terminal.say(f"✗ {said}")
            value = ""
        terminal.say(f"✓ {said}")
        given[question.setting] = value
    return given


def _hear(question: Question, terminal: Terminal) -> str:
    for step in question.steps:
        terminal.say(f"- {step}")
    return terminal.ask(question.label, question.is_secret).strip()


def _look(question: Question, given: Mapping[str, str], value: str) -> tuple[str, str, bool]:
    """Return the value, what there is to say about it, and whether it is right."""
    try:
        if not value and question.find is not None:
            value = _await(question.find(given))
        if not value:
            return "", "Nothing there yet." if question.find is not None else "It is missing.", False
        return value, _await(question.examine({**given, question.setting: value})), True
    except ValidationError as error:
        return value, _explain(error, question.setting), False
    except NightshiftError as error:
        return value, make_harmless(str(error)), False


def _explain(error: ValidationError, setting: str = "") -> str:
    """Return what is wrong; which setting it is about stands there where it is not the one that was asked for."""
    texts = []
    for item in error.errors():
        name, text = str(item["loc"][0]) if item["loc"] else setting, item["msg"].removeprefix("Value error, ")
        said = f"It {text}" if text.startswith("is ") else text
        texts.append(said if name == setting else f"{name}: {text}")
    return "; ".join(texts) + "."


def _await(work: Awaitable[str]) -> str:
    async def wait() -> str:
        return await work

    return asyncio.run(wait())


async def _finish(setup: ChatSetup, kept: Mapping[str, str], place: ChatPlace) -> str:
    """Let the service know what it must, and post a card; return why that has to wait, or ""."""
    try:
        opened = setup.open(kept, place)
    except ValidationError as error:
        raise Refused(f"{_explain(error)} Nothing was written.", Reason.BAD_INPUT) from None
    try:
        health = await opened.connector.check()
        if not health.ok:
            raise Refused(f"{make_harmless(health.text)} Nothing was written.", Reason.NOT_ALLOWED)
        if opened.register is not None:
            await opened.register()
        await opened.connector.post(place.name, _card(place), f"connect {secrets.token_hex(8)}", None)
    except NightshiftError as error:
        if isinstance(error, Refused):
            raise
        if not setup.card_may_wait:
            raise Refused(f"{make_harmless(str(error))} Nothing was written.", error.reason) from error
        return make_harmless(str(error))
    finally:
        if opened.close is not None:
            await opened.close()
    return ""


def _card(place: ChatPlace) -> Message:
    return Message(
        incident="Nightshift",
        slot="connected",
        headline="Nightshift is connected",
        tone=Tone.GOOD,
        blocks=(Paragraph(text="This is a test. Incidents will appear here."),),
        rings=tuple(place.accounts),
    )


def _sort(
    setup: ChatSetup, given: Mapping[str, str], kept: Mapping[str, str], variables: Mapping[str, str]
) -> tuple[dict[str, str | int], dict[str, str]]:
    """Return what belongs into the configuration, and what into `.env`: secrets, and what came by variables."""
    asked = [question for question in setup.questions if question.kept and question.setting in given]
    plain = {
        one.setting: int(given[one.setting]) if one.is_number else given[one.setting]
        for one in asked
        if not one.is_secret
    }
    hidden = {key: value for key, value in variables.items() if key in kept and key not in plain}
    return plain, hidden | {one.setting: given[one.setting] for one in asked if one.is_secret}


def _tell(files: Files, left: str, terminal: Terminal) -> None:
    terminal.say(f"✓ {files.env} holds the secrets, for its owner alone.")
    terminal.say(f"! Add this to {files.config}:\n{left}" if left else f"✓ {files.config} has the channel.")
    if files.env.parent != Path.cwd():
        terminal.say(f"! Start Nightshift in {files.env.parent}: it reads .env there.")
    if files.unnamed_routes():
        terminal.say(f"! {files.unnamed_routes()} of the routes name their channels, and not this one: add it there.")
