"""Finds Nightshift's own secrets in a text, however they are written there.

Raw, base64 (three alignments, both alphabets) and hexadecimal forms are looked up directly; percent, backslash and
HTML escapes, also one inside the other, and control or invisible characters in between are undone first.
"""

import base64
import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import ahocorasick

from bot.errors import ConfigError, Problem

MIN_SECRET: Final = 4
_MIN_PART: Final = 12  # a line of a secret of several lines, a private key for example
_MAX_VIEWS: Final = 12

_NOISE: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]{0,500}(?:\x07|\x1b\\)|\x1b[@-Z\\^_]?|\x9b[0-?]*[ -/]*[@-~]"
    r"|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9a\x9c-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    r"\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb]"
    r"|[\U000e0000-\U000e01ef\U0001d173-\U0001d17a]"
)
# One class of letters is searched many times faster than the pattern above.
_NOISE_MARK: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e01ef\U0001d173-\U0001d17a]"
)
_ASCII_MARK: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_PERCENT: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_HTML: Final = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[a-z]{2,6});")
_BACKSLASH: Final = re.compile(
    r"(?:\\x[0-9A-Fa-f]{2})+|\\u[dD][89abAB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}"
    r"|\\U[0-9A-Fa-f]{8}|\\[0-7]{3}|\\.",
    re.DOTALL,
)
_LETTERS: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0"}


@dataclass(frozen=True, slots=True)
class Hit:
    """Where a secret stands, what kind it is, and the secret itself, of which only a keyed hash is shown."""

    start: int
    end: int
    kind: str
    value: str
    rank: int


class View:
    """A text as it reads after something was undone. Where its letters came from is worked out when it is asked."""

    def __init__(self, text: str, parent: "View | None" = None, undone: "Undo | None" = None) -> None:
        self.text = text
        self._parent = parent
        self._undone = undone
        self._places: list[tuple[int, int]] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return which stretch of the first text letters `start` to `end` stand for."""
        if self._parent is None or self._undone is None:
            return start, end
        if self._places is None:
            self._places = list(self._undone.locate(self._parent.text))
        return self._parent.span(self._places[start][0], self._places[end - 1][1])

    def undo(self, undone: "Undo") -> "View":
        return View(undone.pattern.sub(lambda match: undone.decode(match.group()), self.text), self, undone)


@dataclass(frozen=True, slots=True)
class Undo:
    """One way of writing letters differently, and how it is read."""

    pattern: re.Pattern[str]
    decode: Callable[[str], str]
    mark: str = ""

    def applies(self, text: str) -> bool:
        if not self.mark:
            return has_noise(text)
        return self.mark in text and self.pattern.search(text) is not None

    def locate(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield, for each letter of the undone text, the stretch of `text` it came from."""
        position = 0
        for match in self.pattern.finditer(text):
            start, end = match.span()
            yield from ((n, n + 1) for n in range(position, start))
            yield from [(start, end)] * len(self.decode(match.group()))
            position = end
        yield from ((n, n + 1) for n in range(position, len(text)))


def strip_noise(view: View) -> View:
    """Return the view without control sequences and characters that nobody sees."""
    return view.undo(_NO_NOISE) if has_noise(view.text) else view


def has_noise(text: str) -> bool:
    """Say whether the text holds control sequences or characters that nobody sees."""
    return (_ASCII_MARK if text.isascii() else _NOISE_MARK).search(text) is not None


def _decode_percent(run: str) -> str:
    return bytes.fromhex(run.replace("%", "")).decode("utf-8", "replace")


def _decode_bytes(raw: bytes) -> str:
    """Read `\\xNN`: the bytes of UTF-8, or letters by their number."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _decode_backslash(run: str) -> str:
    mark, rest = run[1], run[2:]
    if mark == "x" and rest:
        return _decode_bytes(bytes.fromhex(run.replace("\\x", "")))
    if mark == "u" and len(rest) > 4:
        return bytes.fromhex(rest[:4] + run[8:]).decode("utf-16-be", "replace")
    if mark in "uU" and rest:
        code = int(rest, 16)
        return chr(code) if code < 0x110000 else "\ufffd"
    if mark in "01234567" and rest:
        return chr(int(run[1:], 8))
    return _LETTERS.get(mark, mark)


_NO_NOISE: Final = Undo(_NOISE, lambda _: "")
_UNDO: Final = (
    Undo(_PERCENT, _decode_percent, "%"),
    Undo(_BACKSLASH, _decode_backslash, "\\"),
    Undo(_HTML, html.unescape, "&"),
    _NO_NOISE,
)
_PLUS: Final = Undo(re.compile(r"\+"), lambda _: " ", "+")


def _views(view: View, undos: Sequence[Undo]) -> Iterator[View]:
    """Yield the view and what it reads like with escapes undone, in every order, within bounds."""
    seen = {view.text}
    queue = [view]
    for current in queue:
        yield current
        for undo in undos:
            if len(queue) >= _MAX_VIEWS or not undo.applies(current.text):
                continue
            undone = current.undo(undo)
            if undone.text not in seen:
                seen.add(undone.text)
                queue.append(undone)


class OwnSecrets:
    """The secrets of this installation. Built once; raises `ConfigError` for one too short to be matched safely."""

    def __init__(self, secrets: Sequence[str]) -> None:
        wanted = {secret.strip() for secret in secrets} - {""}
        short = sum(1 for secret in wanted if len(secret) < MIN_SECRET)
        if short:
            what = f"{short} configured secret(s) have fewer than {MIN_SECRET} characters; use longer ones"
            raise ConfigError([Problem(where="redaction", what=what)])
        self._exact = ahocorasick.Automaton()
        self._folded = ahocorasick.Automaton()
        for secret in sorted(wanted, reverse=True):
            for needle in {secret, *_parts(secret)}:
                self._add(needle, secret)
        self.is_empty = not wanted
        has_space = any(" " in secret for secret in wanted)
        self._undos = (*_UNDO, _PLUS) if has_space else _UNDO
        self.escaped = re.compile(r"[%\\&+]" if has_space else r"[%\\&]")
        if wanted:
            self._exact.make_automaton()
            self._folded.make_automaton()

    def _add(self, needle: str, secret: str) -> None:
        raw = needle.encode("utf-8", "surrogatepass")
        for form in {needle, *_base64_forms(raw)}:
            self._exact.add_word(form, (len(form), secret))
        for form in (raw.hex(), raw.hex(":"), raw.hex("-"), raw.hex(" ")):
            self._folded.add_word(form, (len(form), secret))

    def hit_ends(self, text: str, lowered: str) -> Iterator[int]:
        """Yield where one ends as it stands, escapes aside."""
        if not self.is_empty:
            yield from (last for last, _ in self._exact.iter(text))
            yield from (last for last, _ in self._folded.iter(lowered))

    def find(self, text: str) -> Iterator[Hit]:
        if self.is_empty:
            return
        for view in _views(View(text), self._undos):
            for automaton, read in ((self._exact, view.text), (self._folded, fold(view.text))):
                for last, (length, secret) in automaton.iter(read):
                    start, end = view.span(last + 1 - length, last + 1)
                    yield Hit(start, end, "own", secret, 0)


_LONE: Final = re.compile("[\ud800-\udfff]")


def replace_lone(text: str) -> str:
    """Return the text with halves of letters, which no encoding knows, replaced one for one."""
    return text if text.isascii() else _LONE.sub("\ufffd", text)


def fold(text: str) -> str:
    """Return the text with ASCII letters in lower case; never changes its length. In UTF-8 only they are such bytes."""
    if text.isascii():
        return text.lower()
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def _parts(secret: str) -> Iterator[str]:
    if "\n" in secret:
        for line in secret.splitlines():
            if len(line.strip()) >= _MIN_PART and not line.startswith("-----"):
                yield line.strip()


def _base64_forms(raw: bytes) -> Iterator[str]:
    """Yield what stays the same of the secret's base64 whatever stands before and after it."""
    for shift in range(3):
        first, last = -(-8 * shift // 6), 8 * (shift + len(raw)) // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(shift) + raw).decode()[first:last]
